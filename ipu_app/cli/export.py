"""``ipu_app export RUN [OUT]``: a finished run's network for use elsewhere."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HELP = "write a finished run's network as safetensors, TorchScript or ONNX"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``export``."""
    parser.add_argument("run", metavar="RUN", help="a run's folder, or one of its checkpoints")
    parser.add_argument("out", metavar="OUT", nargs="?", help="folder to write into (default: RUN/export)")
    parser.add_argument(
        "--format",
        nargs="+",
        default=["safetensors"],
        metavar="NAME",
        help="safetensors (default), torchscript, onnx, torchvision, timm",
    )
    parser.add_argument(
        "--res", type=int, metavar="PX", help="resolution of TorchScript and ONNX (default: the run's)"
    )
    parser.add_argument("--raw", action="store_true", help="use the weights as trained, not their average")


def run(args: argparse.Namespace) -> int:
    """Write the files, say what each is; returns 0."""
    if args.res is not None and args.res < 32:
        raise ValueError(f"res={args.res}: must be 32 or more")
    from ipu_app.inference.export import export
    from ipu_app.inference.trained import load_trained

    trained = load_trained(Path(args.run), averaged=not args.raw)
    for note in trained.notes:
        print(note, file=sys.stderr)
    lines = export(
        trained,
        Path(args.out) if args.out else Path(args.run) / "export",
        formats=args.format,
        resolution=args.res or trained.file.resolution,
    )
    print("\n".join(lines))
    return 0
