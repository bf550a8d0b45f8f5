"""Data sets: what `open_dataset` can open, and the map-style data set that every runtime reads.

An item is ``(image uint8 (3, size, size), label int)``, and a float32 vector of mixing coefficients where
mixing is asked for. Items are asked for by *key* (see sampling.py). An item is a pure function of (data,
preprocess, key), whatever worker, process or host makes it.
"""

from __future__ import annotations

import multiprocessing
from typing import Any, Callable, List, Optional, Sequence, Tuple

import numpy as np
import torch
from torch.utils.data import Dataset

from ipu_app.config.kinds import SOURCES, kind_of
from pipelines.door import shown
from pipelines.words import counted

from . import transforms
from .access import Access
from .decode import choose_decoder, open_image
from .image import ArrayImage, OpenImage
from .keyed_random import KeyedRandom
from .pixel_ops import PixelOps, choose_pixel_ops
from .source import Renumbered, Source, Subset, UnreadableImageError
from .sources import Asked
from .transforms import Preprocess

SPLITS = ("train", "val")
_FAILURE_BYTES = 2000  # of a message
_REPLACEMENTS = 100  # images tried in place of an unreadable one before giving up

DrawCoefficients = Callable[[int, int], np.ndarray]


class ImageDataset(Dataset):
    """Images of one source, made ready as ``preprocess`` says.

    An image that can not be read is skipped: in training (``replaces``) the next readable one takes its
    place, in validation its row is masked (label -1). ``num_skipped`` and ``skipped()`` tell, those of
    worker processes included. ``draw_coefficients(seed, key)``: adds a third part to every item (mixing.py).
    """

    def __init__(
        self,
        source: Source,
        preprocess: Preprocess,
        *,
        replaces: Optional[bool] = None,
        draw_coefficients: Optional[DrawCoefficients] = None,
        pixel_ops: Optional[PixelOps] = None,
    ) -> None:
        self.source, self.preprocess = source, preprocess
        self.replaces = preprocess.augment if replaces is None else replaces
        self.draw_coefficients = draw_coefficients
        self.decoder = choose_decoder(preprocess.decoder)
        self._ops = pixel_ops or choose_pixel_ops()
        # one byte per image, shared with the worker processes, so that the main process can report
        self.unreadable = torch.zeros(len(source), dtype=torch.uint8).share_memory_()
        self._failure = torch.zeros(_FAILURE_BYTES, dtype=torch.uint8).share_memory_()

    @property
    def classes(self) -> Tuple[str, ...]:
        """Names of the classes; a label is a place in them."""
        return self.source.classes

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.source.classes)

    @property
    def manifest_hash(self) -> str:
        """Sha256 that identifies the images: of paths and sizes, or of the content where that is small."""
        return self.source.manifest_hash

    @property
    def num_skipped(self) -> int:
        """Images found unreadable so far, each counted once."""
        return int(self.unreadable.sum())

    def skipped(self, limit: int = 10) -> List[str]:
        """Names of the first ``limit`` images found unreadable so far."""
        return [self.source.name(int(index)) for index in torch.nonzero(self.unreadable)[:limit, 0]]

    def number_labels_by(self, classes: Sequence[str]) -> None:
        """Make labels places in ``classes``, a model's own list; refuse data with other classes."""
        if tuple(classes) != self.source.classes:
            self.source = Renumbered(self.source, classes)

    def describe(self) -> str:
        """One line: what the data are, how many images and classes, and their hash."""
        source = self.source
        return (
            f"{source.location}: {counted(len(source), 'image')}, {counted(self.num_classes, 'class')}, "
            f"{source.kind}, manifest {source.manifest_hash[:12]}"
        )

    def content(self) -> str:
        """One line that is the same for the same images, wherever they are: how many, and their hash."""
        return f"{len(self.source)} images, {self.num_classes} classes, manifest {self.manifest_hash}"

    def __len__(self) -> int:
        return len(self.source)

    def failure(self) -> str:
        """What ended the work of a loader's process, in one line; '' where nothing did."""
        return bytes(self._failure.tolist()).rstrip(b"\0").decode("utf-8", "replace")

    def __getitem__(self, key: int) -> Tuple[Any, ...]:
        image, label = self._padding() if key < 0 else self._checked(key)
        if self.draw_coefficients is None:
            return image, label
        return image, label, torch.from_numpy(self.draw_coefficients(self.preprocess.seed, max(key, 0)))

    def _padding(self) -> Tuple[torch.Tensor, int]:
        size = self.preprocess.size
        return torch.zeros(3, size, size, dtype=torch.uint8), -1

    def _checked(self, key: int) -> Tuple[torch.Tensor, int]:
        """The image of ``key``; what goes wrong in a loader's process is kept for the one it works for."""
        try:
            return self._sample(key)
        except (ValueError, OSError, MemoryError) as error:
            if multiprocessing.parent_process() is None:
                raise
            if self._failure[0]:  # the first one tells
                return self._padding()
            line = (shown(error, 1000) or type(error).__name__).encode()[:_FAILURE_BYTES]
            self._failure[: len(line)] = torch.tensor(list(line), dtype=torch.uint8)
            return self._padding()

    def _sample(self, key: int) -> Tuple[torch.Tensor, int]:
        """The image of ``key``, or what stands in for it where it can not be read."""
        index = key % len(self.source)
        tries = min(_REPLACEMENTS, len(self.source))
        for offset in range(tries):
            candidate = (index + offset) % len(self.source)
            try:
                raw, label = self.source.read(candidate)
                return self._ready(self._open(raw), key), label
            except UnreadableImageError:
                self.unreadable[candidate] = 1
                if not self.replaces:
                    return self._padding()
        first = self.source.name(index)
        raise ValueError(f"data.source={first}: this and the next {tries - 1} images can not be read")

    def _open(self, raw: Any) -> OpenImage:
        if isinstance(raw, np.ndarray):
            return ArrayImage(raw)
        return open_image(raw, self.decoder, max_pixels=self.preprocess.max_pixels)

    def _ready(self, image: OpenImage, key: int) -> torch.Tensor:
        """Crops and resizes; the random numbers depend on (seed, key) only."""
        how, source = self.preprocess, self.source
        if not how.augment:
            shorter_side = how.size if source.small else how.shorter_side
            return transforms.evaluate(image, how.size, shorter_side, ops=self._ops)
        random = KeyedRandom(how.seed, key)
        train = transforms.train_small if source.small else transforms.train_photo
        return train(image, how.size, random, flip=source.flip, ops=self._ops, policy=how.policy)


