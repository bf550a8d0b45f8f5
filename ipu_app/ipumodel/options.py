"""poptorch.Options: everything that is compiled into an executable; frozen as soon as something uses it."""

from __future__ import annotations

import copy
import json
from typing import Any, Dict, List, Optional

import torch

from ._errors import ConfigFileError as ConfigFileError
from ._logging import logger
from ._options_impl import OptionsDict
from .enums import CommGroupType, ConnectionType, OutputMode, SyncPattern
from .settings import options_file
from .settings.options_groups import (
    TensorLocationSettings as TensorLocationSettings,
)
from .settings.options_groups import (
    _DistributedOptions,
    _JitOptions,
    _PrecisionOptions,
    _TensorLocationOptions,
    _TrainingOptions,
)
from .settings.popart import _PopartOptions
from .strategies import BlockId as BlockId
from .strategies import ParallelPhasedExecution as ParallelPhasedExecution
from .strategies import Phase as Phase
from .strategies import PipelinedExecution as PipelinedExecution
from .strategies import SerialPhasedExecution as SerialPhasedExecution
from .strategies import ShardedExecution as ShardedExecution
from .strategies import Stage as Stage
from .strategies import _IExecutionStrategy as _IExecutionStrategy
from .strategies import _IPhasedExecution as _IPhasedExecution
from .variables import cache_directory, default_options

#: the backend's largest number, which stands for "always"
_NO_LIMIT = (1 << 64) - 1


