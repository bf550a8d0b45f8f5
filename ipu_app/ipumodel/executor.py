"""PoplarExecutor, trainingModel and inferenceModel: a model compiled on its first call and run in device
order.
"""

from __future__ import annotations

import time
import weakref
from typing import Any, Callable, Dict, List, Optional

import torch
from torch import Tensor, nn

from ._errors import py_error
from ._logging import logger
from .device import devices
from .device.accumulation import AutomaticLossScale
from .device.batching import Batching
from .device.engine import Engine
from .device.optimizer import DeviceOptimizer
from .device.optimizer_snapshot import read_optimizer
from .device.outputs import OutputCollector, OutputStructure
from .device.program import Program
from .device.random import DeviceRandom
from .device.rounding import weight_rounding
from .device.weights import DeviceWeights, host_state, tensor_is_variable
from .enums import ConnectionType, OutputMode
from .host import checks, executor_files, files, hooks, host_model
from .host.call_arguments import CallArguments, synthetic
from .host.executor_files import Files
from .host.executor_weights import Weights
from .host.hooks import registerPostCompileHook, registerPreCompileHook
from .host.queries import Queries
from .optim import SGD
from .options import Options
from .trace.custom_args import ICustomArgParser, registerCustomArgParser
from .trace.mutation import mutated_state
from .trace.report import CompilationReport, make_report
from .trace.tracing import trace

__all__ = [
    "ICustomArgParser",
    "PoplarExecutor",
    "inferenceModel",
    "load",
    "registerCustomArgParser",
    "registerPostCompileHook",
    "registerPreCompileHook",
    "trainingModel",
]
_NOT_COMPILED = "Model has not been compiled or has been destroyed."


