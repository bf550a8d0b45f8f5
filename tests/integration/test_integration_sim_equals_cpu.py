"""The simulated IPU and a plain CPU take the same steps from the same data."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List

import pytest
import torch
from integration_sessions import open_session

from ipu_app.config.load import load_config
from ipu_app.runtime.base import StepKnobs

CONFIG = """
model: {name: cifar, group_size: 16, norm: NORM, drop_connect: 0.0, dropout: 0.0}
phases:
  train:
    resolution: 32
    batch: {micro: 4, accumulation: 4, replicas: 2, torch_micro: TORCH_MICRO}
    optimizer: {kind: KIND, lr: 0.003, loss_scale: 128}
    augment: {mixup_alpha: MIXUP, cutmix_strength: CUTMIX}
    pipeline: {splits: [block3a], precision: 32.32}
"""


def weights_after_steps(path: Path, device: str, steps: int) -> Dict[str, torch.Tensor]:
    config = load_config(path, [f"device.kind={device}"])
    session = open_session(config, "train", device)
    try:
        session.set_epoch(0)
        for _, batch in zip(range(steps), session.train_loader):
            session.runtime.train_batch(batch, StepKnobs(lr=0.003, loss_scale=128.0))
        return session.runtime.weights()
    finally:
        session.runtime.close()


@pytest.mark.parametrize(
    "norm, kind, torch_micro, mixup",
    [
        ("ln_pn", "rmsprop_tf", 32, 0.0),  # one batch of 32 on the CPU
        ("gn", "sgd", 16, 0.0),
        ("ln_pn", "adamw", 4, 0.0),
        ("gn_pn", "rmsprop_tf", 4, 0.2),
        ("ln_pn", "rmsprop_tf", 16, 0.2),  # mixed in fours, as on the IPU
    ],
)
def test_same_weights_after_five_steps(
    tmp_path: Path, norm: str, kind: str, torch_micro: int, mixup: float
) -> None:
    text = CONFIG.replace("NORM", norm).replace("KIND", kind)
    text = text.replace("TORCH_MICRO", str(torch_micro)).replace("MIXUP", str(mixup))
    text = text.replace("CUTMIX", "0.8" if mixup else "1.0")
    path = tmp_path / "config.yaml"
    path.write_text(text)
    simulated = weights_after_steps(path, "ipu", 5)
    plain = weights_after_steps(path, "cpu", 5)
    assert simulated.keys() == plain.keys()
    moved: List[float] = []
    for name, value in plain.items():
        torch.testing.assert_close(simulated[name], value, rtol=0, atol=1e-5, msg=name)
        moved.append(float(value.float().abs().max()))
    assert max(moved) > 0
