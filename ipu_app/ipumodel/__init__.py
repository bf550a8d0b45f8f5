"""A simulated PopTorch in plain PyTorch: the same names, rules and refusals, computed on the host.

It stands in for the vendor's package where that is not installed. It says what PopTorch would compute and
refuse; no time measured on it says anything about an IPU.
"""

from __future__ import annotations

import importlib
from typing import Any

from . import enums, optim, options, popdist, profiling, testing
from ._errors import ConfigFileError, Error, RecoverableError, UnrecoverableError
from ._logging import logger, setLogLevel
from .dataloader import AsynchronousDataAccessor, DataLoader
from .enums import (
    AutoStage,
    CommGroupType,
    ConnectionType,
    DataLoaderMode,
    HalfFloatCastingBehavior,
    Liveness,
    MatMulSerializationMode,
    MeanReductionStrategy,
    MultiConvPlanType,
    OutputMode,
    OverlapMode,
    ReductionType,
    SharingStrategy,
    SyncPattern,
    VariableRetrievalMode,
)
from .hardware import ipuHardwareIsAvailable, ipuHardwareVersion
from .options import Options, TensorLocationSettings
from .strategies import (
    BlockId,
    ParallelPhasedExecution,
    Phase,
    PipelinedExecution,
    SerialPhasedExecution,
    ShardedExecution,
    Stage,
)

#: the PopTorch release whose rules are followed; the suffix says that this is not PopTorch
__version__ = "3.4.0-simulator"
#: true here only: tells the simulator from the vendor's package
IS_SIMULATOR = True

#: names of the half that runs models, found in these modules on first use
_LATE = ("ops", "executor")


def __getattr__(name: str) -> Any:
    for module in _LATE:
        try:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
        except (ImportError, AttributeError):
            continue
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