class PoplarExecutor(Queries, Files, Weights):
    """A model on the device. The first call (or `compile`) traces and compiles it; weights live on the
    device.
    """

    def __init__(
        self,
        model: nn.Module,
        options: Optional[Options],
        training: bool,
        poptorch_version: str,
        optimizer: Optional[torch.optim.Optimizer] = None,
        user_model: Optional[nn.Module] = None,
    ) -> None:
        self._engine: Optional[Engine] = None
        self._user_model = user_model if user_model is not None else model
        self._model, self._training = model, training
        self._options = _own_options(options, training)
        self._optimizer = optimizer
        self._rng = DeviceRandom(
            options.random_seed if options is not None and options.exists("random_seed") else None
        )
        self._is_attached = self._has_newer_weights = False
        self._compilation_s = self._last_call_s = 0.0
        self._report: Optional[CompilationReport] = None
        weakref.finalize(self, devices.release, id(self))
        if training:
            if host_model.is_held(self._user_model):
                raise RuntimeError(
                    "This model is already wrapped for training: call destroy() on its executor first."
                )
            self._optimizer = optimizer or SGD(self._user_model.parameters(), lr=0.01)
            # Read when wrapping: later edits count from the next setOptimizer on.
            self._optimizer_values = read_optimizer(self._optimizer, self._scales_automatically())
            host_model.hold(self._user_model, self)

    # ---- running

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run one combined batch; compiles on the first call."""
        arguments = CallArguments(self._model, args, kwargs)
        arguments.check_types()
        if not self.isCompiled():
            self._compile(arguments)
        arguments.check_same(self._first_arguments)
        assert self._options.connection_type != ConnectionType.Never, (
            "Trying to run a model on an offline device (ConnectionType.Never)"
        )
        if not self._is_attached:
            self.attachToDevice()
        self._take_new_weights()
        started = time.perf_counter()
        outputs = self._run(arguments)
        self._last_call_s = time.perf_counter() - started
        return outputs

    def _run(self, arguments: CallArguments) -> Any:
        assert self._engine is not None
        options = self._options
        collector = OutputCollector(
            options.output_mode, options.output_return_period, options.replication_factor, self._output_dtypes
        )
        inputs = synthetic(arguments.on_device(), self._options._Popart.options.get("syntheticDataMode", 0))
        tensors = self._engine.run(inputs, collector)
        self._has_newer_weights = self._training or bool(self._mutated)
        return self._structure.rebuild(tensors)

    # ---- compiling

    def compile(self, *args: Any, **kwargs: Any) -> Optional[CompilationReport]:
        """Trace and compile for these arguments (tensors of a full combined batch); a second time only warns.

        Returns the list of operations with their places, which PopTorch does not.
        """
        if self.isCompiled():
            logger.warning("Model has already been compiled: nothing done")
            return self._report
        arguments = CallArguments(self._model, args, kwargs)
        arguments.check_types()
        self._compile(arguments)
        return self._report

    def _compile(self, arguments: CallArguments) -> None:
        started = time.perf_counter()
        options = self._options
        options._Popart.validate()
        checks.check_batching(options)
        hooks.run_before()
        batching = Batching.of(options)
        trainer = None if self._training else host_model.holder(self._user_model)
        if trainer is not None:
            trainer.copyWeightsToHostIfNeeded()
        args, kwargs = arguments.narrowed(batching.input_micro_batches)
        tracer, outputs = trace(
            self._model,
            args,
            kwargs,
            strategy=options._execution_strategy,
            training=self._training,
            has_strided_groups=self._popart_flag("groupNormStridedChannelGrouping"),
        )
        host = host_state(self._model, tracer.graph)
        mutated = mutated_state(tracer.graph)
        self._mutated = {name for name in mutated if tensor_is_variable(host[name])}
        self._num_ipus = checks.check_graph(tracer, options, self._mutated)
        self._report = make_report(tracer, self._num_ipus, batching.replicas)
        for warning in self._report.warnings:
            logger.warning("%s", warning)
        self._structure = OutputStructure(outputs)
        self._output_dtypes = [tracer.graph.values[number].dtype for number in tracer.graph.outputs]
        self._first_arguments = arguments.without_data()
        stops = self._popart_flag("enableFloatingPointChecks")
        program = Program(tracer.graph, training=self._training, stops_at_overflow=stops)
        self._weights = DeviceWeights(
            host,
            replicas=batching.replicas,
            mutated=mutated,
            training=self._training,
            memory_format=program.memory_format,
        )
        self._uploaded_versions = self._host_versions()
        scale = AutomaticLossScale() if self._training and self._scales_automatically() else None
        engine = Engine(
            program,
            self._weights,
            batching,
            self._rng,
            self._device_optimizer(host),
            automatic_scale=scale,
            stops_at_overflow=stops,
        )
        if options.connection_type == ConnectionType.Always:
            self._attach()
        self._engine = engine
        self._compilation_s = time.perf_counter() - started
        hooks.run_after()

    def _device_optimizer(self, host: Dict[str, Tensor]) -> Optional[DeviceOptimizer]:
        if not self._training:
            return None
        assert self._optimizer is not None
        parameters = {name: tensor for name, tensor in host.items() if isinstance(tensor, nn.Parameter)}
        automatic = self._scales_automatically()
        device = DeviceOptimizer(
            self._optimizer,
            parameters,
            {name: self._weights.storage[name] for name in parameters},
            auto_loss_scaling=automatic,
            round_weights=weight_rounding(self._options, self._rng),
            snapshot=self._optimizer_values,
        )
        if self._popart_flag("disableOptimizerStateTensorStreams"):
            device.state_dict = _no_optimizer_state  # type: ignore[method-assign]
        return device

    def _scales_automatically(self) -> bool:
        return self._popart_flag("automaticLossScalingSettings.enabled")

    def _popart_flag(self, key: str) -> bool:
        return bool(self._options._Popart.options.get(key, False))

    # ---- optimizer

    def setOptimizer(self, optimizer: torch.optim.Optimizer) -> None:
        """Take over learning rates and other variable attributes for the next calls."""
        if not self._training:
            raise py_error("setOptimizer is for training models: this one is for inference.")
        values = read_optimizer(optimizer, self._scales_automatically())
        if self._engine is not None and self._engine.optimizer is not None:
            self._engine.optimizer.update(optimizer)
        self._optimizer, self._optimizer_values = optimizer, values

    # ---- devices

    def isAttachedToDevice(self) -> bool:
        """Whether the executor holds IPUs."""
        return self._is_attached

    def _attach(self) -> None:
        devices.acquire(id(self), self._num_ipus)
        self._is_attached = True

    def attachToDevice(self) -> None:
        """Take the IPUs again and upload the host's weights."""
        self._need_compiled()
        assert self._options.connection_type != ConnectionType.Never, (
            "Trying to attach to an offline device (ConnectionType.Never)"
        )
        if self._is_attached:
            raise py_error("Cannot attach to device: the executor is already attached.")
        self._attach()
        if not self._has_newer_weights:
            self.copyWeightsToDevice()

    def detachFromDevice(self) -> None:
        """Read weights back and give the IPUs to others."""
        self._need_compiled()
        if not self._is_attached:
            raise py_error("Cannot detach from device: the executor is not attached.")
        self.copyWeightsToHostIfNeeded()
        devices.release(id(self))
        self._is_attached = False

    def destroy(self) -> None:
        """Read weights back, free the device and unwrap the model."""
        if self._engine is not None:
            self.copyWeightsToHostIfNeeded()
        devices.release(id(self))
        self._is_attached, self._engine = False, None
        if self._training and host_model.is_held(self._user_model):
            host_model.release(self._user_model)

    def isCompiled(self) -> bool:
        """Whether the executor can run without compiling."""
        return self._engine is not None

    def _need_compiled(self) -> None:
        if self._engine is None:
            raise py_error(_NOT_COMPILED)

    # ---- queries

    @property
    def model(self) -> nn.Module:
        """The user's model."""
        return self._user_model

    @property
    def options(self) -> Options:
        """The executor's own frozen options."""
        return self._options

    @property
    def rng_state(self) -> List[int]:
        """State of the device's generator; Error before compilation."""
        self._need_compiled()
        return self._rng.state

    @rng_state.setter
    def rng_state(self, state: List[int]) -> None:
        self._rng.state = list(state)

    def __getattr__(self, attr: str) -> Any:
        if attr.startswith("_"):
            raise AttributeError(attr)
        return getattr(self._user_model, attr)


