"""From the arguments of ``train`` to a checked configuration. No torch."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Sequence

from ipu_app.cli.train_flags import FLAGS, SWITCHES
from ipu_app.cli.train_init import init_needs, init_overrides
from ipu_app.config.asked import Asked, asked_keys, sets_batch
from ipu_app.config.kinds import NORMS
from ipu_app.config.load import (
    CONFIGS,
    RECIPE_FOLDERS,
    load_config,
    nearest_recipe,
    recipe_files,
    recipe_path,
)
from ipu_app.config.schema import PhaseConfig, RunConfig
from ipu_app.settling.phase_estimates import configured_spec

if TYPE_CHECKING:
    from ipu_app.settling.settle import Request

FINETUNE = "finetune"  # the phase that configs/bases/half.yaml and configs/finetune.yaml describe
FINETUNE_BATCH = 64  # about the global batch with other people's weights, see configs/finetune.yaml
_SMOKE_STAGES = 2  # of progressive learning
_SMOKE_MAGNITUDES = "[0.5,1.0]"  # whose patches are in proportion to the miniature
SMOKE_STEPS = 4  # weight updates of a miniature: the first is at a learning rate of 0


def config_from_args(args: argparse.Namespace) -> RunConfig:
    """Return the configuration that the command line describes."""
    _refuse_contradictions(args)
    brought = init_overrides(args, given_overrides(args))
    path = config_path(args, brought)
    typed = typed_overrides(args)
    own_defaults = _finetune_plan(args, path, brought)
    if args.from_run:  # what that run's device resolved it to may be wrong for this one
        own_defaults.append("device.autocast=auto")
    before = [*brought, *_plan_overrides(args)]
    also = _finetune_base(args, path, typed)

    def load(between: Sequence[str] = ()) -> RunConfig:
        said = [*between, *typed]
        return load_config(path, [*_without(own_defaults, said), *before, *said], also=also)

    if args.ipus is not None:
        typed.append(replicas_for(load(), args.ipus, args.phase))
    if args.batch is not None:
        typed += accumulation_for(load(), args.batch, args.phase)
    config = _in_miniature(load, typed) if args.smoke else load()
    if args.phase:
        config = only_phase(config, args.phase)
    return config


def asked_from_args(args: argparse.Namespace, config: RunConfig) -> Asked:
    """Return which settings are the user's own, by the phases of the run that they gave."""
    phases = [args.phase] if args.phase else list(config.phases)
    keys = asked_keys(typed_overrides(args), phases)
    own_file = bool(args.config) and CONFIGS not in Path(args.config).resolve().parents
    fixed = own_file or bool(args.plan) or args.ipus is not None or args.batch is not None
    return Asked(keys, batch=fixed or sets_batch(keys))


def request_from_args(args: argparse.Namespace) -> Request:
    """Return what the command line asks for."""
    from ipu_app.settling.origin import EarlierRun, Origin
    from ipu_app.settling.settle import Request

    config, needs = config_from_args(args), init_needs(args, given_overrides(args))
    classes = needs.classes if needs and not args.reset_head else ()
    origin = Origin(
        resume=Path(args.resume) if args.resume else None,
        from_run=Path(args.from_run) if args.from_run else None,
        init=Path(args.init) if args.init else None,
        reset_head=args.reset_head,
        settings=tuple(init_overrides(args, given_overrides(args))),
        fresh_optimizer=args.fresh_optimizer,
        notes=needs.notes if needs else (),
        ema=None if args.ema is None else args.ema == "yes",
        earlier=EarlierRun(classes=classes),
    )
    return Request(config, asked_from_args(args, config), origin)


def check_data(args: argparse.Namespace, config: RunConfig) -> None:
    """Refuse to spend a published training, or other people's weights, on the embedded digits unasked."""
    if not has_data(args, config):
        option, value = ("run", args.run) if args.run else ("init", args.init)
        raise ValueError(
            f"{option}={value}: on which images? Give --data DIR, or --smoke for a miniature of the run "
            "in seconds (the embedded digits on purpose: --data digits)"
        )


def has_data(args: argparse.Namespace, config: RunConfig) -> bool:
    """Tell whether it is clear which images are meant; a published run is not for the digits unasked."""
    if config.data.source is not None or args.smoke or args.config:
        return True
    return not (_is_published(args.run) or args.init)


