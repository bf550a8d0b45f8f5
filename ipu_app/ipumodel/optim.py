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
        self._variable = set(variable_attributes)
        self._allowed = list(allowed_attributes)

    def isConstant(self, attr: str) -> bool:
        """Whether the attribute is compiled in."""
        return attr not in self._variable

    def markAsConstant(self, attr: str) -> None:
        """Compile the attribute in; AssertionError for an unknown name."""
        self._check(attr)
        self._variable.discard(attr)

    def markAsVariable(self, attr: str) -> None:
        """Keep the attribute changeable; AssertionError for an unknown name."""
        self._check(attr)
        self._variable.add(attr)

    def _check(self, attr: str) -> None:
        assert attr in self._allowed, f"Unknown attribute {attr}: choose one of {self._allowed}"


class Optimizer:
    """What PopTorch adds to an optimizer: variable attributes, and state that lives on the device."""

    _child_vars: List[str] = ["loss_scaling"]
    _child_only: List[str] = ["loss_scaling"]
    _group_vars: List[str] = ["lr"]
    #: arguments PyTorch's constructor takes but the device never sees
    _host_only = ("foreach", "maximize", "differentiable", "capturable", "fused")

    variable_attrs: VariableAttributes

    def __init__(self) -> None:
        self._forget_state()

    def state_dict(self) -> Dict[str, Any]:
        """PyTorch's state and param_groups, and once there is device state: ipu_state and ipu_param."""
        return self.get_state_dict()

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Take over a state_dict() of this class; RuntimeError for one that holds no device state."""
        _check_state(state)
        super().load_state_dict({k: state[k] for k in ("state", "param_groups")})
        self.set_state_dict(state)

    def get_state_dict(self) -> Dict[str, Any]:
        """As state_dict; device state is read back from the device, unless newer state was loaded."""
        return {**self._device_state(), **super().state_dict()}

    def set_state_dict(self, state: Dict[str, Any]) -> None:
        """Set the device state to be used from the next compile, attach or call on."""
        _check_state(state)
        self._loaded = {k: state[k] for k in ("ipu_state", "ipu_param")}

    def has_state(self) -> bool:
        """Whether there is device state: on a device, or loaded and waiting for one."""
        return bool(self._device_state())

    def _device_state(self) -> Dict[str, Any]:
        if self._loaded is not None:
            return self._loaded
        return self._device.state_dict() if self._device is not None else {}

    def _bind(self, device: Any) -> None:
        self._device = device

    def _take_loaded(self) -> Optional[Dict[str, Any]]:
        """The state loaded since the last time, once."""
        loaded, self._loaded = self._loaded, None
        return loaded

    def _forget_state(self) -> None:
        self._device: Any = None
        self._loaded: Optional[Dict[str, Any]] = None

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
        # rest.
        return {k: v for k, v in self.__dict__.items() if k not in ("_device", "step")}

    def __setstate__(self, state: Dict[str, Any]) -> None:
        super().__setstate__({**state, "_device": None})


def _check_state(state: Dict[str, Any]) -> None:
    if not state:
        raise RuntimeError("Cannot load an optimizer state dictionary that is empty.")
    if not {"ipu_state", "ipu_param"} <= set(state):
        raise RuntimeError("Only IPU optimizer states can be loaded onto the IPU.")


def _check_argument(name: str, value: Any) -> None:
    if name.endswith("accum_type"):
        assert value in (torch.float16, torch.float32), f"{name}={value}: torch.float16 or torch.float32"
    if name == "max_grad_norm":
        assert not math.isnan(value), "max_grad_norm must not be NaN"


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
