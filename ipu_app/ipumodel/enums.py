"""PopTorch's enumerations; members and values as in PopTorch 3.4 (the values reach the backend, so they
matter)."""

from __future__ import annotations

import enum


class DataLoaderMode(enum.IntEnum):
    """How a DataLoader fetches: in the calling process, through one asynchronous process, or rebatched by
    it."""

    Sync = 0
    Async = 1
    AsyncRebatched = 2


class SharingStrategy(enum.IntEnum):
    """How the asynchronous data process is started and shares memory."""

    SharedMemory = 0
    FileSystem = 1
    Fork = 2
    ForkServer = 3


class OutputMode(enum.IntEnum):
    """Which micro-batches' outputs come back: see Options.outputMode."""

    Final = 0
    EveryN = 1
    All = 2
    Sum = 3
    Default = 4


class ConnectionType(enum.IntEnum):
    """When an executor attaches to the device."""

    Always = 0
    OnDemand = 1
    Never = 2


class HalfFloatCastingBehavior(enum.IntEnum):
    """Kept for old programs: has no effect since the dispatcher front end."""

    FloatDowncastToHalf = 0
    HalfUpcastToFloat = 1
    Default = 2


class ReductionType(enum.IntEnum):
    """How gradients of micro-batches and replicas are combined."""

    Sum = 0
    Mean = 1
    NoReduction = 2


class MeanReductionStrategy(enum.IntEnum):
    """Where the division of a mean reduction happens."""

    Running = 0
    Post = 1
    PostAndLoss = 2


class SyncPattern(enum.IntEnum):
    """Synchronisation between IPUs: performance only."""

    Full = 0
    SinglePipeline = 1
    ReplicaAndLadder = 2


class MatMulSerializationMode(enum.Enum):
    """The dimension serializedMatMul splits along."""

    InputChannels = "input_channels"
    ReducingDim = "reducing_dim"
    OutputChannels = "output_channels"
    Disabled = "none"


class Liveness(enum.IntEnum):
    """Where phased execution keeps tensors after the forward pass."""

    AlwaysLive = 0
    OffChipAfterFwd = 1
    OffChipAfterFwdNoOverlap = 2
    OffChipAfterEachPhase = 3


class AutoStage(enum.IntEnum):
    """How a strategy without a list of stages numbers them."""

    SameAsIpu = 0
    AutoIncrement = 1


class MultiConvPlanType(enum.IntEnum):
    """How the convolutions of a MultiConv are planned."""

    Parallel = 0
    Serial = 1


class OverlapMode(enum.Enum):
    """When host input or output overlaps with compute."""

    NoOverlap = "no_overlap"
    OverlapAccumulationLoop = "overlap_accumulation_loop"
    OverlapDeviceIterationLoop = "overlap_device_iteration_loop"


class CommGroupType(enum.IntEnum):
    """Which replicas form a group."""

    All = 0
    Consecutive = 1
    Orthogonal = 2
    NoGrouping = 3


class VariableRetrievalMode(enum.IntEnum):
    """From which replicas a per-replica variable is read back."""

    OnePerGroup = 0
    AllReplicas = 2


#: every enumeration by its name, for options read from text
BY_NAME = {name: kind for name, kind in list(globals().items()) if isinstance(kind, enum.EnumMeta)}
