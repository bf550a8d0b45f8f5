"""The sections of a run's configuration: frozen, typed, and self-checking.

Each section refuses bad values when it is built, with a message that names key, value and what is allowed.
``ipu_app.config.load`` fills them from YAML; only ``ipu_app.build`` takes a whole ``RunConfig``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, Optional, Tuple

from ipu_app.config.augment import AugmentConfig
from ipu_app.config.kinds import DECODERS, NORMS, SCHEDULES
from ipu_app.config.kinds import DEVICES as KINDS_OF_DEVICE
from ipu_app.config.optimizer_options import OptimizerConfig
from ipu_app.config.pod_options import IpuConfig, check_pod_options
from ipu_app.config.progressive import ProgressiveConfig
from ipu_app.config.value_checks import at_least, between, file_name, one_of

DEVICES = ("auto", *KINDS_OF_DEVICE)
PRECISIONS = ("16.16", "16.32", "32.32")
NORMALISATIONS = ("published", "torchvision", "released_v2", "half")
CROPS = ("published", "v2")
MOST_PIXELS = 178_956_970  # Pillow opens no larger image
AVERAGINGS = ("epoch", "update")


@dataclass(frozen=True)
class SectionConfig:
    """What a section of the network consists of, in the place of the base's own; limits as in
    ``ipu_app.models.choices.Choice``.
    """

    block: str
    kernel: int
    ratio: float
    repeats: int


@dataclass(frozen=True)
class ModelConfig:
    """Which network; the meaning and limits of each value are ``ipu_app.models.spec.make_spec``'s."""

    name: str = "b0"
    group_size: int = 16
    expand_ratio: Optional[float] = None
    norm: str = "ln_pn"
    norm_grouping: str = "contiguous"
    norm_eps: float = 1e-3
    padding: str = "same"
    proxy_rule: str = "quadrature"
    dropout: Optional[float] = None
    drop_connect: float = 0.2
    depth_scale: float = 1.0
    width_scale: float = 1.0
    sections: Tuple[SectionConfig, ...] = ()

    def __post_init__(self) -> None:
        for key in ("depth_scale", "width_scale"):
            if not 0 < getattr(self, key) <= 16:
                raise ValueError(f"model.{key}={getattr(self, key)}: must be above 0, and 16 or less")
        one_of("model.norm", self.norm, NORMS)
        one_of("model.norm_grouping", self.norm_grouping, ("contiguous", "strided"))
        one_of("model.padding", self.padding, ("same", "symmetric"))
        one_of("model.proxy_rule", self.proxy_rule, ("quadrature", "quantile200"))
        at_least("model.group_size", self.group_size, 1)
        if self.norm_eps <= 0:
            raise ValueError(f"model.norm_eps={self.norm_eps}: must be above 0")
        between("model.dropout", self.dropout, 0, 0.99)
        between("model.drop_connect", self.drop_connect, 0, 0.99)


@dataclass(frozen=True)
class DataConfig:
    """What is fed: ``source`` None is the embedded handwritten digits; else a folder, shards or made-up.

    ``workers``: loader processes of an instance for training, half as many for validation; None takes its
    share of the host's cores where files are decoded, none otherwise. ``cache_dir`` keeps lists of files and
    copies of remote shards; None is ``$XDG_CACHE_HOME/ipu_app``, for at most 10 GB of copies. ``image_key``
    names the image of a shard's sample where it has several; larger ones than ``max_pixels`` are left out.
    """

    source: Optional[str] = None
    workers: Optional[int] = None
    decoder: str = "auto"
    normalise: str = "published"
    crop: str = "published"
    limit_train: Optional[int] = None
    limit_val: Optional[int] = None
    cache_dir: Optional[str] = None
    image_key: Optional[str] = None
    max_pixels: int = 100_000_000
    retry_minutes: float = 10.0

    def __post_init__(self) -> None:
        between("data.max_pixels", self.max_pixels, 32 * 32, MOST_PIXELS)
        at_least("data.retry_minutes", self.retry_minutes, 0)
        if self.source == "":  # an empty shell variable, most likely
            raise ValueError("data.source='': give a folder, or leave it out for the embedded digits")
        if self.cache_dir == "":
            raise ValueError("data.cache_dir='': give a folder, or leave it out for ~/.cache/ipu_app")
        if self.workers is not None:
            at_least("data.workers", self.workers, 0)
        one_of("data.decoder", self.decoder, ("auto", *DECODERS))
        one_of("data.normalise", self.normalise, NORMALISATIONS)
        one_of("data.crop", self.crop, CROPS)
        for key in ("limit_train", "limit_val"):
            value = getattr(self, key)
            if value is not None:
                at_least(f"data.{key}", value, 1)


