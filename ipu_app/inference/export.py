"""A trained network for use elsewhere: safetensors with a description, TorchScript, ONNX, torchvision, timm.

TorchScript and ONNX hold the input's normalisation: uint8 images in, logits out. They are compared with the
network before they are left on disk.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence

import numpy as np
import torch
from torch import Tensor

from ipu_app import compat
from ipu_app.inference.trained import TrainedModel
from ipu_app.models.efficientnet import EfficientNet
from ipu_app.models.foreign_weights import MODULE_NAMES, export_weights
from ipu_app.models.train_graph import LogitsGraph
from ipu_app.training.checkpoint import save_tensors
from ipu_app.training.rundir import write_json

FORMATS = ("safetensors", "torchscript", "onnx", *MODULE_NAMES)
CHECKED_BATCHES = (1, 3)
TOLERANCE = 1e-4  # of the largest logit; other kernels round differently, a few float32 ulps a layer


def export(trained: TrainedModel, folder: Path, *, formats: Sequence[str], resolution: int) -> List[str]:
    """Write ``model.json`` and one file per format into ``folder``; return a line on each.

    ``resolution`` (pixels) is what TorchScript and ONNX files are made for; their batch size is free. Refuses
    unknown formats, missing packages, and networks that torchvision or timm does not have.
    """
    for name in formats:
        check_format(name)
    folder.mkdir(parents=True, exist_ok=True)
    writers: Dict[str, Callable[[], str]] = {
        "safetensors": lambda: _safetensors(trained.weights, folder / "model.safetensors"),
        "torchscript": lambda: _torchscript(
            trained.logits_graph(), folder / "model.torchscript.pt", resolution
        ),
        "onnx": lambda: _onnx(trained.logits_graph(), folder / "model.onnx", resolution),
    }
    for library in MODULE_NAMES:
        writers[library] = lambda library=library: _library(trained, library, folder)  # type: ignore[misc]
    lines = [writers[name]() for name in dict.fromkeys(formats)]
    write_json(folder / "model.json", describe(trained, resolution))
    return [*lines, f"{folder / 'model.json'}: spec, class names and input"]


def check_format(name: str) -> None:
    """Refuse a format that is unknown or needs a package that is missing."""
    if name not in FORMATS:
        raise ValueError(f"format={name!r}: choose from {', '.join(FORMATS)}")
    missing = [p for p in ("onnx", "onnxruntime") if importlib.util.find_spec(p) is None]
    if name == "onnx" and missing:
        raise ValueError(
            f"format=onnx: {' and '.join(missing)} not installed: pip install -r requirements-export.txt"
        )


def describe(trained: TrainedModel, resolution: int) -> Dict[str, Any]:
    """Return the model's description with what a user of the files must do to an image."""
    return {
        **trained.file.to_dict(),
        "weights": trained.origin,
        "input": {
            "name": "images",
            "dtype": "uint8",
            "shape": ["batch", 3, resolution, resolution],
            "colour": "RGB",
            "shorter_side": trained.file.shorter_side(resolution),
            "then": "centre crop" if trained.file.shorter_side(resolution) else "the whole image, squeezed",
        },
        "output": {"name": "logits", "dtype": "float32", "shape": ["batch", len(trained.file.classes)]},
    }


def _safetensors(weights: Dict[str, Tensor], path: Path) -> str:
    save_tensors({name: value.contiguous() for name, value in weights.items()}, path)
    return f"{path}: {len(weights)} tensors"


def _library(trained: TrainedModel, library: str, folder: Path) -> str:
    model = EfficientNet(trained.file.spec, initialise=False)
    model.load_state_dict(trained.weights)
    return _safetensors(export_weights(model, library), folder / f"{library}.safetensors")


def _torchscript(graph: LogitsGraph, path: Path, resolution: int) -> str:
    compat.trace_module(graph, _images(2, resolution)).save(str(path))
    difference = _compare(graph, compat.load_script(str(path)), resolution, "torchscript")
    return f"{path}: {resolution} px, any batch; logits differ by {difference:.1e} at most (measured)"


def _onnx(graph: LogitsGraph, path: Path, resolution: int) -> str:
    import onnx
    import onnxruntime

    compat.export_onnx(graph, _images(2, resolution), str(path), input_name="images", output_name="logits")
    onnx.checker.check_model(str(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> Tensor:
        (logits,) = session.run(["logits"], {"images": images.numpy()})
        return torch.from_numpy(logits)

    difference = _compare(graph, run, resolution, "onnx")
    found = f"onnxruntime's logits differ by {difference:.1e} at most (measured)"
    return f"{path}: {resolution} px, any batch; {found}"


def _images(number: int, resolution: int) -> Tensor:
    pixels = np.random.default_rng(number).integers(0, 256, (number, 3, resolution, resolution))
    return torch.from_numpy(pixels.astype(np.uint8))


def _compare(graph: LogitsGraph, run: Callable[[Tensor], Tensor], resolution: int, name: str) -> float:
    """Return the largest difference of the logits over several batch sizes; refuse more than rounding."""
    worst = 0.0
    for number in CHECKED_BATCHES:
        images = _images(number, resolution)
        with torch.no_grad():
            expected, found = graph(images), run(images)
        difference = float((expected - found).abs().max())
        if not difference <= TOLERANCE * max(1.0, float(expected.abs().max())):
            raise ValueError(f"format={name}: its logits differ from the network's by {difference:.2g}")
        worst = max(worst, difference)
    return worst
