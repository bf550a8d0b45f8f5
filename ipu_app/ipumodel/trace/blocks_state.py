"""Where the trace stands among the blocks: active block, stage and IPU, and what the pipeline may not do."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Set, Tuple

from .._errors import py_error


class BlockTracker:
    """Follows Block and BeginBlock while the forward runs; `strategy` maps blocks to stages and IPUs."""

    def __init__(self, strategy: Any) -> None:
        self._strategy = strategy
        self._block: Optional[str] = ""
        self._place = (0, 0)
        self._auto_id = 0
        self.used_places: List[Tuple[int, int]] = []
        self.ipus: Set[int] = set()

    def begin(self, user_id: Optional[Any], ipu_id: Optional[int]) -> None:
        """Enter a block; without a name it gets the next automatic one."""
        if user_id is None:
            user_id = str(self._auto_id)
            self._auto_id += 1
        self._block = str(user_id)
        self._place = self._strategy.stage_of(self._block, ipu_id)

    def end(self) -> None:
        """Leave a `with Block`: from here no block is active."""
        self._block = None

    def restart_auto_ids(self) -> None:
        """Number unnamed blocks from 0 again."""
        self._auto_id = 0

    def current(self, op: str, module: str) -> Tuple[str, int, int]:
        """Return (block, stage, IPU) for an operation; Error where no block is active."""
        if self._block is None:
            raise py_error(
                f"No active Block, all the ops must belong to a Block: aten::{op} in "
                f"'{module or 'the model'}' comes after a `with poptorch.Block` ended. Use "
                "poptorch.BeginBlock, or open a block for it."
            )
        stage, ipu = self._place
        self._note(op, module, stage, ipu)
        return self._block, stage, ipu

    def _note(self, op: str, module: str, stage: int, ipu: int) -> None:
        if not self.used_places or self.used_places[-1] != (stage, ipu):
            if self._strategy.is_pipelined and self.used_places and stage < self.used_places[-1][0]:
                raise py_error(
                    f"Pipeline stage {stage} (IPU {ipu}) is entered again by aten::{op} in '{module}' after "
                    f"stage {self.used_places[-1][0]}: stages run in order. With AutoStage.SameAsIpu an IPU "
                    "can not be visited twice; use AutoStage.AutoIncrement."
                )
            self.used_places.append((stage, ipu))
        self.ipus.add(ipu)

    @property
    def num_ipus(self) -> int:
        """IPUs of one replica: the highest id + 1, so gaps count."""
        return max(self.ipus, default=0) + 1

    @property
    def num_stages(self) -> int:
        """Forward stages of the pipeline; consecutive blocks on one IPU count once, one IPU in all is one
        stage.
        """
        if len(self.ipus) <= 1:
            return 1
        runs = 0
        last: Optional[int] = None
        by_stage: Dict[int, int] = dict(self.used_places)
        for stage in sorted(by_stage):
            if by_stage[stage] != last:
                runs += 1
            last = by_stage[stage]
        return runs
