"""The layer table against independent counts of the same networks."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import nn

from ipu_app.models.counts import count_multiply_adds
from ipu_app.models.efficientnet import EfficientNet
from ipu_app.models.layer_table import load_layer_table, trace_layer_table
from ipu_app.models.layout import block_specs, sub_block_names
from ipu_app.models.spec import make_spec
from pipelines.cost.layers import sub_block_starts
from pipelines.trace import SAMPLES, trace_layers


@pytest.mark.parametrize(
    ("name", "group_size", "norm"), [("b0", 16, "ln_pn"), ("b1", 1, "gn"), ("cifar", 4, "bn")]
)
def test_parameters_and_multiply_adds_are_those_of_the_network(name, group_size, norm):
    spec = make_spec(name, group_size=group_size, norm=norm)
    table = trace_layer_table(spec, spec.native_resolution)
    with torch.device("cpu"):
        parameters = [p.numel() for p in EfficientNet(spec).parameters()]
    assert sum(layer.params for layer in table) == sum(parameters)
    assert sum(layer.param_tensors for layer in table) == len(parameters)
    counted = sum(layer.conv.multiply_adds for layer in table if layer.conv is not None)
    assert counted == sum(count_multiply_adds(spec).values())
    assert tuple(sub_block_starts(table)) == sub_block_names(spec)


def test_every_layer_is_recognised_once():
    spec = make_spec("b0", group_size=16, norm="ln_pn")
    kinds = Counter(layer.kind for layer in trace_layer_table(spec, 64))
    blocks = block_specs(spec)
    skips = sum(block.has_skip for block in blocks)
    expands = sum(block.expand is not None for block in blocks)
    assert kinds == {
        "input": 1,
        "conv": 1 + expands + 2 * len(blocks) + 2 * len(blocks) + 2,
        "norm": 1 + expands + 2 * len(blocks) + 1,
        "swish": 1 + expands + len(blocks) + 1,
        "proxy": 1,  # only the stem's scale is applied to the whole feature map
        "proxy_delayed": expands + len(blocks) + 1,
        "squeeze": len(blocks),
        "scale": len(blocks),
        "drop_connect": skips,
        "add": skips,
        "pool": 1,
        "loss": 1,
    }


@pytest.mark.parametrize(("norm", "groups"), [("gn", {4}), ("ln", {1}), ("bn", {0}), ("gn_pn", {4})])
def test_norms_are_told_apart(norm, groups):
    table = trace_layer_table(make_spec("cifar", norm=norm), 32)
    assert {layer.norm_groups for layer in table if layer.kind == "norm"} == groups
    assert any(layer.kind == "proxy" for layer in table) == norm.endswith("_pn")


def test_a_cut_inside_a_block_carries_its_skip_along():
    spec = make_spec("b0", group_size=16, norm="gn")
    table = trace_layer_table(spec, 64)
    live = {name: table[index].live_elements for name, index in sub_block_starts(table).items()}
    labels = spec.num_classes  # the smoothed targets travel from the first stage to the loss
    assert live["block0"] == 3 * 64 * 64
    assert live["block2b"] == 24 * 16 * 16 + labels
    assert live["block2b.project"] == (96 + 24) * 16 * 16 + labels
    assert live["block2a.project"] == 64 * 16 * 16 + labels


def test_strided_and_contiguous_group_norm_make_the_same_table():
    tables = [
        trace_layer_table(make_spec("cifar", group_size=16, norm="gn", norm_grouping=grouping), 32)
        for grouping in ("contiguous", "strided")
    ]
    assert tables[0] == tables[1]


def test_relu_is_not_swish():
    table = trace_layer_table(make_spec("cifar", norm="gn", activation="relu"), 32)
    kinds = Counter(layer.kind for layer in table)
    assert kinds["relu"] == 34 - 1 and "swish" not in kinds


def test_modules_with_weights_on_the_host_are_refused():
    images = torch.empty(SAMPLES, 3, 8, 8, device="meta")
    with pytest.raises(ValueError, match="meta"):
        trace_layers(nn.Conv2d(3, 8, 3), [images], sub_blocks=["block0"])


def test_a_network_that_does_not_pass_through_the_named_blocks_is_refused():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleDict({"block0": nn.Conv2d(3, 8, 3)})

        def forward(self, x):
            return self.blocks["block0"](x)

    images = [torch.empty(SAMPLES, 3, 8, 8, device="meta")]
    module = Net().to("meta")
    assert trace_layers(module, images, sub_blocks=["block0"])[1].params == 224
    with pytest.raises(ValueError, match="Top"):
        trace_layers(module, images, sub_blocks=["block0", "Top"])


def test_an_operation_that_hides_its_parameters_is_refused():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3, 1, 1))
            self.blocks = nn.ModuleDict({"block0": nn.Conv2d(3, 8, 3)})

        def forward(self, x):
            return self.blocks["block0"](x * self.weight)

    images = [torch.empty(SAMPLES, 3, 8, 8, device="meta")]
    with pytest.raises(ValueError, match="224 parameters of 227"):
        trace_layers(Odd().to("meta"), images, sub_blocks=["block0"])


def test_resolutions_under_32_are_refused():
    with pytest.raises(ValueError, match="resolution=16: must be 32 or more"):
        load_layer_table(make_spec("b0"), 16)
