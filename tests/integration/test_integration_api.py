"""The Python API: a network in three lines, train, load, predict on paths and pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ipu_app


def test_a_network_in_three_lines() -> None:
    from ipu_app import EfficientNet, make_spec

    network = EfficientNet(make_spec("cifar", group_size=16, norm="ln_pn"))
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_train_load_and_predict(tmp_path: Path) -> None:
    settings = {"runs_dir": str(tmp_path / "runs"), "evaluate.every_epochs": 1}
    run = ipu_app.train(settings, smoke=True, model="cifar", device="cpu", name="api")
    assert run.path == tmp_path / "runs" / "api" and len(run.classes) == 10
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    file = tmp_path / "image.png"
    Image.fromarray(pixels).save(str(file))
    (by_pixels,), (by_path,) = run.predict(pixels, top=3), ipu_app.predict(str(run.path), file, top=3)
    assert len(by_pixels.top) == 3 and by_pixels.image == "image 0"
    assert by_path.top == by_pixels.top and by_path.image == str(file)
    logits = run.model()(torch.zeros(1, 3, run.resolution, run.resolution, dtype=torch.uint8))
    assert logits.shape == (1, 10)


@pytest.mark.parametrize("wrong", [np.zeros((4, 4, 3)), np.zeros((4, 4), dtype=np.uint8), "nowhere.jpg"])
def test_what_is_no_image_is_refused(wrong: object, tmp_path: Path) -> None:
    from ipu_app.api import _images

    with pytest.raises(ValueError, match="image"):
        _images(wrong)  # type: ignore[arg-type]