def open_source(
    data: Optional[str],
    split: str,
    size: int,
    access: Optional[Access] = None,
) -> Source:
    """One split of the data named ``data`` (see open_dataset); ``size`` is for synthetic images only."""
    if split not in SPLITS:
        raise ValueError(f"split={split!r}: choose one of {', '.join(SPLITS)}")
    kind = kind_of(data)
    asked = Asked(data or kind, split, size, access or Access())
    if kind:
        return SOURCES[kind].load().open(asked)
    openers = (each.load() for each in SOURCES.values() if not each.by_name)
    return next(opener for opener in openers if opener.claims(asked.data)).open(asked)


def open_dataset(
    data: Optional[str],
    split: str,
    preprocess: Preprocess,
    *,
    draw_coefficients: Optional[DrawCoefficients] = None,
    access: Optional[Access] = None,
    limit: Optional[int] = None,
    pixel_ops: Optional[PixelOps] = None,
) -> ImageDataset:
    """Opens ``data`` for ``split`` ("train" or "val"), all of it or a fixed choice of ``limit`` images.

    ``data``: None or "digits" (embedded); "generated" or "synthetic", with ":CLASSES" if not 1000; a folder
    in torchvision's ImageFolder or CIFAR layout; tar shards, as a folder, a pattern or a URL (see shards.py).
    ValueError, one line, where it is none of these. An image for training that can not be read is replaced.
    """
    source = open_source(data, split, preprocess.size, access)
    if limit is not None and limit < len(source):
        source = Subset(source, limit)
    return ImageDataset(
        source,
        preprocess,
        replaces=split == "train",
        draw_coefficients=draw_coefficients,
        pixel_ops=pixel_ops,
    )
