"""``ipu_app train``: from the command line to a run's folder."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "train a network on IPUs (real or simulated), CUDA or CPU"

# flag -> (configuration key, type, help); the flags are spelling for --set
FLAGS = (
    ("model", "model.name", str, "b0..b7 or cifar"),
    ("group", "model.group_size", int, "channels per group of the spatial convolutions"),
    ("norm", "model.norm", str, "bn, gn, ln, ln_pn or gn_pn"),
    ("res", "phases[0].resolution", int, "image resolution of the first phase, or of --phase, in pixels"),
    (
        "data",
        "data.source",
        str,
        "folder with train/<class>/ and val/<class>/ of images, torchvision's CIFAR folder, tar shards "
        "(folder, pattern or URL), generated:CLASSES, synthetic, or digits (the default: embedded ones)",
    ),
    ("epochs", "phases[0].epochs", int, "epochs of the first phase, or of --phase"),
    ("lr", "phases[0].optimizer.lr", float, "peak learning rate of the first phase, or of --phase"),
    ("trainable", "phases[0].trainable", str, "first block that learns: all, or for instance Top"),
    ("device", "device.kind", str, "auto, ipu, cuda or cpu"),
    ("poptorch", "device.poptorch", str, "auto, sdk or sim"),
    ("seed", "seed", int, "seed of initial weights, order and augmentation"),
    ("name", "name", str, "name of the run (default: made of model and data)"),
)
SWITCHES = (
    ("ipu_model", "device.ipu_model", "use the SDK's own IPU emulator"),
    ("strict_memory", "device.strict_memory", "refuse a plan that is estimated not to fit"),
    ("wandb", "tracking.wandb", "log to Weights & Biases (offline without a key)"),
    ("tensorboard", "tracking.tensorboard", "log for TensorBoard"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``train``."""
    source = parser.add_argument_group("what to run")
    which = source.add_mutually_exclusive_group()
    which.add_argument("--config", metavar="FILE", help="a YAML configuration")
    which.add_argument("--run", metavar="RECIPE", help="a published run by name, like b2-g16-ln_pn-half")
    which.add_argument("--resume", metavar="RUN", help="continue the run in this folder")
    which.add_argument(
        "--from", dest="from_run", metavar="RUN", help="start from a finished run's averaged weights"
    )
    source.add_argument("--phase", metavar="NAME", help="run only this phase (with --from: finetune)")
    source.add_argument("--plan", metavar="FILE", help="splits and batch factors that `plan --save` wrote")
    source.add_argument(
        "--init", metavar="FILE", help="weights to fine-tune: torchvision's, timm's, `export`'s"
    )
    source.add_argument("--reset-head", action="store_true", help="with --init: leave out the classifier")
    source.add_argument(
        "--smoke",
        action="store_true",
        help="the same run in miniature, in seconds; but for what you set",
    )
    source.add_argument(
        "--print-config", action="store_true", help="print all settings with what they mean, and end"
    )
    values = parser.add_argument_group("values")
    for flag, key, kind, text in FLAGS:
        values.add_argument(f"--{flag}", type=kind, metavar=flag.upper(), help=f"{text} [{key}]")
    values.add_argument("--ipus", type=int, help="IPUs of the whole job; sets the first phase's replicas")
    values.add_argument("--batch", type=int, help="images of one weight update; sets the accumulation")
    for flag, key, text in SWITCHES:
        values.add_argument(f"--{flag.replace('_', '-')}", action="store_true", help=f"{text} [{key}]")
    values.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="set any value; repeatable"
    )


def run(args: argparse.Namespace) -> int:
    """Train; returns 0, or raises ValueError for bad input."""
    from ipu_app.cli.train_config import asked_from_args, check_data, config_from_args, init_overrides

    config = config_from_args(args)
    if args.print_config:
        from ipu_app.config.describe import described_yaml

        print(described_yaml(config), end="")
        return 0
    check_data(args, config)
    from ipu_app.runs.job import Start, train

    start = Start(
        resume=Path(args.resume) if args.resume else None,
        from_run=Path(args.from_run) if args.from_run else None,
        init=Path(args.init) if args.init else None,
        reset_head=args.reset_head,
        settings=tuple(init_overrides(args)),
    )
    return train(config, start, asked_from_args(args, config))
