"""What can be asked of an executor: times on this host, names of weights. No figure here is an IPU's."""

from __future__ import annotations

import datetime
import time
from typing import Any, Callable, Dict, List, Tuple

import torch

from .._errors import py_error

Latency = Tuple[float, float, float]
Counters = Dict[str, List[List[float]]]
Reduce = Callable[[Any], float]
EVENTS = ("input", "input_complete", "output", "output_complete")


class Queries:
    """The asking half of PoplarExecutor."""

    _compilation_s: float
    _engine: Any
    _options: Any
    _report: Any
    _weights: Any
    isCompiled: Callable[[], bool]

    def compilationTime(self) -> datetime.timedelta:
        """Time that compiling took here; says nothing of the SDK's compiler.

        Error before compilation, and where Options.showCompilationProgressBar(False) measures none.
        """
        if not self.isCompiled():
            raise py_error("Please compile the model before obtaining compilation time.")
        if not self._options._show_compilation_progress_bar:
            raise py_error("Please set showCompilationProgressBar option to obtain compilation time.")
        return datetime.timedelta(seconds=self._compilation_s)

    def cycleCount(self) -> int:
        """Refused: there is no hardware to count cycles on."""
        if not self._options._Popart.options["instrumentWithHardwareCycleCounter"]:
            raise py_error(
                "Cycle count logging is disabled. Please set option logCycleCount to True to enable."
            )
        raise py_error("Please run the model at least once before obtaining cycle count.")

    # ---- time stamps

    def _start_counters(self) -> None:
        self._counters: Counters = {}

    def _count_call(self, started: float, num_inputs: int, num_outputs: int) -> None:
        """Time stamps of a call on this host: inputs asked for at its start, outputs there at its end."""
        ended = time.perf_counter()
        inputs, outputs = self._engine.num_micro_batches, self._engine.num_returned
        if self._options._Popart.options.get("syntheticDataMode", 0):
            inputs = outputs = 0  # nothing goes to or from the host
        self._counters = {
            "input": [[started] * inputs for _ in range(num_inputs)],
            "input_complete": [[started] * inputs for _ in range(num_inputs)],
            "output": [[ended] * outputs for _ in range(num_outputs)],
            "output_complete": [[ended] * outputs for _ in range(num_outputs)],
        }

    def getPerfCounters(self) -> Counters:
        """Time stamps in seconds of the last call, on this host: `input`, `input_complete`, `output` and
        `output_complete`, a list for each tensor of one number for each micro-batch.
        """
        return {key: self._counters.get(key) or [[]] for key in EVENTS}

    def getLatency(self) -> Latency:
        """(min, max, average) seconds of the last call on this host; no IPU's figure."""
        return self._latency("input", min, "output_complete", max)

    def getComputeLatency(self) -> Latency:
        """As getLatency: on the host, computing is all there is."""
        return self._latency("input_complete", max, "output", max)

    def getHostIpuLatency(self) -> Latency:
        """Zeros: nothing is transferred."""
        return self._latency("input", min, "input_complete", max)

    def getIpuHostLatency(self) -> Latency:
        """Zeros: nothing is transferred."""
        return self._latency("output", min, "output_complete", max)

    def _latency(self, start: str, first: Reduce, end: str, last: Reduce) -> Latency:
        counters = self.getPerfCounters()
        starts = [first(stamps) for stamps in zip(*counters[start])]
        ends = [last(stamps) for stamps in zip(*counters[end])]
        if not ends:
            return 0.0, 0.0, 0.0
        group = len(starts) // len(ends)
        spans = [stamp - min(starts[i * group : (i + 1) * group]) for i, stamp in enumerate(ends)]
        return min(spans), max(spans), sum(spans) / len(spans)

    # ---- tensors

    def getTensorNames(self) -> List[str]:
        """Names of the graph's inputs, weights, results by module, and in training what the backward pass and
        the update add; AssertionError before compilation.
        """
        assert self.isCompiled(), "Model must be compiled before calling getTensorNames"
        names = [f"input{f'/{i}' if i else ''}" for i in range(self._engine.num_inputs)]
        names += list(self._weights.storage)
        for op in self._report.ops:
            names.append(f"{op.module.replace('.', '/')}/{op.name.split('::')[-1]}".lstrip("/"))
        if self._engine.optimizer is not None:
            trained = self._engine.optimizer.names
            names += [f"{prefix}{name}" for name in trained for prefix in ("Gradient___", "UpdatedVar___")]
            for values in self._engine.optimizer.state_dict().values():
                names += values
        return names

    def getAnchoredTensor(self, short_name: str) -> torch.Tensor:
        """What the last call returned of an inner tensor named by Options.anchorTensor; AssertionError if
        there is none.
        """
        found = self._engine.anchors.values if self._engine is not None else {}
        assert short_name in found, f"No tensor with name {short_name} found."
        value: torch.Tensor = found[short_name]
        return value
