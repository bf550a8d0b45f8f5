"""Notices within seconds that another process of the job has ended, whatever this one is doing.

A collective fails at once with gloo, after an hour with nccl, and not at all while a process is busy by
itself. Each process keeps a connection to rank 0, which the system closes when a process ends in whatever
way; who ends in good order says so first. The main thread is left ``GRACE_S`` to end by its own error, which
says more.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sys
import threading
import time
from typing import Any, Dict, List, Optional

GRACE_S = 4.0
ADDRESS = "ipu_app/lifeline"
_BYE = b"b"


class Lifeline:
    """The connections of one process; ``store`` tells where rank 0 listens."""

    def __init__(self, store: Any, rank: int, size: int, host: str) -> None:
        self._rank, self._size = rank, size
        self._peers: Dict[socket.socket, int] = {}
        self._is_closed = False
        self._lock = threading.Lock()
        if rank == 0:
            self._listen(store)
        else:
            port = int(store.get(ADDRESS))
            connection = socket.create_connection((host, port), timeout=60)
            connection.sendall(rank.to_bytes(4, "big"))
            self._keep(connection, 0)
        threading.Thread(target=self._watch, daemon=True).start()

    def _listen(self, store: Any) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
            server.bind(("0.0.0.0", 0))
            server.listen(self._size)
            store.set(ADDRESS, str(server.getsockname()[1]))
            server.settimeout(60)
            while len(self._peers) < self._size - 1:
                connection, _ = server.accept()
                connection.settimeout(60)
                self._keep(connection, int.from_bytes(connection.recv(4), "big"))

    def _keep(self, connection: socket.socket, rank: int) -> None:
        connection.settimeout(None)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
            if hasattr(socket, name):  # a host that is gone closes nothing
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self._peers[connection] = rank

    def close(self) -> None:
        """Part in good order: nobody takes it for an accident."""
        with self._lock:
            self._is_closed = True
            for connection in self._peers:
                with contextlib.suppress(OSError):
                    connection.sendall(_BYE)
                    connection.shutdown(socket.SHUT_RDWR)

    def abort(self) -> None:
        """Part after an error: the others get to know."""
        with self._lock:
            self._is_closed = True
            for connection in self._peers:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _watch(self) -> None:
        waiting: List[socket.socket] = list(self._peers)
        while waiting and not self._is_closed:
            for connection in select.select(waiting, [], [], 1.0)[0]:
                gone = self._read(connection)
                waiting.remove(connection)
                if gone is not None:
                    self._end(gone)
                    return

    def _read(self, connection: socket.socket) -> Optional[int]:
        """Return the rank that has ended without a word, None where it said good-bye."""
        try:
            word = connection.recv(1)
        except OSError:
            word = b""
        return None if word == _BYE else self._peers[connection]

    def _end(self, gone: int) -> None:
        """Pass it on, leave the main thread its time, and end."""
        deadline = time.monotonic() + GRACE_S
        for connection in self._peers:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        while time.monotonic() < deadline:
            if self._is_closed:
                return
            time.sleep(0.05)
        with contextlib.suppress(OSError, ValueError):
            words = f"rank {self._rank} of {self._size}: rank {gone} has ended, and the job with it"
            sys.stderr.write(f"ipu_app: error: {words}\n")
            sys.stderr.flush()
        os._exit(1)
