"""Options._Popart: settings passed through to PopART, and the check of their names and types at compile.

``set`` stores anything. When a model is compiled the backend looks every key up in the table of its Python
type, so a misspelt key and a value of the wrong type give the same kind of error. The keys are those
PopTorch 3.4 accepts.
"""

from __future__ import annotations

from typing import Any, Dict, FrozenSet, List, Set, Union

from .._errors import cpp_error
from .._options_impl import FROZEN

BOOL_KEYS: FrozenSet[str] = frozenset(
    """aliasZeroCopy auto_round_num_ipus automaticLossScalingSettings.enabled
    batchSerializationSettings.concatOnExecutionPhaseChange
    batchSerializationSettings.concatOnPipelineStageChange
    batchSerializationSettings.concatOnVirtualGraphChange broadcast_buffers compileEngine constantWeights
    decomposeGradSum delayVarUpdates disableGradAccumulationTensorStreams disableOptimizerStateTensorStreams
    dotOpNames enableDistributedReplicatedGraphs enableEngineCaching enableExplicitIR enableExplicitMainLoops
    enableFloatingPointChecks enableFullyConnectedPass enableGradientAccumulation
    enableInplaceAmbiguityChecking enableLoadAndOffloadRNGState enableMergeExchange enableNonStableSoftmax
    enableOutlining enableOutliningCopyCostPruning enablePipelining enablePrefetchDatastreams
    enableReplicatedGraphs enableSerializedMatmuls enableStableNorm enableStochasticRounding
    enableSupportedDataTypeCasting ensureFp32LossScaleTensor explicitRecomputation
    exportPoplarComputationGraph exportPoplarVertexGraph groupHostSync groupNormStridedChannelGrouping
    instrumentWithHardwareCycleCounter opxAliasChecking opxModifyChecking rearrangeAnchorsOnHost
    rearrangeStreamsOnHost replicatedCollectivesSettings.mergeAllReduceCollectives
    replicatedCollectivesSettings.prepareScheduleForMergingCollectives
    scheduleNonWeightUpdateGradientConsumersEarly separateCallOpPdfs separate_backward_phase
    serial_phases_execution strictOpVersions useHostCopyOps use_model""".split()
)

INT_KEYS: FrozenSet[str] = frozenset(
    """accumulateOuterFragmentSettings.schedule accumulationAndReplicationReductionType accumulationFactor
    accumulation_and_replication_reduction_type autoRecomputation autodiffSettings.stitchStrategy
    automaticLossScalingSettings.gradientTensorTrackingMethod automaticLossScalingSettings.updatePeriod
    batchSerializationSettings.batchSchedule batchSerializationSettings.factor
    batchSerializationSettings.method batchSerializationSettings.transformContext compilationProgressTotal
    connection_type defaultBufferingDepth defaultPrefetchBufferingDepth device_iterations
    distributed_process_id executionPhaseSettings.phases executionPhaseSettings.stages execution_mode
    finalDotOp firstDotOp globalReplicaOffset globalReplicationFactor gradient_accumulation input_cgt
    input_group_size ipu_id ipu_version looseThresholdAtPeak max_repeat_logs
    meanAccumulationAndReplicationReductionStrategy mergeVarUpdate mergeVarUpdateMemThreshold numIOTiles
    num_distributed_processes output_mode output_return_period patterns_level random_seed replication_factor
    subgraphCopyingStrategy swapLimitScheduler sync_pattern syntheticDataMode tensors_liveness
    transitiveClosureOptimizationThreshold virtualGraphMode""".split()
)

FLOAT_KEYS: FrozenSet[str] = frozenset(
    """automaticLossScalingSettings.binEdgeLocation automaticLossScalingSettings.thresholdUpperCountProportion
    outlineSequenceBreakCost outlineThreshold timeLimitScheduler""".split()
)

STRING_KEYS: FrozenSet[str] = frozenset(
    """cachePath customCodeletCompileFlags kahnTieBreaker logDir log_dir model_name partialsTypeMatMuls
    saveInitializersToFile serializedPoprithmsShiftGraphsDir""".split()
)

