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
from .host.optimizer_link import OptimizerLink
from .host.printing import module_repr
from .host.queries import Queries
from .host.replica_grouping import Groupings, as_attribute, groups_of_replicas, sliced
from .optim import SGD, Optimizer
from .options import Options
from .settings.log import log_options
from .trace.custom_args import ICustomArgParser, registerCustomArgParser
from .trace.mutation import mutated_state
from .trace.report import CompilationReport, make_report
from .trace.report_log import log_report
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
_WRAPPED_TWICE = (
    "Model has already been wrapped in 'poptorch.trainingModel'. Call model.destroy() on the model to unwrap "
    "before wrapping again."
)


class PoplarExecutor(Queries, Files, OptimizerLink, Weights):
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
        self._optimizer: Optional[torch.optim.Optimizer] = None
        self._start_optimizer()
        seed = self._options.random_seed if self._options.exists("random_seed") else None
        self._rng, self._rng_state = DeviceRandom(seed), None if seed is None else [seed]
        self._is_attached = self._has_newer_weights = False
        self._compilation_s = 0.0
        self._groupings: Groupings = {}
        self._start_counters()
        self._report: Optional[CompilationReport] = None
        # An inference executor follows the training one of the same model that was there when it was made.
        self._followed = None if training else host_model.holder(self._user_model)
        weakref.finalize(self, devices.release, id(self))
        if training:
            if host_model.is_held(self._user_model):
                raise RuntimeError(_WRAPPED_TWICE)
            # Read when wrapping: later edits count from the next setOptimizer on.
            self._take_optimizer(optimizer or SGD(self._user_model.parameters(), lr=0.01))
            host_model.hold(self._user_model, self)

    # ---- running

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run one combined batch; compiles on the first call."""
        assert self._options.connection_type != ConnectionType.Never, (
            "Trying to run a model on an offline device (ConnectionType.Never): use model.compile(inputs) "
            "instead of model(inputs)"
        )
        arguments = CallArguments(self._model, args, kwargs)
        arguments.check_types()
        if not self.isCompiled():
            self._compile(arguments)
        arguments.check_same(self._first_arguments)
        if not self._is_attached:
            self.attachToDevice()
        self._take_new_weights()
        self._write_optimizer_state()
        started = time.perf_counter()
        outputs = self._run(arguments)
        self._count_call(started, len(arguments.tensors), len(self._output_dtypes))
        if isinstance(self._optimizer, Optimizer):
            self._optimizer.host_state_is_dirty = True
        return outputs

    def _run(self, arguments: CallArguments) -> Any:
        assert self._engine is not None
        options = self._options
        collector = OutputCollector(
            options.output_mode, options.output_return_period, options.replication_factor, self._output_dtypes
        )
        inputs = synthetic(arguments.on_device(), self._options._Popart.options.get("syntheticDataMode", 0))
        tensors = self._engine.run(inputs, collector)
        self._rng_state = None  # the device's is newer
        self._has_newer_weights = self._training or bool(self._mutated)
        num_outputs = len(tensors) - len(self._written_inputs)
        arguments.take_back(self._written_inputs, tensors[num_outputs:])
        return self._structure.rebuild(tensors[:num_outputs])

    # ---- compiling

    def compile(self, *args: Any, **kwargs: Any) -> Optional[CompilationReport]:
        """Trace and compile for these arguments (tensors of a full combined batch); a second time only warns.

        Returns the list of operations with their places, which PopTorch does not.
        """
        if self.isCompiled():
            logger.warning("Call to compile() ignored: the executable is already compiled")
            return self._report
        arguments = CallArguments(self._model, args, kwargs)
        arguments.check_types()
        self._compile(arguments)
        return self._report

    def _compile(self, arguments: CallArguments) -> None:
        started = time.perf_counter()
        options = self._options
        log_options(options.toDict())
        options._Popart.validate()
        checks.check_batching(options)
        hooks.run_before()
        batching = Batching.of(options)
        trainer = None if self._training else host_model.holder(self._user_model)
        if trainer is not None:
            trainer.copyWeightsToHostIfNeeded()
        args, kwargs = arguments.narrowed(batching.input_micro_batches)
        with sliced(self._model, self._groupings, training=self._training):
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
        in_place = self._mutated & mutated_state(tracer.graph, by_norms=False)
        self._num_ipus = checks.check_graph(tracer, options, in_place)
        self._report = make_report(tracer, self._num_ipus, batching.replicas)
        log_report(self._report, options._execution_strategy)
        self._structure = OutputStructure(outputs)
        graph = tracer.graph
        returned = graph.outputs + graph.written_inputs
        self._output_dtypes = [graph.values[number].dtype for number in returned]
        self._written_inputs = [graph.inputs.index(number) for number in graph.written_inputs]
        self._first_arguments = arguments.without_data()
        stops = self._popart_flag("enableFloatingPointChecks")
        program = Program(tracer.graph, training=self._training, stops_at_overflow=stops)
        self._weights = DeviceWeights(
            host,
            replicas=batching.replicas,
            mutated=mutated,
            training=self._training,
            memory_format=program.memory_format,
            groups=groups_of_replicas(self._groupings, batching.replicas),
        )
        self._uploaded_versions = self._host_versions()
        scale = AutomaticLossScale() if self._training and self._scales_automatically() else None
        engine = Engine(
            program,
            self._weights,
            batching,
            self._rng,
            self._make_device_optimizer(host),
            automatic_scale=scale,
            stops_at_overflow=stops,
        )
        engine.return_also(options.anchored_tensors)
        engine.num_inputs = len(arguments.tensors)
        if options.connection_type != ConnectionType.Never:
            self._attach()
        self._engine = engine
        if self._is_attached:
            self._attach_optimizer()
        self._compilation_s = time.perf_counter() - started
        hooks.run_after()

    def _make_device_optimizer(self, host: Dict[str, Tensor]) -> Optional[DeviceOptimizer]:
        if not self._training:
            return None
        assert self._optimizer is not None
        parameters = {name: tensor for name, tensor in host.items() if isinstance(tensor, nn.Parameter)}
        return DeviceOptimizer(
            self._optimizer,
            parameters,
            {name: self._weights.storage[name] for name in parameters},
            auto_loss_scaling=self._scales_automatically(),
            round_weights=weight_rounding(self._options, self._rng),
            snapshot=self._optimizer_values,
        )

    def _popart_flag(self, key: str) -> bool:
        return bool(self._options._Popart.options.get(key, False))

    def setOptimizer(self, optimizer: torch.optim.Optimizer) -> None:
        """Take over learning rates and other variable attributes for the next calls."""
        if not self._training:
            raise py_error("setOptimizer is for training models: this one is for inference.")
        self._take_optimizer(optimizer)

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
            raise py_error("Cannot attach: Device is already attached")
        self._attach()
        self.copyWeightsToDevice()
        self._attach_optimizer()

    def detachFromDevice(self) -> None:
        """Read weights and the optimizer's state back and give the IPUs to others."""
        self._need_compiled()
        if not self._is_attached:
            raise py_error("Cannot detach: Device is not attached")
        self._keep_rng_state()
        if self._training:
            self.copyWeightsToHostIfNeeded()
            self._read_optimizer_state()
        devices.release(id(self))
        self._is_attached = False

    def destroy(self) -> None:
        """Read weights and the optimizer's state back, free the device and unwrap the model.

        Nothing happens as long as nothing is compiled: after a failed compilation the model stays wrapped.
        """
        if self._engine is None:
            return
        if self._training:
            self.copyWeightsToHostIfNeeded()
            self._sync_optimizer_state()
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
    def rng_state(self) -> Optional[List[int]]:
        """State of the device's generator; before the first run the seed alone, or None without one. Error
        before compilation.
        """
        self._need_compiled()
        self._keep_rng_state()
        return self._rng_state

    @rng_state.setter
    def rng_state(self, state: List[int]) -> None:
        self._need_compiled()
        self._rng_state = state.copy()
        self._rng.state = self._rng_state

    def _keep_rng_state(self) -> None:
        if self._rng.has_run:
            self._rng_state = self._rng.state

    def __repr__(self) -> str:
        return module_repr(self._user_model)

    def __getattr__(self, attr: str) -> Any:
        if attr.startswith("_"):
            raise AttributeError(attr)
        return as_attribute(getattr(self._user_model, attr), attr, self._groupings)


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
    for anchor in own.anchored_tensors.values():
        if anchor[1]:  # no mode of its own: that of the outputs
            anchor[2:] = [OutputMode(own.output_mode), own.output_return_period]
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
        raise RuntimeError(_WRAPPED_TWICE)
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
    """Make a compiled executor from a file that holds its model, with its optimizer and random state;
    `edit_opts_fn` may change run-time options. What was compiled for an offline target attaches.
    """
    content = files.read(filename)
    assert content["model"] is not None, (
        f"{filename} is a valid PopTorch file but was created with 'export_model=False' which means you need "
        "to re-create the PopTorch model using poptorch.inferenceModel or poptorch.trainingModel then call "
        f'poptorch_model.loadExecutable("{filename}").'
    )
    options = executor_files.options_to_run(content)
    if edit_opts_fn is not None:
        edit_opts_fn(options)
    if content["training"]:
        executor = trainingModel(content["model"], options, executor_files.optimizer_of(content))
    else:
        executor = inferenceModel(content["model"], options)
    executor_files.restore(executor, content)
    return executor
