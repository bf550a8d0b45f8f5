"""The optimizer on the device: its own copy of hyper-parameters and state, updated from accumulated
gradients."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Tuple

import torch

from .._logging import logger
from . import optimizer_names
from .optimizer_rules import RULES, State, Tensors, Values
from .optimizer_snapshot import OptimizerSnapshot, Value, read_optimizer, trained_parameters

#: kind of optimizer -> state list -> the prefix of its name in a state_dict
_STATE_NAMES = {
    "SGD": {"m": "Accl1___"},
    "SGDCombined": {"m": "Accl___"},
    "RMSprop": {"v": "Accl1___", "c": "Accl2___", "m": "Accl3___"},
    "RMSpropTF": {"v": "Accl1___", "c": "Accl2___", "m": "Accl3___"},
}
_ADAM_STATE_NAMES = {"m": "Accl1___", "v": "Accl2___"}
#: the same in files of earlier versions of this simulator, which counted steps once for all weights
_OLD_STATE_NAMES = {"m": "Accl1___", "v": "Accl2___", "c": "Accl3___"}
_OLD_STEP = "Step"
_STEP = "Step___"

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
        self._snapshot = snapshot or read_optimizer(optimizer, auto_loss_scaling)
        self._base_scaling = float(self._snapshot.loss_scaling.value)
        self._scale_factor = 1.0
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

    @property
    def loss_scaling(self) -> float:
        """The factor in force: the optimizer's, times what automatic loss scaling made of it."""
        return self._base_scaling * self._scale_factor

    @loss_scaling.setter
    def loss_scaling(self, scaling: float) -> None:
        self._scale_factor = scaling / self._base_scaling

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

    def update(self, new: OptimizerSnapshot) -> None:
        """setOptimizer: take over changed variables; ValueError or Error for what can not change.

        Device state is kept.
        """
        self._snapshot.check_replacement(new)
        self._base_scaling = float(new.loss_scaling.value)
        self._snapshot = new
        for index, group in enumerate(self._groups):
            group.take_values(new, index)

    @torch.no_grad()
    def step(self, grads: Dict[str, torch.Tensor]) -> None:
        """One weight update from reduced, still loss-scaled gradients by name; ``grads`` are overwritten."""
        present = [(group, part, group.gather(part, grads)) for group in self._groups for part in group.parts]
        if self.loss_scaling != 1.0:
            for _, _, work in present:
                if work.g:
                    torch._foreach_mul_(work.g, 1.0 / self.loss_scaling)
        self._clip([gradient for _, _, work in present for gradient in work.g])
        correction = self._snapshot.attributes["bias_correction"]
        for group, part, work in present:
            part.step += 1
            if work.w:
                group.rule(
                    work.w,
                    work.g,
                    work.state,
                    {**part.values, "step": part.step, "bias_correction": correction},
                )
                group.scatter(work, self._round_weights)

    def state_dict(self) -> Dict[str, Dict[str, torch.Tensor]]:
        """A copy of the state: ipu_state (by weight) and ipu_param (loss scaling and other scalars that may
        change, by weight).
        """
        state = {name: tensor.clone() for group in self._groups for name, tensor in group.named_state()}
        parameters = {
            name: torch.tensor(value) for group in self._groups for name, value in group.named_scalars()
        }
        if not self._snapshot.loss_scaling.is_const:
            parameters[optimizer_names.LOSS_SCALING] = torch.tensor(self._base_scaling)
        if self._auto_loss_scaling:
            state[optimizer_names.LOSS_SCALE_FACTOR] = torch.tensor(self._scale_factor)
        return {"ipu_state": state, "ipu_param": parameters}

    @torch.no_grad()
    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Take over a state_dict(), or a part of one: what it does not name stays as it is on the device."""
        values, parameters = state["ipu_state"], state["ipu_param"]
        for group in self._groups:
            group.load_state(values)
            group.load_scalars(parameters)
        self._base_scaling = float(parameters.get(optimizer_names.LOSS_SCALING, self._base_scaling))
        if self._auto_loss_scaling:
            self._scale_factor = float(values.get(optimizer_names.LOSS_SCALE_FACTOR, self._scale_factor))

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


@dataclass
class _Part:
    """The weights of a group that have the same hyper-parameters and made as many steps: all of them, unless
    a loaded state said otherwise.
    """

    names: List[str]
    values: Values
    step: float = 0.0


class _Group:
    """The device tensors of one parameter group: weights by name, and state of the types the optimizer asks
    for."""

    def __init__(self, weights: Dict[str, torch.Tensor], snapshot: OptimizerSnapshot, index: int) -> None:
        self.weights = weights
        self.state: Dict[str, Dict[str, torch.Tensor]] = {
            key: {name: torch.full_like(w, start, dtype=_state_type(w, dtype)) for name, w in weights.items()}
            for key, (start, dtype) in _state_lists(snapshot, index).items()
        }
        self._rule_name = _rule_name(snapshot, "m" in self.state)
        self.rule = RULES[self._rule_name]
        self.parts = [_Part(list(weights), {})]
        self._counts_steps = snapshot.kind in ("Adam", "AdamW", "LAMB") and bool(
            snapshot.attributes["bias_correction"]
        )
        self.take_values(snapshot, index)
        if self.rule is RULES["SGDCombined"]:
            values = snapshot.groups[index]
            decay = (1.0 - values["dampening"].value) * values["weight_decay"].value
            for name, weight in weights.items():
                self.state["m"][name].add_(weight, alpha=decay)

    def take_values(self, snapshot: OptimizerSnapshot, index: int) -> None:
        """Take over the hyper-parameters of a reading, for all weights of the group."""
        self._values: Values = {name: item.value for name, item in snapshot.groups[index].items()}
        self._values["loss_scaling"] = snapshot.loss_scaling.value
        scalars = optimizer_names.scalars_of(snapshot, index, "m" in self.state)
        self._scalars = {name: dict(scalars) for name in self.weights}
        self._regroup(dict.fromkeys(self.weights, self._values), self._steps())

    def _steps(self) -> Dict[str, float]:
        return {name: part.step for part in self.parts for name in part.names}

    def _regroup(self, values: Dict[str, Values], steps: Dict[str, float]) -> None:
        parts: Dict[Any, _Part] = {}
        for name in self.weights:
            key = (steps[name], *sorted(values[name].items()))
            parts.setdefault(key, _Part([], values[name], steps[name])).names.append(name)
        self.parts = list(parts.values())

    def named_scalars(self) -> List[Tuple[str, float]]:
        """The changeable hyper-parameters under their names in a state_dict."""
        return [
            (scalar + name, value) for name in self.weights for scalar, value in self._scalars[name].items()
        ]

    def load_scalars(self, parameters: Dict[str, torch.Tensor]) -> None:
        """Take over hyper-parameters that differ from those in force (in float32, as they are stored)."""
        values = {name: part.values for part in self.parts for name in part.names}
        for name, scalars in self._scalars.items():
            given = {
                scalar: float(parameters[scalar + name]) for scalar in scalars if scalar + name in parameters
            }
            new = {s: v for s, v in given.items() if v != float(torch.tensor(scalars[s]))}
            if new:
                scalars.update(new)
                values[name] = optimizer_names.values_from(new, values[name])
        self._regroup(values, self._steps())

    def load_state(self, values: Dict[str, torch.Tensor]) -> None:
        """Take over state tensors and step counts, those that are there."""
        is_old = _OLD_STEP in values
        for name, tensor in self._named_state(_OLD_STATE_NAMES if is_old else self._prefixes()):
            if name in values:
                tensor.copy_(values[name])
            else:
                logger.warning("writeOptimizerState: ignoring missing state %s", name)
        steps = {
            name: float(values[_OLD_STEP] if is_old else values.get(_STEP + name, step))
            for name, step in self._steps().items()
        }
        self._regroup({name: part.values for part in self.parts for name in part.names}, steps)

    def gather(self, part: _Part, grads: Dict[str, torch.Tensor]) -> _Work:
        """The parameters of a part that have a gradient; half tensors are widened to float32 copies."""
        names = [name for name in part.names if name in grads]
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
        """State tensors under their names in a state_dict; with the steps, where those matter."""
        state = self._named_state(self._prefixes())
        if self._counts_steps:
            state += [(_STEP + name, torch.tensor(float(step))) for name, step in self._steps().items()]
        return state

    def _prefixes(self) -> Dict[str, str]:
        return _STATE_NAMES.get(self._rule_name, _ADAM_STATE_NAMES)

    def _named_state(self, prefixes: Dict[str, str]) -> List[Tuple[str, torch.Tensor]]:
        return [
            (prefixes[key] + name, tensor)
            for key, tensors in self.state.items()
            for name, tensor in tensors.items()
        ]


def step_on_host(optimizer: Any) -> None:
    """One update of a host optimizer from its parameters' ``.grad``, by the device's rule (LAMB.step)."""
    parameters = {
        f"{i}": p for i, p in enumerate(p for group in optimizer.param_groups for p in group["params"])
    }
    twin = optimizer.__dict__.get("_host_twin")
    if twin is None:
        twin = optimizer.__dict__["_host_twin"] = DeviceOptimizer(optimizer, parameters)
    twin.update(dataclasses.replace(read_optimizer(optimizer), loss_scaling=Value(1.0, True)))
    twin.step({name: p.grad.detach().clone() for name, p in parameters.items() if p.grad is not None})


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
