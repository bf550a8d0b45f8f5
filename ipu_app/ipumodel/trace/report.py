"""What compiling an executor found out: operations, places, loss, warnings."""

from __future__ import annotations

import dataclasses
from typing import Tuple

import torch

from .graph import Graph, Node, qualified_name
from .tracer import Tracer


@dataclasses.dataclass(frozen=True)
class OpRecord:
    """One operation of one micro-batch: results' shapes and device types, and where it runs."""

    name: str
    shapes: Tuple[Tuple[int, ...], ...]
    dtypes: Tuple[torch.dtype, ...]
    module: str
    block: str
    stage: int
    ipu: int

    def __str__(self) -> str:
        results = ", ".join(
            f"{str(dtype).replace('torch.', '')}{list(shape)}"
            for shape, dtype in zip(self.shapes, self.dtypes)
        )
        return f"IPU {self.ipu} stage {self.stage}  {self.module or '(model)'}  {self.name} -> {results}"


@dataclasses.dataclass(frozen=True)
class CompilationReport:
    """Operations in order, IPUs and stages in use, and what deserves a look although the device accepts
    it.
    """

    ops: Tuple[OpRecord, ...]
    num_ipus: int
    num_stages: int
    replicas: int
    loss_op: str
    warnings: Tuple[str, ...]

    def __str__(self) -> str:
        lines = [
            f"{len(self.ops)} operations in {self.num_stages} stage(s) on {self.num_ipus} IPU(s), "
            f"{self.replicas} replica(s)"
        ]
        return "\n".join(lines + [f"warning: {text}" for text in self.warnings])

    def listing(self) -> str:
        """One line an operation."""
        return "\n".join(str(op) for op in self.ops)


def make_report(tracer: Tracer, num_ipus: int, replicas: int) -> CompilationReport:
    """The report of a finished trace."""
    marks = [mark for mark in tracer.losses.marks if mark.value == tracer.graph.loss]
    return CompilationReport(
        ops=tuple(_record(tracer.graph, node) for node in tracer.graph.nodes),
        num_ipus=num_ipus,
        num_stages=tracer.blocks.num_stages,
        replicas=replicas,
        loss_op=marks[-1].op if marks else "",
        warnings=tuple(tracer.warnings),
    )


def _record(graph: Graph, node: Node) -> OpRecord:
    values = [graph.values[number] for number in node.outputs if number is not None]
    return OpRecord(
        name=qualified_name(node.func),
        shapes=tuple(value.shape for value in values),
        dtypes=tuple(value.dtype for value in values),
        module=node.place.module,
        block=node.place.block,
        stage=node.place.stage,
        ipu=node.place.ipu,
    )
