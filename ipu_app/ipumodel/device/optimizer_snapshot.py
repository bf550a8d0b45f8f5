"""What an optimizer says at one moment: kind, attributes, and each hyper-parameter as constant or variable.

The device works from snapshots, never from the live object, so later edits count only after ``setOptimizer``.
"""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, NamedTuple, Tuple

import torch

from .._errors import cpp_error
from ..enums import MeanReductionStrategy


class Value(NamedTuple):
    """A hyper-parameter and whether it is compiled in."""

    value: Any
    is_const: bool


#: value at which an attribute of a torch.optim optimizer counts as constant; missing here: see
#: _is_native_const
_CONST_AT = {
    "weight_decay": 0.0,
    "momentum": 0.0,
    "dampening": 0.0,
    "eps": 1e-8,
    "loss_scaling": 1.0,
    "velocity_scaling": 1.0,
    "max_weight_norm": 65500.0,
}
_READ_GROUP = {
    "SGD": ("lr", "momentum", "dampening", "weight_decay", "nesterov", "velocity_scaling"),
    "Adam": ("lr", "betas", "eps", "weight_decay"),
    "AdamW": ("lr", "betas", "eps", "weight_decay"),
    "RMSprop": ("lr", "momentum", "weight_decay", "alpha", "eps"),
    "LAMB": ("lr", "betas", "eps", "weight_decay", "max_weight_norm"),
}
_READ_ATTRIBUTES = {
    "accum_type": torch.float32,
    "velocity_accum_type": torch.float32,
    "first_order_momentum_accum_type": torch.float32,
    "second_order_momentum_accum_type": torch.float32,
    "use_combined_accum": False,
    "use_tf_variant": False,
    "bias_correction": True,
    "max_grad_norm": float("inf"),
}
# AdamW first: in newer torch it is a subclass of Adam. LAMB, which torch has not, says itself what it is.
_KINDS = (
    ("SGD", torch.optim.SGD),
    ("AdamW", torch.optim.AdamW),
    ("Adam", torch.optim.Adam),
    ("RMSprop", torch.optim.RMSprop),
)


@dataclass(frozen=True)
class OptimizerSnapshot:
    """One reading of an optimizer."""

    kind: str
    attributes: Dict[str, Any]
    loss_scaling: Value
    groups: Tuple[Dict[str, Value], ...]
    centered: bool
    defaults: Dict[str, Value] = field(default_factory=dict)

    @property
    def is_combined(self) -> bool:
        """Whether SGD keeps accumulator and velocity in one buffer."""
        return self.kind == "SGD" and bool(self.attributes["use_combined_accum"])

    @property
    def accum_type(self) -> torch.dtype:
        """The type gradients are accumulated in; a combined accumulator is always float32."""
        return torch.float32 if self.is_combined else self.attributes["accum_type"]

    @property
    def needs_running_mean(self) -> bool:
        """Half accumulators make the mean reduction a running one."""
        return self.accum_type == torch.float16

    def mean_strategy(self, configured: MeanReductionStrategy) -> MeanReductionStrategy:
        """The mean reduction strategy an executor with this optimizer uses."""
        return MeanReductionStrategy.Running if self.needs_running_mean else configured

    def check_replacement(self, new: OptimizerSnapshot) -> None:
        """Refuse what setOptimizer refuses.

        ValueError: another mean reduction would be needed. Error: another kind, another number of groups, or
        a changed constant.
        """
        if new.needs_running_mean and not self.needs_running_mean:
            raise ValueError(
                f"accum_type={new.accum_type}: needs the mean reduction strategy Running, but the model is "
                "already compiled with another"
            )
        if new.kind != self.kind or new.centered != self.centered:
            raise cpp_error(f"Optimizer type changed after compilation from {self.kind} to {new.kind}")
        if len(new.groups) != len(self.groups):
            raise cpp_error(
                f"Number of groups changed since compilation: {len(self.groups)} to {len(new.groups)}"
            )
        for name, old_value, new_value in self._changes(new):
            raise cpp_error(
                f"Optimizer attribute {name} was compiled as a constant of value {old_value} and can not "
                f"become {new_value}: give it to the constructor or use variable_attrs.markAsVariable"
            )

    def _changes(self, new: OptimizerSnapshot) -> Iterator[Tuple[str, Any, Any]]:
        for name, value in self.attributes.items():
            if new.attributes[name] != value:
                yield name, value, new.attributes[name]
        pairs = [("loss_scaling", self.loss_scaling, new.loss_scaling)]
        for index, (mine, others) in enumerate(zip(self.groups, new.groups)):
            pairs += [(f"{name} of group {index}", mine[name], others[name]) for name in mine]
        for name, mine_value, other_value in pairs:
            if mine_value.is_const and other_value.value != mine_value.value:
                yield name, mine_value.value, other_value.value


