"""The machine: one IPU, its links and the legal sizes of a pod. Numbers are in ``constants``."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Sequence

from pipelines.cost import constants

PLATFORMS = ("mk2", "bow")
MAX_IPUS = 256
IPUS_PER_MACHINE = 4  # an IPU-M2000 or Bow-2000
DEFAULT_MEMORY_PROPORTION = 0.6  # of poplibs, for the temporaries of a convolution
GATEWAY_IPUS = 64  # a POD64's IPUs are joined by IPU-Links alone; larger pods cross gateways


@dataclass(frozen=True)
class IpuTarget:
    """One kind of IPU. ``sdk_factor`` divides the time of a stage beyond the clock (1 on the fitted
    platform).

    ``fused_swish`` is whether the SDK computes swish in one vertex (from 2.1 on); ``conv_slowdown``
    multiplies the time of convolutions.
    """

    name: str
    clock_hz: float
    sdk_factor: float = 1.0
    fused_swish: bool = False
    conv_slowdown: float = 1.0
    machine_host_bytes_per_s: float = 25e9
    link_bytes_per_s: float = 40e9
    streaming_bytes_per_s: float = 5e9

    def __post_init__(self) -> None:
        for name, number in asdict(self).items():
            if name not in ("name", "fused_swish") and not number > 0:
                raise ValueError(f"target.{name}={number}: must be above 0")

    def host_bytes_per_s(self, ipus_per_replica: int) -> float:
        """Bandwidth from the host to one replica: its share of its IPU-Machine's network ports."""
        return self.machine_host_bytes_per_s * min(1.0, ipus_per_replica / IPUS_PER_MACHINE)


def ipu_target(platform: str, *, available_memory_proportion: Sequence[float] = ()) -> IpuTarget:
    """Return the target of ``mk2`` (fitted, SDK 2.0) or ``bow`` (its clock, and one calibrated factor).

    ``available_memory_proportion`` is the compiler's option, one value or several (their mean counts); less
    than its default makes convolutions slower.
    """
    if platform not in PLATFORMS:
        raise ValueError(f"platform={platform!r}: choose one of {', '.join(PLATFORMS)}")
    known = {name: constant.value for name, constant in constants.table().items()}
    is_bow = platform == "bow"
    return IpuTarget(
        name=platform,
        clock_hz=known[f"clock_hz.{platform}"],
        sdk_factor=known["sdk_factor.bow"] if is_bow else 1.0,
        fused_swish=is_bow,
        conv_slowdown=_conv_slowdown(available_memory_proportion),
        machine_host_bytes_per_s=known["machine_host_bytes_per_s"],
        link_bytes_per_s=known["link_bytes_per_s"],
        streaming_bytes_per_s=known["streaming_bytes_per_s"],
    )


def _conv_slowdown(proportions: Sequence[float]) -> float:
    if not proportions:
        return 1.0
    mean = sum(proportions) / len(proportions)
    if not 0 < mean <= 1:
        raise ValueError(f"available_memory_proportion={list(proportions)}: must be above 0, and 1 or less")
    halvings = math.log2(DEFAULT_MEMORY_PROPORTION / mean)
    return 1.0 + constants.value("conv_slowdown_per_halving") * max(0.0, halvings)


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
