"""Which parameters decay, and one table of optimisers over torch's or PopTorch's classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List

import torch
from torch import nn

from ipu_app.config.kinds import OPTIMIZERS, load
from ipu_app.config.optimizer_options import OptimizerConfig
from ipu_app.runtime.rmsprop_tf import RMSpropTF

Groups = List[Dict[str, Any]]
# The paper's exclusions: affine scale and shift of norms, and beta, gamma of proxy-normalised activations.
# (SE and FC biases and the proxy's own beta', gamma' do decay.)
_NO_DECAY_PARENTS = ("norm",)
_NO_DECAY_NAMES = ("beta", "gamma")


@dataclass(frozen=True)
class OptimizerSpec(OptimizerConfig):
    """The optimiser's section with numbers for what it may leave open: ``lr`` and ``rho``."""

    rho: float = 0.99
    loss_scale: float = 1.0


def decays(name: str, rule: str = "published_v1") -> bool:
    """Tell whether the parameter of this name takes weight decay: in the published runs, or by ``kernels``
    in those of EfficientNetV2, where of squeeze-excite and classifier only the kernels decay.
    """
    parent, _, leaf = name.rpartition(".")
    if rule == "kernels" and leaf == "bias":
        return False
    return parent.rpartition(".")[2] not in _NO_DECAY_PARENTS and leaf not in _NO_DECAY_NAMES


def param_groups(
    model: nn.Module, *, weight_decay: float, rule: str = "published_v1"
) -> List[Dict[str, Any]]:
    """Split the trainable parameters into those that decay and those that do not."""
    trainable = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    decaying = [p for name, p in trainable if decays(name, rule)]
    others = [p for name, p in trainable if not decays(name, rule)]
    groups: List[Dict[str, Any]] = [
        {"params": decaying, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def torch_optimizer(model: nn.Module, spec: OptimizerSpec) -> Any:
    """Build the optimiser for CPU or CUDA."""
    groups = param_groups(model, weight_decay=spec.weight_decay, rule=spec.decay_rule)
    return OPTIMIZERS[spec.kind].load()(groups, spec)


def ipu_optimizer(optim: Any, model: nn.Module, spec: OptimizerSpec) -> Any:
    """Build the same optimiser from PopTorch's classes (``optim`` is ``poptorch.optim``).

    ``lr`` and ``loss_scaling`` are given to the constructor, which makes them changeable after compilation.
    """
    groups = param_groups(model, weight_decay=spec.weight_decay, rule=spec.decay_rule)
    return load(OPTIMIZERS[spec.kind].ipu)(optim, groups, spec)


def torch_rmsprop_tf(groups: Groups, spec: OptimizerSpec) -> Any:
    """RMSProp as TensorFlow has it: epsilon inside the root."""
    return RMSpropTF(groups, spec.lr, alpha=spec.rho, eps=spec.eps, momentum=spec.momentum)


def ipu_rmsprop_tf(optim: Any, groups: Groups, spec: OptimizerSpec) -> Any:
    """The same by PopTorch."""
    return optim.RMSprop(
        groups,
        lr=spec.lr,
        alpha=spec.rho,
        eps=spec.eps,
        momentum=spec.momentum,
        loss_scaling=spec.loss_scale,
        use_tf_variant=True,
    )


def torch_sgd(groups: Groups, spec: OptimizerSpec) -> Any:
    """Stochastic gradient descent with momentum."""
    return torch.optim.SGD(groups, lr=spec.lr, momentum=spec.momentum)


def ipu_sgd(optim: Any, groups: Groups, spec: OptimizerSpec) -> Any:
    """The same by PopTorch, with accumulators apart."""
    return optim.SGD(
        groups,
        lr=spec.lr,
        momentum=spec.momentum,
        loss_scaling=spec.loss_scale,
        use_combined_accum=False,
    )


def torch_adamw(groups: Groups, spec: OptimizerSpec) -> Any:
    """Adam with decoupled weight decay."""
    return torch.optim.AdamW(groups, lr=spec.lr, eps=spec.eps)


def ipu_adamw(optim: Any, groups: Groups, spec: OptimizerSpec) -> Any:
    """The same by PopTorch."""
    return optim.AdamW(groups, lr=spec.lr, eps=spec.eps, loss_scaling=spec.loss_scale)


def load_optimizer_state(optimizer: Any, state: Dict[str, Any]) -> None:
    """Take up an optimiser's saved state, but keep the settings that this one was made with.

    Both torch and PopTorch would take the saved settings, too, and what is configured now had no effect.
    PopTorch writes those in ``ipu_param`` over the optimiser's when a device is attached, and would then see
    no change to send in the rate of the next call: they are left out.
    """
    own = [
        {key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups
    ]
    scalars = {"ipu_param": {}} if state.get("ipu_param") is not None else {}
    optimizer.load_state_dict({**state, **scalars})
    for group, settings in zip(optimizer.param_groups, own):
        group.update(settings)