def read_optimizer(optimizer: torch.optim.Optimizer, auto_loss_scaling: bool = False) -> OptimizerSnapshot:
    """Read an optimizer.

    AssertionError: an unsupported class, mixed ``centered`` groups, a value that is no number (a tensor, for
    instance). ValueError: amsgrad, a max_grad_norm that is NaN, use_tf_variant of another class.
    """
    kind = kind_of(optimizer)
    if any(group.get("amsgrad") for group in optimizer.param_groups):
        raise ValueError("amsgrad=True: only Adam and AdamW without amsgrad are supported")
    centered = {bool(group.get("centered", False)) for group in optimizer.param_groups}
    assert len(centered) == 1, "All parameter groups must have the same value for 'centered'"
    variable = getattr(optimizer, "variable_attrs", None)
    if variable is not None and auto_loss_scaling:
        variable.markAsVariable("loss_scaling")
    scaling = _loss_scaling(optimizer, kind, auto_loss_scaling)
    attributes = {name: getattr(optimizer, name, default) for name, default in _READ_ATTRIBUTES.items()}
    if kind == "AdamW":  # PopTorch 3.4 hands AdamW without bias correction to PopART as AdamW with it
        attributes["bias_correction"] = True
    if math.isnan(attributes["max_grad_norm"]):
        raise ValueError("max_grad_norm must not be NaN")
    return OptimizerSnapshot(
        kind=kind,
        attributes=attributes,
        loss_scaling=scaling,
        groups=tuple(_read_group(optimizer, kind, group, scaling) for group in optimizer.param_groups),
        centered=centered.pop(),
        defaults=_read_group(optimizer, kind, optimizer.defaults, scaling),
    )


def _loss_scaling(optimizer: Any, kind: str, automatic: bool) -> Value:
    scaling = _number("loss_scaling", getattr(optimizer, "loss_scaling", 1.0))
    return Value(scaling, not automatic and _is_const(optimizer, kind, "loss_scaling", scaling))


def trained_parameters(optimizer: torch.optim.Optimizer) -> List[List[torch.Tensor]]:
    """The parameters of each group that get updates."""
    return [[p for p in group["params"] if p.requires_grad] for group in optimizer.param_groups]


def kind_of(optimizer: Any) -> str:
    """The kind of an optimizer, by its class; AssertionError for one that the device has not."""
    for kind, cls in _KINDS:
        if isinstance(optimizer, cls):
            return kind
    if getattr(type(optimizer), "device_kind", None) in _READ_GROUP:
        return str(type(optimizer).device_kind)
    names = list(_READ_GROUP)
    raise AssertionError(f"Unsupported optimizer type {type(optimizer).__name__}. Types supported: {names}")


def _read_group(optimizer: Any, kind: str, group: Dict[str, Any], scaling: Value) -> Dict[str, Value]:
    """Hyper-parameters of one group; a separate velocity is scaled as the loss is."""
    values = {}
    for name in _READ_GROUP[kind]:
        if name == "velocity_scaling" and not getattr(optimizer, "use_combined_accum", False):
            values[name] = scaling
            continue
        value = _pair(name, group[name]) if name == "betas" else _number(name, group[name])
        values[name] = Value(value, _is_const(optimizer, kind, name, value))
    return values


def _is_const(optimizer: Any, kind: str, name: str, value: Any) -> bool:
    variable = getattr(optimizer, "variable_attrs", None)
    if variable is not None:
        return bool(variable.isConstant(name))
    if name == "lr":
        return False
    if name == "weight_decay" and kind == "AdamW":
        return bool(value == 1e-2)
    # What has no entry (alpha, nesterov, betas, max_weight_norm) is always a constant.
    return name not in _CONST_AT or value == _CONST_AT[name]


def _number(name: str, value: Any) -> Any:
    assert isinstance(value, numbers.Number), f"Expected a number for {name} but got {value} instead"
    return value


def _pair(name: str, value: Any) -> Tuple[Any, Any]:
    assert isinstance(value, tuple) and len(value) == 2, f"Expected a pair for {name}, got {value!r}"
    return _number(f"{name}[0]", value[0]), _number(f"{name}[1]", value[1])
