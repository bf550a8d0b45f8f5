"""The composition root: from what was settled to objects.

The only file that sees all of the configuration after it was settled.
"""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor

from ipu_app.config.convert import to_plain
from ipu_app.config.kinds import DEVICES, SOURCES, kind_of
from ipu_app.config.schema import DataConfig, DeviceConfig, PhaseConfig, RunConfig
from ipu_app.config.value_checks import MOST_NAME_BYTES
from ipu_app.data import augmenting
from ipu_app.data.access import Access
from ipu_app.data.datasets import ImageDataset, open_dataset
from ipu_app.data.manifest import default_cache_dir
from ipu_app.data.sampling import InstanceSampler
from ipu_app.data.shards import UNASKED_BYTES
from ipu_app.data.transforms import Preprocess as ImagePreprocess
from ipu_app.data.unused import skipped_notes
from ipu_app.distributed.comm import Comm
from ipu_app.distributed.fleet import code_version
from ipu_app.distributed.gradients import GradientSync
from ipu_app.environment import share_of_cores
from ipu_app.models.efficientnet import EfficientNet
from ipu_app.models.norms import freeze_statistics, set_updates_per_step
from ipu_app.models.spec import EfficientNetSpec
from ipu_app.models.train_graph import EvalGraph, Preprocess, TrainGraph
from ipu_app.runtime.base import Runtime, RuntimeParts, StageChange
from ipu_app.runtime.ipu_runtime import IpuRuntime
from ipu_app.runtime.optimizers import OptimizerSpec
from ipu_app.runtime.poptorch_api import load_poptorch
from ipu_app.runtime.torch_runtime import TorchRuntime
from ipu_app.settling.device_settings import ipu_settings, torch_settings
from ipu_app.settling.phase_estimates import phase_plan
from ipu_app.settling.phases import SettledPhase, check_trainable, make_optimizer_spec
from ipu_app.settling.settle import SettledRun
from ipu_app.training.curves import Curve
from ipu_app.training.trainer import PhaseSession
from pipelines.geometry import BatchGeometry

Environ = Mapping[str, str]
SAMPLE_IMAGES = 16  # at most so many are shown to trackers


def make_dataset(
    config: RunConfig,
    phase: PhaseConfig,
    split: str,
    resolution: int,
    *,
    environ: Environ,
    classes: Optional[Sequence[str]] = None,
) -> ImageDataset:
    """Open one split at one resolution, augmented and with mixing coefficients as the phase says.

    ``classes`` numbers the labels; None takes the data's own list.
    """
    augment = split == "train" and phase.augment.preprocessing == "train"
    preprocess = ImagePreprocess(
        resolution,
        augment=augment,
        seed=config.seed,
        decoder=config.data.decoder,
        crop=config.data.crop,
        policy=augmenting.make_policy(phase.augment) if augment else None,
        max_pixels=config.data.max_pixels,
    )
    draw = augmenting.make_draw(phase.augment) if split == "train" else None
    chosen = config.data.cache_dir
    dataset = open_dataset(
        config.data.source,
        split,
        preprocess,
        draw_coefficients=draw,
        access=Access(
            cache_dir=Path(chosen).expanduser() if chosen else default_cache_dir(environ),
            most_copied_bytes=None if chosen else UNASKED_BYTES,
            image_key=config.data.image_key,
            patience_s=60 * config.data.retry_minutes,
        ),
        limit=config.data.limit_train if split == "train" else config.data.limit_val,
    )
    if classes is not None:
        dataset.number_labels_by(classes)
    return dataset


def make_workers(data: DataConfig, local_instances: int = 1) -> int:
    """Return an instance's loader processes: as configured, else its share of cores if files are decoded."""
    if data.workers is not None:
        return data.workers
    return share_of_cores(local_instances) if decodes_files(data) else 0


def is_in_memory(data: DataConfig) -> bool:
    """Tell whether the host has next to nothing to do for an image."""
    kind = kind_of(data.source)
    return kind != "" and SOURCES[kind].in_memory


def decodes_files(data: DataConfig) -> bool:
    """Tell whether images are read and decoded, rather than in memory or made up."""
    kind = kind_of(data.source)
    return kind == "" or SOURCES[kind].decodes


