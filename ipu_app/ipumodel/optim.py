"""poptorch.optim: PyTorch's optimizers with the device's extra arguments.

The host objects only hold hyper-parameters; the update itself happens on the device (``device.optimizer``).
Attributes given to a constructor are variable: they may change from call to call through ``setOptimizer``.
All others are compiled in as constants, at PyTorch's default values.
"""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple

import torch

from ._logging import logger
from .device.optimizer import step_on_host


class VariableAttributes:
    """Which attributes of an optimizer may change after compilation."""

    def __init__(self, variable_attributes: List[str], allowed_attributes: List[str]) -> None:
        self._variable_attributes = list(variable_attributes)
        self._allowed_attributes = list(allowed_attributes)

    def isConstant(self, attr: str) -> bool:
        """Whether the attribute is compiled in."""
        return attr not in self._variable_attributes

    def markAsConstant(self, attr: str) -> None:
        """Compile the attribute in; AssertionError for an unknown name."""
        self._check(attr)
        self._variable_attributes = [name for name in self._variable_attributes if name != attr]

    def markAsVariable(self, attr: str) -> None:
        """Keep the attribute changeable; AssertionError for an unknown name."""
        self._check(attr)
        self._variable_attributes.append(attr)

    def _check(self, attr: str) -> None:
        assert attr in self._allowed_attributes, (
            f"Unknown attribute {attr}: choose one of {self._allowed_attributes}"
        )


class Optimizer:
    """What PopTorch adds to an optimizer: variable attributes, and state that lives on the device.

    ``_state_dict`` is the host's copy of the device's state, None before there was any.
    ``host_state_is_dirty``: the device has newer state, because the model ran. ``ipu_state_is_dirty``: the
    host's is to be written to the device, because it was loaded. An executor replaces ``state_dict`` by one
    that reads the device first.
    """

    _child_vars: List[str] = ["loss_scaling"]
    _child_only: List[str] = ["loss_scaling"]
    _group_vars: List[str] = ["lr"]
    #: arguments PyTorch's constructor takes but the device never sees
    _host_only = ("foreach", "maximize", "differentiable", "capturable", "fused")

    variable_attrs: VariableAttributes

    def __init__(self) -> None:
        self._forget_state()

    def state_dict(self) -> Dict[str, Any]:
        """ipu_state and ipu_param (both None as long as nothing was compiled), and PyTorch's state and
        param_groups for schedulers of rates."""
        return self.get_state_dict()

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Take over a state_dict() of this class; RuntimeError for one that holds no device state."""
        # A copy of PyTorch's part: torch 2.0 copies the whole dictionary, newer ones as little as possible.
        torch.optim.Optimizer.load_state_dict(self, {k: state[k] for k in ("state", "param_groups")})
        self.set_state_dict(state)

    def get_state_dict(self) -> Dict[str, Any]:
        """As state_dict, without a look at the device."""
        return {**self._state_dict, **torch.optim.Optimizer.state_dict(self)}

    def set_state_dict(self, state: Dict[str, Any]) -> None:
        """Set the device's state, to be written to it at the next attach, setOptimizer or call."""
        _check_state(state)
        self._state_dict = state
        self.ipu_state_is_dirty = True
        self.host_state_is_dirty = False

    def has_state(self) -> bool:
        """Whether the host has a copy of the device's state."""
        return self._state_dict.get("ipu_state") is not None and self._state_dict.get("ipu_param") is not None

    def _forget_state(self) -> None:
        self._state_dict: Dict[str, Any] = {"ipu_state": None, "ipu_param": None}
        self.ipu_state_is_dirty = self.host_state_is_dirty = False

    def _configure(self, params: Iterable[Any], given: Dict[str, Any], defaults: Dict[str, Any]) -> None:
        """Build PyTorch's part from the arguments that were given, keep the rest as attributes.

        ``defaults`` are the values of this class's own arguments; those named in _group_vars live in the
        groups.
        """
        explicit = {name: value for name, value in given.items() if value is not None}
        own = {name: explicit.get(name, default) for name, default in defaults.items()}
        self._forget_state()
        super().__init__(params, **{k: v for k, v in explicit.items() if k not in own})
        for name, value in own.items():
            _check_argument(name, value)
            if name in self._group_vars:
                self._set_group_default(name, value)
            else:
                setattr(self, name, value)
        self._mark_variables(explicit)

    def _mark_variables(self, explicit: Dict[str, Any]) -> None:
        allowed = [*self.defaults, *self._child_vars]
        self.variable_attrs = VariableAttributes([name for name in explicit if name in allowed], allowed)

    def _set_group_default(self, name: str, value: Any) -> None:
        self.defaults[name] = value
        for group in self.param_groups:
            group.setdefault(name, value)

    def __getstate__(self) -> Dict[str, Any]:
        # PyTorch keeps its own three attributes only: a copied optimizer would lose loss_scaling and the
        # rest. What an executor or a scheduler put over the methods stays behind.
        state = {k: v for k, v in self.__dict__.items() if k not in ("state_dict", "step", "_host_twin")}
        return {**state, "ipu_state_is_dirty": self.has_state(), "host_state_is_dirty": False}


