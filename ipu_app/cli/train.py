"""``ipu_app train``: from the command line to a run's folder."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, List

HELP = "train a network on IPUs (real or simulated), CUDA or CPU"

# flag -> (configuration key, type, help); the flags are spelling for --set
_FLAGS = (
    ("model", "model.name", str, "b0..b7 or cifar"),
    ("group", "model.group_size", int, "channels per group of the spatial convolutions"),
    ("norm", "model.norm", str, "bn, gn, ln, ln_pn or gn_pn"),
    ("res", "phases[0].resolution", int, "image resolution of the first phase, in pixels"),
    ("data", "data.source", str, "folder with train/ and val/ (default: embedded handwritten digits)"),
    ("epochs", "phases[0].epochs", int, "epochs of the first phase"),
    ("device", "device.kind", str, "auto, ipu, cuda or cpu"),
    ("poptorch", "device.poptorch", str, "auto, sdk or sim"),
    ("seed", "seed", int, "seed of initial weights, order and augmentation"),
    ("name", "name", str, "name of the run (default: made of model and data)"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``train``."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--config", metavar="FILE", help="a YAML configuration")
    source.add_argument("--run", metavar="RECIPE", help="a published run by name, like b2-g16-ln_pn-half")
    source.add_argument(
        "--resume", metavar="RUN", help="continue the run in this folder from its last checkpoint"
    )
    for flag, key, kind, text in _FLAGS:
        parser.add_argument(f"--{flag}", type=kind, metavar=flag.upper(), help=f"{text} [{key}]")
    parser.add_argument(
        "--ipus", type=int, help="IPUs of the whole job; sets the replicas of the first phase"
    )
    parser.add_argument("--ipu-model", action="store_true", help="use the SDK's own IPU emulator")
    parser.add_argument(
        "--strict-memory", action="store_true", help="refuse a plan that is estimated not to fit"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="set any configuration value; repeatable",
    )


def run(args: argparse.Namespace) -> int:
    """Train; returns 0, or raises ValueError for bad input."""
    from ipu_app.config.load import load_config

    path = _config_path(args)
    overrides = _overrides(args)
    config = load_config(path, overrides)
    if args.ipus is not None:
        config = load_config(path, [*overrides, _replicas_for(config, args.ipus)])
    from ipu_app.job import train

    return train(config, resume=Path(args.resume) if args.resume else None)


def _config_path(args: argparse.Namespace) -> Path:
    from ipu_app.config.load import CONFIGS, nearest_recipe, recipe_path

    if args.config:
        return Path(args.config)
    if args.run:
        return recipe_path(args.run)
    if args.resume:
        from ipu_app.training.rundir import existing_run_dir

        return existing_run_dir(Path(args.resume)).config
    if args.data:
        return nearest_recipe(args.model or "b0", args.group or 16, args.norm or "ln_pn")
    return CONFIGS / "demo.yaml"


def _overrides(args: argparse.Namespace) -> List[str]:
    named = [(key, getattr(args, flag)) for flag, key, _, _ in _FLAGS if getattr(args, flag) is not None]
    if args.ipu_model:
        named.append(("device.ipu_model", "true"))
    if args.strict_memory:
        named.append(("device.strict_memory", "true"))
    return [f"{key}={_quoted(value)}" for key, value in named] + list(args.set)


def _quoted(value: Any) -> str:
    """Keep text text: a folder named 2012 must not become a number."""
    return f"'{value}'" if isinstance(value, str) and value != "true" else str(value)


def _replicas_for(config: Any, ipus: int) -> str:
    """Return the override that uses this many IPUs, or refuse with the nearest numbers that work."""
    name, phase = next(iter(config.phases.items()))
    stages = len(phase.pipeline.splits) + 1
    legal = [2**k for k in range(13) if 2**k % stages == 0]
    if ipus not in legal:
        near = sorted(sorted(legal, key=lambda n: abs(n - ipus))[:2])
        raise ValueError(
            f"ipus={ipus}: must be a power of two and a multiple of the pipeline's {stages} stages, "
            f"for instance {' or '.join(map(str, near))}"
        )
    return f"phases.{name}.batch.replicas={ipus // stages}"
