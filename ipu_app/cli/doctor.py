"""``ipu_app doctor``: what this machine has, and what would be used."""

from __future__ import annotations

import argparse
from typing import List, Tuple

HELP = "say what this machine has, and which device would be used"

Row = Tuple[str, str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``doctor``."""
    parser.add_argument(
        "--trace",
        metavar="RECIPE",
        help="compile a recipe (or a YAML file) on the simulated IPU: every operation, its shape and place",
    )
    parser.add_argument("--phase", metavar="NAME", help="with --trace: another phase than the first")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")


def run(args: argparse.Namespace) -> int:
    """Print what is here; returns 0."""
    if args.trace:
        return _trace(args)
    rows = [*_machine(), *_torch(), *_poptorch(), *_optional(), *_choice()]
    if args.json:
        import json

        print(json.dumps(dict(rows), indent=2))
        return 0
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")
    return 0


def _trace(args: argparse.Namespace) -> int:
    from pathlib import Path

    from ipu_app.config.load import load_config, recipe_path
    from ipu_app.runs.compilation import trace_phase

    path = Path(args.trace) if args.trace.endswith((".yaml", ".yml")) else recipe_path(args.trace)
    report = trace_phase(load_config(path, opens_data=False), args.phase)
    print(report.listing())
    print(report)
    return 0


def _machine() -> List[Row]:
    import os
    import platform

    from ipu_app.environment import usable_cores

    return [
        ("python", platform.python_version()),
        ("platform", platform.platform()),
        ("cpu cores", f"{os.cpu_count()}, {usable_cores()} usable"),
    ]


def _torch() -> List[Row]:
    import torch

    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else "no device"
    return [("torch", torch.__version__), ("cuda", cuda), ("torchvision", _version("torchvision"))]


def _poptorch() -> List[Row]:
    from ipu_app.runtime.poptorch_api import load_poptorch

    try:
        api = load_poptorch("auto")
    except (ImportError, AssertionError) as error:
        reason = " ".join(str(error).split())
        return [("poptorch", f"installed but broken: {reason}"), ("ipu", "unknown until PopTorch imports")]
    if api.kind == "sim":
        return [("poptorch", "not installed (the simulator stands in for it)"), ("ipu", "none")]
    free = api.poptorch.ipuHardwareIsAvailable()
    return [("poptorch", api.poptorch.__version__), ("ipu", "available" if free else "none free")]


def _optional() -> List[Row]:
    names = ("horovod", "wandb", "tensorboard", "simplejpeg", "webdataset", "timm", "onnxruntime")
    return [(name, _version(name)) for name in names]


def _version(package: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _choice() -> List[Row]:
    from ipu_app.runtime.choose import choose_device

    try:
        choice = choose_device("auto")
    except (ImportError, AssertionError):
        return [("device auto", "PopTorch is broken; choose --device cuda or cpu, or --poptorch sim")]
    return [("device auto", f"{choice.kind} ({choice.reason})")]
