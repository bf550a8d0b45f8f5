"""Execution strategies: how blocks of a model become stages on IPUs (Stage, AutoStage, Pipelined, Sharded,
Phased).

The tracer asks a strategy ``stage_of(block_id, ipu_id)`` each time a block begins and gets the stage and the
IPU.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple, Union

from ._errors import py_error
from .enums import AutoStage, Liveness

BlockId = str


class Stage:
    """One or more blocks (by user_id) that run together on one IPU."""

    def __init__(self, *block_ids: BlockId) -> None:
        assert all(isinstance(block, str) for block in block_ids), (
            f"Block IDs must be strings, got {block_ids}"
        )
        self._blocks = block_ids
        self._stage_id = -1
        self._phase_id = -1
        self._ipu: Optional[int] = None

    @property
    def blocks(self) -> List[BlockId]:
        """The user_ids of the blocks in this stage."""
        return list(self._blocks)

    def ipu(self, ipu: int) -> Stage:
        """Fix the IPU this stage runs on (counted from 0 inside a replica)."""
        assert isinstance(ipu, int), f"An IPU is an int, got {ipu!r}"
        self._ipu = ipu
        return self


class Phase:
    """Stages of phased execution that run at the same time."""

    def __init__(self, *arg: Union[BlockId, Stage]) -> None:
        if all(isinstance(item, Stage) for item in arg):
            self.stages: List[Stage] = list(arg)
        else:
            assert all(isinstance(item, str) for item in arg), f"A Phase takes Stages or block IDs, got {arg}"
            self.stages = [Stage(*arg)]

    def stage(self, idx: int) -> Stage:
        """The stage with that position."""
        return self.stages[idx]

    def ipus(self, *ipus: int) -> None:
        """Fix the IPU of each stage; as many as there are stages (AssertionError)."""
        assert len(ipus) == len(self.stages), f"{len(self.stages)} stages in the phase but {len(ipus)} ipus"
        for stage, ipu in zip(self.stages, ipus):
            stage.ipu(ipu)


class _IExecutionStrategy:
    """What all strategies share: a map of block ids to stages, given or grown while tracing."""

    #: stages overlap in time, so the minimum accumulation and iteration rules bind
    is_pipelined = False
    #: stages run one after the other
    is_sharded = False
    #: phased execution
    is_phased = False

    def __init__(self, stages: List[Stage], auto_stage: AutoStage = AutoStage.SameAsIpu) -> None:
        self._auto_stage = auto_stage
        self._is_explicit = bool(stages)
        self._block_map: Dict[BlockId, Stage] = {}
        self._next_stage = 1  # ops before the first block are stage 0
        self._ipus_left: List[int] = []
        for stage in stages:
            for block in stage.blocks:
                assert block not in self._block_map, f"Block '{block}' is in more than one stage"
                self._block_map[block] = stage

    def stage(self, block_id: BlockId) -> Stage:
        """The stage of that block; AssertionError if it is not known (yet)."""
        assert block_id in self._block_map, f"Unknown block {block_id}"
        return self._block_map[block_id]

    def stage_of(self, block_id: BlockId, ipu_id: Optional[int]) -> Tuple[int, int]:
        """The (stage, IPU) that a block beginning now runs in; ``ipu_id`` is what the Block was given.

        AssertionError: a block no stage names, or (AutoStage.SameAsIpu) a block without an ipu_id.
        Error: SameAsIpu and an IPU that an earlier block has already left.
        """
        stage = self._find(block_id, ipu_id)
        ipu = stage._ipu if stage._ipu is not None else ipu_id
        number = stage._stage_id if stage._phase_id < 0 else stage._phase_id
        return number, number if ipu is None else ipu

    def onStartTracing(self) -> None:
        """Forget what the last tracing visited."""
        self._ipus_left = []

    def onEndTracing(self) -> None:
        """Called when tracing is over."""

    def backendOptions(self) -> Dict[str, Any]:
        """The options this strategy adds to those sent to the backend."""
        return {}

    def _find(self, block_id: BlockId, ipu_id: Optional[int]) -> Stage:
        if self._is_explicit:
            known = sorted(self._block_map)
            assert block_id in self._block_map, (
                f"Unknown Block '{block_id}', the strategy's stages name {known}"
            )
            return self._block_map[block_id]
        if self._auto_stage == AutoStage.SameAsIpu:
            self._check_same_as_ipu(block_id, ipu_id)
        if block_id not in self._block_map:
            self._block_map[block_id] = self._new_stage(block_id, ipu_id)
        return self._block_map[block_id]

    def _new_stage(self, block_id: BlockId, ipu_id: Optional[int]) -> Stage:
        stage = Stage(block_id)
        if self._auto_stage == AutoStage.SameAsIpu:
            stage._stage_id = int(ipu_id)
        else:
            stage._stage_id = self._next_stage
            self._next_stage += 1
        return stage

    def _check_same_as_ipu(self, block_id: BlockId, ipu_id: Optional[int]) -> None:
        assert ipu_id is not None, (
            f"poptorch.AutoStage.SameAsIpu needs an IPU for every block: block '{block_id}' has no ipu_id"
        )
        if self.is_pipelined and ipu_id in self._ipus_left[:-1]:
            raise py_error(
                f"Block '{block_id}' goes back to IPU {ipu_id}, which is already a finished pipeline stage: "
                "with AutoStage.SameAsIpu an IPU can not be visited twice, use AutoStage.AutoIncrement"
            )
        if not self._ipus_left or self._ipus_left[-1] != ipu_id:
            self._ipus_left.append(ipu_id)


class PipelinedExecution(_IExecutionStrategy):
    """Stages overlap: an AutoStage, or the stages in order (Stage, block id, or list of block ids)."""

    is_pipelined = True

    def __init__(self, *args: Any) -> None:
        if len(args) == 1 and isinstance(args[0], AutoStage):
            super().__init__([], args[0])
            return
        stages = [_as_stage(arg) for arg in args]
        for number, stage in enumerate(stages):
            stage._stage_id = number
        super().__init__(stages)

    def backendOptions(self) -> Dict[str, Any]:
        """The options this strategy adds to those sent to the backend."""
        return {"execution_mode": 0}


class ShardedExecution(PipelinedExecution):
    """The same partition as PipelinedExecution, but only one stage works at a time."""

    is_pipelined = False
    is_sharded = True

    def backendOptions(self) -> Dict[str, Any]:
        """The options this strategy adds to those sent to the backend."""
        return {"execution_mode": 1}


class _IPhasedExecution(_IExecutionStrategy):
    """Phases in order: Phase objects, or lists of Stages or block ids; there is no automatic numbering."""

    is_phased = True

    def __init__(self, *phases: Any) -> None:
        assert phases, "Phased execution has no AutoStage: name the phases"
        self._tensors_liveness = Liveness.AlwaysLive
        self._separate_backward_phase = False
        self._phases = [_as_phase(phase) for phase in phases]
        stages = []
        for number, phase in enumerate(self._phases):
            for stage in phase.stages:
                stage._phase_id = number
                stages.append(stage)
        super().__init__(stages)

    def phase(self, phase: int) -> Phase:
        """The phase with that number."""
        assert isinstance(phase, int) and phase >= 0, f"A phase is a number from 0 on, got {phase!r}"
        return self._phases[phase]

    def useSeparateBackwardPhase(self, use: bool = True) -> _IPhasedExecution:
        """Whether the last forward phase and the first backward phase are two."""
        assert isinstance(use, bool), f"A bool is needed, got {use!r}"
        self._separate_backward_phase = use
        return self

    def backendOptions(self) -> Dict[str, Any]:
        """The options this strategy adds to those sent to the backend."""
        return {
            "execution_mode": 2,
            "separate_backward_phase": self._separate_backward_phase,
            "tensors_liveness": self._tensors_liveness.value,
        }


class ParallelPhasedExecution(_IPhasedExecution):
    """Phases alternate between two groups of IPUs."""

    def backendOptions(self) -> Dict[str, Any]:
        """The options this strategy adds to those sent to the backend."""
        return {**super().backendOptions(), "serial_phases_execution": False}

    def sendTensorsOffChipAfterFwd(self, off_chip: bool = True) -> ParallelPhasedExecution:
        """Whether activations leave the chip after the forward pass."""
        assert isinstance(off_chip, bool), f"A bool is needed, got {off_chip!r}"
        self._tensors_liveness = Liveness.OffChipAfterFwd if off_chip else Liveness.AlwaysLive
        return self


class SerialPhasedExecution(_IPhasedExecution):
    """All phases on one group of IPUs, one after the other."""

    def backendOptions(self) -> Dict[str, Any]:
        """The options this strategy adds to those sent to the backend."""
        return {**super().backendOptions(), "serial_phases_execution": True}

    def setTensorsLiveness(self, liveness: Liveness) -> SerialPhasedExecution:
        """Where tensors live after the forward pass."""
        assert isinstance(liveness, Liveness), f"A poptorch.Liveness is needed, got {liveness!r}"
        self._tensors_liveness = liveness
        return self


def _as_stage(arg: Any) -> Stage:
    if isinstance(arg, Stage):
        return arg
    if isinstance(arg, str):
        return Stage(arg)
    assert isinstance(arg, (list, tuple)) and all(isinstance(item, str) for item in arg), (
        f"A stage is a poptorch.Stage, a block ID or a list of block IDs, got {arg!r}"
    )
    return Stage(*arg)


def _as_phase(arg: Any) -> Phase:
    if isinstance(arg, Phase):
        return arg
    return Phase(*(arg if isinstance(arg, list) else [arg]))
