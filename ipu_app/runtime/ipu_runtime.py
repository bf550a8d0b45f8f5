"""Training through PopTorch, real or simulated: the only place that wraps models and marks stages."""

from __future__ import annotations

import contextlib
import copy
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Tuple

import torch
from torch import Tensor, nn

from ipu_app.errors import RunFailed
from ipu_app.models.norms import separate_statistics
from ipu_app.models.train_graph import TrainGraph
from ipu_app.runtime.base import (
    Batch,
    BatchResult,
    EvalResult,
    LeftBehind,
    Runtime,
    RuntimeInfo,
    RuntimeParts,
    StepKnobs,
    Weights,
    copy_to_host,
    eval_result,
)
from ipu_app.runtime.checked_loader import CheckedLoader
from ipu_app.runtime.epoch_loader import EpochLoader
from ipu_app.runtime.failing_module import failing_module, one_line
from ipu_app.runtime.host_memory import keep_freed_memory
from ipu_app.runtime.ipu_graph import compile_when_free, overlap_inputs, prepare_graph
from ipu_app.runtime.ipu_options import IpuSettings, inference_options, training_options
from ipu_app.runtime.optimizers import ipu_optimizer, load_optimizer_state
from ipu_app.runtime.poptorch_api import PopTorchApi
from pipelines.geometry import BatchGeometry
from pipelines.plan import PipelinePlan

_RATES = {
    "hardware": "measured on this IPU system",
    "sdk-ipumodel": "measured on this host's CPU under the SDK's IPUModel; says nothing of an IPU's speed",
    "simulator": "measured on this host's CPU under the simulator; says nothing of an IPU's speed",
}


class _LossGraph(nn.Module):
    """The train graph with its loss marked, as PopTorch wants it: exactly one final loss."""

    def __init__(self, graph: TrainGraph, poptorch: Any, overlap: Callable[..., Any]) -> None:
        super().__init__()
        self.graph = graph
        self._identity_loss = poptorch.identity_loss
        self._overlap = overlap

    def forward(self, *batch: Tensor) -> Tuple[Tensor, Tensor]:
        loss, correct = self.graph(*map(self._overlap, batch))
        return self._identity_loss(loss, reduction="none"), correct