def _check_state(state: Dict[str, Any]) -> None:
    if not state:
        raise RuntimeError("Cannot load optimizer state dictionary because it is empty.")
    if not {"ipu_state", "ipu_param"} <= set(state):
        raise RuntimeError("Only IPU optimizer states can be loaded onto the IPU.")


def _check_argument(name: str, value: Any) -> None:
    if name.endswith("accum_type"):
        assert value in (torch.float16, torch.float32), f"{name}={value}: torch.float16 or torch.float32"


_ACCUM_TYPES: Dict[str, Any] = {
    "loss_scaling": 1.0,
    "accum_type": torch.float32,
    "first_order_momentum_accum_type": torch.float32,
    "second_order_momentum_accum_type": torch.float32,
}
_MOMENT_NAMES = list(_ACCUM_TYPES)


class SGD(Optimizer, torch.optim.SGD):
    """SGD; ``use_combined_accum`` keeps gradient accumulator and velocity in one float32 buffer, so the
    types of the two are ignored; ``velocity_scaling`` is for that variant only.
    """

    _child_only = [
        "loss_scaling",
        "velocity_scaling",
        "use_combined_accum",
        "accum_type",
        "velocity_accum_type",
        "max_grad_norm",
    ]
    _group_vars = ["lr", "momentum", "dampening", "weight_decay", "nesterov", "velocity_scaling"]

    def __init__(  # noqa: PLR0913 - PopTorch's signature
        self,
        params: Iterable,
        lr: float,
        momentum: Optional[float] = None,
        dampening: Optional[float] = None,
        weight_decay: Optional[float] = None,
        nesterov: Optional[bool] = None,
        maximize: Optional[bool] = None,
        foreach: Optional[bool] = None,
        differentiable: Optional[bool] = None,
        loss_scaling: Optional[float] = None,
        velocity_scaling: Optional[float] = None,
        use_combined_accum: Optional[bool] = None,
        accum_type: Optional[torch.dtype] = None,
        velocity_accum_type: Optional[torch.dtype] = None,
        max_grad_norm: Optional[float] = None,
    ) -> None:
        given = {k: v for k, v in locals().items() if k not in ("self", "params", "__class__")}
        if not use_combined_accum and given.pop("velocity_scaling") is not None:
            logger.warning("velocity_scaling is ignored with use_combined_accum=False")
        defaults = {
            "loss_scaling": 1.0,
            **({"velocity_scaling": 1.0} if use_combined_accum else {}),
            "use_combined_accum": False,
            "accum_type": torch.float32,
            "velocity_accum_type": torch.float32,
            "max_grad_norm": math.inf,
        }
        self._configure(params, given, defaults)


class Adam(Optimizer, torch.optim.Adam):
    """Adam, with weight decay added to the gradient."""

    _child_only = [*_MOMENT_NAMES, "max_grad_norm"]
    _group_vars = ["lr", "betas", "eps", "weight_decay", "amsgrad"]

    def __init__(  # noqa: PLR0913 - PopTorch's signature
        self,
        params: Iterable,
        lr: Optional[float] = None,
        betas: Optional[Tuple[float, float]] = None,
        eps: Optional[float] = None,
        weight_decay: Optional[float] = None,
        amsgrad: Optional[bool] = None,
        foreach: Optional[bool] = None,
        maximize: Optional[bool] = None,
        capturable: Optional[bool] = None,
        differentiable: Optional[bool] = None,
        fused: Optional[bool] = None,
        loss_scaling: Optional[float] = None,
        accum_type: Optional[torch.dtype] = None,
        first_order_momentum_accum_type: Optional[torch.dtype] = None,
        second_order_momentum_accum_type: Optional[torch.dtype] = None,
        max_grad_norm: Optional[float] = None,
    ) -> None:
        given = {k: v for k, v in locals().items() if k not in ("self", "params", "__class__")}
        self._configure(params, given, {**_ACCUM_TYPES, "max_grad_norm": math.inf})