def make_parts(
    config: RunConfig,
    phase: PhaseConfig,
    spec: EfficientNetSpec,
    geometries: Tuple[BatchGeometry, BatchGeometry],
    *,
    initialise: bool = True,
    local_instances: int = 1,
) -> RuntimeParts:
    """Build the model (seeded; ``initialise`` False: weights are loaded next) and the graphs around it.

    ``local_instances``: processes of the job on this host, which share its cores.
    """
    torch.manual_seed(config.seed)
    model = EfficientNet(spec, initialise=initialise)
    train_geometry, eval_geometry = geometries
    set_updates_per_step(model, train_geometry.accumulation)
    freeze_before(model, phase.trainable)
    mix = augmenting.make_mixing(phase.augment, phase.batch.micro)
    graph = TrainGraph(
        model,
        num_classes=spec.num_classes,
        label_smoothing=phase.augment.label_smoothing,
        preprocess=Preprocess(normalise=config.data.normalise),
        mix=mix,
    )
    evaluation = EvalGraph(
        model, num_classes=spec.num_classes, preprocess=Preprocess(normalise=config.data.normalise)
    )
    workers = make_workers(config.data, local_instances)
    return RuntimeParts(
        graph,
        evaluation,
        train_geometry,
        eval_geometry,
        make_optimizer_spec(phase),
        workers,
        update_averaging=phase.averaging if phase.averaging_per == "update" else 0.0,
    )


def freeze_before(model: EfficientNet, trainable: str) -> None:
    """Let only the block ``trainable`` and the later ones learn (``all``: every block).

    The earlier ones keep their weights and the moving averages of their batch norms.
    """
    names = list(model.blocks)
    check_trainable(names, trainable)
    if trainable == "all":
        return
    for name in names[: names.index(trainable)]:
        model.blocks[name].requires_grad_(False)
        freeze_statistics(model.blocks[name])


def make_runtime(
    device: str, config: RunConfig, phase: PhaseConfig, parts: RuntimeParts, comm: Optional[Comm] = None
) -> Runtime:
    """Return the runtime of a device kind: ipu, cuda or cpu."""
    runtime: Runtime = DEVICES[device].load()(device, config, phase, parts, comm)
    return runtime


def make_torch_runtime(
    device: str, config: RunConfig, phase: PhaseConfig, parts: RuntimeParts, comm: Optional[Comm]
) -> Runtime:
    """Return the runtime of CPU and CUDA."""
    make_sync = comm.sync_gradients if comm is not None and comm.size > 1 else GradientSync
    return TorchRuntime(parts, settings=torch_settings(config, phase, device), make_sync=make_sync)


def make_ipu_runtime(
    device: str, config: RunConfig, phase: PhaseConfig, parts: RuntimeParts, comm: Optional[Comm]
) -> Runtime:
    """Return the runtime of IPUs; simulated ones sum gradients over the instances by ``comm``."""
    api = load_poptorch(config.device.poptorch)
    if comm is not None and comm.size > 1 and api.kind == "sim":
        api.poptorch.device.collectives.set_all_reduce(comm.all_reduce_)
    settings = ipu_settings(config, phase, instance=comm.rank if comm else 0)
    return IpuRuntime(parts, api=api, plan=phase_plan(phase), settings=settings)


class Datasets(NamedTuple):
    """The images of a phase, opened: those it trains on and those it validates with."""

    train: ImageDataset
    val: ImageDataset


def open_datasets(settled: SettledPhase, *, environ: Environ) -> Datasets:
    """Open the images of a phase, of which only the lists are read."""
    config, phase, size = settled.stage.config, settled.config, settled.resolution
    return Datasets(
        *(make_dataset(config, phase, split, size, environ=environ) for split in ("train", "val"))
    )


def make_session(
    run: SettledRun, name: str, comm: Comm, *, datasets: Optional[Datasets] = None, initialise: bool = True
) -> PhaseSession:
    """Make a settled phase ready to run: model (see ``make_parts``), runtime and loaders.

    ``datasets`` are its images where they are open already.
    """
    settled = run.phases[name]
    images = datasets or open_datasets(settled, environ=run.machine.environ)
    runtime = _make_settled_runtime(run, settled, comm, initialise=initialise)
    return _make_session(run, settled, comm, runtime, images)


