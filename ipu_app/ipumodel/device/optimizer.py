"""The optimizer on the device: its own copy of hyper-parameters and state, updated from accumulated
gradients."""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, List, Optional, Tuple

import torch

from .._errors import py_error
from .optimizer_rules import RULES, State, Tensors, Values
from .optimizer_snapshot import OptimizerSnapshot, read_optimizer, trained_parameters

#: state list -> its name in a state_dict
_STATE_NAMES = {"m": "Accl1___", "v": "Accl2___", "c": "Accl3___"}
_STEP = "Step"

Rounding = Callable[[torch.Tensor, torch.dtype], torch.Tensor]


class DeviceOptimizer:
    """Updates weights in place by the rule and the hyper-parameters of a host optimizer.

    ``named_parameters`` are the wrapped model's parameters by name: the optimizer's are found among them by
    data pointer (KeyError otherwise); parameters in no group or without requires_grad are left alone.
    ``device_parameters`` are the tensors to update, by the same names; default: the same tensors.
    ``snapshot`` is an earlier reading of the optimizer to work from (PopTorch reads it when a model is
    wrapped); default: it is read now. ``round_weights(values, dtype)`` turns float32 results into half
    weights; default: to nearest.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        named_parameters: Dict[str, torch.Tensor],
        device_parameters: Optional[Dict[str, torch.Tensor]] = None,
        *,
        auto_loss_scaling: bool = False,
        round_weights: Optional[Rounding] = None,
        snapshot: Optional[OptimizerSnapshot] = None,
    ) -> None:
        self._auto_loss_scaling = auto_loss_scaling
        self._round_weights = round_weights
        self._optimizer = optimizer
        self._snapshot = snapshot or read_optimizer(optimizer, auto_loss_scaling)
        self._steps = 0
        self.loss_scaling = float(self._snapshot.loss_scaling.value)
        targets = named_parameters if device_parameters is None else device_parameters
        names = {p.data_ptr(): name for name, p in named_parameters.items()}
        self._groups = [
            _Group(
                {names[p.data_ptr()]: targets[names[p.data_ptr()]].detach() for p in parameters},
                self._snapshot,
                i,
            )
            for i, parameters in enumerate(trained_parameters(optimizer))
        ]
        self._bind(optimizer)

    @property
    def snapshot(self) -> OptimizerSnapshot:
        """The hyper-parameters in force."""
        return self._snapshot

    @property
    def accum_type(self) -> torch.dtype:
        """The type gradients are accumulated in."""
        return self._snapshot.accum_type

    @property
    def names(self) -> List[str]:
        """The parameters that get updates, in the order of the groups."""
        return [name for group in self._groups for name in group.weights]

    def update(self, optimizer: torch.optim.Optimizer) -> None:
        """setOptimizer: take over changed variables; ValueError or Error for what can not change.

        Device state is kept, unless the optimizer has state loaded into it.
        """
        new = read_optimizer(optimizer, self._auto_loss_scaling)
        self._snapshot.check_replacement(new)
        if not (self._auto_loss_scaling and new.loss_scaling.value == self._snapshot.loss_scaling.value):
            self.loss_scaling = float(new.loss_scaling.value)
        self._snapshot = new
        if optimizer is not self._optimizer:
            self._optimizer = optimizer
        self._bind(optimizer)

    @torch.no_grad()
    def step(self, grads: Dict[str, torch.Tensor]) -> None:
        """One weight update from reduced, still loss-scaled gradients by name; ``grads`` are overwritten."""
        self._load_pending()
        self._steps += 1
        present = [(group, group.gather(grads)) for group in self._groups]
        if self.loss_scaling != 1.0:
            for _, work in present:
                if work.g:
                    torch._foreach_mul_(work.g, 1.0 / self.loss_scaling)
        self._clip([gradient for _, work in present for gradient in work.g])
        for (group, work), values in zip(present, self._snapshot.groups):
            if work.w:
                hyper: Values = {name: item.value for name, item in values.items()}
                hyper.update(step=self._steps, bias_correction=self._snapshot.attributes["bias_correction"])
                group.rule(work.w, work.g, work.state, hyper)
                group.scatter(work, self._round_weights)

    def state_dict(self) -> Dict[str, Dict[str, torch.Tensor]]:
        """A copy of the state: ipu_state (by parameter, and the step count) and ipu_param (loss scaling,
        rates)."""
        state = {name: tensor.clone() for group in self._groups for name, tensor in group.named_state()}
        state[_STEP] = torch.tensor(float(self._steps))
        parameters = {"lossScaling": torch.tensor(self.loss_scaling)}
        for index, group in enumerate(self._snapshot.groups):
            parameters[f"learningRate___group{index}"] = torch.tensor(float(group["lr"].value))
        return {"ipu_state": state, "ipu_param": parameters}

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Take over a state_dict(); RuntimeError if it is none, Error if it belongs to other parameters."""
        if not {"ipu_state", "ipu_param"} <= set(state):
            raise RuntimeError("Only IPU optimizer states can be loaded onto the IPU.")
        values = state["ipu_state"]
        own = dict(item for group in self._groups for item in group.named_state())
        missing = sorted(set(own) - set(values))
        if missing:
            raise py_error(
                f"The optimizer state holds nothing for {missing[0]} (and {len(missing) - 1} more)"
            )
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(values[name])
        self._steps = int(values.get(_STEP, torch.tensor(0.0)).item())
        if self._auto_loss_scaling and "lossScaling" in state["ipu_param"]:
            self.loss_scaling = float(state["ipu_param"]["lossScaling"])

    def _bind(self, optimizer: Any) -> None:
        """Let a poptorch.optim object read its state here, and bring along the state it already has."""
        if not hasattr(optimizer, "_bind"):
            return
        if optimizer._device is not None and optimizer._device is not self and optimizer._loaded is None:
            optimizer.set_state_dict(optimizer._device.state_dict())
        optimizer._bind(self)
        self._load_pending()

    def _load_pending(self) -> None:
        take = getattr(self._optimizer, "_take_loaded", None)
        loaded = take() if take is not None else None
        if loaded is not None:
            self.load_state_dict(loaded)

    def _clip(self, gradients: Tensors) -> None:
        limit = self._snapshot.attributes["max_grad_norm"]
        if math.isinf(limit) or not gradients:
            return
        norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
        factor = limit / torch.clamp(norm, min=limit)
        for gradient in gradients:
            gradient.mul_(factor)


