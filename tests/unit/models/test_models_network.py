from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from models_golden import arrays, our_name

from ipu_app.models.efficientnet import EfficientNet
from ipu_app.models.init import TRUNCATED_STD
from ipu_app.models.layout import ConvSpec, block_specs, sub_block_names
from ipu_app.models.network_parts import Conv, MBConv, drop_connect_factor, global_mean
from ipu_app.models.proxy import make_activation
from ipu_app.models.spec import NORM_NAMES, make_spec

ROOT = Path(__file__).resolve().parents[3]
OLD_TORCH = not hasattr(torch, "export")  # before 2.1


def cifar(**options):
    torch.manual_seed(0)
    return EfficientNet(make_spec("cifar", **options))


def test_state_dict_names():
    names = set(cifar(group_size=16, norm="ln_pn").state_dict())
    shapes = json.loads(str(arrays("cifar_ln_pn")["original_shapes"]))
    expected = set()
    for original in shapes:
        ours = our_name(original)
        rows = ("beta", "gamma", "proxy_beta", "proxy_gamma")
        expected |= {f"{ours}.{row}" for row in rows} if ours.endswith(".act") else {ours}
    assert names == expected
    batch = set(cifar().state_dict())
    for part in ("block0", "block2a.expand", "block2a.spatial", "block2a.project", "Top"):
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            assert f"blocks.{part}.norm.{leaf}" in batch
    assert {"blocks.block2a.se.reduce.bias", "blocks.block2a.se.expand.weight", "blocks.Top.fc.bias"} <= batch


@pytest.mark.parametrize("name", [f"b{size}" for size in range(8)])
@pytest.mark.parametrize("group_size", [1, 4, 8, 16, 32, 64])
def test_every_size_and_group_size_builds_and_runs(name, group_size):
    with torch.device("meta"):  # shapes only
        model = EfficientNet(make_spec(name, group_size=group_size, norm="gn", num_classes=3))
        assert model(torch.zeros(1, 3, 48, 32)).shape == (1, 3)


@pytest.mark.parametrize(
    ("name", "group_size", "norm"),
    [("b0", 1, "bn"), ("b0", 64, "gn"), ("b1", 8, "gn_pn"), ("b2", 16, "ln_pn")],
)
def test_networks_run_forward_and_backward(name, group_size, norm):
    model = EfficientNet(make_spec(name, group_size=group_size, norm=norm, num_classes=3))
    logits = model(torch.randn(2, 3, 33, 40))
    assert logits.shape == (2, 3)
    logits.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize(("name", "group_size"), [("b3", 32), ("b6", 16), ("b7", 64)])
def test_large_networks_run(name, group_size):
    model = EfficientNet(make_spec(name, group_size=group_size, norm="ln_pn", num_classes=3)).eval()
    with torch.no_grad():
        assert torch.isfinite(model(torch.randn(1, 3, 32, 32))).all()


def test_parts_that_may_start_a_stage_are_called_as_modules_in_order():
    model = cifar(norm="ln_pn", group_size=16)
    called = []
    names = sub_block_names(model.spec)
    for name in names:
        model.blocks.get_submodule(name).register_forward_pre_hook(
            lambda module, inputs, name=name: called.append(name)
        )
    model(torch.randn(1, 3, 32, 32))
    assert tuple(called) == names
    assert list(model.blocks) == [name for name in names if "." not in name]