class Options(OptionsDict):
    """How a model is compiled and run: batching, replicas, placement and precision.

    Setters return the object. Values are stored under snake_case names and checked against the default's type
    (AssertionError); after use by a DataLoader or an executor any change is an AttributeError: clone first.
    """

    def __init__(self) -> None:
        self._popart = _PopartOptions()
        self._jit = _JitOptions()
        self._precision = _PrecisionOptions(self._popart)
        self._training = _TrainingOptions(self._popart)
        self._distributed = _DistributedOptions()
        self._tensor_locations = _TensorLocationOptions()
        self._execution_strategy: _IExecutionStrategy = PipelinedExecution()
        self._source_location_excludes: List[str] = ["install/conda", "site-packages/torch"]
        self._module_namescope_enabled = True
        self._relax_optimizer_checks = False
        self._show_compilation_progress_bar = True
        super().__init__(
            replication_factor=1,
            input_group_size=1,
            input_cgt=CommGroupType.Consecutive,
            broadcast_buffers=True,
            device_iterations=1,
            log_dir=".",
            max_repeat_logs=4,
            auto_round_num_ipus=False,
            anchored_tensors={},
            output_mode=OutputMode.Default.value,
            output_return_period=1,
            connection_type=ConnectionType.Always.value,
            sync_pattern=SyncPattern.Full.value,
            available_memory_proportion={},
        )
        if cache_directory():
            self.enableExecutableCaching(cache_directory())
        options_file.apply_json(self, default_options())

    @property
    def Training(self) -> _TrainingOptions:
        """How one weight update is made."""
        return self._training

    @property
    def Precision(self) -> _PrecisionOptions:
        """Numeric precision on the device."""
        return self._precision

    @property
    def Distributed(self) -> _DistributedOptions:
        """Which of how many processes this is."""
        return self._distributed

    @property
    def TensorLocations(self) -> _TensorLocationOptions:
        """Where tensors live."""
        return self._tensor_locations

    @property
    def Jit(self) -> _JitOptions:
        """Left over from the tracing front end."""
        return self._jit

    @property
    def _Popart(self) -> _PopartOptions:
        """Settings for PopART by its own names."""
        return self._popart

    def clone(self) -> Options:
        """A deep copy that is not frozen."""
        return copy.deepcopy(self)

    def loadFromFile(self, filepath: str) -> Options:
        """Make the option calls listed in a file, one ``name(arguments)`` a line; ConfigFileError for a bad
        line."""
        options_file.apply_file(self, filepath)
        return self

    def from_json(self, string: str) -> Options:
        """Make the option calls of a JSON object: option name (dotted for groups) to argument or
        arguments."""
        options_file.apply_json(self, json.loads(string))
        return self

    def toDict(self) -> Dict[str, Any]:
        """All values as the backend gets them: options, groups, the strategy's and PopART's.

        AssertionError: the output mode is still Default (an executor picks one when it wraps), or a PopART
        setting has the name of an option.
        """
        assert not self.defaultOutputMode(), "An output mode must be picked before options are serialised"
        values = {**self._execution_strategy.backendOptions(), **self._popart.options}
        for part in (super(), self._training, self._precision, self._distributed):
            part.update(values)
        for part in (self._tensor_locations, self._jit):
            part.update(values)
        return values

    def __repr__(self) -> str:
        parts = (self._popart, self._training, self._precision, self._distributed, self._tensor_locations)
        return (
            f"{super().__repr__()} {' '.join(map(repr, parts))} {self._execution_strategy.backendOptions()}"
        )

    # ---- batching and replicas

    def deviceIterations(self, device_iterations: int) -> Options:
        """Loop count of one call on the device: weight updates in training, batches in inference."""
        self.set(device_iterations=device_iterations)
        return self

    def replicationFactor(self, replication_factor: int) -> Options:
        """Copies of the model in this process."""
        self.set(replication_factor=replication_factor)
        return self

    def inputReplicaGrouping(self, input_group_size: int, input_group_type: CommGroupType) -> Options:
        """Give every replica of a group the same input; call replicationFactor first.

        ValueError: CommGroupType.All, or a size that is larger than or does not divide the replication
        factor.
        """
        if input_group_type == CommGroupType.All:
            raise ValueError("inputReplicaGrouping: CommGroupType.All is not supported")
        if input_group_type == CommGroupType.NoGrouping:
            input_group_size, input_group_type = 1, CommGroupType.Consecutive
        replicas = self.replication_factor
        if input_group_size > replicas or replicas % input_group_size:
            raise ValueError(
                f"input_group_size={input_group_size}: must divide the replication factor ({replicas})"
            )
        self.set(input_group_size=input_group_size, input_cgt=input_group_type)
        return self

    def broadcastBuffers(self, broadcast_buffers: bool = True) -> Options:
        """False lets every replica update buffers of its own; True refuses such updates."""
        self.set(broadcast_buffers=broadcast_buffers)
        return self

    def outputMode(self, output_mode: OutputMode, output_return_period: Optional[int] = None) -> Options:
        """Which outputs a call returns; EveryN needs a period of 1 or more (AssertionError)."""
        assert isinstance(output_mode, OutputMode), f"A poptorch.OutputMode, not {output_mode!r}"
        if output_mode == OutputMode.EveryN:
            assert output_return_period and output_return_period > 0, (
                f"EveryN must have output_return_period of 1 or more, got {output_return_period!r}"
            )
        elif output_return_period:
            logger.info("output_return_period is ignored with output mode %s", output_mode)
        self.set(output_mode=output_mode.value, output_return_period=output_return_period or 1)
        return self

    def defaultOutputMode(self) -> bool:
        """Whether the output mode was left at Default: Final in training, All in inference."""
        return self.output_mode == OutputMode.Default

    def anchorTensor(
        self,
        short_name: str,
        long_name: str,
        output_mode: Optional[OutputMode] = None,
        output_return_period: Optional[int] = 1,
    ) -> None:
        """Return an inner tensor with every run, to be read with getAnchoredTensor(short_name).

        Frozen options take it, too. Without a mode it gets that of the model's outputs.
        """
        period = output_return_period if output_mode == OutputMode.EveryN else 1
        self.anchored_tensors[short_name] = [long_name, output_mode is None, output_mode, period]

    def randomSeed(self, random_seed: int) -> Options:
        """Seed the device's generator; also seeds torch's on the host."""
        assert isinstance(random_seed, int), f"randomSeed takes an int, got {random_seed!r}"
        self.checkIsFrozen()
        torch.manual_seed(random_seed)
        self.createOrSet(random_seed=random_seed)
        return self

    # ---- placement and devices

    def setExecutionStrategy(self, strategy: _IExecutionStrategy) -> Options:
        """How blocks become stages; AssertionError if it is no strategy object."""
        assert isinstance(strategy, _IExecutionStrategy), f"An execution strategy object, not {strategy!r}"
        self._execution_strategy = strategy
        return self

    def autoRoundNumIPUs(self, auto_round_num_ipus: bool = True) -> Options:
        """Round the number of IPUs up to a power of two instead of refusing it."""
        self.set(auto_round_num_ipus=auto_round_num_ipus)
        return self

    def setAvailableMemoryProportion(self, available_memory_proportion: Dict[str, float]) -> Options:
        """Share of tile memory for temporary data, per IPU: {"IPU0": 0.2}; other keys are an
        AssertionError."""
        for key in available_memory_proportion:
            assert key.startswith("IPU"), (
                f'Available memory proportions are given as {{"IPU0": 0.5}}, not {key!r}'
            )
        self.set(
            available_memory_proportion={
                int(k[3:]): share for k, share in available_memory_proportion.items()
            }
        )
        return self

    def connectionType(self, connection_type: ConnectionType) -> Options:
        """When to attach to the device."""
        assert isinstance(connection_type, ConnectionType), (
            f"A poptorch.ConnectionType, not {connection_type!r}"
        )
        self.set(connection_type=connection_type.value)
        return self

    def syncPattern(self, sync_pattern: SyncPattern) -> Options:
        """Synchronisation between IPUs: performance only."""
        assert isinstance(sync_pattern, SyncPattern), f"A poptorch.SyncPattern, not {sync_pattern!r}"
        self.set(sync_pattern=sync_pattern.value)
        return self

    def useIpuId(self, ipu_id: int) -> Options:
        """Use the device with this id."""
        assert isinstance(ipu_id, int), f"useIpuId takes an int, got {ipu_id!r}"
        self.createOrSet(ipu_id=ipu_id)
        return self

    def useIpuModel(self, use_model: bool) -> Options:
        """Run on the emulated device; overrides POPTORCH_IPU_MODEL."""
        self.createOrSet(use_model=use_model)
        return self

    def useOfflineIpuTarget(self, ipu_version: int = 2) -> Options:
        """Compile for a device that is not there (version 1, 2 or 21); implies ConnectionType.Never."""
        self.connectionType(ConnectionType.Never)
        self.createOrSet(ipu_version=ipu_version)
        return self

    # ---- compilation, logging, profiling

    def enableExecutableCaching(self, path: str) -> Options:
        """Keep executables in this directory; None switches the cache off."""
        if path is None:
            self._popart.set("enableEngineCaching", False)
            return self
        self._popart.set("cachePath", path)
        self._popart.set("enableEngineCaching", True)
        return self

    def enableStableNorm(self, enabled: bool) -> Options:
        """Slower, more accurate norm statistics."""
        self._popart.set("enableStableNorm", enabled)
        return self

    def enableSyntheticData(self, enabled: bool) -> Options:
        """Inputs are normal noise made on the device; nothing is read from the host."""
        self._popart.set("syntheticDataMode", 2 if enabled else 0)
        return self

    def enableProfiling(self, profile_dir: Optional[str] = None) -> Options:
        """Write a profile of compilation and execution into a directory."""
        engine = dict(self._popart.options.get("engineOptions", {}))
        engine["debug.allowOutOfMemory"] = "true"
        engine["autoReport.directory"] = profile_dir or "."
        engine["autoReport.all"] = "true"
        self._popart.setEngineOptions(engine)
        return self

    def logCycleCount(self, log_cycle_count: bool) -> Options:
        """Count cycles of each call (hardware only): executor.cycleCount()."""
        self._popart.set("instrumentWithHardwareCycleCounter", log_cycle_count)
        return self

    def logDir(self, log_dir: str) -> Options:
        """Directory of log files."""
        self.set(log_dir=log_dir)
        return self

    def maxRepeatLogs(self, max_lines: Optional[int]) -> Options:
        """How often the same log line is shown; None for always."""
        self.set(max_repeat_logs=_NO_LIMIT if max_lines is None else max_lines)
        return self

    def modelName(self, name: str) -> Options:
        """Name of the profile's sub-directory."""
        self.createOrSet(model_name=name)
        return self

    def showCompilationProgressBar(self, show: bool = True) -> Options:
        """Whether compiling shows a progress bar."""
        self._show_compilation_progress_bar = show
        return self

    def relaxOptimizerAttributesChecks(self, relax: bool = True) -> Options:
        """Whether unknown attributes of an optimizer are logged for debugging only."""
        self._relax_optimizer_checks = relax
        return self

    def disableModuleNamescope(self) -> Options:
        """Leave module names out of op names."""
        self._module_namescope_enabled = False
        return self

    def sourceLocationExcludes(self, excludes: List[str]) -> Options:
        """Replace the list of path parts left out of source locations."""
        self._source_location_excludes = excludes
        return self

    def appendToLocationExcludes(self, *excludes: str) -> Options:
        """Add to the list of path parts left out of source locations."""
        self._source_location_excludes = [*self._source_location_excludes, *excludes]
        return self

    def updatableNamedBuffers(self, buffers: List[str]) -> Options:
        """Buffers that copyNamedBuffersToDevice uploads."""
        self._popart.set("updatableNamedBuffers", buffers)
        return self
