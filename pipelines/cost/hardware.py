"""The machine: one IPU, its links and the legal sizes of a pod. Numbers are in ``constants``."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.cost import constants

PLATFORMS = ("mk2", "bow")
MAX_IPUS = 256
GATEWAY_IPUS = 64  # a POD64's IPUs are joined by IPU-Links alone; larger pods cross gateways


@dataclass(frozen=True)
class IpuTarget:
    """One kind of IPU. ``sdk_factor`` divides the time of a stage beyond the clock (1 on the fitted
    platform).

    ``fused_swish`` is whether the SDK computes swish in one vertex (from 2.1 on).
    """

    name: str
    clock_hz: float
    sdk_factor: float = 1.0
    fused_swish: bool = False
    host_bytes_per_s: float = 6e9
    link_bytes_per_s: float = 40e9
    streaming_bytes_per_s: float = 5e9

    def __post_init__(self) -> None:
        for name in (
            "clock_hz",
            "sdk_factor",
            "host_bytes_per_s",
            "link_bytes_per_s",
            "streaming_bytes_per_s",
        ):
            if not getattr(self, name) > 0:
                raise ValueError(f"target.{name}={getattr(self, name)}: must be above 0")


def ipu_target(platform: str) -> IpuTarget:
    """Return the target of ``mk2`` (fitted, SDK 2.0) or ``bow`` (its clock, and one calibrated factor)."""
    if platform not in PLATFORMS:
        raise ValueError(f"platform={platform!r}: choose one of {', '.join(PLATFORMS)}")
    known = {name: constant.value for name, constant in constants.table().items()}
    is_bow = platform == "bow"
    return IpuTarget(
        name=platform,
        clock_hz=known[f"clock_hz.{platform}"],
        sdk_factor=known["sdk_factor.bow"] if is_bow else 1.0,
        fused_swish=is_bow,
        host_bytes_per_s=known["host_bytes_per_s"],
        link_bytes_per_s=known["link_bytes_per_s"],
        streaming_bytes_per_s=known["streaming_bytes_per_s"],
    )


def allreduce_bytes_per_s(num_ipus: int) -> float:
    """Return the bandwidth of the ring all-reduce over a job of ``num_ipus`` IPUs."""
    inside = constants.value("allreduce_bytes_per_s")
    return inside * (constants.value("allreduce_gateway_share") if num_ipus > GATEWAY_IPUS else 1.0)


def check_num_ipus(num_ipus: int) -> None:
    """Refuse a number of IPUs that PopTorch cannot attach: powers of two, up to a POD256."""
    if num_ipus < 1 or num_ipus & (num_ipus - 1) or num_ipus > MAX_IPUS:
        powers = [2**k for k in range(9)]
        below = max([p for p in powers if p <= num_ipus], default=1)
        above = min([p for p in powers if p >= num_ipus], default=MAX_IPUS)
        nearest = f"{below}" if below == above or num_ipus > MAX_IPUS else f"{below} or {above}"
        raise ValueError(f"ipus={num_ipus}: must be a power of two, 1 to {MAX_IPUS}; nearest: {nearest}")
