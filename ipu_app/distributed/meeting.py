"""How the processes of a torch job find each other at MASTER_ADDR and MASTER_PORT, or say soon why not.

torch waits for an hour where another program listens at the port, or where one process never came: the same
patience that a compilation needs. Here the three waits are apart: for somebody to listen, for an answer, for
all to be there.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from datetime import timedelta
from typing import Any, Callable, Iterator, List, Tuple

import torch.distributed as dist

from ipu_app.distributed.world import World

ARRIVE_S = 600.0  # processes of a job may start so far apart
ANSWER_S = 10.0  # rank 0 answers at once, from a thread of its own
_HERE = "ipu_app/rank-"


def meet(world: World, arrive_s: float = ARRIVE_S) -> Any:
    """Return the store through which the processes of a job exchange addresses, once all of them are there.

    ValueError where MASTER_PORT is another program's; ConnectionError where somebody does not come.
    """
    place = f"MASTER_ADDR={world.master_addr}, MASTER_PORT={world.master_port}"
    if world.rank == 0:
        _refuse_used_port(world)
    else:
        _wait_for_listener(world, place, arrive_s)
    with _naming_place(
        f"{place}: who listens there does not answer as this job's rank 0: the port is another job's"
    ):
        store, size = _answered(lambda: _ask(world), world.master_port)
    _refuse_other_job(store, world, size, place)
    _wait_for_all(store, world, place, arrive_s)
    return store


def _ask(world: World) -> Tuple[Any, str]:
    """Join the store and return it with the number of processes that its job has."""
    patience, is_root = timedelta(seconds=ANSWER_S), world.rank == 0
    host, port = str(world.master_addr), world.master_port
    store = dist.TCPStore(host, port, world.size, is_root, patience, wait_for_workers=False)
    if is_root:
        store.set(f"{_HERE}size", str(world.size))
    store.wait([f"{_HERE}size"], patience)
    return store, store.get(f"{_HERE}size").decode()


def _answered(ask: Callable[[], Tuple[Any, str]], port: int) -> Tuple[Any, str]:
    """Return what ``ask`` does within ``ANSWER_S``: torch waits longer for a program that never answers."""
    found: List[Any] = []

    def keep() -> None:
        try:
            found.append(ask())
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=keep, daemon=True)
    thread.start()
    thread.join(ANSWER_S)
    if not found:
        _hang_up(port)  # a thread inside torch would abort the process at its end
        thread.join(ANSWER_S)
        raise RuntimeError(f"no answer within {ANSWER_S:.0f} s")
    if isinstance(found[0], Exception):
        raise found[0]
    answer: Tuple[Any, str] = found[0]
    return answer


def _hang_up(port: int) -> None:
    """Break this process's connections to a port, so that whoever waits for an answer there gives up."""
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(int(name))) as connection:
            if connection.getpeername()[1] == port:
                connection.shutdown(socket.SHUT_RDWR)


def _refuse_used_port(world: World) -> None:
    """Find out in words, before torch does in pages."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", world.master_port))
            probe.listen(1)
        except OSError as error:
            raise ValueError(
                f"MASTER_PORT={world.master_port}: rank 0 can not listen there ({error.strerror}); "
                "give each job of this machine a port of its own"
            ) from None


def _wait_for_listener(world: World, place: str, arrive_s: float) -> None:
    deadline, reason = time.monotonic() + arrive_s, ""
    while time.monotonic() < deadline:
        try:
            socket.create_connection((str(world.master_addr), world.master_port), timeout=5).close()
            return
        except OSError as error:
            reason = error.strerror or str(error)
            time.sleep(0.2)
    raise ConnectionError(f"rank {world.rank}: rank 0 is not at {place} after {arrive_s:.0f} s ({reason})")


def _refuse_other_job(store: Any, world: World, size: str, place: str) -> None:
    if size != str(world.size) or store.add(f"{_HERE}{world.rank}", 1) > 1:
        raise ValueError(
            f"{place}: another job of {size} processes meets there, and has a rank {world.rank} already; "
            "give each job of this machine a port of its own"
        )
    store.set(f"{_HERE}{world.rank}-came", "1")


def _wait_for_all(store: Any, world: World, place: str, arrive_s: float) -> None:
    names = [f"{_HERE}{rank}-came" for rank in range(world.size)]
    try:
        store.wait(names, timedelta(seconds=arrive_s))
    except RuntimeError:
        missing = ", ".join(str(rank) for rank in _missing(store, names))
        raise ConnectionError(
            f"rank {world.rank} of {world.size}: ranks {missing or 'unknown'} did not come to {place} within "
            f"{arrive_s:.0f} s, or rank 0 has ended"
        ) from None


def _missing(store: Any, names: List[str]) -> List[int]:
    found = []
    for rank, name in enumerate(names):
        try:
            store.wait([name], timedelta(milliseconds=200))
        except RuntimeError as error:
            if "time" not in str(error).lower():  # else rank 0, and the store with it, has ended
                return []
            found.append(rank)
    return found


@contextlib.contextmanager
def _naming_place(words: str) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        reason = (str(error).splitlines() or [""])[0]
        raise ConnectionError(f"{words} ({reason:.100})") from None
