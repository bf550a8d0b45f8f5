"""The optimizer of a training executor: read when wrapping and at setOptimizer, its state carried between the
host and the device.

Two flags on a poptorch.optim object say which side is newer. The device's state is read when somebody asks
for state_dict() after a call; a loaded state is written at the next attach, setOptimizer or call.
"""

from __future__ import annotations

from types import MethodType
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

import torch

from .._errors import cpp_error
from .._logging import logger
from ..device.optimizer import DeviceOptimizer
from ..device.optimizer_snapshot import OptimizerSnapshot, kind_of, read_optimizer
from ..enums import MeanReductionStrategy
from ..optim import Optimizer

#: attributes that every optimizer of torch has
_TORCHS_OWN = ("defaults", "state", "param_groups", "variable_attrs")


class AttributeTracker:
    """Warns, once each, of attributes that an optimizer did not have when it was wrapped: they do nothing."""

    def __init__(self, is_relaxed: bool) -> None:
        self._log = logger.debug if is_relaxed else logger.warning
        self._known: Dict[str, Set[str]] = {"group": set(), "optimizer": set()}
        self._is_recording = True
        self._told: Set[str] = set()

    def check(self, optimizer: torch.optim.Optimizer) -> None:
        """Record the attributes of the first optimizer; look for others in later ones."""
        name = optimizer_name(optimizer)
        self._compare("group", list(optimizer.defaults), f"default group variable in {name}")
        own = [key for key in optimizer.__dict__ if key not in _TORCHS_OWN]
        self._compare("optimizer", own, f"optimizer attribute in {name}")
        for index, group in enumerate(optimizer.param_groups):
            keys = [key for key in group if key != "params"]
            self._compare("group", keys, f"group {index} attribute in {name}")
        self._is_recording = False

    def _compare(self, kind: str, names: List[str], what: str) -> None:
        unknown = [name for name in names if name not in self._known[kind]]
        if self._is_recording:
            self._known[kind].update(unknown)
        elif unknown:
            message = f"Ignoring unexpected {what} optimizer: {unknown}"
            if message not in self._told:
                self._log(message)
                self._told.add(message)


def optimizer_name(optimizer: Any) -> str:
    """PopTorch's name for a kind of optimizer, as its messages have it."""
    kind = kind_of(optimizer)
    if kind == "SGD":
        return "SGD1" if getattr(optimizer, "use_combined_accum", False) else "SGD2"
    if kind == "RMSprop":
        return "RMSPROP_CENTERED" if optimizer.param_groups[0].get("centered") else "RMSPROP"
    return kind.upper()


