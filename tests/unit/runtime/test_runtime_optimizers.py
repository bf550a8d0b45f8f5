"""RMSProp in TensorFlow's form against the original's trajectory, and which parameters decay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ipu_app.models.efficientnet import EfficientNet
from ipu_app.models.spec import make_spec
from ipu_app.runtime.optimizers import OptimizerSpec, decays, param_groups, torch_optimizer
from ipu_app.runtime.rmsprop_tf import RMSpropTF

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "optimizers" / "rmsprop_trajectory.npz"
DECAYING = (
    "conv.weight",
    "conv.bias",
    "fc.weight",
    "fc.bias",
    "dense.weight",
    "dense.bias",
)  # biases as in SE and FC


@pytest.mark.parametrize("weight_decay", ["0", "1e-5", "0.05"])
def test_trajectory_is_the_originals(weight_decay: str) -> None:
    golden = np.load(GOLDEN)
    prefix = f"{weight_decay}/weights/"
    names = [key[len(prefix) :] for key in golden if key.startswith(prefix)]
    assert names
    params = {name: nn.Parameter(torch.from_numpy(golden[prefix + name][0].copy())) for name in names}
    groups = [
        {"params": [param], "weight_decay": float(weight_decay) if name in DECAYING else 0.0}
        for name, param in params.items()
    ]
    optimizer = RMSpropTF(
        groups, float(golden["lr"]), alpha=float(golden["decay"]), eps=float(golden["epsilon"]), momentum=0.9
    )
    for step in range(10):
        for name, param in params.items():
            direction = torch.from_numpy(golden[f"{weight_decay}/coefficients/{name}"][step])
            param.grad = direction + 0.1 * param.detach()
        optimizer.step()
        for name, param in params.items():
            expected = golden[prefix + name][step + 1]
            np.testing.assert_allclose(param.detach().numpy(), expected, rtol=0, atol=1e-12)


def test_published_exclusions_from_weight_decay() -> None:
    model = EfficientNet(make_spec("cifar", group_size=16, norm="ln_pn"))
    names = {name: decays(name) for name, _ in model.named_parameters()}
    assert names["blocks.block0.conv.weight"]
    assert names["blocks.block2a.se.reduce.bias"] and names["blocks.Top.fc.bias"]
    assert names["blocks.block0.act.proxy_beta"] and names["blocks.block0.act.proxy_gamma"]
    assert not names["blocks.block0.act.beta"] and not names["blocks.block0.act.gamma"]
    assert not names["blocks.block2a.project.norm.weight"]


def test_version_2_excludes_every_bias_from_weight_decay() -> None:
    model = EfficientNet(make_spec("v2-b0", group_size=16, norm="ln_pn"))
    names = {name: decays(name, "kernels") for name, _ in model.named_parameters()}
    assert not any(decaying for name, decaying in names.items() if name.endswith((".bias", ".beta")))
    assert not names["blocks.block1a.fused.act.gamma"] and not names["blocks.block2a.project.norm.weight"]
    for decaying in ("block1a.fused.conv.weight", "block4a.se.expand.weight", "Top.fc.weight"):
        assert names[f"blocks.{decaying}"]
    assert names["blocks.block1a.fused.act.proxy_beta"]
    first, second = param_groups(model, weight_decay=0.1, rule="kernels")
    assert (len(first["params"]), len(second["params"])) == (
        sum(names.values()),
        len(names) - sum(names.values()),
    )


def test_groups_hold_every_trainable_parameter_once() -> None:
    model = EfficientNet(make_spec("cifar", norm="bn"))
    model.blocks["block0"].requires_grad_(False)
    groups = param_groups(model, weight_decay=0.1)
    held = [p for group in groups for p in group["params"]]
    assert {id(p) for p in held} == {id(p) for p in model.parameters() if p.requires_grad}
    assert len(held) == len({id(p) for p in held})
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]


@pytest.mark.parametrize("kind", ["rmsprop_tf", "sgd", "adamw"])
def test_every_kind_reduces_a_loss(kind: str) -> None:
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    optimizer = torch_optimizer(model, OptimizerSpec(kind, lr=0.01))
    x, y = torch.randn(16, 4), torch.randn(16, 1)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = (model(x) - y).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
