"""The way of weights between host and device, as an executor's user sees it."""

from __future__ import annotations

from typing import Any, Dict, List

import torch
from torch import Tensor, nn

from ..device.weights import DeviceWeights
from . import host_model


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

    def _need_compiled(self) -> None:
        raise NotImplementedError

    def copyWeightsToHost(self) -> None:
        """Read parameters and buffers back from the device."""
        self._need_compiled()
        self._has_newer_weights = False
        self._weights.download()

    def copyWeightsToHostIfNeeded(self) -> bool:
        """Read them back if the device has newer ones; returns whether it had."""
        if not self._has_newer_weights or not self._training or self._engine is None:
            return False
        self.copyWeightsToHost()
        return True

    def copyWeightsToDevice(self) -> None:
        """Upload the host's parameters and buffers."""
        self._need_compiled()
        self._has_newer_weights = False
        self._weights.upload()
        self._uploaded_versions = self._host_versions()

    def copyNamedBuffersToDevice(self) -> None:
        """Upload the buffers named in Options.updatableNamedBuffers."""
        self._need_compiled()
        names = self._options.updatableNamedBuffers if self._options.exists("updatableNamedBuffers") else []
        self._weights.upload(only=set(names))

    def load_state_dict(self, state_dict: Dict[str, Tensor], strict: bool = True) -> Any:
        """Load weights into the model, and onto the device when attached."""
        self.copyWeightsToHostIfNeeded()
        result = self._user_model.load_state_dict(state_dict, strict)
        if self._is_attached:
            self.copyWeightsToDevice()
        return result

    def _take_new_weights(self) -> None:
        """Inference next to training of the same model: upload what the training executor has."""
        if self._training:
            return
        trainer = host_model.holder(self._user_model)
        if trainer is None:
            return
        trainer.copyWeightsToHostIfNeeded()
        if self._host_versions() != self._uploaded_versions:
            self.copyWeightsToDevice()

    def _host_versions(self) -> List[int]:
        with torch._C.DisableTorchFunction():
            return [tensor._version for tensor in self._weights.host_tensors()]
