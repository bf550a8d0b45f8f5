"""Questions about the machine's IPUs. The simulator has none: it is no hardware, and no emulator of the
vendor."""

from __future__ import annotations

from ._errors import cpp_error
from ._logging import logger
from .enums import ConnectionType
from .options import Options
from .variables import ipu_model_requested

#: what useOfflineIpuTarget can compile for: Mk1, Mk2, Bow
TARGET_VERSIONS = (1, 2, 21)
_COMPILER = "poptorch_cpp_error"


def ipuHardwareIsAvailable(num_ipus: int = 1) -> bool:
    """Whether that many IPUs can be had: never, in the simulator."""
    return False


def ipuHardwareVersion() -> int:
    """The architecture of the IPUs in this machine; AssertionError when there are none."""
    assert ipuHardwareIsAvailable(), "Trying to get the version of IPU hardware, but there is none"
    return 0


def uses_ipu_model(options: Options) -> bool:
    """Whether the options, or else the environment, ask for the emulated device."""
    return bool(options.use_model) if options.exists("use_model") else ipu_model_requested()


def check_target(options: Options) -> None:
    """Refuse (Error) a target that can not be compiled for: an unknown version, an offline target on the
    emulated device, cycles that only hardware counts. Warns that the emulated device has no executable cache.
    """
    if options._Popart.options["instrumentWithHardwareCycleCounter"]:
        raise cpp_error("Cycle count logging is only supported on actual IPU hardware.", _COMPILER)
    version = options.ipu_version if options.exists("ipu_version") else 2
    if version not in TARGET_VERSIONS:
        raise cpp_error(f"Invalid IPU target version {version}: choose one of {TARGET_VERSIONS}", _COMPILER)
    if not uses_ipu_model(options):
        return
    if options.connection_type == ConnectionType.Never:
        raise cpp_error("The IPU model can not be used together with an offline IPU target", _COMPILER)
    if options._Popart.options.get("enableEngineCaching"):
        logger.warning("The IPU model does not support executable caching: the cache is not used")