@dataclass(frozen=True)
class DeviceConfig:
    """What it runs on; ``auto`` takes IPU hardware, else CUDA, else CPU.

    ``autocast`` auto: bfloat16 on GPUs that have it in hardware, else off.
    """

    kind: str = "auto"
    poptorch: str = "auto"
    ipu_model: bool = False
    strict_memory: bool = False
    platform: str = "mk2"
    executable_cache: Optional[str] = None
    autocast: str = "auto"
    channels_last: bool = True
    compile: bool = False
    threads: Optional[int] = None

    def __post_init__(self) -> None:
        one_of("device.kind", self.kind, DEVICES)
        one_of("device.poptorch", self.poptorch, ("auto", "sdk", "sim"))
        one_of("device.platform", self.platform, ("mk2", "bow"))
        one_of("device.autocast", self.autocast, ("auto", "off", "bfloat16", "float16"))
        if self.threads is not None:
            at_least("device.threads", self.threads, 1)


@dataclass(frozen=True)
class BatchConfig:
    """Batch factors of the whole job; ``replicas`` counts those of all instances.

    ``torch_micro`` is the largest micro-batch on CPU and CUDA, where the same global batch is made with
    fewer, larger micro-batches, as large as the memory is estimated to take; None keeps ``micro``.
    """

    micro: int = 8
    accumulation: int = 1
    replicas: int = 1
    device_iterations: int = 1
    torch_micro: Optional[int] = None
    eval_micro: Optional[int] = None

    def __post_init__(self) -> None:
        for key in ("micro", "accumulation", "replicas", "device_iterations", "torch_micro", "eval_micro"):
            value = getattr(self, key)
            if value is not None:
                at_least(f"batch.{key}", value, 1)

    @property
    def global_batch(self) -> int:
        """Samples between two weight updates."""
        return self.micro * self.accumulation * self.replicas


@dataclass(frozen=True)
class ScheduleConfig:
    """Learning rate over the phase, as a function of the epoch."""

    kind: str = "exponential"
    warmup_epochs: float = 5.0
    decay: float = 0.97
    epochs_per_drop: float = 350 / 146

    def __post_init__(self) -> None:
        one_of("schedule.kind", self.kind, SCHEDULES)
        at_least("schedule.warmup_epochs", self.warmup_epochs, 0)
        between("schedule.decay", self.decay, 0, 1)
        if self.epochs_per_drop <= 0:
            raise ValueError(f"schedule.epochs_per_drop={self.epochs_per_drop}: must be above 0")


@dataclass(frozen=True)
class PipelineConfig:
    """How one replica is spread over IPUs; ``splits`` name the sub-blocks that start the next IPU."""

    splits: Tuple[str, ...] = ()
    schedule: str = "grouped"
    recompute: bool = True
    precision: str = "16.32"
    available_memory_proportion: Tuple[float, ...] = ()
    half_partials: bool = True
    dithering: bool = False
    offload_optimizer: bool = False
    stochastic_rounding: bool = False

    def __post_init__(self) -> None:
        one_of("pipeline.schedule", self.schedule, ("grouped", "interleaved", "sequential"))
        one_of("pipeline.precision", self.precision, PRECISIONS)
        for value in self.available_memory_proportion:
            between("pipeline.available_memory_proportion", value, 0, 1)
        if len(self.available_memory_proportion) not in (0, 1, len(self.splits) + 1):
            raise ValueError(
                f"pipeline.available_memory_proportion has {len(self.available_memory_proportion)} values: "
                f"give one for all IPUs or one for each of the {len(self.splits) + 1}"
            )


