"""EfficientNetV2 against numbers made by its released code (tests/golden/models, v2_*)."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from models_golden import arrays, document, our_name, recipe_input, recipe_state, tensor

from ipu_app.models.counts import count_multiply_adds, count_parameters
from ipu_app.models.efficientnet import EfficientNet
from ipu_app.models.layout import block_specs, stem_conv, top_conv
from ipu_app.models.network_parts import FusedMBConv
from ipu_app.models.spec import make_spec

NETWORKS = document("v2_networks")
PLAIN = {network["model"]: network for key, network in NETWORKS.items() if key.endswith("G1_e6_bn")}


def spec_of(network):
    return make_spec(
        network["model"],
        group_size=network["group_size"],
        expand_ratio=network["expand_ratio"],
        norm=network["norm"],
    )


def row(block):
    wide = block.fused or block.spatial
    return [
        block.name,
        block.kind,
        block.in_channels,
        wide.out_channels,
        block.out_channels,
        wide.kernel,
        wide.stride,
        wide.groups,
        block.se_channels,
        block.project is not None,
        block.has_skip,
        round(block.drop_connect, 12),
    ]


@pytest.mark.parametrize("name", NETWORKS)
def test_blocks_and_counts_are_the_originals(name):
    network = NETWORKS[name]
    spec = spec_of(network)
    blocks = network["blocks"]
    expected = NETWORKS[blocks]["blocks"] if isinstance(blocks, str) else blocks
    assert [row(block)[1:] for block in block_specs(spec)] == [block[1:] for block in expected]
    # the original's letters go on after z in the order of ASCII
    names = [(ours.name, theirs[0]) for ours, theirs in zip(block_specs(spec), expected)]
    assert all(ours == theirs for ours, theirs in names if not ours[-2:-1].isalpha())
    assert (stem_conv(spec).out_channels, top_conv(spec).out_channels) == (network["stem"], network["top"])
    assert count_parameters(spec) == network["parameters"]
    for resolution, counts in network["multiply_adds"].items():
        assert count_multiply_adds(spec, int(resolution)) == counts
    with torch.device("meta"):
        model = EfficientNet(spec)
    assert sum(p.numel() for p in model.parameters()) == sum(network["parameters"].values())


def fused_block(file, norm):
    """A block that the goldens hold, with the parameters it was executed with."""
    spec = replace(make_spec("v2-s" if file == "v2_fused_ratio1" else "v2-b0", norm=norm), drop_connect=0.0)
    name = {"v2_fused_ratio1": "block1a", "v2_fused_stride2": "block2a", "v2_fused_skip": "block2b"}[file]
    block = next(block for block in block_specs(spec) if block.name == name)
    module = FusedMBConv(spec, block).double()
    golden = arrays(file)
    state = recipe_state(json.loads(str(golden[f"{norm}/shapes"])), seed=5)
    prefix = f"blocks.{name}."
    module.load_state_dict({key[len(prefix) :]: value for key, value in state.items()}, strict=True)
    values = {key[len(norm) + 1 :]: value for key, value in golden.items() if key.startswith(f"{norm}/")}
    return module, prefix, golden, values


def near(actual, expected, tolerance, name=""):
    scale = np.abs(expected).max()
    np.testing.assert_allclose(
        actual.detach().numpy(), expected, atol=tolerance * scale, rtol=0, err_msg=name
    )


@pytest.mark.parametrize("file", ["v2_fused_ratio1", "v2_fused_stride2", "v2_fused_skip"])
@pytest.mark.parametrize(("norm", "tolerance"), [("bn", 1e-10), ("ln", 1e-10), ("ln_pn", 1e-4)])
def test_fused_blocks_outputs_gradients_and_statistics(file, norm, tolerance):
    module, prefix, golden, values = fused_block(file, norm)
    if "output_eval" in values:
        near(module.eval()(tensor(golden["input"])), values["output_eval"], tolerance)
        module.train()
    x = tensor(golden["input"]).requires_grad_()
    y = module(x)
    (y * tensor(golden["direction"])).sum().backward()
    near(y, values["output"], tolerance)
    near(x.grad, values["input_grad"], 10 * tolerance)
    parameters, buffers = dict(module.named_parameters()), dict(module.named_buffers())
    compared = 0
    for key, expected in values.items():
        kind, _, original = key.partition(":")
        ours = our_name(original)[len(prefix) :] if original else ""
        if kind == "grad" and original.endswith("/proxy"):
            for rule, gradient in zip(("beta", "gamma", "proxy_beta", "proxy_gamma"), expected):
                near(parameters[f"{ours}.{rule}"].grad, gradient, 10 * tolerance, rule)
                compared += 1
        elif kind == "grad":
            near(parameters[ours].grad[: len(expected)], expected, 10 * tolerance, key)
            compared += 1
        elif kind == "after":
            near(buffers[ours], expected, 1e-7, key)  # the original has the weight in float32
    assert compared == len(parameters)


def network(name, **options):
    golden = arrays(name)
    model = EfficientNet(make_spec("v2-b0", dropout=0.0, drop_connect=0.0, **options)).double()
    state = recipe_state(json.loads(str(golden["original_shapes"])), seed=3)
    model.load_state_dict(state, strict=True)
    return model, golden


@pytest.mark.parametrize(
    ("name", "options", "tolerance"),
    [
        ("v2_b0_bn", {}, 1e-8),
        ("v2_b0_ln_pn", {"group_size": 16, "norm": "ln_pn", "num_classes": 10}, 2e-4),
    ],
)
def test_network_logits_and_gradients(name, options, tolerance):
    model, golden = network(name, **options)
    images = recipe_input((2, 3, 64, 64), 21)
    with torch.no_grad():
        near(model.eval()(images), golden["logits_eval"], tolerance)
    logits = model.train()(images)
    near(logits, golden["logits"], tolerance)
    (logits * recipe_input(logits.shape, 22)).sum().backward()
    parameters = dict(model.named_parameters())
    norms = dict(zip(golden["original_names"].tolist(), golden["grad_norms"].tolist()))
    for original, norm in norms.items():
        ours = our_name(original)
        rows = ("beta", "gamma", "proxy_beta", "proxy_gamma")
        names = [f"{ours}.{row}" for row in rows] if original.endswith("/proxy") else [ours]
        gradient = torch.cat([parameters[name].grad.flatten() for name in names])
        assert gradient.norm().item() == pytest.approx(norm, rel=10 * tolerance, abs=1e-9), original


def test_every_group_size_takes_the_ratio_of_equal_work():
    goals = {
        "v2-s": 4.5, "v2-m": 4.5, "v2-l": 5, "v2-xl": 5, "v2-b0": 4, "v2-b1": 4, "v2-b2": 4, "v2-b3": 4.5
    }  # fmt: skip
    assert {name: make_spec(name, group_size=16).expand_ratio for name in goals} == goals
    assert {make_spec(name).expand_ratio for name in goals} == {6}


def test_resolutions_and_widths():
    sizes = {
        name: (spec.native_resolution, spec.evaluation_resolution, spec.half_resolution, spec.dropout)
        for name, spec in ((name, make_spec(name)) for name in PLAIN)
    }
    assert sizes == {
        "v2-s": (300, 384, 204, 0.2),
        "v2-m": (384, 480, 256, 0.3),
        "v2-l": (384, 480, 256, 0.4),
        "v2-xl": (384, 512, 256, 0.4),
        "v2-b0": (192, 224, 128, 0.2),
        "v2-b1": (192, 240, 128, 0.2),
        "v2-b2": (208, 260, 144, 0.3),
        "v2-b3": (240, 300, 176, 0.3),
    }
    assert block_specs(make_spec("V2-B3"))[0].out_channels == 16  # 19.2: the first version would say 24
    assert make_spec("b3").evaluation_resolution is None