def _make_settled_runtime(run: SettledRun, settled: SettledPhase, comm: Comm, *, initialise: bool) -> Runtime:
    config, phase, machine = settled.stage.config, settled.config, run.machine
    geometries = settled.geometry, settled.eval_geometry
    local = machine.world.local_size
    parts = make_parts(config, phase, settled.spec, geometries, initialise=initialise, local_instances=local)
    # both loaders keep their processes; with half of them, validation (4 % of ImageNet's images) takes
    # at most 4 % of an epoch longer, and only where the host is the bottleneck
    parts = replace(parts, eval_workers=(parts.workers + 1) // 2)
    parts.train_graph.model.load_state_dict(comm.broadcast_state(parts.train_graph.model.state_dict()))
    return make_runtime(machine.device, config, phase, parts, comm)


def _next_stage(run: SettledRun, settled: SettledPhase, comm: Comm, runtime: Runtime) -> PhaseSession:
    """Make the stage after this one ready, with all that was learnt: weights, optimiser, random numbers.

    A runtime that can is changed; another is built anew and given the old one's state.
    """
    stage = settled.at(settled.stage.end_epoch)
    images = open_datasets(stage, environ=run.machine.environ)
    mix = augmenting.make_mixing(stage.config.augment, stage.config.batch.micro)
    change = StageChange(stage.geometry, stage.eval_geometry, mix, stage.spec.dropout)
    if not runtime.change_stage(change):
        state = runtime.state_dict()
        runtime.close()
        runtime = _make_settled_runtime(run, stage, comm, initialise=False)
        runtime.load_state_dict(state)
    return _make_session(run, stage, comm, runtime, images)


def _make_session(
    run: SettledRun, settled: SettledPhase, comm: Comm, runtime: Runtime, images: Datasets
) -> PhaseSession:
    config, phase = settled.stage.config, settled.config
    train_order = InstanceSampler(
        len(images.train),
        settled.geometry,
        comm.rank,
        config.seed,
        shard_sizes=images.train.source.shard_sizes or None,
    )
    val_order = validation_order(images.val, settled.eval_geometry, comm)
    return PhaseSession(
        name=settled.name,
        epochs=phase.epochs,
        resolution=settled.resolution,
        runtime=runtime,
        train_set=images.train,
        train_loader=runtime.loader(images.train, train_order, train=True),
        val_loader=runtime.loader(images.val, val_order, train=False),
        train_order=train_order,
        curve=make_curve(phase, settled.optimizer),
        loss_scale=settled.optimizer.loss_scale,
        averaging=phase.averaging,
        averages_updates=phase.averaging_per == "update",
        end_epoch=settled.stage.end_epoch,
        next_stage=lambda: _next_stage(run, settled, comm, runtime),
        spec=settled.spec,
        data_notes=lambda: skipped_notes(images._asdict(), comm.all_sum),
        logs_per_epoch=config.tracking.logs_per_epoch,
        validate_every=config.evaluate.every_epochs,
    )


def mixed_samples(session: PhaseSession, phase: PhaseConfig) -> Tensor:
    """Return the first micro-batch as the model sees it, mixed: uint8 (N, 3, H, W), at most 16 images.

    In the order of training: a data set's own order is by class.
    """
    keys = itertools.islice(session.train_order, phase.batch.micro)
    items = [session.train_set[key] for key in keys]
    return augmenting.mixed_images(items, phase.augment)[:SAMPLE_IMAGES]


def validation_order(dataset: ImageDataset, geometry: BatchGeometry, comm: Comm) -> InstanceSampler:
    """Return this instance's part of the validation images, padded to whole batches."""
    return InstanceSampler(len(dataset), geometry, comm.rank, shuffle=False, drop_last=False)


def make_curve(phase: PhaseConfig, optimizer: OptimizerSpec) -> Curve:
    """Return the learning-rate schedule of a phase."""
    section = phase.schedule
    return Curve(
        peak=optimizer.lr,
        epochs=phase.epochs,
        kind=section.kind,
        warmup_epochs=section.warmup_epochs,
        decay=section.decay,
        epochs_per_drop=section.epochs_per_drop,
    )


def facts_that_must_agree(run: SettledRun) -> Dict[str, str]:
    """Return what every process of a job must see alike: configuration, code, data, what it runs on.

    The data by their content: each host may have them, and copies of them, elsewhere.
    """
    package, plain = Path(__file__).resolve().parent, to_plain(run.config)
    del plain["data"]["source"], plain["data"]["cache_dir"]
    return {
        "configuration": json.dumps(plain, indent=1, sort_keys=True),
        "code": code_version(package, package.parent / "pipelines"),
        "data": run.data.content if run.data else "",
        "backend": run.first.info.backend,
    }


def apply_threads(device: DeviceConfig) -> None:
    """Set torch's number of CPU threads where one is configured."""
    if device.threads is not None:
        torch.set_num_threads(device.threads)


def runs_dir(config: RunConfig) -> Path:
    """Return the folder in which runs are made."""
    return Path(config.runs_dir)


def run_name(config: RunConfig) -> str:
    """Return the configured name, or one made of model and data."""
    if config.name:
        return config.name
    data = Path(str(config.data.source)).name if config.data.source else "digits"
    name = f"{config.model.name}-g{config.model.group_size}-{config.model.norm}-{data}"
    name = re.sub(r"[^\w.=+]+", "-", name)  # lists of shards have braces and colons in them
    return name.encode("utf-8")[:MOST_NAME_BYTES].decode("utf-8", "ignore")
