"""Update rules of the device's optimizers, on lists of tensors.

Each rule takes weights, unscaled gradients (overwritten), state lists by name (updated in place) and the
values of one parameter group. Formulas: PopART's adaptive and SGD optimizers; the comments name what differs
from PyTorch.
Names: w weights, g gradients, m first moment or velocity, v second moment, c centre (mean gradient).
"""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, List

import torch

Tensors = List[torch.Tensor]
State = Dict[str, Tensors]
Values = Dict[str, Any]

_add_ = torch._foreach_add_
_mul_ = torch._foreach_mul_


def sgd(w: Tensors, g: Tensors, state: State, hp: Values) -> None:
    """SGD with momentum, dampening and Nesterov. Unlike PyTorch's, the velocity starts at 0, so dampening
    counts from the first step on, and without momentum too.
    """
    if hp["weight_decay"]:
        _add_(g, w, alpha=hp["weight_decay"])
    if "m" not in state:
        _add_(w, g, alpha=-hp["lr"] * (1.0 - hp["dampening"]))
        return
    m = state["m"]
    _mul_(m, hp["momentum"])
    _add_(m, g, alpha=1.0 - hp["dampening"])
    if hp["nesterov"]:
        _add_(g, m, alpha=hp["momentum"])
    _add_(w, g if hp["nesterov"] else m, alpha=-hp["lr"])


def sgd_combined(w: Tensors, g: Tensors, state: State, hp: Values) -> None:
    """SGD with one buffer for accumulator and velocity: momentum and decay of the next step are applied at
    the end of this one, so a change of either acts one step late.
    """
    m, kept = state["m"], 1.0 - hp["dampening"]
    _add_(m, g, alpha=kept)
    if hp["nesterov"]:
        _add_(g, w, alpha=hp["weight_decay"])
        _add_(g, m, alpha=hp["momentum"])
    _add_(w, g if hp["nesterov"] else m, alpha=-hp["lr"])
    _mul_(m, hp["momentum"])
    _add_(m, w, alpha=kept * hp["weight_decay"])


def rmsprop(w: Tensors, g: Tensors, state: State, hp: Values) -> None:
    """RMSprop as PyTorch defines it: eps added to the root, lr applied to the momentum buffer."""
    _second_moment(w, g, state, hp)
    denominator = torch._foreach_sqrt(_variance(state))
    _add_(denominator, hp["eps"])
    if "m" in state:
        _mul_(state["m"], hp["momentum"])
        torch._foreach_addcdiv_(state["m"], g, denominator)
        _add_(w, state["m"], alpha=-hp["lr"])
    else:
        torch._foreach_addcdiv_(w, g, denominator, value=-hp["lr"])


def rmsprop_tf(w: Tensors, g: Tensors, state: State, hp: Values) -> None:
    """RMSprop as TensorFlow defines it: eps inside the root, lr inside the momentum buffer, v starts at 1."""
    _second_moment(w, g, state, hp)
    denominator = torch._foreach_add(_variance(state), hp["eps"])
    torch._foreach_sqrt_(denominator)
    if "m" in state:
        _mul_(state["m"], hp["momentum"])
        torch._foreach_addcdiv_(state["m"], g, denominator, value=hp["lr"])
        torch._foreach_sub_(w, state["m"])
    else:
        torch._foreach_addcdiv_(w, g, denominator, value=-hp["lr"])


def adam(w: Tensors, g: Tensors, state: State, hp: Values) -> None:
    """Adam with weight decay in the gradient."""
    if hp["weight_decay"]:
        _add_(g, w, alpha=hp["weight_decay"])
    denominator, step_size = _adam_terms(g, state, hp)
    torch._foreach_addcdiv_(w, state["m"], denominator, value=-hp["lr"] * step_size)


def adamw(w: Tensors, g: Tensors, state: State, hp: Values) -> None:
    """Adam with decoupled weight decay."""
    denominator, step_size = _adam_terms(g, state, hp)
    if hp["weight_decay"]:
        _mul_(w, 1.0 - hp["lr"] * hp["weight_decay"])
    torch._foreach_addcdiv_(w, state["m"], denominator, value=-hp["lr"] * step_size)


def lamb(w: Tensors, g: Tensors, state: State, hp: Values) -> None:
    """LAMB: the decayed Adam step times min(|w|, max_weight_norm) / |step|; ratio 1 where a norm is 0."""
    denominator, step_size = _adam_terms(g, state, hp)
    step = torch._foreach_div(state["m"], denominator)
    _mul_(step, step_size)
    if hp["weight_decay"]:
        _add_(step, w, alpha=hp["weight_decay"])
    for weight, update in zip(w, step):
        weight_norm = weight.norm().clamp(max=hp["max_weight_norm"])
        step_norm = update.norm()
        is_ratio = (weight_norm > 0) & (step_norm > 0)
        ratio = torch.where(is_ratio, weight_norm / step_norm, torch.ones_like(weight_norm))
        weight.sub_(update * (ratio * hp["lr"]))


def _second_moment(w: Tensors, g: Tensors, state: State, hp: Values) -> None:
    if hp["weight_decay"]:
        _add_(g, w, alpha=hp["weight_decay"])
    alpha = hp["alpha"]
    _mul_(state["v"], alpha)
    torch._foreach_addcmul_(state["v"], g, g, value=1.0 - alpha)
    if "c" in state:
        _mul_(state["c"], alpha)
        _add_(state["c"], g, alpha=1.0 - alpha)


def _variance(state: State) -> Tensors:
    if "c" in state:
        return list(torch._foreach_addcmul(state["v"], state["c"], state["c"], value=-1.0))
    return state["v"]


def _adam_terms(g: Tensors, state: State, hp: Values) -> Any:
    """Update the moments; return sqrt(v_hat) + eps and the factor that turns m into m_hat."""
    beta1, beta2 = hp["betas"]
    _average_(state["m"], g, beta1)
    _mul_(state["v"], beta2)
    torch._foreach_addcmul_(state["v"], g, g, value=1.0 - beta2)
    correction1 = 1.0 - _power(beta1, hp["step"]) if hp["bias_correction"] else 1.0
    correction2 = 1.0 - _power(beta2, hp["step"]) if hp["bias_correction"] else 1.0
    denominator = torch._foreach_sqrt(state["v"])
    if hp["bias_correction"]:
        torch._foreach_div_(denominator, max(correction2, 0.0) ** 0.5)  # negative for a made-up step only
    _add_(denominator, hp["eps"])
    return denominator, 1.0 / correction1


def _power(beta: float, step: float) -> float:
    """beta ** step; not a number where Python's would be complex, which only a made-up state can ask for."""
    power = beta**step
    return math.nan if isinstance(power, complex) else float(power)


def _average_(m: Tensors, g: Tensors, beta: float) -> None:
    """m = beta * m + (1 - beta) * g in the form this PyTorch's own Adam computes it, so that a simulated run
    and a plain one agree to the bit: 2.1, the first release with _foreach_copy_, went over to lerp.
    """
    if hasattr(torch, "_foreach_copy_"):
        torch._foreach_lerp_(m, g, 1.0 - beta)
    else:
        _mul_(m, beta)
        _add_(m, g, alpha=1.0 - beta)


Rule = Callable[[Tensors, Tensors, State, Values], None]

RULES: Dict[str, Rule] = {
    "SGD": sgd,
    "SGDCombined": sgd_combined,
    "RMSprop": rmsprop,
    "RMSpropTF": rmsprop_tf,
    "Adam": adam,
    "AdamW": adamw,
    "LAMB": lamb,
}
