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
from ipu_app.models.norms import set_updates_per_step, write_norms_out
from ipu_app.models.update_average import UpdateAverage
from ipu_app.runtime.base import (
    Batch,
    BatchResult,
    EvalResult,
    LeftBehind,
    Runtime,
    RuntimeInfo,
    RuntimeParts,
    StageChange,
    StepKnobs,
    Weights,
    copy_to_host,
    eval_result,
)
from ipu_app.runtime.checked_loader import CheckedLoader
from ipu_app.runtime.device_memory import explained_memory
from ipu_app.runtime.finite import MOST_IN_A_ROW, LossScale, NonFinite, all_finite, first_bad_block
from ipu_app.runtime.host_memory import keep_freed_memory
from ipu_app.runtime.optimizers import load_optimizer_state, torch_optimizer
from ipu_app.runtime.random_stream import RandomStream
from ipu_app.runtime.torch_loader import TorchLoader
from pipelines.geometry import BatchGeometry

_AUTOCAST = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class TorchSettings:
    """``autocast``: off, bfloat16 or float16; float16 uses the optimiser's loss scale.

    ``nonfinite``: what becomes of an update that is no finite number, stop or skip; ``auto_loss_scale``: see
    ``LossScale``.
    """

    device: str = "cpu"
    autocast: str = "off"
    channels_last: bool = True
    compile: bool = False
    nonfinite: str = "stop"
    auto_loss_scale: bool = False


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
        self._random = RandomStream(settings.device)
        self._scale = LossScale(settings.auto_loss_scale and settings.autocast == "float16")
        self._left_out_in_a_row = 0
        self._loaders: List[TorchLoader] = []
        decay = parts.update_averaging
        self._average = UpdateAverage(self._train_graph.model, decay) if decay > 0 else None

    def loader(self, dataset: Any, sampler: Any, *, train: bool) -> Iterable[Batch]:
        """Return torch's own loader over whole batches."""
        geometry = self.geometry if train else self.eval_geometry
        workers = self.num_workers(train=train)
        loader = TorchLoader(
            dataset,
            sampler,
            batch_size=geometry.samples_per_batch,
            workers=workers,
            pin_memory=self._settings.device == "cuda",
        )
        self._loaders.append(loader)
        return CheckedLoader(loader, dataset)

    def train_batch(self, batch: Batch, knobs: StepKnobs) -> BatchResult:
        """Train on one batch; NonFinite where an update is no finite number and must not be left out."""
        for group in self._optimizer.param_groups:
            group["lr"] = knobs.lr
        sums: List[Tensor] = []
        left_out = 0
        micro_batches = self._micro_batches(batch, self.geometry)
        per_update = self.geometry.accumulation * self.geometry.replicas
        with self._random, explained_memory("batch.torch_micro"):
            for start in range(0, len(micro_batches), per_update):
                found = self._update(micro_batches[start : start + per_update], knobs.loss_scale)
                sums += [] if found is None else [found]
                left_out += found is None
            loss, correct = torch.stack(sums).sum(0).tolist() if sums else (0.0, 0.0)
        samples = self.geometry.samples_per_batch
        return BatchResult(
            loss * self.geometry.micro_batch,
            correct,
            samples - left_out * samples // self.geometry.device_iterations,
            left_out=left_out,
        )

    def eval_batch(self, batch: Batch) -> EvalResult:
        """Classify one batch."""
        rows = []
        with torch.no_grad(), self._autocast(), explained_memory("batch.eval_micro"):
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
        average = {"update_average": self._average.state_dict()} if self._average else {}
        return {
            "model": self.weights(),
            **average,
            "optimizer": _to_host(self._optimizer.state_dict()),
            "loss_scale": self._scale.state_dict(),
            **self._random.state_dict(),
        }

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Take up weights and, if they are torch's, optimiser and random state.

        The optimiser's settings stay those that it was made with: they are the configuration's.
        """
        self._train_graph.model.load_state_dict(state["model"])
        if self._average:
            self._average.load_state_dict(state.get("update_average"))
        if state.get("optimizer", {}).get("state") and "ipu_state" not in state["optimizer"]:
            load_optimizer_state(self._optimizer, state["optimizer"])
        self._scale.load_state_dict(state.get("loss_scale", {}))
        self._random.load_state_dict(state)
        if "random" in state and "loss_scale" not in state:
            self._random.draw_as_old_loaders_did()

    def left_behind(self, state: Dict[str, Any]) -> LeftBehind:
        """Return what of a saved state can not be taken up here."""
        optimizer = state.get("optimizer", {})
        lost = ("the optimiser's state, which is in PopTorch's form",) if "ipu_state" in optimizer else ()
        drawn = "random_cuda" if self._settings.device == "cuda" else "random"
        begins_anew = () if not state.get("optimizer") or drawn in state else ("the random numbers",)
        return LeftBehind(lost, begins_anew)

    def averaged_weights(self) -> Optional[Weights]:
        """Return the average over all updates, where the parts ask for one."""
        return self._average.weights() if self._average else None

    def change_stage(self, change: StageChange) -> bool:
        """Go on with another stage: nothing is built anew but the loaders."""
        self.close()
        self._loaders.clear()
        self.geometry, self.eval_geometry = change.geometry, change.eval_geometry
        self._train_graph.mix = change.mix
        model = self._train_graph.model
        model.set_dropout(change.dropout)
        set_updates_per_step(model, change.geometry.accumulation)
        self.info = describe_torch(self._settings, change.geometry)
        return True

    def close(self) -> None:
        """End the loaders' processes."""
        for loader in self._loaders:
            loader.close()

    def _update(self, micro_batches: List[Batch], configured_scale: float) -> Optional[Tensor]:
        """One weight update; returns (sum of micro-batch losses, sum of correct) on the device.

        None: the update was no finite number, and was left out.
        """
        scale = self._scale.now(configured_scale) if self._settings.autocast == "float16" else 1.0
        self._optimizer.zero_grad(set_to_none=True)
        sums = torch.zeros(2, device=self._settings.device)
        for index, micro_batch in enumerate(micro_batches, start=1):
            with self._sync.micro_batch(last=index == len(micro_batches)):
                with self._autocast():
                    loss, correct = self._sync.model(*micro_batch)
                (loss * (scale / len(micro_batches))).backward()
            sums += torch.stack((loss.detach(), correct))
        self._sync.finish()
        gradients = [p.grad for p in self._params if p.grad is not None]
        if not all_finite(gradients):
            self._leave_out(micro_batches)
            return None
        if scale != 1.0:
            torch._foreach_div_(gradients, scale)
        self._optimizer.step()
        if self._average:
            self._average.add()
        self._scale.grow()
        self._left_out_in_a_row = 0
        return sums

    def _leave_out(self, micro_batches: List[Batch]) -> None:
        """Decide on an update that is no finite number: its gradients, and so this, are the job's."""
        self._left_out_in_a_row += 1
        if self._scale.can_shrink():
            return
        if self._settings.nonfinite == "skip" and self._left_out_in_a_row < MOST_IN_A_ROW:
            return
        where = first_bad_block(self._train_graph, micro_batches[-1], self._autocast())
        times = f"{self._left_out_in_a_row} updates in a row" if self._left_out_in_a_row > 1 else "an update"
        raise NonFinite(f"{times} would be no finite numbers: first the {where}")

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
