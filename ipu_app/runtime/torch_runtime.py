"""Training on CPU and CUDA: the same batches and the same optimiser arithmetic as on the IPU.

One *batch* is cut into ``device_iterations * accumulation * replicas`` micro-batches; here replicas is 1
unless a test asks for the IPU's own order, because one device does all the micro-batches of its instance.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, List, Optional

import torch
from torch import Tensor, nn

from ipu_app import compat
from ipu_app.distributed.gradients import GradientSync
from ipu_app.models.norms import write_norms_out
from ipu_app.runtime.base import (
    Batch,
    BatchResult,
    EvalResult,
    Runtime,
    RuntimeInfo,
    RuntimeParts,
    StepKnobs,
    Weights,
    copy_to_host,
    eval_result,
)
from ipu_app.runtime.checked_loader import CheckedLoader
from ipu_app.runtime.host_memory import keep_freed_memory
from ipu_app.runtime.optimizers import torch_optimizer
from pipelines.geometry import BatchGeometry

_AUTOCAST = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class TorchSettings:
    """``autocast``: off, bfloat16 or float16; float16 uses the optimiser's loss scale."""

    device: str = "cpu"
    autocast: str = "off"
    channels_last: bool = True
    compile: bool = False


class TorchRuntime(Runtime):
    """One model on one CPU or CUDA device.

    ``make_sync`` wraps the graph in what keeps gradients equal over the instances; None where there is one.
    """

    def __init__(
        self,
        parts: RuntimeParts,
        *,
        settings: Optional[TorchSettings] = None,
        make_sync: Callable[[nn.Module], GradientSync] = GradientSync,
    ) -> None:
        super().__init__(parts)
        settings = settings or TorchSettings()
        if settings.device == "cpu":
            keep_freed_memory()
        else:
            torch.backends.cudnn.benchmark = True  # every batch has the same shape: the search pays at once
        self._settings = settings
        self.info = describe_torch(settings, parts.geometry)
        self._eval_graph = self._place(copy.deepcopy(parts.eval_graph)).eval()
        self._train_graph = self._place(parts.train_graph).train()
        self._optimizer = torch_optimizer(self._train_graph.model, parts.optimizer)
        self._params = [p for p in self._train_graph.model.parameters() if p.requires_grad]
        compiled = compat.compile_module if settings.compile else _unchanged
        self._sync = make_sync(compiled(self._train_graph))
        self._run_eval = compiled(self._eval_graph)

    def loader(self, dataset: Any, sampler: Any, *, train: bool) -> Iterable[Batch]:
        """Return torch's own loader over whole batches."""
        geometry = self.geometry if train else self.eval_geometry
        workers = self.num_workers(train=train)
        loader: Iterable[Batch] = torch.utils.data.DataLoader(
            dataset,
            batch_size=geometry.samples_per_batch,
            sampler=sampler,
            num_workers=workers,
            drop_last=True,
            pin_memory=self._settings.device == "cuda",
            persistent_workers=workers > 0,
        )
        return CheckedLoader(loader, dataset)

    def train_batch(self, batch: Batch, knobs: StepKnobs) -> BatchResult:
        """Train on one batch; sums stay on the device until its end, so that CUDA is not waited for."""
        for group in self._optimizer.param_groups:
            group["lr"] = knobs.lr
        scale = knobs.loss_scale if self._settings.autocast == "float16" else 1.0
        sums: List[Tensor] = []
        micro_batches = self._micro_batches(batch, self.geometry)
        per_update = self.geometry.accumulation * self.geometry.replicas
        for start in range(0, len(micro_batches), per_update):
            sums.append(self._update(micro_batches[start : start + per_update], scale))
        loss, correct = torch.stack(sums).sum(0).tolist()
        return BatchResult(loss * self.geometry.micro_batch, correct, self.geometry.samples_per_batch)

    def eval_batch(self, batch: Batch) -> EvalResult:
        """Classify one batch."""
        rows = []
        with torch.no_grad(), self._autocast():
            for images, labels in self._micro_batches(batch[:2], self.eval_geometry):
                rows.append(self._run_eval(images, labels))
        loss, rank, prediction = (torch.cat(parts).cpu() for parts in zip(*rows))
        return eval_result(batch[1].cpu(), loss, rank, prediction)

    def load_eval_weights(self, weights: Weights) -> None:
        """Put weights on the evaluation copy of the model."""
        self._eval_graph.model.load_state_dict(weights)

    def weights(self) -> Weights:
        """Return host copies of the training model's weights."""
        return copy_to_host(self._train_graph.model.state_dict())

    def state_dict(self) -> Dict[str, Any]:
        """Return model weights, optimiser state and random state."""
        return {
            "model": self.weights(),
            "optimizer": _to_host(self._optimizer.state_dict()),
            "random": torch.get_rng_state(),
            **({"random_cuda": torch.cuda.get_rng_state()} if self._settings.device == "cuda" else {}),
        }

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Take up weights and, if they are torch's, optimiser and random state."""
        self._train_graph.model.load_state_dict(state["model"])
        if state.get("optimizer", {}).get("state") and "ipu_state" not in state["optimizer"]:
            self._optimizer.load_state_dict(state["optimizer"])
        if "random" in state:
            torch.set_rng_state(state["random"])
        if "random_cuda" in state and self._settings.device == "cuda":
            torch.cuda.set_rng_state(state["random_cuda"])

    def _update(self, micro_batches: List[Batch], scale: float) -> Tensor:
        """One weight update; returns (sum of micro-batch losses, sum of correct) on the device."""
        self._optimizer.zero_grad(set_to_none=True)
        sums = torch.zeros(2, device=self._settings.device)
        for index, micro_batch in enumerate(micro_batches, start=1):
            with self._sync.micro_batch(last=index == len(micro_batches)):
                with self._autocast():
                    loss, correct = self._sync.model(*micro_batch)
                (loss * (scale / len(micro_batches))).backward()
            sums += torch.stack((loss.detach(), correct))
        self._sync.finish()
        if scale != 1.0:
            torch._foreach_div_([p.grad for p in self._params if p.grad is not None], scale)
        self._optimizer.step()
        return sums

    def _micro_batches(self, batch: Batch, geometry: BatchGeometry) -> List[Batch]:
        device = self._settings.device
        placed = [tensor.to(device, non_blocking=True) for tensor in batch]
        if self._settings.channels_last:
            placed[0] = placed[0].contiguous(memory_format=torch.channels_last)
        return list(zip(*(tensor.split(geometry.micro_batch) for tensor in placed)))

    def _autocast(self) -> Any:
        kind = self._settings.autocast
        return compat.autocast(self._settings.device, _AUTOCAST.get(kind, torch.bfloat16), kind != "off")

    def _place(self, graph: Any) -> Any:
        graph = graph.to(self._settings.device)
        if self._settings.channels_last:
            graph = graph.to(memory_format=torch.channels_last)
        if not self._settings.compile:  # the compiler joins small operations by itself
            graph.model.shares_moments = True
        else:
            write_norms_out(graph.model)
        return graph


def _to_host(state: Any) -> Any:
    """Copy nested state, its tensors into host memory."""
    if isinstance(state, Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, dict):
        return {key: _to_host(value) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)(_to_host(value) for value in state)
    return copy.deepcopy(state)


def _unchanged(module: nn.Module) -> nn.Module:
    return module


def describe_torch(settings: TorchSettings, geometry: BatchGeometry) -> RuntimeInfo:
    """Return what a runtime of these settings is."""
    numeric = "float32" if settings.autocast == "off" else f"{settings.autocast} autocast"
    name = torch.cuda.get_device_name() if settings.device == "cuda" else "CPU"
    layout = f"micro-batch {geometry.micro_batch}, accumulation {geometry.accumulation}, {numeric}"
    if geometry.instances > 1:
        layout += f", {geometry.instances} instances"
    if settings.compile:
        layout += ", compiled"
    return RuntimeInfo(
        settings.device, settings.device, f"{name}: {layout}", f"measured on this {settings.device}"
    )