def config_path(args: argparse.Namespace, brought: Sequence[str] = ()) -> Path:
    """Return the file to start from: the one asked for, a run's own, a published recipe, or the demo."""
    if args.config:
        return Path(args.config)
    if args.run:
        return recipe_path(args.run)
    if args.resume or args.from_run:
        path = Path(args.resume or args.from_run) / "config.yaml"
        if not path.is_file():
            raise ValueError(f"run={path.parent}: no config.yaml there; give the folder of a run")
        return path
    named = dict(item.split("=", 1) for item in brought)
    if args.init:
        return CONFIGS / "finetune.yaml"
    if args.data:
        model = args.model or named.get("model.name", "b0")
        return nearest_recipe(model, args.group or 16, args.norm or "ln_pn")
    is_v2 = (args.model or "").lower().startswith("v2-")
    return CONFIGS / ("demo-v2.yaml" if is_v2 else "demo.yaml")


def _finetune_plan(args: argparse.Namespace, path: Path, brought: Sequence[str]) -> List[str]:
    """Return splits and batch of a fine-tuning, for IPUs, from the network's published training."""
    if path != CONFIGS / "finetune.yaml" or args.plan:
        return []
    named = dict(item.split("=", 1) for item in brought)
    model = args.model or named.get("model.name", "b0")
    if not any(file.stem.startswith(f"{model}-") for file in recipe_files()):
        return []
    group, norm = args.group or int(named.get("model.group_size", 16)), args.norm or "gn"
    phase = next(iter(load_config(nearest_recipe(model, group, norm)).phases.values()))
    micro = phase.batch.micro
    return [
        f"phases.{FINETUNE}.pipeline.splits=[{', '.join(phase.pipeline.splits)}]",
        f"phases.{FINETUNE}.batch.micro={micro}",
        f"phases.{FINETUNE}.batch.accumulation={max(phase.least_accumulation, FINETUNE_BATCH // micro)}",
    ]


def _finetune_base(args: argparse.Namespace, path: Path, overrides: List[str]) -> List[Path]:
    """Return the file of the fine-tuning phase where the run at ``path`` has none, as native runs have none.

    Its resolution is then that of the run (the test resolution of a network trained at it), but the native
    one after the training phase alone of a half-resolution run.
    """
    if not (args.from_run and args.phase == FINETUNE):
        return []
    config = load_config(path, opens_data=False)
    if FINETUNE in config.phases:
        return []
    key = f"phases.{FINETUNE}.resolution"
    last = list(config.phases.values())[-1]
    is_half = last.resolution == configured_spec(config.model).half_resolution
    if last.resolution and not is_half and not any(item.startswith(f"{key}=") for item in overrides):
        overrides.append(f"{key}={last.resolution}")
    return [CONFIGS / "bases" / "half.yaml"]


def given_overrides(args: argparse.Namespace) -> List[str]:
    """Return what the command line says of single values, as ``key=value``."""
    return [*_plan_overrides(args), *typed_overrides(args)]


def typed_overrides(args: argparse.Namespace) -> List[str]:
    """Return what flags and ``--set`` say, as ``key=value``."""
    return [*_flag_overrides(args), *args.set]


def replicas_for(config: RunConfig, ipus: int, phase_name: Optional[str] = None) -> str:
    """Return the override that uses this many IPUs, or refuse with the nearest numbers that work.

    It is for the phase of that name, by default for the first.
    """
    name = phase_name or next(iter(config.phases))
    phase = only_phase(config, name).phases[name]
    stages = len(phase.pipeline.splits) + 1
    legal = [2**k for k in range(13) if 2**k % stages == 0]
    if ipus not in legal:
        near = sorted(sorted(legal, key=lambda n: abs(n - ipus))[:2])
        raise ValueError(
            f"ipus={ipus}: must be a power of two and a multiple of the pipeline's {stages} stages, "
            f"for instance {' or '.join(map(str, near)) or 'with other splits'}"
        )
    return f"phases.{name}.batch.replicas={ipus // stages}"


