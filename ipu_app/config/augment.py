"""What is done to training images: crop, pixel policies, mixing. One section of a phase."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from ipu_app.config.value_checks import at_least, between, one_of

PREPROCESSINGS = ("train", "eval")
MIXINGS = ("published_v1", "v2")
AUTOAUGMENTS = ("off", "v0")
MOST_MAGNITUDE = 30.0


@dataclass(frozen=True)
class RandAugmentConfig:
    """RandAugment on the host; ``magnitude`` None switches it off."""

    magnitude: Optional[float] = None
    operations: int = 2

    def __post_init__(self) -> None:
        between("augment.randaugment.magnitude", self.magnitude, 0, MOST_MAGNITUDE)
        at_least("augment.randaugment.operations", self.operations, 1)


@dataclass(frozen=True)
class AugmentConfig:
    """What is done to training images; alphas of 0 and a strength of 1.0 switch mixup and cutmix off.

    ``mixing`` is the law of both: that of the published runs of version 1, whose cutmix has a
    ``cutmix_strength``, or version 2's, whose cutmix has a ``cutmix_alpha``.
    """

    preprocessing: str = "train"
    mixup_alpha: float = 0.0
    cutmix_strength: float = 1.0
    label_smoothing: float = 0.1
    mixing: str = "published_v1"
    cutmix_alpha: float = 0.0
    randaugment: RandAugmentConfig = field(default_factory=RandAugmentConfig)
    autoaugment: str = "off"

    def __post_init__(self) -> None:
        one_of("augment.preprocessing", self.preprocessing, PREPROCESSINGS)
        one_of("augment.mixing", self.mixing, MIXINGS)
        one_of("augment.autoaugment", self.autoaugment, AUTOAUGMENTS)
        at_least("augment.mixup_alpha", self.mixup_alpha, 0)
        at_least("augment.cutmix_alpha", self.cutmix_alpha, 0)
        between("augment.cutmix_strength", self.cutmix_strength, 0.62, 1)
        between("augment.label_smoothing", self.label_smoothing, 0, 0.99)
        self._refuse_what_has_no_effect()

    def _refuse_what_has_no_effect(self) -> None:
        is_v2 = self.mixing == "v2"
        if is_v2 and self.cutmix_strength < 1:
            raise ValueError(
                f"augment.cutmix_strength={self.cutmix_strength}: is published_v1's; augment.mixing=v2 takes "
                "augment.cutmix_alpha"
            )
        if not is_v2 and self.cutmix_alpha > 0:
            raise ValueError(
                f"augment.cutmix_alpha={self.cutmix_alpha}: is version 2's; set augment.mixing=v2, or "
                "augment.cutmix_strength"
            )
        policies = {
            "augment.randaugment.magnitude": self.randaugment.magnitude,
            "augment.autoaugment": None if self.autoaugment == "off" else self.autoaugment,
        }
        chosen = {key: value for key, value in policies.items() if value is not None}
        if len(chosen) > 1:
            raise ValueError(
                f"augment.autoaugment={self.autoaugment}: is another policy than RandAugment; switch one off "
                "(autoaugment=off, or randaugment.magnitude=null)"
            )
        if chosen and self.preprocessing != "train":
            key, value = next(iter(chosen.items()))
            raise ValueError(f"{key}={value}: has no effect with augment.preprocessing={self.preprocessing}")

    @property
    def mixes(self) -> bool:
        """Whether images are mixed on the device."""
        return self.mixup_alpha > 0 or self.cutmixes

    @property
    def cutmixes(self) -> bool:
        """Whether boxes are cut and pasted."""
        return self.cutmix_alpha > 0 if self.mixing == "v2" else self.cutmix_strength < 1

    @property
    def least_micro(self) -> int:
        """The smallest micro-batch that can be mixed so."""
        halves = self.mixing == "v2" and self.mixup_alpha > 0 and self.cutmix_alpha > 0
        return 4 if halves else 2 if self.mixes else 1
