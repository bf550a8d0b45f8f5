"""What the ``ipu`` section changes in the graph that PopTorch traces, and in how an executor is compiled."""

from __future__ import annotations

import time
from typing import Any, Callable

from torch import Tensor, nn

from ipu_app.config.pod_options import IpuConfig
from ipu_app.models.norms import StridedGroupNorm

PADDED_CHANNELS = 4
_POLL_S = 5.0


def prepare_graph(poptorch: Any, graph: Any, pod: IpuConfig) -> None:
    """Mark checkpoints, let the device make strided groups, and pad the images, as the options say."""
    modules = dict(graph.model.blocks.named_modules())
    for name in pod.checkpoints:
        if name not in modules:
            known = ", ".join(module for module in modules if module and "." not in module)
            raise ValueError(f"ipu.checkpoints names {name!r}: no such sub-block; blocks are {known}")
        modules[name].register_forward_hook(_Checkpoint(poptorch))
    if pod.fast_group_norm:
        for module in graph.model.modules():
            if isinstance(module, StridedGroupNorm):
                module.strided_by_device = True
    if pod.pad_input:
        conv = graph.model.blocks["block0"].conv
        conv.pad_channels = max(0, PADDED_CHANNELS - conv.in_channels)


class _Checkpoint:
    """A forward hook that has a block's output kept where others are computed again."""

    def __init__(self, poptorch: Any) -> None:
        self._mark = poptorch.recomputationCheckpoint

    def __call__(self, module: nn.Module, inputs: Any, output: Any) -> Any:
        """Mark every tensor of the output."""
        if isinstance(output, Tensor):
            return self._mark(output)
        return type(output)(self._mark(part) if isinstance(part, Tensor) else part for part in output)


def overlap_inputs(poptorch: Any, pod: IpuConfig) -> Callable[[Tensor], Tensor]:
    """Return what is done with each input: nothing, or moving it beside computing."""
    if not pod.io_tiles:
        return _as_it_is
    mode = poptorch.OverlapMode.OverlapAccumulationLoop
    overlap = poptorch.set_overlap_for_input
    return lambda batch: overlap(batch, mode)


def _as_it_is(batch: Tensor) -> Tensor:
    return batch


def compile_when_free(poptorch: Any, executor: Any, batch: Any, timeout_s: float) -> Any:
    """Compile, and where the IPUs are in use try again until ``timeout_s`` have passed."""
    end_s = time.monotonic() + timeout_s
    while True:
        try:
            return executor.compile(*batch)
        except poptorch.Error as error:
            left_s = end_s - time.monotonic()
            if left_s <= 0 or "acquire" not in str(error).lower():
                raise
            time.sleep(min(_POLL_S, left_s))