class AdamW(Optimizer, torch.optim.AdamW):
    """Adam with decoupled weight decay."""

    _child_only = ["bias_correction", *_MOMENT_NAMES, "max_grad_norm"]
    _group_vars = ["lr", "betas", "weight_decay", "eps", "amsgrad"]

    def __init__(  # noqa: PLR0913 - PopTorch's signature
        self,
        params: Iterable,
        lr: Optional[float] = None,
        betas: Optional[Tuple[float, float]] = None,
        eps: Optional[float] = None,
        weight_decay: Optional[float] = None,
        amsgrad: Optional[bool] = None,
        maximize: Optional[bool] = None,
        foreach: Optional[bool] = None,
        capturable: Optional[bool] = None,
        differentiable: Optional[bool] = None,
        fused: Optional[bool] = None,
        loss_scaling: Optional[float] = None,
        bias_correction: Optional[bool] = None,
        accum_type: Optional[torch.dtype] = None,
        first_order_momentum_accum_type: Optional[torch.dtype] = None,
        second_order_momentum_accum_type: Optional[torch.dtype] = None,
        max_grad_norm: Optional[float] = None,
    ) -> None:
        given = {k: v for k, v in locals().items() if k not in ("self", "params", "__class__")}
        self._configure(params, given, {**_ACCUM_TYPES, "bias_correction": True, "max_grad_norm": math.inf})


class RMSprop(Optimizer, torch.optim.RMSprop):
    """RMSprop; ``use_tf_variant`` puts eps inside the root and lr inside the momentum, and starts at 1."""

    _child_only = [*_MOMENT_NAMES, "use_tf_variant"]
    _group_vars = ["lr", "momentum", "weight_decay", "alpha", "eps", "centered"]

    def __init__(  # noqa: PLR0913 - PopTorch's signature
        self,
        params: Iterable,
        lr: Optional[float] = None,
        alpha: Optional[float] = None,
        eps: Optional[float] = None,
        weight_decay: Optional[float] = None,
        momentum: Optional[float] = None,
        centered: Optional[bool] = None,
        foreach: Optional[bool] = None,
        maximize: Optional[bool] = None,
        differentiable: Optional[bool] = None,
        loss_scaling: Optional[float] = None,
        accum_type: Optional[torch.dtype] = None,
        first_order_momentum_accum_type: Optional[torch.dtype] = None,
        second_order_momentum_accum_type: Optional[torch.dtype] = None,
        use_tf_variant: Optional[bool] = None,
    ) -> None:
        given = {k: v for k, v in locals().items() if k not in ("self", "params", "__class__")}
        self._configure(params, given, {**_ACCUM_TYPES, "use_tf_variant": False})


class LAMB(Optimizer, torch.optim.Optimizer):
    """LAMB: AdamW's step scaled per tensor by the ratio of weight norm to step norm."""

    #: read by the device, which can not tell it by a class of torch
    device_kind = "LAMB"
    _child_only = ["bias_correction", *_MOMENT_NAMES]
    _group_vars = ["lr", "weight_decay", "betas", "eps", "max_weight_norm"]

    def __init__(  # noqa: PLR0913 - PopTorch's signature
        self,
        params: Iterable,
        lr: Optional[float] = None,
        betas: Tuple[float, float] = None,
        eps: Optional[float] = None,
        weight_decay: Optional[float] = None,
        bias_correction: Optional[bool] = None,
        loss_scaling: Optional[float] = None,
        max_weight_norm: Optional[float] = None,
        accum_type: Optional[torch.dtype] = None,
        first_order_momentum_accum_type: Optional[torch.dtype] = None,
        second_order_momentum_accum_type: Optional[torch.dtype] = None,
    ) -> None:
        given = {k: v for k, v in locals().items() if k not in ("self", "params", "__class__")}
        hyper = {
            "lr": 1e-3,
            "betas": (0.9, 0.999),
            "eps": 1e-8,
            "weight_decay": 0.0,
            "max_weight_norm": 65500.0,
        }
        own = {**_ACCUM_TYPES, "bias_correction": True}
        explicit = {name: value for name, value in given.items() if value is not None}
        self._forget_state()
        torch.optim.Optimizer.__init__(self, params, {k: explicit.get(k, v) for k, v in hyper.items()})
        for name, default in own.items():
            _check_argument(name, explicit.get(name, default))
            setattr(self, name, explicit.get(name, default))
        self._mark_variables(explicit)

    @torch.no_grad()
    def step(self, closure: Optional[Callable] = None) -> Optional[float]:
        """One update on the host, with the gradients in ``.grad``."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        step_on_host(self)
        return loss
