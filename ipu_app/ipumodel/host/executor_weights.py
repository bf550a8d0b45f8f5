"""The way of weights between host and device, as an executor's user sees it."""

from __future__ import annotations

from typing import Any, Callable, Dict, List

import torch
from torch import Tensor, nn

from .._errors import py_error
from .._logging import logger
from ..device.weights import DeviceWeights


class Weights:
    """The copying half of PoplarExecutor."""

    _engine: Any
    _options: Any
    _user_model: nn.Module
    _weights: DeviceWeights
    _training: bool
    _is_attached: bool
    _has_newer_weights: bool
    _uploaded_versions: List[int]
    _followed: Any
    _need_compiled: Callable[[], None]
    _sync_optimizer_state: Callable[[], None]

    def copyWeightsToHost(self) -> None:
        """Read parameters and buffers back from the device."""
        self._need_compiled()
        self._has_newer_weights = False
        self._weights.download()

    def copyWeightsToHostIfNeeded(self) -> bool:
        """Read them back if the device has newer ones; returns whether it had."""
        if not self._has_newer_weights or not self._training or self._engine is None:
            return False
        logger.debug("Implicit copyWeightsToHost()")
        self.copyWeightsToHost()
        return True

    def copyWeightsToDevice(self) -> None:
        """Upload the host's parameters and buffers."""
        self._need_compiled()
        self._has_newer_weights = False
        self._sync_optimizer_state()
        self._weights.upload()
        self._uploaded_versions = self._host_versions()

    def copyNamedBuffersToDevice(self) -> None:
        """Upload the buffers named in Options.updatableNamedBuffers; Error if none are."""
        self._need_compiled()
        names = self._options._Popart.options.get("updatableNamedBuffers")
        if names is None:
            raise py_error("No named buffers marked as updatable via updatableNamedBuffers option")
        self._has_newer_weights = False
        self._sync_optimizer_state()
        self._weights.upload(only=set(names))

    def load_state_dict(self, state_dict: Dict[str, Tensor], strict: bool = True) -> Any:
        """Load weights into the model, and onto the device when attached."""
        self.copyWeightsToHostIfNeeded()
        result = self._user_model.load_state_dict(state_dict, strict)
        if self._is_attached:
            self.copyWeightsToDevice()
        return result

    def _take_new_weights(self) -> None:
        """Inference next to training of the same model: upload what the training executor has, if that was
        there when this one was made. PopTorch's inference executors keep their weights otherwise.
        """
        trainer = self._followed
        if self._training or trainer is None:
            return
        trainer.copyWeightsToHostIfNeeded()
        if self._host_versions() != self._uploaded_versions:
            self.copyWeightsToDevice()

    def _host_versions(self) -> List[int]:
        with torch._C.DisableTorchFunction():
            return [tensor._version for tensor in self._weights.host_tensors()]
