"""Keeping gradients equal over processes on GPUs and CPUs, once per optimiser step.

One contract, ``GradientSync``, that the loop over micro-batches of one step uses like this::

    for index, batch in enumerate(micro_batches):
        with sync.micro_batch(last=index == len(micro_batches) - 1):
            sync.model(*batch).backward()
    sync.finish()
    optimizer.step()

``WrappedGradients`` is DistributedDataParallel: its all-reduce overlaps the backward pass of the last
micro-batch, and ``no_sync`` keeps the earlier ones silent. ``AveragedGradients`` calls the model as it is
and averages explicitly in ``finish``: flat buckets, all on their way at once where the back end can. It
serves Horovod: Horovod's own optimiser wrapper replaces the optimiser's class, which would tie checkpoints
and schedules to it, and with many micro-batches per step the overlap it adds is the last backward pass
only.
"""

from __future__ import annotations

import contextlib
from typing import Any, Callable, ContextManager, Dict, Iterable, Iterator, List, Tuple

import torch
from torch import nn

from ipu_app import compat

BUCKET_BYTES = 25 * 1024 * 1024
"""Bucket size, DistributedDataParallel's default: large enough to use the link, small enough to start
early.
"""


class GradientSync:
    """What keeps gradients equal. ``model`` is what to call in place of the bare module.

    The base class is for one process: nothing to keep equal.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model: nn.Module = model

    def micro_batch(self, *, last: bool) -> ContextManager[Any]:
        """Surround forward and backward of one micro-batch; ``last`` of the optimiser step or not."""
        return contextlib.nullcontext()

    def finish(self) -> None:
        """Complete the gradients: after the last backward pass, before clipping and ``optimizer.step()``."""


class WrappedGradients(GradientSync):
    """DistributedDataParallel: averages during the last micro-batch's backward pass.

    Buffers (batch norm's running statistics) are not synchronised, as on IPUs: every process keeps its own.
    ``naming`` surrounds what may fail because another process has ended.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        naming: Callable[[], ContextManager[Any]] = contextlib.nullcontext,
        **options: Any,
    ) -> None:
        wrapped = nn.parallel.DistributedDataParallel(model, **compat.without_buffer_sync(), **options)
        super().__init__(wrapped)
        self._wrapped, self._naming = wrapped, naming

    def micro_batch(self, *, last: bool) -> ContextManager[Any]:
        """Let the wrapper synchronise on the last micro-batch only."""
        return self._naming() if last else self._wrapped.no_sync()


class AveragedGradients(GradientSync):
    """Explicit average of all gradients in ``finish``; the model is called as it is."""

    def __init__(self, model: nn.Module, comm: Any) -> None:
        super().__init__(model)
        self._comm = comm

    def finish(self) -> None:
        """Average the gradients over all processes."""
        average_gradients(self._comm, self.model.parameters())


def average_gradients(comm: Any, parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over the processes of ``comm``, in flat buckets of one type and
    device.

    Every process must have gradients on the same parameters, as it has after the same backward pass.
    """
    if comm.size == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    for bucket in buckets(gradients, BUCKET_BYTES):
        flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
        comm.all_reduce_(flat).div_(comm.size)
        offset = 0
        for gradient in bucket:
            gradient.copy_(flat[offset : offset + gradient.numel()].view_as(gradient))
            offset += gradient.numel()


def buckets(tensors: Iterable[torch.Tensor], limit_bytes: int) -> Iterator[List[torch.Tensor]]:
    """Group tensors of one type and device, in order, into lists of at most ``limit_bytes`` (one at
    least).
    """
    open_buckets: Dict[Tuple[torch.dtype, torch.device], List[torch.Tensor]] = {}
    sizes: Dict[Tuple[torch.dtype, torch.device], int] = {}
    for tensor in tensors:
        key = (tensor.dtype, tensor.device)
        num_bytes = tensor.numel() * tensor.element_size()
        if key in open_buckets and sizes[key] + num_bytes > limit_bytes:
            yield open_buckets.pop(key)
        if key not in open_buckets:
            open_buckets[key], sizes[key] = [], 0
        open_buckets[key].append(tensor)
        sizes[key] += num_bytes
    yield from open_buckets.values()