@dataclass(frozen=True)
class PhaseConfig:
    """One stretch of training at one resolution; ``resolution`` None is the model's native one.

    ``trainable`` names the first block that learns (``all``, or for instance ``Top`` or ``block7a``);
    ``averaging`` is the decay of the weight average (0: none), one sample an epoch; or, with
    ``averaging_per`` update, one an update, where decays begin lower: (1 + t) / (10 + t) after t updates.
    ``progressive``: image size and regularisation grow in stages.
    """

    name: str
    epochs: int = 350
    resolution: Optional[int] = None
    trainable: str = "all"
    averaging: float = 0.97
    averaging_per: str = "epoch"
    batch: BatchConfig = field(default_factory=BatchConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    pipeline: PipelineConfig = field(default_factory=PipelineConfig)
    progressive: ProgressiveConfig = field(default_factory=ProgressiveConfig)

    def __post_init__(self) -> None:
        one_of(f"phases.{self.name}.averaging_per", self.averaging_per, AVERAGINGS)
        at_least(f"phases.{self.name}.epochs", self.epochs, 1)
        between(f"phases.{self.name}.averaging", self.averaging, 0, 0.9999)
        if self.resolution is not None:
            at_least(f"phases.{self.name}.resolution", self.resolution, 32)
        stages, least = len(self.pipeline.splits) + 1, self.least_accumulation
        if stages > 1 and self.batch.accumulation < least:
            raise ValueError(
                f"phases.{self.name}.batch.accumulation={self.batch.accumulation}: a training pipeline of "
                f"{stages} stages needs {least} or more"
            )

    @property
    def least_accumulation(self) -> int:
        """The micro-batches that fill the training pipeline once: PopTorch's minimum."""
        return 2 * len(self.pipeline.splits) + 1


@dataclass(frozen=True)
class EvaluateConfig:
    """When and at which resolutions the validation images are classified."""

    every_epochs: int = 1
    resolutions: Tuple[int, ...] = ()

    def __post_init__(self) -> None:
        at_least("evaluate.every_epochs", self.every_epochs, 1)
        for resolution in self.resolutions:
            at_least("evaluate.resolutions", resolution, 32)


@dataclass(frozen=True)
class TrackingConfig:
    """Who is told of the progress, besides ``metrics.jsonl``."""

    logs_per_epoch: int = 4
    wandb: bool = False
    wandb_project: str = "efficientnet-ipu"
    tensorboard: bool = False

    def __post_init__(self) -> None:
        at_least("tracking.logs_per_epoch", self.logs_per_epoch, 1)


@dataclass(frozen=True)
class RunConfig:
    """A whole run: one model, one data set, one device, and phases in order.

    ``checkpoint_minutes``: after so long there is a checkpoint inside an epoch, too (0: only after epochs).
    """

    name: str = ""
    seed: int = 0
    runs_dir: str = "runs"
    keep_checkpoints: int = 2
    checkpoint_minutes: float = 15.0
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    device: DeviceConfig = field(default_factory=DeviceConfig)
    ipu: IpuConfig = field(default_factory=IpuConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    phases: Dict[str, PhaseConfig] = field(default_factory=lambda: {"train": PhaseConfig("train")})

    def __post_init__(self) -> None:
        at_least("keep_checkpoints", self.keep_checkpoints, 1)
        file_name("name", self.name)
        at_least("checkpoint_minutes", self.checkpoint_minutes, 0)
        if not self.phases:
            raise ValueError("phases={}: a run has at least one phase")
        stages = {name: len(phase.pipeline.splits) + 1 for name, phase in self.phases.items()}
        check_pod_options(self.ipu, norm_grouping=self.model.norm_grouping, stages=stages)