class IpuRuntime(Runtime):
    """One training and one inference executor over two copies of the model, attached in turn."""

    def __init__(
        self, parts: RuntimeParts, *, api: PopTorchApi, plan: PipelinePlan, settings: IpuSettings
    ) -> None:
        super().__init__(parts)
        self.info = describe_ipu(api, plan, parts.geometry, settings)
        if api.kind == "sim":
            keep_freed_memory()
        self._api = api
        self._train_graph, self._eval_graph = parts.train_graph, copy.deepcopy(parts.eval_graph)
        for graph in (self._train_graph, self._eval_graph):
            _set_precision(graph, settings.precision)
            separate_statistics(graph.model)
            _mark_stages(api.poptorch, graph, plan)
            prepare_graph(api.poptorch, graph, settings.pod)
        self._optimizer = ipu_optimizer(api.poptorch.optim, self._train_graph.model, parts.optimizer)
        self._train_options = training_options(api, plan, parts.geometry, settings)
        self._eval_options = inference_options(api, plan, parts.eval_geometry, settings)
        self._trainer = api.poptorch.trainingModel(
            _LossGraph(self._train_graph, api.poptorch, overlap_inputs(api.poptorch, settings.pod)).train(),
            self._train_options,
            self._optimizer,
        )
        self._evaluator = api.poptorch.inferenceModel(self._eval_graph.eval(), self._eval_options)
        self._pod = settings.pod
        self._active: Optional[Any] = None
        self._sent: Optional[StepKnobs] = None  # what the device was told last
        self._random: Optional[Dict[str, Any]] = None  # the device's, to be set once it is compiled
        self._loaders: List[EpochLoader] = []

    def loader(self, dataset: Any, sampler: Any, *, train: bool) -> Iterable[Batch]:
        """Return PopTorch's own loader: it delivers whole combined batches, rebatched by its workers."""
        if not train or not self.num_workers(train=True):
            return CheckedLoader(self._make_loader(dataset, sampler, train=train), dataset)
        loader = EpochLoader(lambda counting: self._make_loader(dataset, counting, train=True), sampler)
        self._loaders.append(loader)
        return CheckedLoader(loader, dataset)

    def _make_loader(self, dataset: Any, sampler: Any, *, train: bool) -> Any:
        poptorch = self._api.poptorch
        geometry = self.geometry if train else self.eval_geometry
        modes, workers = poptorch.DataLoaderMode, self.num_workers(train=train)
        return poptorch.DataLoader(
            self._train_options if train else self._eval_options,
            dataset,
            batch_size=geometry.micro_batch,
            sampler=sampler,
            num_workers=workers,
            drop_last=True,
            auto_distributed_partitioning=False,
            mode=modes.AsyncRebatched if workers else modes.Sync,
            rebatched_worker_size=self._rebatched(geometry) if workers else None,
            async_options=self._async_options() if workers else None,
        )

    def _rebatched(self, geometry: BatchGeometry) -> int:
        return min(geometry.samples_per_batch, self._pod.rebatch or 256)

    def _async_options(self) -> Optional[Dict[str, Any]]:
        buffers = self._pod.loader_buffers
        return None if buffers is None else {"buffer_size": buffers}

    def prepare(self, batch: Batch) -> Any:
        """Compile the training executor, which on hardware takes minutes; return its report, if it gives one.

        What PopTorch refuses, by whatever exception, becomes a ValueError in its own words with the name of
        the module: the plan or the model is at fault.
        """
        return self._compile(self._trainer, batch)

    def train_batch(self, batch: Batch, knobs: StepKnobs) -> BatchResult:
        """Train on one combined batch; lr and loss scale are uploaded first."""
        self._use(self._trainer)
        self._attach_trainer()
        self._set_knobs(knobs)
        if not self._trainer.isCompiled():
            self.prepare(batch)
        with self._explained():
            loss, correct = self._trainer(*batch)
        return BatchResult(
            loss_sum=float(loss.double().sum()) * self.geometry.micro_batch,
            correct=float(correct.double().sum()),
            samples=self.geometry.samples_per_batch,
        )

    def eval_batch(self, batch: Batch) -> EvalResult:
        """Classify one combined batch on the inference executor."""
        images, labels = batch[0], batch[1]
        return eval_result(labels, *self.eval_outputs(images, labels))

    def eval_outputs(self, *batch: Tensor) -> Any:
        """Return what the evaluation graph gives for one combined batch, on the inference executor."""
        self._use(self._evaluator)
        if not self._evaluator.isCompiled():
            self._compile(self._evaluator, batch)
        with self._explained():
            return self._evaluator(*batch)

    def load_eval_weights(self, weights: Weights) -> None:
        """Put weights on the inference executor's model and, once compiled, on its device."""
        self._eval_graph.model.load_state_dict(weights)
        if self._evaluator.isCompiled() and self._evaluator.isAttachedToDevice():
            self._evaluator.copyWeightsToDevice()

    def weights(self) -> Weights:
        """Return copies of the training model's weights, read back from the device if it has newer ones."""
        return copy_to_host(self._train_graph.model.state_dict())

    def state_dict(self) -> Dict[str, Any]:
        """Return model weights, PopTorch's optimiser state and the device's random state, if there is one: of
        the device once compiled, else what was loaded and waits for it.
        """
        state = {"model": self.weights(), "optimizer": self._optimizer.state_dict()}
        if not self._trainer.isCompiled():
            return state if self._random is None else {**state, "random_ipu": self._random}
        random = self._trainer.rng_state
        if random is not None:
            state["random_ipu"] = {"layout": self.info.description, "state": list(random)}
        return state

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Take up weights and, if its format is PopTorch's, optimiser state."""
        self._train_graph.model.load_state_dict(state["model"])
        if self._trainer.isCompiled():
            self._trainer.copyWeightsToDevice()
        if state.get("optimizer", {}).get("ipu_state") is not None:
            load_optimizer_state(self._optimizer, state["optimizer"])
        self._sent = None  # the device may hold the saved settings
        self._random = state.get("random_ipu")
        if self._trainer.isCompiled():
            self._restore_random()

    def left_behind(self, state: Dict[str, Any]) -> LeftBehind:
        """Return what of a saved state can not be taken up here."""
        optimizer, random = state.get("optimizer", {}), state.get("random_ipu")
        is_torchs = bool(optimizer.get("state")) and optimizer.get("ipu_state") is None
        lost = ("the optimiser's state, which is in torch's form",) if is_torchs else ()
        same = random is not None and random["layout"] == self.info.description
        return LeftBehind(lost, () if same or not optimizer else ("the random numbers",))

    def close(self) -> None:
        """Destroy both executors, which frees the IPUs, and end the loaders' processes."""
        for loader in self._loaders:
            loader.terminate()
        for executor in (self._trainer, self._evaluator):
            if executor.isCompiled():
                executor.destroy()

    def _compile(self, executor: Any, batch: Batch) -> Any:
        self._use(executor)
        try:
            report = compile_when_free(self._api.poptorch, executor, batch, self._pod.attach_timeout_s)
        except Exception as error:  # torch's own checks run in a trace as well, with errors of any type
            raise ValueError(_why_not_compiled(error, executor.model)) from error
        if executor is self._trainer:
            self._restore_random()
        return report

    def _restore_random(self) -> None:
        """Go on with the random numbers of the saved run, where the same replicas and stages draw them."""
        saved, self._random = self._random, None
        if saved is not None and saved["layout"] == self.info.description:
            self._trainer.rng_state = saved["state"]

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Tell of a device that fails while it runs in PopTorch's words, without a traceback."""
        try:
            yield
        except Exception as error:
            raise RunFailed(f"PopTorch stopped: {one_line(error)}") from error

    def _use(self, executor: Any) -> None:
        """Give the IPUs to one executor: both at once would need twice as many, and may have them."""
        if executor is self._active or self._pod.separate_validation:
            return
        if self._active is not None and self._active.isAttachedToDevice():
            with self._explained():
                self._active.detachFromDevice()
        self._active = executor

    def _attach_trainer(self) -> None:
        """Attach before the rate is set: attaching writes the rate of the last call back to the device."""
        if self._trainer.isCompiled() and not self._trainer.isAttachedToDevice():
            with self._explained():
                self._trainer.attachToDevice()

    def _set_knobs(self, knobs: StepKnobs) -> None:
        if knobs == self._sent:
            return
        for group in self._optimizer.param_groups:
            group["lr"] = knobs.lr
        self._optimizer.loss_scaling = knobs.loss_scale
        self._trainer.setOptimizer(self._optimizer)
        self._sent = knobs


