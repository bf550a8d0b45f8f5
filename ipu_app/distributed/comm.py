"""What the processes of a job say to each other: one contract, three implementations.

``Comm`` is built on two primitives, an in-place sum and an in-place broadcast; everything else is written
once, here, on top of them. ``make_comm`` chooses: ``SingleComm`` (one process), ``TorchComm``
(torch.distributed: gloo on the CPU, nccl on GPUs) or ``HorovodComm``. Every method but ``rank``, ``size``
and ``is_root`` is collective: all processes call it, in the same order.

Gradients. On IPUs the device itself sums them over all replicas of all instances; the host sends only
initial weights and metrics. The simulated IPU gets ``all_reduce_`` for this. On GPUs and CPUs the torch
runtime asks for a ``GradientSync`` (see gradients.py).
"""

from __future__ import annotations

import contextlib
import re
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, Iterable, Iterator, List, Mapping, Optional, Sequence, Type, TypeVar, cast

import torch
from torch import nn

from ipu_app.distributed import state as states
from ipu_app.distributed.gradients import AveragedGradients, GradientSync, average_gradients

N = TypeVar("N", float, Sequence[float], Mapping[str, float], torch.Tensor)
C = TypeVar("C", bound="Comm")
# IPU compilation takes up to an hour, and the other instances wait for it inside a collective
DEFAULT_TIMEOUT_S = 3600.0
# a state goes out in pieces of this size, so that no back end needs one huge buffer
BROADCAST_CHUNK_BYTES = 64 * 1024 * 1024


# the backward pass of a wrapped model talks to the others, but may also fail by itself
_OF_A_COLLECTIVE = re.compile(
    r"gloo|nccl|horovod|connection|peer|socket|timed? ?out|process group|store|collective|rank", re.IGNORECASE
)


