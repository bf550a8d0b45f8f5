"""Resizing and unpacking of 8-bit pixels, by the fastest package that is installed.

Shapes: (H, W, 3) uint8 in. *Plain* bilinear weighs four neighbours; *smooth* is antialiased, as PIL and
torchvision resize. OpenCV's plain pixels equal torch's, and torch's smooth ones PIL's, to one level of 255.
"""

from __future__ import annotations

import importlib.util
from functools import partial
from typing import Callable, NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

Resize = Callable[[np.ndarray, int, int], np.ndarray]
Unpack = Callable[[np.ndarray, bool], np.ndarray]


class PixelOps(NamedTuple):
    """``plain`` and ``smooth`` resize to (height, width); ``unpack`` makes contiguous (3, H, W),
    mirrored if asked.
    """

    plain: Resize
    smooth: Resize
    unpack: Unpack

    def resize(self, pixels: np.ndarray, height: int, width: int) -> np.ndarray:
        """Plain where that misses no pixel (less than 2 to 1), else smooth."""
        if pixels.shape[:2] == (height, width):
            return pixels
        is_close = pixels.shape[0] < 2 * height and pixels.shape[1] < 2 * width
        return (self.plain if is_close else self.smooth)(pixels, height, width)

    def tensor(self, pixels: np.ndarray, flip: bool = False) -> torch.Tensor:
        """(H, W, 3) pixels as a contiguous tensor (3, H, W), mirrored if ``flip``."""
        return torch.from_numpy(self.unpack(pixels, flip))


def plain_opencv(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Plain bilinear, on this thread alone: the worker processes already fill the machine."""
    import cv2

    if cv2.getNumThreads() != 1:
        cv2.setNumThreads(1)
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)


def unpack_opencv(pixels: np.ndarray, flip: bool) -> np.ndarray:
    """Unpacks with vector instructions, in half of numpy's time."""
    import cv2

    if flip:
        pixels = cv2.flip(pixels, 1)
    planes = np.empty((3, *pixels.shape[:2]), dtype=np.uint8)
    cv2.split(pixels, [planes[0], planes[1], planes[2]])
    return planes


def _torch(pixels: np.ndarray, height: int, width: int, *, antialias: bool) -> np.ndarray:
    # torch 2.0 gets slices wrong, and every torch warns of read-only arrays, as PIL's are
    if not (pixels.flags.c_contiguous and pixels.flags.writeable):
        pixels = np.array(pixels, order="C")
    image = torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0)
    image = F.interpolate(image, size=(height, width), mode="bilinear", antialias=antialias)
    return image[0].permute(1, 2, 0).numpy()


plain_torch = partial(_torch, antialias=False)
smooth_torch = partial(_torch, antialias=True)


def smooth_pil(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Antialiased bilinear through PIL, several times slower than torch's."""
    from PIL import Image

    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize((width, height), Image.BILINEAR))


def unpack_numpy(pixels: np.ndarray, flip: bool) -> np.ndarray:
    """Unpacks with numpy alone."""
    return np.array((pixels[:, ::-1] if flip else pixels).transpose(2, 0, 1), order="C")


def torch_resizes_bytes() -> bool:
    """Whether this torch can resize uint8 images (since 2.0)."""
    try:
        smooth_torch(np.zeros((4, 4, 3), dtype=np.uint8), 2, 2)
    except (RuntimeError, TypeError):
        return False
    return True


def choose_pixel_ops(*, opencv: bool = True) -> PixelOps:
    """The fastest here: OpenCV (where installed and allowed), then torch, then PIL, which has no plain
    resize.
    """
    plain, smooth = (plain_torch, smooth_torch) if torch_resizes_bytes() else (smooth_pil, smooth_pil)
    if opencv and importlib.util.find_spec("cv2") is not None:
        return PixelOps(plain_opencv, smooth, unpack_opencv)
    return PixelOps(plain, smooth, unpack_numpy)