class OptimizerLink:
    """The optimizer half of PoplarExecutor."""

    _engine: Any
    _options: Any
    _optimizer: Optional[torch.optim.Optimizer]
    _is_attached: bool
    copyWeightsToHostIfNeeded: Callable[[], bool]
    _need_compiled: Callable[[], None]
    _popart_flag: Callable[[str], bool]

    def _start_optimizer(self) -> None:
        self._optimizer_values: Optional[OptimizerSnapshot] = None
        self._must_update_optimizer = False
        self._tracker = AttributeTracker(self._options._relax_optimizer_checks)

    def _scales_automatically(self) -> bool:
        return self._popart_flag("automaticLossScalingSettings.enabled")

    def _take_optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        """Make this the executor's optimizer, and the device's as far as there is one."""
        if self._engine is not None and optimizer is not self._optimizer:
            if isinstance(self._optimizer, Optimizer):
                self._read_optimizer_state()
                self._optimizer.state_dict = self._optimizer.get_state_dict  # type: ignore[method-assign]
            if isinstance(optimizer, Optimizer):
                optimizer.ipu_state_is_dirty = True
        if isinstance(optimizer, Optimizer):
            optimizer.state_dict = MethodType(OptimizerLink._state_dict, self)  # type: ignore[method-assign]
        self._optimizer = optimizer
        _warn_of_subclass(optimizer)
        values = read_optimizer(optimizer, self._scales_automatically())
        self._use_running_mean(values)
        self._tracker.check(optimizer)
        if values != self._optimizer_values:
            self._optimizer_values, self._must_update_optimizer = values, True
        if self._is_attached:
            self._update_optimizer()
            self._write_optimizer_state()

    def _use_running_mean(self, values: OptimizerSnapshot) -> None:
        """Half accumulators take the mean as they go; too late for a compiled model (ValueError)."""
        training = self._options.Training
        if not values.needs_running_mean:
            return
        if self._engine is None:
            self._options._unfreeze()
            training.setMeanAccumulationAndReplicationReductionStrategy(MeanReductionStrategy.Running)
            self._options._freeze()
        elif training.meanAccumulationAndReplicationReductionStrategy != MeanReductionStrategy.Running:
            raise ValueError(
                "Invalid optimizer: accum_type=torch.float16 needs the mean reduction strategy Running, but "
                "the executable is already compiled."
            )

    # ---- the device

    def _device_optimizer(self) -> DeviceOptimizer:
        device: DeviceOptimizer = self._engine.optimizer
        return device

    def _update_optimizer(self) -> None:
        if self._must_update_optimizer:
            assert self._optimizer_values is not None
            self._device_optimizer().update(self._optimizer_values)
            self._log_update()
            self._must_update_optimizer = False

    def _log_update(self) -> None:
        assert self._optimizer_values is not None and self._optimizer is not None
        for line in update_lines(self._optimizer_values, optimizer_name(self._optimizer)):
            logger.debug("%s", line)

    def _state_dict(self) -> Dict[str, Any]:
        """What state_dict() of a poptorch.optim object does while it belongs to an executor."""
        assert isinstance(self._optimizer, Optimizer)
        if self._optimizer.host_state_is_dirty and self._popart_flag("disableOptimizerStateTensorStreams"):
            raise cpp_error(
                "The optimizer state can not be read: _Popart option disableOptimizerStateTensorStreams "
                "keeps it on the device. Leave it False for training that is to be resumed."
            )
        self._read_optimizer_state()
        return self._optimizer.get_state_dict()

    def _read_optimizer_state(self) -> None:
        """Bring the host's copy up to date, where it can be read; poptorch.Error after destroy()."""
        optimizer = self._optimizer
        if not isinstance(optimizer, Optimizer):
            return
        if not optimizer.host_state_is_dirty:
            logger.debug("Using cached optimiser state dict")
            return
        self._need_compiled()
        if self._popart_flag("disableOptimizerStateTensorStreams"):
            return
        logger.info("Writing optimiser state tensors from IPU to host.")
        torchs = torch.optim.Optimizer.state_dict(optimizer)
        optimizer.set_state_dict({**self._device_optimizer().state_dict(), **torchs})
        optimizer.ipu_state_is_dirty = False

    def _write_optimizer_state(self) -> None:
        """Write a loaded state to the device, with the weights as they are there."""
        optimizer = self._optimizer
        if not isinstance(optimizer, Optimizer) or not optimizer.ipu_state_is_dirty:
            return
        if optimizer.has_state():
            self.copyWeightsToHostIfNeeded()
            logger.info("Writing optimiser state tensors from host to IPU memory.")
            self._device_optimizer().load_state_dict(optimizer.get_state_dict())
        optimizer.ipu_state_is_dirty = False

    def _attach_optimizer(self) -> None:
        """What attaching does to the optimizer, after the weights went up."""
        if self._optimizer is None:
            return
        self._update_optimizer()
        if not isinstance(self._optimizer, Optimizer):
            return
        if self._optimizer.has_state():
            self._optimizer.ipu_state_is_dirty = True
            self._write_optimizer_state()
        else:
            self._optimizer.host_state_is_dirty = True
            self._optimizer.ipu_state_is_dirty = False

    def _sync_optimizer_state(self) -> None:
        """Read the state back, where there is any: before weights or the device go."""
        self._read_optimizer_state()


def _warn_of_subclass(optimizer: Any) -> None:
    bases = type(optimizer).__bases__
    if torch.optim.Optimizer not in bases and Optimizer not in bases:
        logger.warning(
            "Optimizer `%s` is a subclass of one of poptorch.optim or torch.optim, and what it adds is "
            "unlikely to have an effect. Poptorch does not run Python optimizer code directly: the device "
            "has optimizers of its own.",
            type(optimizer).__name__,
        )


_POPART_NAMES = {"lr": "learning_rate"}


def _camel(name: str) -> str:
    first, *rest = _POPART_NAMES.get(name, name).split("_")
    return first + "".join(word.capitalize() for word in rest)


def update_lines(values: OptimizerSnapshot, name: str) -> List[str]:
    """What the debugging log says when a device gets hyper-parameters: the defaults, then each group."""
    accumulators = ""
    if name != "SGD1":
        first = "velocity_accum_type" if name == "SGD2" else "first_order_momentum_accum_type"
        types = [values.attributes[k] for k in ("accum_type", first, "second_order_momentum_accum_type")]
        labels = ("accumType", "firstOrderMomentumAccumType", "secondOrderMomentumAccumType")
        accumulators = "".join(f", {label}={str(t).split('.')[1]}" for label, t in zip(labels, types))
    rest = (
        f"{accumulators}, useTfVariant={int(values.attributes['use_tf_variant'])}, "
        f"maxGradNorm={values.attributes['max_grad_norm']:g}"
    )
    defaults = [(f"default_{_POPART_NAMES.get(n, n)}", *pair) for n, pair in _flat(values.defaults)]
    defaults.append(("loss_scaling", *values.loss_scaling))
    lines = [f"Updating graph optimizer with {name}{_listed(defaults)}{rest}"]
    for index, group in enumerate(values.groups):
        listed = _listed([(n, *pair) for n, pair in _flat(group)])
        lines.append(f"Updating group {index} optimizer with {name}{listed}{rest}")
    return lines


def _flat(group: Dict[str, Any]) -> List[Tuple[str, Tuple[Any, bool]]]:
    flat = []
    for name, (value, is_const) in group.items():
        parts = zip(("beta1", "beta2"), value) if name == "betas" else [(name, value)]
        flat += [(part, (number, is_const)) for part, number in parts]
    return flat


def _listed(values: List[Tuple[str, Any, bool]]) -> str:
    return "".join(f", {_camel(n)}={float(v):g}{' (const)' if const else ''}" for n, v, const in values)