class Comm(ABC):
    """The processes of one job. Used as a context manager it closes on success and aborts on an exception."""

    def __init__(self, rank: int, size: int, device: torch.device) -> None:
        self.rank = rank
        self.size = size
        self.device = device
        """Where this back end wants its own small tensors."""

    @property
    def is_root(self) -> bool:
        """Whether this process writes files and logs for the job."""
        return self.rank == 0

    @abstractmethod
    def all_reduce_(self, tensor: torch.Tensor) -> torch.Tensor:
        """Sum a tensor over all processes, in place, in its own type; return it."""

    @abstractmethod
    def broadcast_(self, tensor: torch.Tensor, root: int = 0) -> torch.Tensor:
        """Overwrite a tensor by the root's, in place; return it."""

    @abstractmethod
    def close(self) -> None:
        """End the communication in good order; every process calls it."""

    @abstractmethod
    def abort(self) -> None:
        """End the communication after an error, without waiting for the others: they get an error, not a
        hang.
        """

    def barrier(self) -> None:
        """Wait until every process is here."""
        self.all_reduce_(torch.zeros(1, device=self.device)).item()

    def all_sum(self, values: N) -> N:
        """Sum numbers over all processes in float64: a number, a sequence, a mapping by name, or a tensor.

        The result has the same form (a sequence comes back as a list, a tensor as a float64 tensor on the
        CPU).
        """
        given: Any = values
        result: Any
        if isinstance(given, torch.Tensor):
            result = self._sum_float64(given)
        elif isinstance(given, Mapping):
            # in one order everywhere, whatever order each process filled its mapping in
            names = sorted(given)
            sums = dict(zip(names, self._sum_floats([given[name] for name in names])))
            result = {name: sums[name] for name in given}
        elif isinstance(given, Sequence):
            result = self._sum_floats(given)
        else:
            result = self._sum_floats([given])[0]
        return cast(N, result)

    def broadcast_state(self, state: Any) -> Any:
        """Return the root's state on every process: nested dicts, lists, tuples of tensors, numbers, strings.

        The root gets its own object back; the others get equal copies with tensors on the CPU, whatever they
        passed in (None will do). A state that cannot be sent is refused (ValueError) on every process.
        """
        header, body, error = "", torch.empty(0, dtype=torch.uint8), ""
        if self.is_root:
            try:
                header, body = states.pack(state)
            except ValueError as refused:
                error = str(refused)
        header, error = self._broadcast_text(header), self._broadcast_text(error)
        if error:
            raise ValueError(error)
        body = self._broadcast_bytes(body, states.body_bytes(header))
        return state if self.is_root else states.unpack(header, body)

    def gather_strings(self, text: str) -> List[str]:
        """Return every process's text, by rank. Meant for short texts: all of them travel to all
        processes.
        """
        raw = text.encode("utf-8")
        lengths = torch.zeros(self.size, dtype=torch.int64, device=self.device)
        lengths[self.rank] = len(raw)
        sizes = [int(length) for length in self.all_reduce_(lengths).tolist()]
        if max(sizes) == 0:
            return [""] * self.size
        # int32: Horovod sums no bytes
        rows = torch.zeros(self.size, max(sizes), dtype=torch.int32, device=self.device)
        rows[self.rank, : len(raw)] = torch.tensor(list(raw), dtype=torch.int32, device=self.device)
        gathered = self.all_reduce_(rows).cpu()
        return [bytes(gathered[i, :length].tolist()).decode("utf-8") for i, length in enumerate(sizes)]

    def smallest(self, value: int) -> int:
        """Return the least of all processes' numbers: how many calls each of them can make."""
        return min(int(text) for text in self.gather_strings(str(int(value))))

    def sync_gradients(self, model: nn.Module) -> GradientSync:
        """Return what keeps this model's gradients equal over the processes (see gradients.py)."""
        return AveragedGradients(model, self)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its mean over all processes, in place (a parameter without one is
        skipped).
        """
        average_gradients(self, parameters)

    def __enter__(self: C) -> C:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        in_order = kind is None or getattr(error, "is_agreed", False)  # all processes end here
        self.close() if in_order else self.abort()

    @contextlib.contextmanager
    def _naming_errors(self) -> Iterator[None]:
        """Turn a back end's error into one line that says what it mostly means (ConnectionError)."""
        try:
            yield
        except RuntimeError as error:
            reason = (str(error).splitlines() or [""])[0]
            if not _OF_A_COLLECTIVE.search(reason):
                raise
            raise ConnectionError(
                f"rank {self.rank} of {self.size}: a collective failed; "
                f"another instance has ended, or the wait was too long ({reason})"
            ) from error

    def _sum_float64(self, values: torch.Tensor) -> torch.Tensor:
        # a copy on purpose: the caller's tensor stays as it was
        total = values.detach().to(device=self.device, dtype=torch.float64, copy=True)
        return self.all_reduce_(total).cpu()

    def _sum_floats(self, values: Sequence[float]) -> List[float]:
        total = self._sum_float64(torch.tensor([float(value) for value in values], dtype=torch.float64))
        return [float(value) for value in total.tolist()]

    def _broadcast_text(self, text: str) -> str:
        raw = torch.tensor(list(text.encode("utf-8")), dtype=torch.uint8)
        length = self.broadcast_(torch.tensor([raw.numel()], dtype=torch.int64, device=self.device))
        return bytes(self._broadcast_bytes(raw, int(length.item())).tolist()).decode("utf-8")

    def _broadcast_bytes(self, body: torch.Tensor, num_bytes: int) -> torch.Tensor:
        if not self.is_root:
            body = torch.empty(num_bytes, dtype=torch.uint8)
        for start in range(0, num_bytes, BROADCAST_CHUNK_BYTES):
            chunk = body[start : start + BROADCAST_CHUNK_BYTES]
            chunk.copy_(self.broadcast_(chunk.to(self.device, copy=True)))
        return body


class SingleComm(Comm):
    """A job of one process: sums and broadcasts change nothing."""

    def __init__(self) -> None:
        super().__init__(rank=0, size=1, device=torch.device("cpu"))

    def all_reduce_(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the tensor: one process is the whole sum."""
        return tensor

    def broadcast_(self, tensor: torch.Tensor, root: int = 0) -> torch.Tensor:
        """Return the tensor: the root is this process."""
        return tensor

    def close(self) -> None:
        """Do nothing: there is no connection."""

    def abort(self) -> None:
        """Do nothing: there is no connection."""
