"""Fused-MBConv against plain PyTorch written out here (paddings, sizes, strided groups, proxy norm), and what
is EfficientNetV2's own: start values, names of stage starts, long sections.
"""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from ipu_app.models.efficientnet import EfficientNet
from ipu_app.models.layout import block_name, block_specs, sub_block_names
from ipu_app.models.network_parts import FusedMBConv
from ipu_app.models.spec import EfficientNetSpec, make_spec


def fused(name, model="v2-b0", **options):
    """A block in float64 with lively parameters, and nothing dropped."""
    spec = make_spec(model, drop_connect=0.0, **options)
    block = next(block for block in block_specs(spec) if block.name == name)
    torch.manual_seed(0)
    module = FusedMBConv(spec, block).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return module, block


def strided_group_norm(x, weight, bias, groups=4):
    """Channel c in group c % groups, by moving channels about."""
    n, c, h, w = x.shape
    moved = x.reshape(n, c // groups, groups, h, w).transpose(1, 2).reshape(n, c, h, w)
    y = F.group_norm(moved, groups, eps=1e-3).reshape(n, groups, c // groups, h, w).transpose(1, 2)
    return y.reshape(n, c, h, w) * weight.reshape(1, -1, 1, 1) + bias.reshape(1, -1, 1, 1)


def conv(x, module, padding):
    kernel, stride = module.weight.shape[-1], module.stride[0]
    if padding == "same":
        totals = [max((math.ceil(n / stride) - 1) * stride + kernel - n, 0) for n in x.shape[2:]]
        (top, left) = (total // 2 for total in totals)
        x = F.pad(x, (left, totals[1] - left, top, totals[0] - top))
    else:
        x = F.pad(x, (kernel // 2,) * 4)
    return F.conv2d(x, module.weight, stride=stride)


@pytest.mark.parametrize("padding", ["same", "symmetric"])
@pytest.mark.parametrize("name", ["block1a", "block2a", "block2b"])
@pytest.mark.parametrize("size", [(8, 8), (7, 12), (9, 5)])
def test_any_size_and_strided_groups(name, padding, size):
    module, block = fused(name, norm="gn", norm_grouping="strided", padding=padding)
    x = torch.randn(2, block.in_channels, *size, dtype=torch.float64)
    part = module.fused
    y = F.silu(strided_group_norm(conv(x, part.conv, padding), part.norm.weight, part.norm.bias))
    if module.project is not None:
        part = module.project
        y = strided_group_norm(conv(y, part.conv, padding), part.norm.weight, part.norm.bias)
    if block.has_skip:
        y = x + y
    torch.testing.assert_close(module(x), y, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize(("name", "model"), [("block1a", "v2-s"), ("block2a", "v2-b0"), ("block2b", "v2-b0")])
def test_a_norm_with_an_activation_behind_it_is_proxy_normalised_in_full(name, model):
    module, block = fused(name, model, norm="ln_pn")
    x = torch.randn(2, block.in_channels, 6, 6, dtype=torch.float64)
    act = module.fused.act
    y = F.group_norm(conv(x, module.fused.conv, "same"), 1, act.gamma, act.beta, 1e-3)
    mean, var = (value.reshape(1, -1, 1, 1) for value in act.statistics())
    y = (F.silu(y) - mean) / (var + 0.03).sqrt()
    assert module.fused.norm.weight is None
    if module.project is not None:
        assert module.project.norm.bias is None
        y = F.group_norm(conv(y, module.project.conv, "same"), 1, module.project.norm.weight, None, 1e-3)
    if block.has_skip:
        y = x + y
    torch.testing.assert_close(module(x), y, atol=1e-10, rtol=1e-10)


def test_what_a_block_of_ratio_1_and_a_pipeline_have():
    module, block = fused("block1a", "v2-s")
    assert block.project is None and set(dict(module.named_children())) == {"fused"}
    names = sub_block_names(make_spec("v2-s"))
    assert names[:4] == ("block0", "block1a", "block1b", "block2a")
    assert names[4] == "block2a.project" and "block4a.spatial" in names


def test_stage_starts_are_called_as_modules_in_order():
    model = EfficientNet(make_spec("v2-b0", norm="ln_pn", group_size=16, num_classes=3), initialise=False)
    called = []
    names = sub_block_names(model.spec)
    for name in names:
        part = model.blocks.get_submodule(name)
        part.register_forward_pre_hook(lambda module, inputs, name=name: called.append(name))
    model.eval()(torch.zeros(1, 3, 32, 32))
    assert tuple(called) == names


def test_moments_of_all_activations_at_once_are_the_same():
    torch.manual_seed(0)
    model = EfficientNet(make_spec("v2-b0", norm="ln_pn", group_size=4, num_classes=3)).double().eval()
    images = torch.randn(2, 3, 33, 40, dtype=torch.float64)
    expected = model(images)
    model.shares_moments = True
    torch.testing.assert_close(model(images), expected, atol=1e-9, rtol=1e-9)


def test_start_values_are_plain_normal():
    torch.manual_seed(0)
    blocks = EfficientNet(make_spec("v2-b0", group_size=16, num_classes=25)).blocks
    for module, fan in (
        (blocks["block0"].conv, 9 * 32),
        (blocks["block3a"].fused.conv, 9 * 128),
        (blocks["block6b"].spatial.conv, 9 * 16),
        (blocks["block6b"].se.reduce, blocks["block6b"].se.reduce.out_channels),
        (blocks["Top"].conv, 1280),
    ):
        std = math.sqrt(2 / fan)
        assert module.weight.std().item() == pytest.approx(std, rel=0.08)
        assert module.weight.abs().max().item() > 2.3 * std  # nothing is cut
    assert 0.19 < blocks["Top"].fc.weight.abs().max().item() <= 0.2
    assert not blocks["Top"].fc.bias.any() and not blocks["block6b"].se.reduce.bias.any()


def test_blocks_are_lettered_beyond_z():
    names = [block_name(5, repeat) for repeat in (0, 25, 26, 31, 52)]
    assert names == ["block6a", "block6z", "block6aa", "block6af", "block6ba"]
    assert "block6af" in {block.name for block in block_specs(make_spec("v2-xl"))}


def test_an_earlier_spec_of_version_1_is_the_same_one():
    spec = make_spec("b3", group_size=16, norm="ln_pn")
    old = spec.to_dict()
    for key in ("evaluation_resolution", "width_floor", "start_values"):
        del old[key]
    for section in old["sections"]:
        del section["ratio"]
    assert EfficientNetSpec.from_dict(old) == spec
    with pytest.raises(ValueError, match="model='v2-z': choose one of b0.*v2-s"):
        make_spec("v2-z")
