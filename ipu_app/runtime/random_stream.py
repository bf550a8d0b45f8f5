"""Random numbers of a training (dropout, drop-connect) that nothing else draws from."""

from __future__ import annotations

from typing import Any, Dict

import torch


class RandomStream:
    """The host's generator, and on CUDA the device's, as they were left by the last training call.

    Used as a context manager around a call: what is drawn inside goes on from the call before, whatever was
    drawn in between, and what is drawn outside does not notice.
    """

    def __init__(self, device: str) -> None:
        self._on_cuda = device.startswith("cuda")
        self._own = self._now()

    def __enter__(self) -> None:
        self._others = self._now()
        self._set(self._own)

    def __exit__(self, *_: Any) -> None:
        self._own = self._now()
        self._set(self._others)

    def state_dict(self) -> Dict[str, torch.Tensor]:
        """Return the state of the stream: ``random``, and ``random_cuda`` on CUDA."""
        return {name: value.clone() for name, value in self._own.items()}

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Take up what ``state_dict`` returned, as far as this device has such generators."""
        self._own = {name: state.get(name, value) for name, value in self._own.items()}

    def draw_as_old_loaders_did(self) -> None:
        """Make the draw by which an earlier version's loader began the next epoch of a run that it saved."""
        with self:
            torch.empty((), dtype=torch.int64).random_()

    def _now(self) -> Dict[str, torch.Tensor]:
        state = {"random": torch.get_rng_state()}
        if self._on_cuda:
            state["random_cuda"] = torch.cuda.get_rng_state()
        return state

    def _set(self, state: Dict[str, torch.Tensor]) -> None:
        torch.set_rng_state(state["random"])
        if self._on_cuda:
            torch.cuda.set_rng_state(state["random_cuda"])