class _Work:
    """Weights, gradients and state of one group as a rule sees them: all of one type, aligned."""

    def __init__(self, names: List[str], w: Tensors, g: Tensors, state: State) -> None:
        self.names = names
        self.w = w
        self.g = g
        self.state = state


class _Group:
    """The device tensors of one parameter group: weights by name, and state of the types the optimizer asks
    for."""

    def __init__(self, weights: Dict[str, torch.Tensor], snapshot: OptimizerSnapshot, index: int) -> None:
        self.weights = weights
        self.state: Dict[str, Dict[str, torch.Tensor]] = {
            key: {name: torch.full_like(w, start, dtype=_state_type(w, dtype)) for name, w in weights.items()}
            for key, (start, dtype) in _state_lists(snapshot, index).items()
        }
        self.rule = RULES[_rule_name(snapshot, "m" in self.state)]
        if self.rule is RULES["SGDCombined"]:
            values = snapshot.groups[index]
            decay = (1.0 - values["dampening"].value) * values["weight_decay"].value
            for name, weight in weights.items():
                self.state["m"][name].add_(weight, alpha=decay)

    def gather(self, grads: Dict[str, torch.Tensor]) -> _Work:
        """The parameters that have a gradient; half tensors are widened to float32 copies."""
        names = [name for name in self.weights if name in grads]
        return _Work(
            names,
            [_widen(self.weights[name]) for name in names],
            [grads[name].to(_work_type(self.weights[name])) for name in names],
            {key: [_widen(tensors[name]) for name in names] for key, tensors in self.state.items()},
        )

    def scatter(self, work: _Work, round_weights: Optional[Rounding]) -> None:
        """Write widened copies back, rounded to the types on the device."""
        for name, value in zip(work.names, work.w):
            weight = self.weights[name]
            if weight is not value:
                weight.copy_(value if round_weights is None else round_weights(value, weight.dtype))
        for key, values in work.state.items():
            for name, value in zip(work.names, values):
                if self.state[key][name] is not value:
                    self.state[key][name].copy_(value)

    def named_state(self) -> List[Tuple[str, torch.Tensor]]:
        """State tensors under their names in a state_dict."""
        return [
            (_STATE_NAMES[key] + name, tensor)
            for key, tensors in self.state.items()
            for name, tensor in tensors.items()
        ]


def step_on_host(optimizer: Any) -> None:
    """One update of a host optimizer from its parameters' ``.grad``, by the device's rule (LAMB.step)."""
    twin = optimizer.__dict__.get("_host_twin")
    parameters = {
        f"{i}": p for i, p in enumerate(p for group in optimizer.param_groups for p in group["params"])
    }
    if twin is None:
        twin = optimizer.__dict__["_host_twin"] = _host_twin(optimizer, parameters)
    twin._snapshot = read_optimizer(optimizer)
    twin.loss_scaling = 1.0
    twin.step({name: p.grad.detach().clone() for name, p in parameters.items() if p.grad is not None})


def _host_twin(optimizer: Any, parameters: Dict[str, torch.Tensor]) -> DeviceOptimizer:
    bound = optimizer._device, optimizer._loaded
    twin = DeviceOptimizer(optimizer, parameters)
    optimizer._device, optimizer._loaded = bound
    return twin


def _state_lists(snapshot: OptimizerSnapshot, index: int) -> Dict[str, Tuple[float, torch.dtype]]:
    """State list -> (start value, type) for one group. A constant momentum of 0 needs no buffer."""
    attributes = snapshot.attributes
    first, second = (
        attributes["first_order_momentum_accum_type"],
        attributes["second_order_momentum_accum_type"],
    )
    if snapshot.kind in ("Adam", "AdamW", "LAMB"):
        return {"m": (0.0, first), "v": (0.0, second)}
    momentum = snapshot.groups[index]["momentum"]
    has_momentum = momentum.value != 0 or not momentum.is_const
    if snapshot.kind == "SGD":
        velocity = torch.float32 if snapshot.is_combined else attributes["velocity_accum_type"]
        return {"m": (0.0, velocity)} if has_momentum else {}
    lists = {"v": (1.0 if attributes["use_tf_variant"] else 0.0, second)}
    if snapshot.centered:
        lists["c"] = (0.0, first)
    if has_momentum:
        lists["m"] = (0.0, first)
    return lists


def _rule_name(snapshot: OptimizerSnapshot, has_momentum: bool) -> str:
    if snapshot.kind == "RMSprop" and snapshot.attributes["use_tf_variant"]:
        return "RMSpropTF"
    return "SGDCombined" if snapshot.is_combined and has_momentum else snapshot.kind


def _state_type(weight: torch.Tensor, dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if weight.dtype == torch.float64 else dtype


def _work_type(tensor: torch.Tensor) -> torch.dtype:
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32


def _widen(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to(_work_type(tensor))
