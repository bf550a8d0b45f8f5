"""RMSProp as TensorFlow and PopTorch's ``use_tf_variant`` compute it, for CPU and CUDA.

    s += wd * w;  v = rho v + (1 - rho) s^2;  m = mu m + lr s / sqrt(v + eps);  w -= m

Differs from ``torch.optim.RMSprop`` in three ways: v starts at 1, eps is inside the root, and the learning
rate is inside the momentum (a change of lr acts with delay).
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, List

import torch
from torch import Tensor


class RMSpropTF(torch.optim.Optimizer):
    """TensorFlow's RMSProp; ``alpha`` is the decay of the squared gradients (rho in the paper)."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        *,
        alpha: float = 0.99,
        eps: float = 1e-3,
        weight_decay: float = 0.0,
        momentum: float = 0.9,
    ) -> None:
        defaults = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """Update all parameters that have a gradient; a closure is refused."""
        if closure is not None:
            raise ValueError("RMSpropTF.step: takes no closure")
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if params:
                self._step_group(group, params)

    def _step_group(self, group: Dict[str, Any], params: List[Tensor]) -> None:
        grads = [p.grad for p in params]
        squares = [self._slot(p, "square_avg", 1.0) for p in params]
        moments = [self._slot(p, "momentum_buffer", 0.0) for p in params]
        if group["weight_decay"]:
            grads = torch._foreach_add(grads, params, alpha=group["weight_decay"])
        torch._foreach_mul_(squares, group["alpha"])
        torch._foreach_addcmul_(squares, grads, grads, 1 - group["alpha"])
        roots = torch._foreach_add(squares, group["eps"])
        torch._foreach_sqrt_(roots)
        torch._foreach_mul_(moments, group["momentum"])
        torch._foreach_addcdiv_(moments, grads, roots, group["lr"])
        torch._foreach_sub_(params, moments)

    def _slot(self, param: Tensor, name: str, start: float) -> Tensor:
        state = self.state[param]
        if name not in state:
            state[name] = torch.full_like(param, start, memory_format=torch.preserve_format)
        value: Tensor = state[name]
        return value
