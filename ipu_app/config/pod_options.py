"""The ``ipu`` section: options of PopTorch and PopART that someone with a POD sets from day to day.

What has a place in the plan (splits, precision, memory proportions, offloading) is in ``phases.pipeline``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Optional, Sequence, Tuple

from ipu_app.config.value_checks import at_least, one_of

RECOMPUTATIONS = ("auto", "off", "standard")
EXCHANGE_TARGETS = ("cycles", "balanced", "memory")
IO_TILES = (32, 192)  # PopTorch's bounds of numIOTiles


@dataclass(frozen=True)
class IpuConfig:
    """Options that reach PopTorch as they are; what is None or empty is left to PopTorch.

    ``recompute`` auto: pipelines recompute, a single IPU does not; ``checkpoints`` are sub-blocks whose
    outputs are kept instead. ``engine`` and ``popart`` are ``key=value``; the latter's values may be numbers,
    true or false.
    """

    io_tiles: int = 0
    prefetch_depth: Optional[int] = None
    recompute: str = "auto"
    checkpoints: Tuple[str, ...] = ()
    optimizer_sharding: bool = False
    exchange_target: Optional[str] = None
    fast_group_norm: bool = False
    pad_input: bool = False
    auto_loss_scale: bool = False
    stable_norm: Optional[bool] = None
    float_exceptions: bool = False
    merge_collectives: bool = False
    engine: Tuple[str, ...] = ()
    popart: Tuple[str, ...] = ()
    loader_buffers: Optional[int] = None
    rebatch: Optional[int] = None
    attach_timeout_s: float = 0.0
    separate_validation: bool = False
    profile: Optional[str] = None
    offline_version: Optional[int] = None

    def __post_init__(self) -> None:
        one_of("ipu.recompute", self.recompute, RECOMPUTATIONS)
        if self.exchange_target is not None:
            one_of("ipu.exchange_target", self.exchange_target, EXCHANGE_TARGETS)
        least, most = IO_TILES
        if self.io_tiles and (not least <= self.io_tiles <= most or self.io_tiles % 2):
            raise ValueError(f"ipu.io_tiles={self.io_tiles}: must be 0, or an even number {least} to {most}")
        for name in ("prefetch_depth", "loader_buffers", "rebatch"):
            value = getattr(self, name)
            if value is not None:
                at_least(f"ipu.{name}", value, 1)
        if self.attach_timeout_s < 0:
            raise ValueError(f"ipu.attach_timeout_s={self.attach_timeout_s}: must be 0 or more")
        if self.offline_version is not None and self.offline_version not in (2, 21):
            raise ValueError(f"ipu.offline_version={self.offline_version}: choose one of 2 (Mk2), 21 (Bow)")
        if self.checkpoints and self.recompute == "off":
            raise ValueError("ipu.checkpoints: has no effect with ipu.recompute=off")
        for name in ("engine", "popart"):
            pairs(f"ipu.{name}", getattr(self, name))

    @property
    def engine_options(self) -> Dict[str, str]:
        """Options of the Poplar engine by name."""
        return pairs("ipu.engine", self.engine)

    @property
    def popart_options(self) -> Dict[str, Any]:
        """Options of PopART by name, in the type that their words look like."""
        return {key: _typed(text) for key, text in pairs("ipu.popart", self.popart).items()}


def pairs(name: str, words: Sequence[str]) -> Dict[str, str]:
    """Return ``key=value`` words as a dictionary; refuse other words, and a key that stands twice."""
    found: Dict[str, str] = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign or not key:
            raise ValueError(f"{name}={word!r}: must be key=value")
        if key in found:
            raise ValueError(f"{name}: {key} stands twice")
        found[key] = value
    return found


def check_pod_options(ipu: IpuConfig, *, norm_grouping: str, stages: Dict[str, int]) -> None:
    """Refuse options that PopTorch would refuse of these phases (name -> pipeline stages), or that lie."""
    for name, count in stages.items():
        if ipu.io_tiles and count > 1:
            raise ValueError(
                f"ipu.io_tiles={ipu.io_tiles}: PopTorch overlaps I/O without a pipeline only; "
                f"phases.{name}.pipeline.splits make {count} stages"
            )
    if ipu.fast_group_norm and norm_grouping != "strided":
        raise ValueError(
            "ipu.fast_group_norm=true: makes strided groups; set model.norm_grouping=strided, which other "
            "devices compute alike"
        )


def _typed(text: str) -> Any:
    lowered = text.lower()
    if lowered in ("true", "false"):
        return lowered == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
