"""The groups of Options: Training, Precision, Distributed, TensorLocations and Jit."""

from __future__ import annotations

from typing import Tuple

import torch

from .._logging import logger
from .._options_impl import OptionsDict
from ..enums import HalfFloatCastingBehavior, MeanReductionStrategy, ReductionType
from ..variables import integer
from .popart import _PopartOptions


class _JitOptions(OptionsDict):
    """Left over from the tracing front end; nothing here has an effect."""

    def traceModel(self, trace_model: bool) -> _JitOptions:
        """Accepts False with a warning; ValueError for True: torch.jit.trace is no longer used."""
        if trace_model:
            raise ValueError("Jit.traceModel(True): models are no longer traced with torch.jit.trace")
        logger.warning("Jit.traceModel is deprecated and has no effect")
        return self


class _PrecisionOptions(OptionsDict):
    """Numeric precision on the device."""

    def __init__(self, popart_options: _PopartOptions) -> None:
        self._popart_options = popart_options
        super().__init__()

    def halfFloatCasting(self, half_float_casting: HalfFloatCastingBehavior) -> _PrecisionOptions:
        """Deprecated: mixed operands follow PyTorch's promotion."""
        logger.warning("Precision.halfFloatCasting is deprecated and has no effect")
        return self

    def runningStatisticsAlwaysFloat(self, value: bool) -> _PrecisionOptions:
        """Deprecated: running statistics keep the type of the module's buffers."""
        logger.warning("Precision.runningStatisticsAlwaysFloat is deprecated and has no effect")
        return self

    def enableFloatingPointExceptions(self, enabled: bool) -> _PrecisionOptions:
        """Whether NaN, infinity or overflow on the device ends the call with an Error."""
        assert isinstance(enabled, bool), f"enableFloatingPointExceptions takes a bool, got {enabled!r}"
        self._popart_options.set("enableFloatingPointChecks", enabled)
        return self

    def enableStochasticRounding(self, enabled: bool) -> _PrecisionOptions:
        """Whether results are rounded to half at random, unbiased, instead of to nearest."""
        self._popart_options.set("enableStochasticRounding", enabled)
        return self

    def setPartialsType(self, dtype: torch.dtype) -> _PrecisionOptions:
        """Type of partial sums in convolutions and matmuls: torch.float or torch.half (else ValueError).

        Replaces ``convolutionOptions`` as a whole.
        """
        names = {torch.float: "float", torch.half: "half"}
        if dtype not in names:
            raise ValueError(f"setPartialsType({dtype}): torch.float or torch.half")
        self._popart_options.set("partialsTypeMatMuls", names[dtype])
        self._popart_options.set("convolutionOptions", {"partialsType": names[dtype]})
        return self


class _TrainingOptions(OptionsDict):
    """How one weight update is made."""

    def __init__(self, popart_options: _PopartOptions) -> None:
        self._popart_options = popart_options
        super().__init__(
            gradient_accumulation=1,
            accumulation_and_replication_reduction_type=ReductionType.Mean,
            meanAccumulationAndReplicationReductionStrategy=MeanReductionStrategy.Post,
        )

    def gradientAccumulation(self, gradient_accumulation: int) -> _TrainingOptions:
        """Micro-batches per weight update and replica."""
        self.set(gradient_accumulation=gradient_accumulation)
        return self

    def accumulationAndReplicationReductionType(self, reduction_type: ReductionType) -> _TrainingOptions:
        """Mean (default) or Sum of the gradients of micro-batches and replicas; ValueError for anything
        else."""
        if reduction_type not in (ReductionType.Mean, ReductionType.Sum):
            raise ValueError(f"accumulationAndReplicationReductionType({reduction_type!s}): Mean or Sum")
        self.set(accumulation_and_replication_reduction_type=reduction_type)
        return self

    def setMeanAccumulationAndReplicationReductionStrategy(
        self, mean_reduction_strategy: MeanReductionStrategy
    ) -> _TrainingOptions:
        """Where a Mean divides; numerically different only in half precision."""
        assert isinstance(mean_reduction_strategy, MeanReductionStrategy), (
            f"A poptorch.MeanReductionStrategy, not {mean_reduction_strategy!r}"
        )
        self.set(meanAccumulationAndReplicationReductionStrategy=mean_reduction_strategy)
        return self

    def setAutomaticLossScaling(self, enabled: bool) -> _TrainingOptions:
        """Let the device adapt the loss scale (a preview feature; wants half gradients)."""
        self._popart_options.set("automaticLossScalingSettings.enabled", enabled)
        return self

    def setConvolutionDithering(self, enabled: bool) -> _TrainingOptions:
        """Spread convolutions over tiles; replaces ``convolutionOptions`` as a whole."""
        self._popart_options.set("convolutionOptions", {"enableConvDithering": enabled})
        return self


