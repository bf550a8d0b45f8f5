"""What a compilation found out, in the log: warnings, and for debugging where each operation runs."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any, Iterator

from .._logging import logger
from .report import CompilationReport, OpRecord


def log_report(report: CompilationReport, strategy: Any) -> None:
    """Log a report's warnings; with POPTORCH_LOG_LEVEL=DEBUG also one line an operation."""
    for warning in report.warnings:
        logger.warning("%s", warning)
    if not logger.isEnabledFor(logging.DEBUG):
        return
    is_pipelined = strategy.is_pipelined and report.num_ipus > report.replicas
    logger.debug("enablePipelining set to value %d", is_pipelined)
    for line in _lines(report, "Pipelined" if strategy.is_pipelined else "Sharded"):
        logger.debug("%s", line)


def _lines(report: CompilationReport, mode: str) -> Iterator[str]:
    seen: "Counter[str]" = Counter()
    for op in report.ops:
        name = _name(op)
        number, seen[name] = seen[name], seen[name] + 1
        results = ", ".join(
            f"{str(dtype).replace('torch.', '')}{shape}" for dtype, shape in zip(op.dtypes, op.shapes)
        )
        place = f"mode({mode}), ipu({op.ipu}), stage({op.stage})"
        yield f"  {name}{f'/{number}' if number else ''} [{results}, {place}]"


def _name(op: OpRecord) -> str:
    """A result's name as PopART makes it: the module's path, then the operation's."""
    words = op.name.split("::")[-1].split(".")[0].split("_")
    path = f"{op.module.replace('.', '/')}/" if op.module else ""
    return f"{path}{''.join(word.capitalize() for word in words)}:0"
