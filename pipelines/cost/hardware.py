"""The machine: one IPU and the software on it, its links and the legal sizes of a pod.

Numbers are in ``constants``.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Sequence

from pipelines.cost import constants

PLATFORMS = ("mk2", "bow")
SDKS = ("2.0", "3")  # software generations: 2.0 and 2.1 of the paper's runs; 2.4 and newer
FRAMEWORKS = ("tf1", "poptorch")
DEFAULT_SDK, DEFAULT_FRAMEWORK = "3", "poptorch"  # what this program itself trains with
PAPER_SDK, PAPER_FRAMEWORK = "2.0", "tf1"  # what the published runs of arXiv 2106.03640 trained with
PLATFORM_NAMES = {"mk2": "Mk2", "bow": "Bow"}
FRAMEWORK_NAMES = {"tf1": "TensorFlow 1", "poptorch": "PopTorch"}
MAX_IPUS = 256
IPUS_PER_MACHINE = 4  # an IPU-M2000 or Bow-2000
DEFAULT_MEMORY_PROPORTION = 0.6  # of poplibs, for the temporaries of a convolution
GATEWAY_IPUS = 64  # a POD64's IPUs are joined by IPU-Links alone; larger pods cross gateways


@dataclass(frozen=True)
class IpuTarget:
    """One kind of IPU (its clock), and the software on it.

    ``sdk_factor`` and ``framework_factor`` multiply the speed of a stage beyond the clock; both are 1 for
    the fitted runs (TensorFlow 1 on SDK 2.0). ``fused_swish`` is whether the SDK computes swish in one
    vertex (from 2.1 on); ``conv_slowdown`` multiplies the time of convolutions.
    """

    name: str
    clock_hz: float
    sdk: str = DEFAULT_SDK
    framework: str = DEFAULT_FRAMEWORK
    sdk_factor: float = 1.0
    framework_factor: float = 1.0
    fused_swish: bool = False
    conv_slowdown: float = 1.0
    machine_host_bytes_per_s: float = 25e9
    link_bytes_per_s: float = 40e9
    streaming_bytes_per_s: float = 5e9

    def __post_init__(self) -> None:
        for name, number in asdict(self).items():
            if isinstance(number, float) and not number > 0:
                raise ValueError(f"target.{name}={number}: must be above 0")

    @property
    def device_cycles_per_s(self) -> float:
        """Cycles of the fitted software that this machine and SDK get done in a second."""
        return self.clock_hz * self.sdk_factor

    @property
    def training_cycles_per_s(self) -> float:
        """The same with the framework's share, which is known for training only."""
        return self.device_cycles_per_s * self.framework_factor

    @property
    def memory_limit_bytes(self) -> float:
        """Counted bytes per IPU up to which configurations are known to run (``known_runs``)."""
        return constants.value(f"memory.default_limit_bytes{'_2.0' if self.sdk == '2.0' else ''}")

    def describe(self) -> str:
        """Return platform, software generation and framework in words."""
        return (
            f"{PLATFORM_NAMES.get(self.name, self.name)}, SDK {self.sdk}{'' if self.sdk == '2.0' else '.x'}, "
            f"{FRAMEWORK_NAMES[self.framework]}"
        )

    def host_bytes_per_s(self, ipus_per_replica: int) -> float:
        """Bandwidth from the host to one replica: its share of its IPU-Machine's network ports."""
        return self.machine_host_bytes_per_s * min(1.0, ipus_per_replica / IPUS_PER_MACHINE)


def ipu_target(
    platform: str,
    *,
    sdk: str = DEFAULT_SDK,
    framework: str = DEFAULT_FRAMEWORK,
    available_memory_proportion: Sequence[float] = (),
) -> IpuTarget:
    """Return the target of a platform (its clock), a software generation and a framework.

    ``sdk`` "2.0" with ``framework`` "tf1" is what the constants are fitted on; "3" (2.4 and newer) and
    "poptorch" each multiply by one calibrated factor. ``available_memory_proportion`` is the compiler's
    option, one value or several (their mean counts); less than its default makes convolutions slower.
    """
    for name, given, allowed in (
        ("platform", platform, PLATFORMS),
        ("sdk", sdk, SDKS),
        ("framework", framework, FRAMEWORKS),
    ):
        if given not in allowed:
            raise ValueError(f"{name}={given!r}: choose one of {', '.join(allowed)}")
    known = {name: constant.value for name, constant in constants.table().items()}
    return IpuTarget(
        name=platform,
        clock_hz=known[f"clock_hz.{platform}"],
        sdk=sdk,
        framework=framework,
        sdk_factor=1.0 if sdk == "2.0" else known["sdk_factor.3"],
        framework_factor=1.0 if framework == "tf1" else known["framework_factor.poptorch"],
        fused_swish=sdk != "2.0",
        conv_slowdown=conv_slowdown(available_memory_proportion),
        machine_host_bytes_per_s=known["machine_host_bytes_per_s"],
        link_bytes_per_s=known["link_bytes_per_s"],
        streaming_bytes_per_s=known["streaming_bytes_per_s"],
    )


def paper_target(available_memory_proportion: Sequence[float] = ()) -> IpuTarget:
    """Return what the runs of arXiv 2106.03640, to which the constants are fitted, used: Mk2, 2.0, TF 1."""
    return ipu_target(
        "mk2",
        sdk=PAPER_SDK,
        framework=PAPER_FRAMEWORK,
        available_memory_proportion=available_memory_proportion,
    )


def conv_slowdown(proportions: Sequence[float]) -> float:
    """Return the factor on the time of convolutions by the compiler's memory proportions (() is 1)."""
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
