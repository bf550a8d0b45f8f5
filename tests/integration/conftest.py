"""A finished run on image files, shared by the tests of what is done with finished runs."""

from __future__ import annotations

import pytest
from integration_images import ImagesRun, make_images

from ipu_app.__main__ import main

IMAGES_RUN = """
model: {name: cifar, group_size: 16, norm: ln_pn}
data: {workers: 0}
tracking: {logs_per_epoch: 2}
evaluate: {resolutions: [32, 48]}
phases:
  train:
    epochs: 2
    resolution: 32
    averaging: 0.5
    batch: {micro: 4, accumulation: 3, replicas: 1, torch_micro: 12}
    optimizer: {kind: adamw, lr: 0.002, eps: 1.0e-6, loss_scale: 1}
    schedule: {kind: cosine, warmup_epochs: 0.5}
    augment: {mixup_alpha: 0.2, cutmix_strength: 0.8}
    pipeline: {splits: [block3a], precision: 32.32}
"""


@pytest.fixture(scope="session")
def images_run(tmp_path_factory: pytest.TempPathFactory) -> ImagesRun:
    root = tmp_path_factory.mktemp("images_run")
    data, config = make_images(root / "images"), root / "images.yaml"
    config.write_text(IMAGES_RUN)
    words = ["train", "--config", str(config), "--data", str(data), "--device", "cpu", "--name", "run"]
    assert main([*words, "--set", f"runs_dir={root / 'runs'}"]) == 0
    return ImagesRun(root / "runs" / "run", data, config)
