"""What can be asked of an executor: times on this host, names of weights. No figure here is an IPU's."""

from __future__ import annotations

import datetime
from typing import Any, Dict, List, Tuple

import torch

from .._errors import py_error

Latency = Tuple[float, float, float]


class Queries:
    """The asking half of PoplarExecutor."""

    _compilation_s: float
    _last_call_s: float
    _weights: Any

    def _need_compiled(self) -> None:
        raise NotImplementedError

    def compilationTime(self) -> datetime.timedelta:
        """Time that compiling took here; says nothing of the SDK's compiler."""
        return datetime.timedelta(seconds=self._compilation_s)

    def cycleCount(self) -> int:
        """Refused: there is no hardware to count cycles on."""
        self._need_compiled()
        raise py_error(
            "cycleCount needs Options.logCycleCount(True) and IPU hardware; the simulator counts none."
        )

    def getLatency(self) -> Latency:
        """(min, max, average) seconds of the last call on this host; no IPU's figure."""
        return self._latency(self._last_call_s)

    def getComputeLatency(self) -> Latency:
        """As getLatency: on the host, computing is all there is."""
        return self._latency(self._last_call_s)

    def getHostIpuLatency(self) -> Latency:
        """Zeros: nothing is transferred."""
        return self._latency(0.0)

    def getIpuHostLatency(self) -> Latency:
        """Zeros: nothing is transferred."""
        return self._latency(0.0)

    def _latency(self, seconds: float) -> Latency:
        self._need_compiled()
        return seconds, seconds, seconds

    def getTensorNames(self) -> List[str]:
        """Names of the device's weights."""
        self._need_compiled()
        return list(self._weights.storage)

    def getPerfCounters(self) -> Tuple[Dict[str, Any], Dict[str, Any], Dict[str, Any], Dict[str, Any]]:
        """Time stamps of inputs, inputs complete, outputs, outputs complete: empty, there is no device."""
        self._need_compiled()
        return {}, {}, {}, {}

    def getAnchoredTensor(self, short_name: str) -> torch.Tensor:
        """The device's copy of a weight named by Options.anchorTensor; other inner tensors are an Error."""
        self._need_compiled()
        anchors = self.options.anchored_tensors  # type: ignore[attr-defined]
        if short_name not in anchors:
            raise py_error(
                f"No anchored tensor '{short_name}': Options.anchorTensor names {sorted(anchors)}."
            )
        long_name = anchors[short_name][0]
        if long_name not in self._weights.storage:
            raise py_error(
                f"The simulator cannot read '{long_name}': only weights "
                f"({', '.join(list(self._weights.storage)[:3])}, ...). Return inner values as outputs of "
                "the model."
            )
        value: torch.Tensor = self._weights.storage[long_name].clone()
        return value
