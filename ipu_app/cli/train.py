"""``ipu_app train``: from the command line to a run's folder."""

from __future__ import annotations

import argparse

from ipu_app.cli.train_flags import FLAGS, SWITCHES

HELP = "train a network on IPUs (real or simulated), CUDA or CPU"


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
    source.add_argument(
        "--fresh-optimizer",
        action="store_true",
        help="with --resume: go on without the optimiser's state where it can not be taken along",
    )
    source.add_argument("--phase", metavar="NAME", help="run only this phase (with --from: finetune)")
    source.add_argument("--plan", metavar="FILE", help="splits and batch factors that `plan --save` wrote")
    source.add_argument(
        "--init", metavar="FILE", help="weights to fine-tune: torchvision's, timm's, `export`'s"
    )
    source.add_argument("--reset-head", action="store_true", help="with --init: leave out the classifier")
    source.add_argument(
        "--ema",
        choices=("yes", "no"),
        help="with --init: take a checkpoint's averaged (EMA) weights, or those as they trained "
        "(default: the averaged, where there are any)",
    )
    source.add_argument(
        "--smoke",
        action="store_true",
        help="the same run in miniature, in seconds; but for what you set",
    )
    source.add_argument(
        "--print-config", action="store_true", help="print all settings with what they mean, and end"
    )
    source.add_argument(
        "--dry-run", action="store_true", help="say what the run would be, phase by phase, and end"
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
    from ipu_app.cli.train_config import check_data, request_from_args

    if args.print_config:
        return _print_config(args)
    request = request_from_args(args)
    check_data(args, request.config)
    from ipu_app.runs.job import train

    return train(request, dry_run=args.dry_run)


def _print_config(args: argparse.Namespace) -> int:
    """Print the settings as they are settled here, with what they mean."""
    from ipu_app.cli.train_config import has_data, request_from_args
    from ipu_app.config.describe import described_yaml

    request = request_from_args(args)
    from ipu_app.runs.here import settled_config

    config, remarks = settled_config(request, with_images=has_data(args, request.config))
    for remark in remarks:
        print(f"# {remark}")
    print(described_yaml(config), end="")
    return 0
