"""The composition root: from a ``RunConfig`` to objects. The only file that sees all of the configuration."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Dict, Mapping, Optional, Sequence, Tuple

import torch
from torch import Tensor

from ipu_app.config.batches import check_global_batch
from ipu_app.config.convert import to_plain
from ipu_app.config.schema import DataConfig, DeviceConfig, PhaseConfig, RunConfig
from ipu_app.data import augmenting
from ipu_app.data.access import Access
from ipu_app.data.datasets import ImageDataset, open_dataset
from ipu_app.data.manifest import default_cache_dir
from ipu_app.data.sampling import InstanceSampler
from ipu_app.data.shards import UNASKED_BYTES
from ipu_app.data.transforms import Preprocess as ImagePreprocess
from ipu_app.data.unused import data_problems, skipped_notes
from ipu_app.distributed.comm import Comm
from ipu_app.distributed.fleet import code_version
from ipu_app.distributed.gradients import GradientSync
from ipu_app.distributed.world import detect_world
from ipu_app.environment import share_of_cores
from ipu_app.models.counts import count_multiply_adds, count_parameters
from ipu_app.models.efficientnet import EfficientNet
from ipu_app.models.norms import freeze_statistics, set_updates_per_step
from ipu_app.models.spec import EfficientNetSpec
from ipu_app.models.train_graph import EvalGraph, Preprocess, TrainGraph
from ipu_app.runtime.base import Runtime, RuntimeParts
from ipu_app.runtime.device_memory import settle_autocast
from ipu_app.runtime.ipu_options import IpuSettings
from ipu_app.runtime.ipu_runtime import IpuRuntime
from ipu_app.runtime.optimizers import OptimizerSpec
from ipu_app.runtime.poptorch_api import load_poptorch
from ipu_app.runtime.torch_runtime import TorchRuntime, TorchSettings
from ipu_app.settling.phase_estimates import configured_spec, phase_plan
from ipu_app.training.curves import Curve, published_peak, published_rho
from ipu_app.training.trainer import PhaseSession
from pipelines.geometry import BatchGeometry
from pipelines.words import counted

Environ = Mapping[str, str]
SAMPLE_IMAGES = 16  # at most so many are shown to trackers


def make_geometries(
    phase: PhaseConfig, device: str, *, instances: int
) -> Tuple[BatchGeometry, BatchGeometry]:
    """Return the batch geometries of training and validation for one instance.

    On IPUs the replicas are shared out over the instances. Elsewhere each instance is one replica, and the
    same global batch is made by accumulating.
    """
    batch = phase.batch
    if device == "ipu":
        if batch.replicas % instances:
            raise ValueError(
                f"batch.replicas={batch.replicas}: must be a multiple of this job's {instances} instances"
            )
        stages = len(phase.pipeline.splits) + 1
        train = BatchGeometry(
            batch.micro, batch.accumulation, batch.replicas // instances, batch.device_iterations, instances
        )
        evaluation = replace(
            train, micro_batch=batch.eval_micro or batch.micro, accumulation=1, device_iterations=stages
        )
        return train, evaluation
    micro = batch.torch_micro or batch.micro
    if batch.global_batch % (micro * instances):
        raise ValueError(
            f"batch: a global batch of {batch.global_batch} can not be made of micro-batches of {micro} on "
            f"{instances} instances; set batch.torch_micro to a divisor of {batch.global_batch // instances}"
        )
    accumulation = batch.global_batch // (micro * instances)
    train = BatchGeometry(micro, accumulation, 1, batch.device_iterations, instances)
    evaluation = BatchGeometry(batch.eval_micro or max(micro, 32), 1, 1, 1, instances)
    return train, evaluation


def make_optimizer_spec(phase: PhaseConfig) -> OptimizerSpec:
    """Return the optimiser with the paper's rules filled in where the configuration leaves them open."""
    section, batch = phase.optimizer, phase.batch.global_batch
    return OptimizerSpec(
        kind=section.kind,
        lr=published_peak(batch, section.lr_per_image) if section.lr is None else section.lr,
        momentum=section.momentum,
        rho=published_rho(batch) if section.rho is None else section.rho,
        eps=section.eps,
        weight_decay=section.weight_decay,
        loss_scale=section.loss_scale,
        decay_rule=section.decay_rule,
    )


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
    return _kind_of(data) in ("digits", "synthetic")


def decodes_files(data: DataConfig) -> bool:
    """Tell whether images are read and decoded, rather than in memory or made up."""
    return _kind_of(data) not in ("digits", "generated", "synthetic")


def _kind_of(data: DataConfig) -> str:
    return (data.source or "digits").partition(":")[0]


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
    return RuntimeParts(graph, evaluation, train_geometry, eval_geometry, make_optimizer_spec(phase), workers)


def freeze_before(model: EfficientNet, trainable: str) -> None:
    """Let only the block ``trainable`` and the later ones learn (``all``: every block).

    The earlier ones keep their weights and the moving averages of their batch norms.
    """
    names = list(model.blocks)
    if trainable == "all":
        return
    if trainable not in names:
        raise ValueError(f"trainable={trainable!r}: choose all or one of {', '.join(names)}")
    for name in names[: names.index(trainable)]:
        model.blocks[name].requires_grad_(False)
        freeze_statistics(model.blocks[name])


