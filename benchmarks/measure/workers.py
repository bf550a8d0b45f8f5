"""Each case in a process of its own: its peak memory is its own, and one that fails ends nobody else.

The processes stay alive, so that cases can take turns; only one works at a time.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Dict, Optional

from benchmarks.measure.cases import Case

PATIENCE_S = 600.0  # a compilation may take minutes


class CaseFailed(RuntimeError):
    """A case that could not be measured; the text says why, in one line."""


class Worker:
    """A process that holds one case's network: ``first_step`` builds and compiles, ``turn`` repeats it."""

    def __init__(self, case: Case, *, device: str, threads: int) -> None:
        methods = multiprocessing.get_all_start_methods()
        context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        if "forkserver" in methods:
            context.set_forkserver_preload(["benchmarks.measure.preload"])
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, case, device, threads), daemon=True)
        self._process.start()
        theirs.close()

    def first_step(self) -> Dict[str, Any]:
        """Build, compile and do the first step; returns first_step_s, seconds without imports."""
        return self._ask("build")

    def turn(self) -> float:
        """Do one step; returns its seconds."""
        return self._ask("step")

    def peak_memory_mb(self) -> Optional[float]:
        """Return the most memory (MB) that the case took so far beyond an idle process, if known."""
        return self._ask("memory")

    def _ask(self, question: str) -> Any:
        try:
            self._pipe.send(question)
            if not self._pipe.poll(PATIENCE_S):
                raise CaseFailed(f"no answer within {PATIENCE_S:.0f} s")
            answer = self._pipe.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            self._process.join(5)
            raise CaseFailed(f"the process ended with {self._process.exitcode}") from None
        if isinstance(answer, CaseFailed):
            raise answer
        return answer

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.terminate()
        self._process.join()


def _serve(pipe: Connection, case: Case, device: str, threads: int) -> None:
    """Answer questions until the other end closes, with nothing compiled before."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        _answer(pipe, case, device, threads)


def _answer(pipe: Connection, case: Case, device: str, threads: int) -> None:
    import torch

    from benchmarks.measure.networks import make_step
    from ipu_app.runtime.host_memory import keep_freed_memory

    torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = True  # shapes are fixed
    if device == "cpu":
        keep_freed_memory()  # as this project's own runtime does, here for every library
    idle_mb = _memory_mb(device, "VmRSS")
    step = None
    while True:
        try:
            question = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            started = time.perf_counter()
            if question == "build":
                step = make_step(case, device)
                step()
                pipe.send({"first_step_s": time.perf_counter() - started})
            elif question == "step":
                step()
                pipe.send(time.perf_counter() - started)
            else:
                peak_mb = _memory_mb(device, "VmHWM")
                pipe.send(None if peak_mb is None else peak_mb - (idle_mb or 0.0))
        except Exception as error:  # whatever it is belongs to this case alone and is told
            text = (str(error).strip().splitlines() or [""])[0]
            pipe.send(CaseFailed(f"{type(error).__name__}: {text}"[:200]))


def _memory_mb(device: str, field: str) -> Optional[float]:
    """Return resident (``VmRSS``) or peak (``VmHWM``) memory of this process; on CUDA the allocator's."""
    if device != "cpu":
        import torch

        return torch.cuda.max_memory_allocated() / 1e6 if field == "VmHWM" else 0.0
    status = Path("/proc/self/status")
    if not status.exists():  # Linux only
        return None
    lines = dict(line.split(":", 1) for line in status.read_text(encoding="ascii").splitlines())
    return int(lines[field].split()[0]) * 1024 / 1e6