def _no_optimizer_state() -> Dict[str, Any]:
    raise py_error(
        "The optimizer state can not be read: _Popart option disableOptimizerStateTensorStreams keeps it "
        "on the device. Leave it False for training that is to be resumed."
    )


def _own_options(options: Optional[Options], training: bool) -> Options:
    """A frozen clone with the default output mode resolved; freezes the user's object as well."""
    if options is None:
        options = Options()
    if not isinstance(options, Options):
        raise py_error(f"Invalid type: 'options' must be of type poptorch.Options (Got {type(options)})")
    checks.check_wrapping(options, training=training)
    own = options.clone()
    options._freeze()
    if own.defaultOutputMode():
        own.outputMode(OutputMode.Final if training else OutputMode.All)
    own._freeze()
    return own


def _unwrapped(model: Any) -> nn.Module:
    user_model = model._user_model if isinstance(model, PoplarExecutor) else model
    if not isinstance(user_model, nn.Module):
        raise py_error(f"Invalid type: 'model' must be a torch.nn.Module (Got {type(user_model)})")
    return user_model


def trainingModel(
    model: Any, options: Optional[Options] = None, optimizer: Optional[torch.optim.Optimizer] = None
) -> PoplarExecutor:
    """Wrap a model whose forward ends in one loss: each call trains deviceIterations times."""
    user_model = _unwrapped(model)
    if host_model.is_held(user_model):
        raise RuntimeError(
            "This model is already wrapped for training: call destroy() on its executor first."
        )
    return PoplarExecutor(
        host_model.shallow_copy(user_model), options, True, files.VERSION, optimizer, user_model
    )


def inferenceModel(model: Any, options: Optional[Options] = None) -> PoplarExecutor:
    """Wrap a model for inference: Training.gradientAccumulation must be 1."""
    user_model = _unwrapped(model)
    return PoplarExecutor(
        host_model.shallow_copy(user_model), options, False, files.VERSION, None, user_model
    )


def load(filename: str, edit_opts_fn: Optional[Callable[[Options], None]] = None) -> PoplarExecutor:
    """Make a compiled executor from a file that holds its model; `edit_opts_fn` may change run-time
    options.
    """
    content = files.read(filename)
    if content["model"] is None:
        raise py_error(
            f"{filename} was saved with export_model=False: use executor.loadExecutable(filename)."
        )
    options = content["options"]
    if edit_opts_fn is not None:
        edit_opts_fn(options)
    make = trainingModel if content["training"] else inferenceModel
    executor = make(content["model"], options, *([content["optimizer"]] if content["training"] else []))
    executor_files.restore(executor, content)
    return executor