def make_runtime(
    device: str, config: RunConfig, phase: PhaseConfig, parts: RuntimeParts, comm: Optional[Comm] = None
) -> Runtime:
    """Return the runtime of a device kind: ipu, cuda or cpu."""
    if device == "ipu":
        return _make_ipu_runtime(config, phase, parts, comm)
    section = config.device
    settings = TorchSettings(
        device=device,
        autocast=settle_autocast(section.autocast, device),
        channels_last=section.channels_last,
        compile=section.compile,
    )
    many = comm is not None and comm.size > 1
    return TorchRuntime(parts, settings=settings, make_sync=comm.sync_gradients if many else GradientSync)


def _make_ipu_runtime(
    config: RunConfig, phase: PhaseConfig, parts: RuntimeParts, comm: Optional[Comm]
) -> Runtime:
    api = load_poptorch(config.device.poptorch)
    pipeline, section = phase.pipeline, config.device
    if comm is not None and comm.size > 1 and api.kind == "sim":
        api.poptorch.device.collectives.set_all_reduce(comm.all_reduce_)
    settings = IpuSettings(
        precision=pipeline.precision,
        available_memory_proportion=pipeline.available_memory_proportion,
        half_partials=pipeline.half_partials,
        dithering=pipeline.dithering,
        offload_optimizer=pipeline.offload_optimizer,
        stochastic_rounding=pipeline.stochastic_rounding,
        ipu_model=section.ipu_model,
        executable_cache=section.executable_cache,
        private_buffers=config.model.norm == "bn",
        instance=comm.rank if comm else 0,
        seed=config.seed,
    )
    return IpuRuntime(parts, api=api, plan=phase_plan(phase), settings=settings)


def make_session(
    config: RunConfig,
    phase: PhaseConfig,
    device: str,
    *,
    environ: Environ,
    comm: Comm,
    initialise: bool = True,
) -> PhaseSession:
    """Make one phase ready to run: data, model (see ``make_parts``), runtime and loaders."""
    spec = configured_spec(config.model)
    resolution = phase.resolution or spec.native_resolution
    train_set = make_dataset(config, phase, "train", resolution, environ=environ)
    val_set = make_dataset(config, phase, "val", resolution, environ=environ)
    spec = replace(spec, num_classes=train_set.num_classes)
    geometries = make_geometries(phase, device, instances=comm.size)
    check_global_batch(geometries[0], len(train_set), phase)
    world = detect_world(environ)
    if device == "ipu":
        stages = len(phase.pipeline.splits) + 1
        world.check_layout(replicas=geometries[0].total_replicas, ipus_per_replica=stages)
    parts = make_parts(
        config, phase, spec, geometries, initialise=initialise, local_instances=world.local_size
    )
    # both loaders keep their processes; with half of them, validation (4 % of ImageNet's images) takes
    # at most 4 % of an epoch longer, and only where the host is the bottleneck
    parts = replace(parts, eval_workers=(parts.workers + 1) // 2)
    parts.train_graph.model.load_state_dict(comm.broadcast_state(parts.train_graph.model.state_dict()))
    runtime = make_runtime(device, config, phase, parts, comm)
    train_order = InstanceSampler(
        len(train_set),
        geometries[0],
        comm.rank,
        config.seed,
        shard_sizes=train_set.source.shard_sizes or None,
    )
    val_order = validation_order(val_set, geometries[1], comm)
    optimizer = make_optimizer_spec(phase)
    return PhaseSession(
        name=phase.name,
        epochs=phase.epochs,
        resolution=resolution,
        runtime=runtime,
        train_set=train_set,
        train_loader=runtime.loader(train_set, train_order, train=True),
        val_loader=runtime.loader(val_set, val_order, train=False),
        train_order=train_order,
        curve=make_curve(phase, optimizer),
        loss_scale=optimizer.loss_scale,
        averaging=phase.averaging,
        spec=spec,
        model_description=describe_model(spec, resolution),
        data_description=f"{train_set.describe()}; validation: {counted(len(val_set), 'image')}",
        data_content=f"train: {train_set.content()}\nval: {val_set.content()}",
        data_problems=data_problems({"train": train_set, "val": val_set}),
        data_notes=lambda: skipped_notes({"train": train_set, "val": val_set}, comm.all_sum),
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


def describe_model(spec: EfficientNetSpec, resolution: int) -> str:
    """Return one line on the network: what it is, parameters, multiply-adds."""
    parameters = sum(count_parameters(spec).values())
    multiply_adds = sum(count_multiply_adds(spec, resolution).values())
    return (
        f"EfficientNet-{spec.name.upper()}, group size {spec.group_size}, expand ratio "
        f"{spec.expand_ratio:g}, norm {spec.norm}, {resolution} px, {counted(spec.num_classes, 'class')}: "
        f"{parameters / 1e6:.2f} M parameters, {multiply_adds / 1e6:.1f} M multiply-adds an image forward"
    )


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


def facts_that_must_agree(config: RunConfig, session: PhaseSession) -> Dict[str, str]:
    """Return what every process of a job must see alike: configuration, code, data, what it runs on.

    The data by their content: each host may have them, and copies of them, elsewhere.
    """
    package, plain = Path(__file__).resolve().parent, to_plain(config)
    del plain["data"]["source"], plain["data"]["cache_dir"]
    return {
        "configuration": json.dumps(plain, indent=1, sort_keys=True),
        "code": code_version(package, package.parent / "pipelines"),
        "data": session.data_content,
        "backend": session.runtime.info.backend,
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
    return re.sub(r"[^\w.=+]+", "-", name)  # lists of shards have braces and colons in them
