"""The optimiser's section: each option with its default, meaning and limits, in one place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from ipu_app.config.kinds import OPTIMIZERS
from ipu_app.config.value_checks import at_least, between, one_of

DECAY_RULES = ("published_v1", "kernels")


def option(default: Any, meaning: str) -> Any:
    """Return a field with what it means, for ``train --print-config`` and the documentation."""
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True)
class OptimizerConfig:
    """Optimiser and its constants.

    ``lr`` None takes the global batch times ``lr_per_image``, whose default is arXiv 2106.03640's 2^-14.
    ``decay_rule``: weight decay on all but norms and proxies' scale and shift (``published_v1``), or on these
    without the biases of squeeze-excite and classifier (``kernels``, EfficientNetV2's). ``nonfinite`` and
    ``loss_scaling`` are for CPU and CUDA; the latter has an effect with float16 autocast only.
    """

    kind: str = option("rmsprop_tf", ", ".join(OPTIMIZERS))
    lr: Optional[float] = option(None, "peak learning rate; null: global batch x lr_per_image")
    lr_per_image: float = option(2.0**-14, "2^-14 as arXiv 2106.03640; EfficientNetV2: .016 / 256")
    momentum: float = option(0.9, "of rmsprop_tf and sgd, 0 to 1")
    rho: Optional[float] = option(None, "decay of squared gradients; null: 1 - global batch x 2^-14")
    eps: float = option(1e-3, "added to the root of squared gradients")
    weight_decay: float = option(1e-5, "0 or more")
    loss_scale: float = option(128.0, "factor of the loss in half precision")
    decay_rule: str = option(
        "published_v1", "published_v1, or kernels: no biases of squeeze-excite and classifier"
    )

    loss_scaling: str = option("fixed", "fixed, or auto: loss_scale is halved and doubled as needed")
    nonfinite: str = option("stop", "updates that are no finite numbers: stop, or skip (leave them out)")

    def __post_init__(self) -> None:
        one_of("optimizer.loss_scaling", self.loss_scaling, ("fixed", "auto"))
        one_of("optimizer.nonfinite", self.nonfinite, ("stop", "skip"))
        one_of("optimizer.kind", self.kind, OPTIMIZERS)
        if self.lr is not None:
            at_least("optimizer.lr", self.lr, 0)
        between("optimizer.momentum", self.momentum, 0, 1)
        between("optimizer.rho", self.rho, 0, 1)
        at_least("optimizer.weight_decay", self.weight_decay, 0)
        one_of("optimizer.decay_rule", self.decay_rule, DECAY_RULES)
        at_least("optimizer.lr_per_image", self.lr_per_image, 0)
        for key in ("eps", "loss_scale"):
            if not getattr(self, key) > 0:
                raise ValueError(f"optimizer.{key}={getattr(self, key)}: must be above 0")