def _why_not_compiled(error: Exception, model: nn.Module) -> str:
    said, module = one_line(error), failing_module(error, model)
    lowered = said.lower()
    if "out of memory" in lowered:
        return (
            "the plan does not fit the IPUs' memory; less of batch.micro, more pipeline.splits, "
            f"pipeline.recompute or precision 16.16 need less (see `ipu_app plan`). PopTorch says: {said}"
        )
    if "acquire" in lowered:
        return f"the IPUs are in use; free them, or wait with ipu.attach_timeout_s. PopTorch says: {said}"
    where = f" in '{module}'" if module and f"'{module}'" not in said else ""
    return f"PopTorch refuses to compile{where}: {said}"


def describe_ipu(
    api: PopTorchApi, plan: PipelinePlan, geometry: BatchGeometry, settings: IpuSettings
) -> RuntimeInfo:
    """Return what a runtime of this plan is; refuses hardware that is not there."""
    num_ipus = plan.num_stages * geometry.replicas * (2 if settings.pod.separate_validation else 1)
    backend = api.backend(ipu_model=settings.ipu_model, num_ipus=num_ipus)
    names = {
        "hardware": "IPU hardware",
        "sdk-ipumodel": "the SDK's IPUModel (no IPU: emulated on this host's CPU)",
        "simulator": "a simulated IPU (no Poplar SDK here: computed on this host's CPU by PopTorch's rules)",
    }
    layout = (
        f"{plan.num_stages} pipeline stage{'s' if plan.num_stages > 1 else ''} x {geometry.total_replicas} "
        f"replica{'s' if geometry.total_replicas > 1 else ''}, micro-batch {geometry.micro_batch}, "
        f"accumulation {geometry.accumulation}, precision {settings.precision}"
    )
    notes = []
    if plan.num_stages > 1 and plan.schedule != "sequential":
        notes.append(f"PopART orders the pipeline itself; '{plan.schedule}' is what the estimate assumes")
    if backend == "hardware":
        notes.append(
            "the first training call and the first validation compile: silently, for minutes to half an hour"
            + ("" if settings.executable_cache else "; device.executable_cache=DIR keeps the result")
        )
    return RuntimeInfo("ipu", backend, f"{names[backend]}: {layout}", _RATES[backend], tuple(notes))


def _set_precision(graph: Any, precision: str) -> None:
    """16.x: activations in half from the first cast on; x.16: parameters in half as well."""
    activations, weights = precision.split(".")
    graph.preprocess.dtype = torch.float16 if activations == "16" else torch.float32
    if weights == "16":
        graph.model.half()


def _mark_stages(poptorch: Any, graph: Any, plan: PipelinePlan) -> None:
    """Begin a block at each stage's sub-block; the first stage begins with the cast of the images."""
    if plan.num_stages == 1:
        return
    poptorch.BeginBlock(graph.preprocess, user_id=plan.stages[0].first, ipu_id=0)
    modules = dict(graph.model.blocks.named_modules())
    for stage in plan.stages[1:]:
        if stage.first not in modules:
            known = [name for name in modules if name and "." not in name]
            raise ValueError(
                f"pipeline.splits names {stage.first!r}: no such sub-block; blocks are {', '.join(known)}, "
                "and inside an MBConv .expand, .spatial, .se and .project"
            )
        poptorch.BeginBlock(modules[stage.first], user_id=stage.first, ipu_id=stage.ipu)
