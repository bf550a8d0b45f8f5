"""The few names that a script or a notebook needs; stable from one version to the next.

>>> from ipu_app import EfficientNet, make_spec
>>> network = EfficientNet(make_spec("b0", group_size=16, norm="ln_pn", num_classes=10))
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
from torch import nn

from ipu_app.inference.predict import Image, Prediction, check_pixel_array, find_images, open_classifier
from ipu_app.inference.predict import predict as _predict
from ipu_app.inference.trained import TrainedModel, load_trained
from ipu_app.models.efficientnet import EfficientNet
from ipu_app.models.spec import EfficientNetSpec, make_spec

__all__ = [
    "EfficientNet",
    "EfficientNetSpec",
    "Prediction",
    "Run",
    "load_run",
    "make_spec",
    "predict",
    "train",
]

AnyImage = Union[str, Path, np.ndarray]


@dataclass(frozen=True)
class Run:
    """A finished run, loaded: its folder, and its network with averaged or raw weights."""

    path: Path
    trained: TrainedModel

    @property
    def spec(self) -> EfficientNetSpec:
        """What the network is."""
        return self.trained.file.spec

    @property
    def classes(self) -> Tuple[str, ...]:
        """Class names in the order of the logits."""
        return self.trained.file.classes

    @property
    def resolution(self) -> int:
        """Pixels of a side that images are brought to."""
        return self.trained.file.resolution

    def model(self) -> nn.Module:
        """Return the network in evaluation mode: uint8 (N, 3, H, W) -> logits (N, classes), float32.

        The input's normalisation is inside.
        """
        return self.trained.logits_graph()

    def predict(
        self,
        images: Union[AnyImage, Sequence[AnyImage]],
        *,
        top: int = 5,
        resolution: Optional[int] = None,
        device: str = "auto",
    ) -> List[Prediction]:
        """Name what is in images: paths, folders, lists of paths (.txt), or pixels, uint8 (H, W, 3).

        ``device``: auto (CUDA, else the CPU), ipu, cuda or cpu. An image that can not be read gives a
        prediction with a ``problem``. Raises ValueError for what is no image at all.
        """
        if top < 1:
            raise ValueError(f"top={top}: must be 1 or more")
        found = _images(images)
        with open_classifier(self.trained, self.path, device=device, number=len(found)) as classifier:
            size = resolution or self.resolution
            return list(_predict(self.trained, found, classifier, resolution=size, top=top))


def load_run(path: Union[str, Path], *, averaged: bool = True) -> Run:
    """Load the newest whole checkpoint of a run's folder, or the given one; its average, or raw weights."""
    return Run(Path(path), load_trained(Path(path), averaged=averaged))


def predict(
    run: Union[str, Path], images: Union[AnyImage, Sequence[AnyImage]], **options: Any
) -> List[Prediction]:
    """Load a run and name what is in images; options as of :meth:`Run.predict`."""
    return load_run(run).predict(images, **options)


def train(settings: Optional[Mapping[str, Any]] = None, **options: Any) -> Run:
    """Train as ``python -m ipu_app train`` does, and load what it left.

    ``options`` are that command's, with underscores: ``train(data="images", model="b0", epochs=2)``; True
    stands for a switch. ``settings`` are single values by key, as with ``--set``. Raises ValueError
    for bad input and RunFailed for a run that failed.
    """
    import argparse

    from ipu_app.cli import train as verb
    from ipu_app.cli.train_config import request_from_args
    from ipu_app.training.rundir import existing_run_dir

    parser = argparse.ArgumentParser(prog="train", add_help=False)
    verb.add_arguments(parser)
    args = parser.parse_args(_words(settings or {}, options))
    runs = Path(request_from_args(args).config.runs_dir)
    before = _folders(runs)
    code = verb.run(args)
    if code:
        raise RuntimeError(f"train: ended with exit code {code}")
    if args.resume:
        return load_run(existing_run_dir(Path(args.resume)).path)
    (made,) = _folders(runs) - before
    return load_run(made)


def _folders(runs: Path) -> "set[Path]":
    return {path.parent for path in runs.glob("*/config.yaml")}


def _words(settings: Mapping[str, Any], options: Mapping[str, Any]) -> List[str]:
    """Return the words of a command line."""
    words: List[str] = []
    for name, value in options.items():
        if value is None or value is False:
            continue
        words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    for key, value in settings.items():
        words += ["--set", f"{key}={str(value).lower() if isinstance(value, bool) else value}"]
    return words


def _images(images: Union[AnyImage, Sequence[AnyImage]]) -> List[Image]:
    several = [images] if isinstance(images, (str, Path, np.ndarray)) else list(images)
    found: List[Image] = []
    for image in several:
        if isinstance(image, np.ndarray):
            check_pixel_array(image)
            found.append(image)
        else:
            found += find_images([str(image)])
    return found