def accumulation_for(config: RunConfig, batch: int, phase_name: Optional[str] = None) -> List[str]:
    """Return the overrides that make a weight update of this many images, or refuse with the nearest numbers.

    The accumulation is set; micro-batch and replicas stay. They are for the phase of that name, by default
    for the first.
    """
    name = phase_name or next(iter(config.phases))
    phase = only_phase(config, name).phases[name]
    unit, least = phase.batch.micro * phase.batch.replicas, phase.least_accumulation
    if batch % unit or batch // unit < least:
        below = max(batch // unit, least) * unit
        raise ValueError(
            f"batch={batch}: must be a multiple of {unit} (micro-batch {phase.batch.micro} x replicas "
            f"{phase.batch.replicas}) and at least {least * unit}, for instance {below} or {below + unit}; "
            f"other factors: --set phases.{name}.batch.micro=N"
        )
    return [f"phases.{name}.batch.accumulation={batch // unit}"]


def _in_miniature(load: Callable[[Sequence[str]], RunConfig], typed: Sequence[str]) -> RunConfig:
    """Load the configuration with what ``--smoke`` makes small, but for the values that were typed."""
    whole = load(())
    phases = list(whole.phases)
    small = _but_for(smoke_overrides(whole), typed, phases)
    batches = [phase.batch for phase in load(small).phases.values()]
    images = SMOKE_STEPS * max(batch.global_batch * batch.device_iterations for batch in batches)
    return load([*small, *_but_for([f"data.limit_train={images}"], typed, phases)])


def _but_for(overrides: Sequence[str], typed: Sequence[str], phases: Sequence[str]) -> List[str]:
    kept = Asked(asked_keys(typed, phases))
    return [item for item in overrides if not kept.has(item.partition("=")[0])]


def smoke_overrides(config: RunConfig) -> List[str]:
    """Return what turns a run into one of seconds: one epoch, few images, small ones, small batches."""
    longest = max(phase.least_accumulation for phase in config.phases.values())
    values = ["tracking.logs_per_epoch=1"]
    if config.data.source is None:
        values.append("data.source='generated:10'")
    if config.evaluate.resolutions:
        last = _smoke_resolution(config, list(config.phases.values())[-1])
        values.append(f"evaluate.resolutions=[{last},{last + 32}]")
    for name, phase in config.phases.items():
        is_pipeline = len(phase.pipeline.splits) > 0
        replicas, micro = 1 if is_pipeline else 2, max(2, phase.augment.least_micro)
        accumulation = phase.least_accumulation if is_pipeline else (longest + 1) // 2
        values += [
            f"phases.{name}.epochs={_SMOKE_STAGES if phase.progressive.is_on else 1}",
            f"phases.{name}.resolution={_smoke_resolution(config, phase)}",
            f"phases.{name}.batch.micro={micro}",
            f"phases.{name}.batch.accumulation={accumulation}",
            f"phases.{name}.batch.replicas={replicas}",
            f"phases.{name}.batch.device_iterations=1",
            f"phases.{name}.batch.torch_micro={micro * accumulation * replicas}",
            f"phases.{name}.batch.eval_micro=2",
            # a shorter warm-up: at the published one's first steps nothing would learn
            f"phases.{name}.schedule.warmup_epochs={min(phase.schedule.warmup_epochs, 1 / SMOKE_STEPS)}",
            *_smoke_augmentation(config, name),
            *_smoke_stages(config, phase),
        ]
    return [*values, "data.limit_val=4"]


def _smoke_augmentation(config: RunConfig, name: str) -> List[str]:
    """Keep RandAugment's patches, which are in pixels, in proportion: they would cover whole miniatures.

    Where a whole image is of one value, which may be an input of 0, gradients of group norms overflow.
    """
    phase = config.phases[name]
    magnitude = phase.augment.randaugment.magnitude
    if magnitude is None:
        return []
    share = _smoke_resolution(config, phase) / _resolution(config, phase)
    return [f"phases.{name}.augment.randaugment.magnitude={round(magnitude * share, 2)}"]


def _smoke_stages(config: RunConfig, phase: PhaseConfig) -> List[str]:
    """Stages of one epoch, of two small sizes, with the phase's own batch and splits."""
    if not phase.progressive.is_on:
        return []
    least, augment = _least_smoke_pixels(config), phase.augment
    values = {
        "stages": _SMOKE_STAGES,
        "resolution": f"[{least},{least + 32}]",
        **dict.fromkeys(("micro", "torch_micro", "replicas", "splits"), "[]"),
    }
    if augment.preprocessing == "train" and augment.autoaugment == "off":
        values["randaugment"] = _SMOKE_MAGNITUDES
    return [f"phases.{phase.name}.progressive.{key}={value}" for key, value in values.items()]


def only_phase(config: RunConfig, name: str) -> RunConfig:
    """Return the run reduced to one of its phases."""
    if name not in config.phases:
        raise ValueError(f"phase={name!r}: this run has {', '.join(config.phases)}")
    return replace(config, phases={name: config.phases[name]})


def _is_published(name: Optional[str]) -> bool:
    return name is not None and recipe_path(name).parent.name in RECIPE_FOLDERS


def _smoke_resolution(config: RunConfig, phase: PhaseConfig) -> int:
    """Keep the resolution modulo 32, and so the parity that the downsampling layers see.

    The last maps of batch norm keep some pixels: over the single ones of two images its gradient overflows
    in half precision.
    """
    return _least_smoke_pixels(config) + _resolution(config, phase) % 32


def _least_smoke_pixels(config: RunConfig) -> int:
    return 64 if NORMS[config.model.norm].per_batch else 32


def _resolution(config: RunConfig, phase: PhaseConfig) -> int:
    return phase.resolution or configured_spec(config.model).native_resolution


def _without(overrides: Sequence[str], replaced: Sequence[str]) -> List[str]:
    keys = {item.partition("=")[0] for item in replaced}
    return [item for item in overrides if item.partition("=")[0] not in keys]


def _flag_overrides(args: argparse.Namespace) -> List[str]:
    named = [(key, getattr(args, flag)) for flag, key, _, _ in FLAGS if getattr(args, flag) is not None]
    switched = [f"{key}=true" for flag, key, _ in SWITCHES if getattr(args, flag)]
    overrides = [f"{key}={quoted(value)}" for key, value in named] + switched
    if args.phase:  # the only phase that runs is the one that the flags mean
        overrides = [item.replace("phases[0]", f"phases.{args.phase}") for item in overrides]
    return overrides


def quoted(value: Any) -> str:
    """Keep text text: a folder named 2012 must not become a number, nor one with a quote end early."""
    if not isinstance(value, str):
        return str(value)
    doubled = value.replace("'", "''")  # YAML's way to write a quote inside quotes
    return f"'{doubled}'"


def _plan_overrides(args: argparse.Namespace) -> List[str]:
    """Return what a saved plan fixes; flags may repeat its model, not change it."""
    if not args.plan:
        return []
    from pipelines.plan import load_saved_plan

    saved = load_saved_plan(Path(args.plan))
    saved.check_model(name=args.model, group_size=args.group, norm=args.norm, resolution=args.res)
    plan, geometry, model = saved.plan, saved.geometry, saved.model
    facts: Dict[str, Any] = {
        "pipeline.splits": f"[{', '.join(plan.splits)}]",
        "pipeline.schedule": plan.schedule,
        "pipeline.recompute": str(plan.recompute).lower(),
        "pipeline.precision": f"'{model.precision}'",
        "pipeline.offload_optimizer": str(model.offload_optimizer).lower(),
        "pipeline.available_memory_proportion": "[]",
        "batch.micro": geometry.micro_batch,
        "batch.accumulation": geometry.accumulation,
        "batch.replicas": geometry.total_replicas,
        "batch.device_iterations": geometry.device_iterations,
    }
    overrides = [f"phases[0].{key}={value}" for key, value in facts.items()]
    for flag, key, value in (
        ("model", "model.name", f"'{model.name}'"),
        ("group", "model.group_size", model.group_size),
        ("norm", "model.norm", f"'{model.norm}'"),
        ("res", "phases[0].resolution", model.resolution),
    ):
        if getattr(args, flag) is None:
            overrides.append(f"{key}={value}")
    return overrides


def _refuse_contradictions(args: argparse.Namespace) -> None:
    if args.ema and not args.init:
        raise ValueError("ema: has no effect without --init FILE")
    if args.reset_head and not args.init:
        raise ValueError("reset-head: has no effect without --init FILE")
    if args.fresh_optimizer and not args.resume:
        raise ValueError("fresh-optimizer: has no effect without --resume RUN")
    if args.resume and args.phase:
        raise ValueError(
            "phase: a run that goes on has all its phases; leave it out, or build on it with --from"
        )
    if args.plan and args.ipus is not None:
        raise ValueError("ipus: the plan fixes the number of IPUs; make another with `plan --ipus`")
    if args.init and (args.resume or args.from_run):
        raise ValueError("init: a run that is continued or built on has its own weights")