class _DistributedOptions(OptionsDict):
    """Which of how many processes this is; read from mpirun's variables when constructed."""

    def __init__(self) -> None:
        super().__init__(num_distributed_processes=1, distributed_process_id=0, ipuof_configs={})
        self._place_among(*self._environment("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"))

    def disable(self) -> _DistributedOptions:
        """One process, whatever the environment says."""
        return self._place_among(0, 1)

    def setEnvVarNames(self, var_num_processes: str, var_process_id: str) -> _DistributedOptions:
        """Read the count and the id from these environment variables (1 and 0 where unset)."""
        return self._place_among(*self._environment(var_num_processes, var_process_id))

    def configureProcessId(self, process_id: int, num_processes: int) -> _DistributedOptions:
        """Set the id of this process and the number of processes."""
        return self._place_among(process_id, num_processes)

    @staticmethod
    def _environment(var_num_processes: str, var_process_id: str) -> Tuple[int, int]:
        return integer(var_process_id, 0), integer(var_num_processes, 1)

    def _place_among(self, process_id: int, num_processes: int) -> _DistributedOptions:
        self.set(distributed_process_id=process_id, num_distributed_processes=num_processes)
        return self

    @property
    def processId(self) -> int:
        """The id of this process, from 0."""
        return self.distributed_process_id

    @property
    def numProcesses(self) -> int:
        """How many processes there are."""
        return self.num_distributed_processes


class TensorLocationSettings(OptionsDict):
    """Where one kind of tensor lives: on chip or off, sharded over replicas or not, loaded by which tiles."""

    def minElementsForOffChip(self, min_elements: int) -> TensorLocationSettings:
        """Tensors with fewer elements stay on chip."""
        assert isinstance(min_elements, int), f"An int is needed, got {min_elements!r}"
        self.createOrSet(minElementsForOffChip=min_elements)
        return self

    def minElementsForReplicatedTensorSharding(self, min_elements: int) -> TensorLocationSettings:
        """Tensors with fewer elements are not sharded."""
        assert isinstance(min_elements, int), f"An int is needed, got {min_elements!r}"
        self.createOrSet(minElementsForReplicatedTensorSharding=min_elements)
        return self

    def useOnChipStorage(self, use: bool = True) -> TensorLocationSettings:
        """On chip (True), in streaming memory (False) or undecided (None)."""
        if use is None:
            self.deleteIfExists("onChip")
            return self
        return self._switch("onChip", use)

    def useReplicatedTensorSharding(self, use: bool = True) -> TensorLocationSettings:
        """Whether each replica keeps only its part of the tensor."""
        return self._switch("useReplicatedTensorSharding", use)

    def useIOTilesToLoad(self, use: bool = True) -> TensorLocationSettings:
        """Whether I/O tiles load the tensor."""
        return self._switch("useIOTilesToLoad", use)

    def useIOTilesToStore(self, use: bool = True) -> TensorLocationSettings:
        """Whether the tensor is stored on I/O tiles."""
        return self._switch("useIOTilesToStore", use)

    def _switch(self, name: str, use: bool) -> TensorLocationSettings:
        assert isinstance(use, bool), f"{name}: a bool is needed, got {use!r}"
        self.createOrSet(**{name: int(use)})
        return self


class _TensorLocationOptions(OptionsDict):
    """Locations of weights, optimizer state, activations and accumulators; no effect on results."""

    def numIOTiles(self, num_tiles: int) -> _TensorLocationOptions:
        """Tiles reserved for I/O: an even number from 32 to 192 (AssertionError otherwise)."""
        is_valid = isinstance(num_tiles, int) and 32 <= num_tiles <= 192 and num_tiles % 2 == 0
        assert is_valid, f"numIOTiles must be an even number between 32 and 192. Got {num_tiles!r}"
        self.createOrSet(numIOTiles=num_tiles)
        return self

    def setActivationLocation(self, location: TensorLocationSettings) -> _TensorLocationOptions:
        """Where activations live."""
        return self._place("activation", location)

    def setWeightLocation(self, location: TensorLocationSettings) -> _TensorLocationOptions:
        """Where weights live."""
        return self._place("weight", location)

    def setOptimizerLocation(self, location: TensorLocationSettings) -> _TensorLocationOptions:
        """Where the optimizer's state lives."""
        return self._place("optimizer", location)

    def setAccumulatorLocation(self, location: TensorLocationSettings) -> _TensorLocationOptions:
        """Where gradient accumulators live."""
        return self._place("accumulator", location)

    def _place(self, what: str, location: TensorLocationSettings) -> _TensorLocationOptions:
        assert isinstance(location, TensorLocationSettings), f"A TensorLocationSettings, not {location!r}"
        self.createOrSet(**{f"location_{what}": location.toDict()})
        return self
