"""PopTorch's rule of the one final loss.

Every torch loss function marks its result as a loss, and so does identity_loss. Marks upstream of another
mark are folded away; exactly one must be left. What follows a torch loss without an identity_loss is never
differentiated on the device, silently; here it is refused.
"""

from __future__ import annotations

import dataclasses
from typing import Dict, FrozenSet, List, Set, Tuple

from .._errors import py_error
from ..strictness import is_strict
from .graph import Graph, Node, written_values

#: torch.nn.functional names that mark their result (nll_loss and cross_entropy are seen as ATen
#: nll_loss_forward)
LOSS_FUNCTIONS: FrozenSet[str] = frozenset(
    """
    mse_loss l1_loss smooth_l1_loss huber_loss binary_cross_entropy binary_cross_entropy_with_logits kl_div
    poisson_nll_loss hinge_embedding_loss cosine_embedding_loss margin_ranking_loss triplet_margin_loss
    soft_margin_loss multilabel_soft_margin_loss multi_margin_loss multilabel_margin_loss ctc_loss
    """.split()
)
_HARMLESS = frozenset(
    "_to_copy view reshape squeeze unsqueeze expand detach alias clone select slice unbind".split()
)


@dataclasses.dataclass(frozen=True)
class LossMark:
    """A value that is a loss: made by `op` in `module`; `upstream` has one bit for each earlier mark it
    depends on.
    """

    value: int
    op: str
    module: str
    is_explicit: bool
    upstream: int


class LossBook:
    """Marks of losses, and which values depend on which marks (one bit each)."""

    def __init__(self) -> None:
        self.marks: List[LossMark] = []
        self._upstream: Dict[int, int] = {}
        self._followed_by: Dict[int, Tuple[str, str]] = {}

    def mark(self, value: int, op: str, module: str, *, explicit: bool) -> None:
        """Declare a value a loss."""
        upstream = self._upstream.get(value, 0)
        self.marks.append(LossMark(value, op, module, explicit, upstream))
        self._upstream[value] = upstream | (1 << (len(self.marks) - 1))

    def propagate(self, node: Node) -> None:
        """Carry the marks of a node's arguments to its results."""
        upstream = 0
        for value in node.reads():
            upstream |= self._upstream.get(value, 0)
        if not upstream or node.name == "detach" or not node.grad_enabled:
            return
        if node.name not in _HARMLESS:
            for bit in range(len(self.marks)):
                if upstream >> bit & 1:
                    self._followed_by.setdefault(bit, (node.name, node.place.module))
        for output in node.outputs:
            if output is not None:
                self._upstream[output] = self._upstream.get(output, 0) | upstream

    def final_loss(self, graph: Graph) -> int:
        """The value to differentiate; Error for no loss that an output depends on, several, or arithmetic
        after the only one.
        """
        alive = _reaching_outputs(graph)
        folded, marks = 0, [bit for bit, mark in enumerate(self.marks) if mark.value in alive]
        for bit in marks:
            folded |= self.marks[bit].upstream
        final = [bit for bit in marks if not folded >> bit & 1]
        if not final:
            raise py_error(
                "Couldn't find a loss in graph! (One that no output depends on is dropped.) End forward with "
                "`poptorch.identity_loss(loss, "
                "reduction='none')`, or use one of torch's loss functions."
            )
        if len(final) > 1:
            found = "; ".join(f"{self.marks[bit].op} in '{self.marks[bit].module}'" for bit in final)
            raise py_error(
                "Multiple independent losses found in graph. Graph must have one final loss. Wrap final "
                f"graph loss in poptorch.identity_loss. Losses: {found}."
            )
        mark = self.marks[final[0]]
        if is_strict() and not mark.is_explicit and final[0] in self._followed_by:
            op, module = self._followed_by[final[0]]
            raise py_error(
                f"Arithmetic after the loss: aten::{op} in '{module}' takes the result of {mark.op}, but "
                f"PopTorch differentiates only {mark.op} itself, silently. Wrap final graph loss in "
                "poptorch.identity_loss(total, reduction='none'), or detach what is only a metric."
            )
        return mark.value


def _reaching_outputs(graph: Graph) -> Set[int]:
    """Values on which some output, or something that is written into, depends."""
    alive: Set[int] = set(graph.outputs)
    for node in reversed(graph.nodes):
        if written_values(node) or any(value in alive for value in node.outputs):
            alive.update(node.reads())
            alive.update(value for value in node.outputs if value is not None)
    return alive
