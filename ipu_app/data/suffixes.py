"""The names of image files, one list for training, validation, prediction and shards."""

from __future__ import annotations

IMAGE_SUFFIXES = (
    ".jpg",
    ".jpeg",
    ".jpe",
    ".jfif",
    ".png",
    ".bmp",
    ".webp",
    ".ppm",
    ".pgm",
    ".pbm",
    ".pnm",
    ".tif",
    ".tiff",
    ".gif",
)


def is_image_name(name: str) -> bool:
    """Whether a file's name says that it is an image that can be read."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def suffix_of(name: str) -> str:
    """A file's suffix for people: ".avif", or "no suffix"."""
    stem, dot, suffix = name.rpartition(".")
    return f".{suffix.lower()[:20]}" if dot and stem else "no suffix"
