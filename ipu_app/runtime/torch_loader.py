"""torch's loader, kept from three habits: it draws from the generator that dropout draws from, its processes
die of the signals that are meant for the run, and what goes wrong in them comes as pages of traceback.
"""

from __future__ import annotations

import contextlib
import re
import signal
from typing import Any, Iterator, Optional

import torch

from ipu_app.errors import RunFailed
from ipu_app.runtime.base import Batch

STAY_S = 20  # seconds for which a loading process outlives a notice to end
_WORKER = re.compile(r"DataLoader worker \(pid(?:\(s\))?[^)]*\)+ ?(.*)", re.DOTALL)
_CAUGHT = re.compile(r"Caught (\w+) in (?:DataLoader worker process|pin memory thread)")


class TorchLoader:
    """Batches of ``batch_size`` keys in the sampler's order; its ``workers`` processes are kept."""

    def __init__(
        self, dataset: Any, sampler: Any, *, batch_size: int, workers: int, pin_memory: bool = False
    ) -> None:
        self._generator = torch.Generator()
        self._loader = torch.utils.data.DataLoader(
            dataset,
            batch_size=batch_size,
            sampler=sampler,
            num_workers=workers,
            drop_last=True,
            pin_memory=pin_memory,
            persistent_workers=workers > 0,
            worker_init_fn=stay_for_a_while,
            generator=self._generator,
        )
        self.dataset, self.batch_size, self.num_workers = dataset, batch_size, workers

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Batch]:
        """Workers get seeds that depend on nothing that happened before; images draw by key anyway."""
        self._generator.manual_seed(0)
        with explained_loading():
            yield from self._loader

    def close(self) -> None:
        """End the loading processes."""
        running = getattr(self._loader, "_iterator", None)
        if running is not None and hasattr(running, "_shutdown_workers"):
            running._shutdown_workers()
        self._loader._iterator = None


def stay_for_a_while(_: int = 0) -> None:
    """In a loading process: let the run end first, which a terminal or a scheduler told to end, too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave_later)


def _leave_later(number: int, frame: Any) -> None:
    signal.alarm(STAY_S)


@contextlib.contextmanager
def explained_loading() -> Iterator[None]:
    """Tell what goes wrong in loading processes in one line that names the setting."""
    try:
        yield
    except Exception as error:
        known = explanation(error)
        if known is None:
            raise
        raise known from error


def explanation(error: BaseException) -> Optional[Exception]:
    """Return an error of one line for one of torch's loader, None for any other."""
    said = str(error)
    worker = _WORKER.search(said)
    if worker and isinstance(error, RuntimeError):
        how = " ".join(worker.group(1).split()).rstrip(". ") or "exited unexpectedly"
        if "shared memory" in said or "Bus error" in said:
            lever = "/dev/shm is too small: enlarge it (docker: --shm-size), or use fewer data.workers"
        else:
            lever = "out of memory, most likely: use fewer data.workers (0: none)"
        return RunFailed(f"data.workers: a loading process {how:.100}; {lever}")
    caught = _CAUGHT.match(said)
    if caught is None:
        return None
    kind = caught.group(1)
    lines = [line for line in said.splitlines() if line.strip()]
    starts = [place for place, line in enumerate(lines) if re.match(rf"([\w.]+\.)?{kind}\b", line)]
    words = " ".join(lines[starts[-1] :] if starts else lines[-1:])
    words = re.sub(rf"^([\w.]+\.)?{kind}: ?", "", words)
    if kind in ("ValueError", "BadFile"):
        return ValueError(words)
    return RunFailed(f"data.source: loading an image failed ({kind}: {words:.300})")
