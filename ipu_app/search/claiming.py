"""No candidate twice: how processes that share a study agree on who evaluates which network.

Storages promise only that what is written is seen by whoever reads later. A trial first writes which network
it drew, then looks at the other trials of the same network. It yields to one that already decided to evaluate
it, and to one of a lower number; it waits for those of a higher number to decide. Of two that write at the
same time at least one sees the other, and the rule is never circular: waiting goes from lower to higher
numbers only.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from typing import Any, Callable, Dict, List

KEY, DECIDED, OWNER, BEAT = "network", "evaluates", "owner", "beat"
BEAT_S = 5.0
DEAD_AFTER_S = 90.0
POLL_S = 0.05


def owner_name() -> str:
    """Return who this process is: host and process number."""
    return f"{socket.gethostname()}:{os.getpid()}"


def claim(study: Any, trial: Any, key: str) -> bool:
    """Return whether this trial is the one to evaluate the network ``key``."""
    trial.set_user_attr(KEY, key)
    while True:
        others = [t for t in _same_network(study, key) if t.number != trial.number and is_alive(t)]
        decided = any(t.user_attrs.get(DECIDED) is True for t in others)
        lower = any(t.number < trial.number and t.user_attrs.get(DECIDED) is not False for t in others)
        if decided or lower:
            trial.set_user_attr(DECIDED, False)
            return False
        if all(DECIDED in t.user_attrs for t in others):
            trial.set_user_attr(DECIDED, True)
            return True
        time.sleep(POLL_S)


def _same_network(study: Any, key: str) -> List[Any]:
    return [t for t in study.get_trials(deepcopy=False) if t.user_attrs.get(KEY) == key]


def is_alive(trial: Any) -> bool:
    """Tell whether a trial is finished, or its process still at work; a failed one counts as never begun."""
    state = trial.state.name
    if state != "RUNNING":
        return bool(state in ("COMPLETE", "PRUNED"))
    host, _, process = str(trial.user_attrs.get(OWNER, ":")).rpartition(":")
    if host == socket.gethostname() and process.isdigit():
        return _runs(int(process))
    return time.time() - float(trial.user_attrs.get(BEAT, _started(trial))) < DEAD_AFTER_S


def _started(trial: Any) -> float:
    return trial.datetime_start.timestamp() if trial.datetime_start else time.time()


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def dead_trials(study: Any) -> List[Any]:
    """Return the trials that a process left behind when it was killed."""
    return [t for t in study.get_trials(deepcopy=False) if t.state.name == "RUNNING" and not is_alive(t)]


class Heartbeat:
    """Lets other hosts know that a trial's process lives, for as long as the ``with`` block lasts."""

    def __init__(self, beat: Callable[[float], None]) -> None:
        self._beat, self._ended = beat, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._ended.wait(BEAT_S):
            self._beat(time.time())

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


def mark_owner(trial: Any) -> None:
    """Write into a trial whose it is."""
    facts: Dict[str, Any] = {OWNER: owner_name(), BEAT: time.time()}
    for name, value in facts.items():
        trial.set_user_attr(name, value)