VECTOR_KEYS: FrozenSet[str] = frozenset(
    """accumulateOuterFragmentSettings.excludedVirtualGraphs customCodelets dotChecks hardwareInstrumentations
    updatableNamedBuffers""".split()
)

MAP_KEYS: FrozenSet[str] = frozenset(
    "convolutionOptions engineOptions gclOptions lstmOptions matmulOptions patterns reportOptions".split()
)

_LISTS = (list, set, tuple)
#: Python types in the order the backend asks for them (a bool is an int, so bool first), name in messages,
#: keys
_TABLES = (
    (bool, "bool", BOOL_KEYS),
    (int, "uint64", INT_KEYS),
    (float, "floating point", FLOAT_KEYS),
    (str, "string", STRING_KEYS),
    (_LISTS, "set / vector", VECTOR_KEYS),
    (dict, "map", MAP_KEYS),
)


def check_backend_option(key: str, value: Any) -> None:
    """Refuse (Error) what the backend refuses at compile: an unknown key, or a key of another type's
    table."""
    for kind, name, keys in _TABLES:
        if isinstance(value, kind):
            if kind not in (bool, int, float, str) and not value:
                return  # what is empty is never looked up
            if key not in keys and not (kind == _LISTS and key in MAP_KEYS):
                raise cpp_error(f"Unknown {name} option {key}", "poptorch_cpp_error")
            if kind is dict:
                _check_map(key, value)
            return
    raise cpp_error(f"Unknown value type {type(value)} for option {key}", "poptorch_cpp_error")


def _check_map(key: str, value: Dict[Any, Any]) -> None:
    """Numbers in maps become text on their way, so bools and ints are taken as well."""
    for name, item in value.items():
        if not isinstance(name, str) or not isinstance(item, (bool, int, float, str)):
            raise cpp_error(
                f"Unknown value type {type(item)} for option {key}[{name}]: it takes text or a number",
                "poptorch_cpp_error",
            )


class _PopartOptions:
    """Settings for PopART itself, by PopART's names; enumerations are given as ints."""

    def __init__(self) -> None:
        self._is_frozen = False
        self.options: Dict[str, Any] = {}
        self.set("instrumentWithHardwareCycleCounter", False)
        self.set("rearrangeAnchorsOnHost", False)

    def checkIsFrozen(self, option: Any = None) -> None:
        """AttributeError once the options were handed to a model or a data loader."""
        if self._is_frozen:
            raise AttributeError(FROZEN)

    def set(self, key: str, value: Union[int, float, str, List[str], Set[str]]) -> _PopartOptions:
        """Store a setting; its name and type are checked when a model is compiled."""
        self.checkIsFrozen()
        self.options[key] = value
        return self

    def setEngineOptions(self, engine_options: Dict[str, str]) -> _PopartOptions:
        """Replace the options of Poplar's engine: names and values are strings."""
        return self.set("engineOptions", engine_options)

    def setPatterns(self, patterns: Dict[str, bool], level: int = 2) -> _PopartOptions:
        """Switch PopART's graph patterns on or off by name, starting from a level (0 none .. 3 all)."""
        assert isinstance(level, int), f"A pattern level is an int, got {level!r}"
        assert isinstance(patterns, dict), f"Patterns are a dictionary of name to bool, got {patterns!r}"
        self.set("patterns_level", level)
        return self.set("patterns", patterns)

    def validate(self) -> None:
        """The backend's check of every stored setting, made at compile (Error)."""
        for key, value in self.options.items():
            check_backend_option(key, value)

    def __deepcopy__(self, memo: Dict[int, Any]) -> _PopartOptions:
        twin = _PopartOptions()
        memo[id(self)] = twin
        twin.options = {
            key: type(value)(value) if isinstance(value, (list, set, tuple, dict)) else value
            for key, value in self.options.items()
        }
        return twin

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.options.items())})"

    def _set_frozen(self, state: bool) -> None:
        self._is_frozen = state
