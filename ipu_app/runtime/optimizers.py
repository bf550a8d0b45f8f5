"""Which parameters decay, and one table of optimisers over torch's or PopTorch's classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping

from torch import nn

from ipu_app.runtime.rmsprop_tf import RMSpropTF

# The paper's exclusions: affine scale and shift of norms, and beta, gamma of proxy-normalised activations.
# (SE and FC biases and the proxy's own beta', gamma' do decay.)
_NO_DECAY_PARENTS = ("norm",)
_NO_DECAY_NAMES = ("beta", "gamma")


@dataclass(frozen=True)
class OptimizerSpec:
    """An optimiser by name, with resolved constants (``lr`` and ``rho`` are numbers here)."""

    kind: str
    lr: float
    momentum: float = 0.9
    rho: float = 0.99
    eps: float = 1e-3
    weight_decay: float = 1e-5
    loss_scale: float = 1.0
    decay_rule: str = "published_v1"


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
    import torch

    groups = param_groups(model, weight_decay=spec.weight_decay, rule=spec.decay_rule)
    table: Mapping[str, Callable[[], Any]] = {
        "rmsprop_tf": lambda: RMSpropTF(
            groups, spec.lr, alpha=spec.rho, eps=spec.eps, momentum=spec.momentum
        ),
        "sgd": lambda: torch.optim.SGD(groups, lr=spec.lr, momentum=spec.momentum),
        "adamw": lambda: torch.optim.AdamW(groups, lr=spec.lr, eps=spec.eps),
    }
    return table[spec.kind]()


def ipu_optimizer(optim: Any, model: nn.Module, spec: OptimizerSpec) -> Any:
    """Build the same optimiser from PopTorch's classes (``optim`` is ``poptorch.optim``).

    ``lr`` and ``loss_scaling`` are given to the constructor, which makes them changeable after compilation.
    """
    groups = param_groups(model, weight_decay=spec.weight_decay, rule=spec.decay_rule)
    table: Mapping[str, Callable[[], Any]] = {
        "rmsprop_tf": lambda: optim.RMSprop(
            groups,
            lr=spec.lr,
            alpha=spec.rho,
            eps=spec.eps,
            momentum=spec.momentum,
            loss_scaling=spec.loss_scale,
            use_tf_variant=True,
        ),
        "sgd": lambda: optim.SGD(
            groups,
            lr=spec.lr,
            momentum=spec.momentum,
            loss_scaling=spec.loss_scale,
            use_combined_accum=False,
        ),
        "adamw": lambda: optim.AdamW(groups, lr=spec.lr, eps=spec.eps, loss_scaling=spec.loss_scale),
    }
    return table[spec.kind]()
