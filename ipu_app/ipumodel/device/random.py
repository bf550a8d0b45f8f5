"""Random numbers on the device: one stream per replica, new draws in every execution, the host's generator
untouched.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
from typing import Iterator, List, Optional

import torch


class DeviceRandom:
    """Seeds for every micro-batch, derived from (seed, number of executions, micro-batch, replica)."""

    def __init__(self, seed: Optional[int]) -> None:
        self._seed = random.SystemRandom().getrandbits(63) if seed is None else seed
        self._executions = 0

    @property
    def state(self) -> List[int]:
        """What has to be stored to draw the same numbers again."""
        return [self._seed, self._executions]

    @state.setter
    def state(self, state: List[int]) -> None:
        if len(state) not in (1, 2) or not all(isinstance(value, int) for value in state):
            raise ValueError("rng_state: a list of one or two ints, as read from an executor's rng_state")
        self._seed, self._executions = [*state, 0][:2]

    @property
    def has_run(self) -> bool:
        """Whether numbers were drawn."""
        return self._executions > 0

    def next_execution(self) -> None:
        """Count one execution: what follows draws anew."""
        self._executions += 1

    def seed_micro_batch(self, micro_batch: int, replica: int) -> None:
        """Seed torch's host generator for one micro-batch on one replica (numbered over all processes)."""
        torch.default_generator.manual_seed(self.derived(micro_batch, replica))

    def derived(self, micro_batch: int, replica: int) -> int:
        """A seed of its own for each micro-batch and replica of the current execution."""
        text = f"{self._seed}/{self._executions}/{micro_batch}/{replica}".encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1


@contextlib.contextmanager
def host_generator_kept() -> Iterator[None]:
    """Give the host's generator back its state afterwards."""
    state = torch.default_generator.get_state()
    try:
        yield
    finally:
        torch.default_generator.set_state(state)