@pytest.mark.parametrize("norm", NORM_NAMES)
@pytest.mark.parametrize("grouping", ["contiguous", "strided"])
def test_memory_format_does_not_change_the_function(norm, grouping):
    model = cifar(norm=norm, norm_grouping=grouping).double().eval()
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    expected = model(images)
    model.to(memory_format=torch.channels_last)
    actual = model(images.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(actual, expected, atol=1e-10, rtol=1e-10)


def test_sizes_are_rounded_up_and_need_not_be_square():
    for padding in ("same", "symmetric"):
        conv = Conv(ConvSpec("spatial", 8, 8, 5, 2, groups=8), same=padding == "same")
        assert conv(torch.zeros(1, 8, 11, 6)).shape == (1, 8, 6, 3)


def test_paddings_differ_on_even_inputs_only():
    same, symmetric = (Conv(ConvSpec("spatial", 4, 4, 3, 2), same=same) for same in (True, False))
    symmetric.load_state_dict(same.state_dict())
    odd, even = torch.randn(1, 4, 7, 7), torch.randn(1, 4, 8, 8)
    torch.testing.assert_close(same(odd), symmetric(odd))
    assert not torch.allclose(same(even), symmetric(even), atol=1e-2)


def test_a_scale_of_the_input_goes_into_the_weights():
    conv = Conv(ConvSpec("spatial", 12, 24, 3, 1, groups=3), same=True)
    x, scale = torch.randn(2, 12, 5, 5), torch.rand(1, 12, 1, 1)
    torch.testing.assert_close(conv(x, scale), conv(x * scale), atol=1e-5, rtol=1e-5)


@pytest.mark.skipif(OLD_TORCH, reason="sums half precision in half precision on a CPU")
def test_global_mean_in_half_precision_does_not_overflow():
    x = torch.full((1, 2, 64, 64), 300.0)
    torch.testing.assert_close(global_mean(x), torch.full((1, 2, 1, 1), 300.0))
    half = global_mean(x.half())
    assert half.float().flatten().tolist() == [300.0, 300.0]


def test_drop_connect_keeps_the_expectation_and_is_per_sample():
    torch.manual_seed(0)
    factor = drop_connect_factor(torch.zeros(20000, 3, 2, 2), 0.2)
    assert factor.shape == (20000, 1, 1, 1)
    assert sorted({round(value, 4) for value in factor.flatten().tolist()}) == [0.0, 1.25]
    assert factor.mean().item() == pytest.approx(1.0, abs=0.02)
    whole = drop_connect_factor(torch.zeros(20000, 1, 1, 1), 0.0)
    assert whole.min() == whole.max() == 1


def test_drop_connect_drops_the_branch_before_the_skip():
    spec = make_spec("cifar", norm="gn")
    block = block_specs(spec)[2]
    assert block.has_skip
    module = MBConv(spec, block).double()
    x = torch.randn(64, block.in_channels, 4, 4, dtype=torch.float64)
    module.eval()
    branch = module(x) - x
    module.train()
    module.drop_connect = 0.5
    torch.manual_seed(0)
    ratio = ((module(x) - x) / branch).mean((1, 2, 3))
    assert set(torch.round(ratio).int().tolist()) == {0, 2}
    torch.testing.assert_close(ratio, torch.round(ratio), atol=1e-9, rtol=0)


def test_evaluation_is_deterministic_and_training_is_not():
    model = cifar(norm="ln", dropout=0.5)
    images = torch.randn(4, 3, 32, 32)
    assert not torch.equal(model(images), model(images))
    model.eval()
    assert torch.equal(model(images), model(images))


def test_start_values():
    model = cifar(norm="ln_pn", group_size=16)
    blocks = model.blocks
    for conv, fan in (
        (blocks["block0"].conv, 9 * 16),
        (blocks["block6b"].expand.conv, 384),
        (blocks["block6b"].spatial.conv, 25 * 16),
        (blocks["block6b"].se.expand, 384),
        (blocks["Top"].conv, 640),
    ):
        std = math.sqrt(2 / fan)
        assert conv.weight.std().item() == pytest.approx(std, rel=0.08)
        assert conv.weight.abs().max().item() <= 2 * std / TRUNCATED_STD
    bound = math.sqrt(6 / (640 + 10))
    assert 0.95 * bound < blocks["Top"].fc.weight.abs().max().item() <= bound
    act = blocks["block6b"].spatial.act
    assert [p.unique().tolist() for p in (act.beta, act.gamma, act.proxy_beta, act.proxy_gamma)] == [
        [0],
        [1],
        [0],
        [0],
    ]
    assert not blocks["Top"].fc.bias.any()


@pytest.mark.parametrize("activation", ["swish", "relu"])
def test_proxy_statistics_stay_in_float32_in_a_half_model(activation):
    act = make_activation(make_spec("b0", norm="ln_pn", activation=activation), 8)
    with torch.no_grad():
        act.beta.copy_(torch.linspace(-1, 1, 8))
    exact = [value.clone() for value in act.moments()]
    act.half()
    assert act.beta.dtype == torch.float16
    for ours, expected in zip(act.moments(), exact):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, expected, atol=2e-3, rtol=2e-3)  # beta itself was rounded
    act.bfloat16()
    assert {value.dtype for value in act.moments()} == {torch.float32}
    assert act(torch.ones(1, 8, 2, 2, dtype=torch.bfloat16)).dtype == torch.bfloat16
    act.double()
    assert {value.dtype for value in act.moments()} == {torch.float64}


@pytest.mark.parametrize("norm", NORM_NAMES)
@pytest.mark.parametrize("grouping", ["contiguous", "strided"])
def test_bfloat16_autocast_is_close_to_float32(norm, grouping):
    model = cifar(norm=norm, norm_grouping=grouping, group_size=16, drop_connect=0.0)
    images = torch.randn(8, 3, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        low = model(images)
    low.float().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())
    error = (low.float() - model(images)).norm() / model(images).norm()
    assert error < 0.2


@pytest.mark.skipif(OLD_TORCH, reason="no half precision on a CPU")
@pytest.mark.parametrize("norm", NORM_NAMES)
def test_half_model_is_close_to_float32(norm):
    model = cifar(norm=norm, group_size=16).eval()
    images = torch.randn(4, 3, 32, 32)
    expected = model(images)
    error = (model.half()(images.half()).float() - expected).norm() / expected.norm()
    assert error < 0.02


def test_relu_moments_have_finite_gradients_at_no_spread():
    act = make_activation(make_spec("b0", norm="ln_pn", activation="relu"), 4)
    with torch.no_grad():
        act.gamma.zero_()
        act.beta.copy_(torch.tensor([-1.0, 0.0, 1.0, 5.0]))
    mean, scale = act.moments()
    (mean.sum() + scale.sum()).backward()
    torch.testing.assert_close(mean.flatten(), torch.tensor([0.0, 0.0, 1.0, 5.0]), atol=1e-5, rtol=0)
    assert all(torch.isfinite(p.grad).all() for p in act.parameters())


@pytest.mark.slow
@pytest.mark.skipif(OLD_TORCH, reason="torch.compile is too young there")
def test_compiles_without_graph_breaks():
    # in a process of its own: the compiler keeps a table of torch's functions from when it first ran, and
    # tests of the simulator in this process may have replaced some of them at that moment
    done = subprocess.run(
        [sys.executable, "-c", COMPILE], capture_output=True, text=True, cwd=str(ROOT), check=False
    )
    assert done.returncode == 0, done.stderr


COMPILE = """
import torch
from ipu_app.models.efficientnet import EfficientNet
from ipu_app.models.spec import make_spec

model = EfficientNet(make_spec("cifar", norm="ln_pn", group_size=16))
compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
model.eval()
images = torch.randn(2, 3, 32, 32)
torch.testing.assert_close(compiled(images), model(images), atol=1e-5, rtol=1e-5)
model.train()
compiled(images).sum().backward()
assert all(p.grad is not None for p in model.parameters())
"""
