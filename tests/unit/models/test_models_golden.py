"""The network against numbers made by the original implementation (tests/golden/models)."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from models_golden import arrays, document, our_name, recipe_input, recipe_state, tensor

from ipu_app.models.counts import count_multiply_adds, count_parameters
from ipu_app.models.efficientnet import EfficientNet
from ipu_app.models.layout import BlockSpec, ConvSpec, block_specs, stem_conv, sub_block_names, top_conv
from ipu_app.models.network_parts import MBConv, same_padding
from ipu_app.models.proxy import make_activation
from ipu_app.models.spec import make_spec

NETWORKS = document("networks")
# Trainable parameters with group norm, and forward multiply-adds in 1e9, b0 to b5 (the paper's models)
PARAMETERS = {
    1: (5288548, 7794184, 9109994, 12233232, 19341616, 30389784),
    16: (5913796, 8332120, 9504122, 12590896, 19328168, 28715320),
}
MULTIPLY_ADDS = {
    1: (0.3858, 0.6868, 0.9936, 1.827, 4.394, 10.266),
    16: (0.6347, 1.1117, 1.5225, 2.731, 6.183, 13.501),
}


def spec_of(network, **options):
    return make_spec(network["model"], group_size=network["group_size"], **options)


@pytest.mark.parametrize("name", NETWORKS)
def test_blocks_are_the_originals(name):
    network = NETWORKS[name]
    spec = spec_of(network)
    ours = [
        {
            "name": block.name,
            "in": block.in_channels,
            "mid": block.spatial.out_channels,
            "out": block.project.out_channels,
            "kernel": block.spatial.kernel,
            "stride": block.spatial.stride,
            "groups": block.spatial.groups,
            "se": block.se_channels,
            "skip": block.has_skip,
            "drop_connect": pytest.approx(block.drop_connect, abs=1e-12),
            "expands": block.expand is not None,
        }
        for block in block_specs(spec)
    ]
    assert ours == network["blocks"]
    assert (stem_conv(spec).out_channels, top_conv(spec).out_channels) == (network["stem"], network["top"])
    assert (spec.expand_ratio, spec.dropout) == (network["expand_ratio"], network["dropout"])
    assert spec.native_resolution == network["resolution"]
    cuts = [part for part in network["parts"] if part != "block1a.spatial"]  # ours: block1a itself
    assert set(cuts) <= set(sub_block_names(spec))


@pytest.mark.parametrize("name", NETWORKS)
def test_counts_are_the_originals(name):
    network = NETWORKS[name]
    for norm, expected in network["parameters"].items():
        spec = spec_of(network, norm=norm)
        assert count_parameters(spec) == {**expected, "fused": 0}
        with torch.device("meta"):
            model = EfficientNet(spec)
        assert sum(p.numel() for p in model.parameters()) == sum(expected.values())
    assert count_multiply_adds(spec) == {**network["multiply_adds"], "fused": 0}
    for resolution, total in network["multiply_adds_at"].items():
        assert sum(count_multiply_adds(spec, int(resolution)).values()) == total


@pytest.mark.parametrize("group_size", [1, 16])
def test_totals_of_all_published_sizes(group_size):
    specs = [make_spec(f"b{size}", group_size=group_size, norm="gn") for size in range(6)]
    assert tuple(sum(count_parameters(spec).values()) for spec in specs) == PARAMETERS[group_size]
    billions = [sum(count_multiply_adds(spec).values()) / 1e9 for spec in specs]
    assert billions == pytest.approx(MULTIPLY_ADDS[group_size], rel=5e-4)


def mbconv(norm, *, stride, mid, out, groups, dtype=torch.float64):
    block = BlockSpec(
        name="block",
        kind="mbconv",
        expand=ConvSpec("expand", 16, mid),
        spatial=ConvSpec("spatial", mid, mid, 3, stride, groups),
        project=ConvSpec("project", mid, out),
        se_channels=4,
        drop_connect=0.0,
    )
    return MBConv(make_spec("b0", norm=norm, proxy_rule="quantile200"), block).to(dtype)


BLOCKS = {
    "mbconv_skip_gn": {"norm": "gn", "stride": 1, "mid": 64, "out": 16, "groups": 4},
    "mbconv_skip_ln": {"norm": "ln", "stride": 1, "mid": 64, "out": 16, "groups": 4},
    "mbconv_skip_ln_pn": {"norm": "ln_pn", "stride": 1, "mid": 64, "out": 16, "groups": 4},
    "mbconv_stride2_ln_pn": {"norm": "ln_pn", "stride": 2, "mid": 96, "out": 24, "groups": 96},
}


@pytest.mark.parametrize("name", BLOCKS)
def test_mbconv_outputs_and_gradients(name):
    golden = arrays(name)
    block = mbconv(**BLOCKS[name])
    values = {key[len("value:") :]: tensor(golden[key]) for key in golden if key.startswith("value:")}
    block.load_state_dict(values, strict=True)
    x = tensor(golden["input"]).requires_grad_()
    y = block(x)
    (y * tensor(golden["direction"])).sum().backward()
    np.testing.assert_allclose(y.detach().numpy(), golden["output"], atol=1e-10, rtol=0)
    np.testing.assert_allclose(x.grad.numpy(), golden["input_grad"], atol=1e-10, rtol=0)
    for key, parameter in block.named_parameters():
        np.testing.assert_allclose(
            parameter.grad.numpy(), golden[f"grad:{key}"], atol=1e-10, rtol=1e-10, err_msg=key
        )


def cifar_logits(dtype=torch.float64, **options):
    golden = arrays("cifar_ln_pn")
    spec = make_spec("cifar", group_size=16, norm="ln_pn", **options)
    model = EfficientNet(spec).to(dtype).eval()
    state = recipe_state(json.loads(str(golden["original_shapes"])), seed=3)
    model.load_state_dict({key: value.to(dtype) for key, value in state.items()}, strict=True)
    return model, model(recipe_input((2, 3, 32, 32), 21).to(dtype)), golden


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_cifar_logits_under_the_originals_rule(dtype, tolerance):
    _, logits, golden = cifar_logits(dtype, proxy_rule="quantile200")
    np.testing.assert_allclose(logits.detach().numpy(), golden["logits_quantile200"], atol=tolerance, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_cifar_logits_of_the_default_rule_are_near_the_exact_expectation(dtype):
    _, logits, golden = cifar_logits(dtype)
    np.testing.assert_allclose(logits.detach().numpy(), golden["logits_exact"], atol=2e-4, rtol=0)


def test_cifar_gradients_under_the_originals_rule():
    model, logits, golden = cifar_logits(proxy_rule="quantile200")
    (logits * recipe_input((2, 10), 22)).sum().backward()
    norms = dict(zip(golden["original_names"].tolist(), golden["grad_norms"].tolist()))
    parameters = dict(model.named_parameters())
    compared = [name for name in norms if not name.endswith("/proxy")]  # those also count derived rows
    assert len(compared) > 100
    for name in compared:
        ours = parameters[our_name(name)].grad.norm().item()
        assert ours == pytest.approx(norms[name], rel=1e-9), name


@pytest.mark.parametrize("rule", ["quantile200", "quadrature"])
@pytest.mark.parametrize("way", ["scaled", "unscaled"])
@pytest.mark.parametrize("function", ["swish", "relu"])
def test_proxy_activation(function, way, rule):
    golden = arrays("proxy_activation")
    spec = make_spec("b0", norm="ln_pn", activation=function, proxy_rule=rule, proxy_nodes=64)
    act = make_activation(spec, 16).double()
    names = ("beta", "gamma", "proxy_beta", "proxy_gamma")
    act.load_state_dict({name: tensor(golden[name]) for name in names}, strict=True)
    act.deferred = way == "unscaled"
    x = tensor(golden["input"]).requires_grad_()
    gamma, beta = act.affine()
    y = act(x * gamma.reshape(1, -1, 1, 1) + beta.reshape(1, -1, 1, 1))
    if act.deferred:
        y = y - act.moments()[0]
    y.backward(tensor(golden["output_grad"]))
    kind = "quantile200" if rule == "quantile200" else "exact"
    prefix = f"{function}/{way}/{kind}"
    tolerance = 1e-6 if (function, kind) == ("swish", "exact") else 1e-9
    np.testing.assert_allclose(y.detach().numpy(), golden[f"{prefix}/output"], atol=tolerance, rtol=0)
    np.testing.assert_allclose(x.grad.numpy(), golden[f"{prefix}/input_grad"], atol=tolerance, rtol=0)
    for name in names:
        np.testing.assert_allclose(
            getattr(act, name).grad.numpy(),
            golden[f"{prefix}/{name}_grad"],
            atol=10 * tolerance,
            err_msg=name,
        )


def mean_error(values, exact):
    return (values - exact).abs().mean().item()


@pytest.mark.parametrize("rule", ["quantile200", "GH16", "GH24", "GH32"])
def test_error_of_the_rules_over_a_box_of_parameters(rule):
    golden = document("quadrature_errors")
    draws = np.random.default_rng(0).random((4, 4000))
    box = golden["parameter_box"]
    values = {key: tensor(low + (high - low) * u) for (key, (low, high)), u in zip(box.items(), draws)}
    state = dict(zip(("beta", "gamma", "proxy_beta", "proxy_gamma"), values.values()))

    def statistics(**options):
        act = make_activation(make_spec("b0", norm="ln_pn", **options), 4000).double()
        act.load_state_dict(state)
        return [value.detach() for value in act.moments()]

    nodes = {"proxy_nodes": int(rule[2:])} if rule.startswith("GH") else {"proxy_rule": rule}
    ours, exact = statistics(**nodes), statistics(proxy_nodes=128)
    expected = golden["errors"][f"swish/{rule}"]
    # another sample of the same box: the averages agree to sampling noise
    assert mean_error(ours[0], exact[0]) == pytest.approx(expected["mean_avg"], rel=0.35)
    assert mean_error(ours[1], exact[1]) == pytest.approx(expected["invstd_avg"], rel=0.35)


@pytest.mark.parametrize("function", ["swish", "relu"])
def test_proxy_statistics_at_the_start(function):
    act = make_activation(make_spec("b0", norm="ln_pn", activation=function), 8)
    mean, scale = arrays("proxy_activation")[f"{function}/start_exact"]
    ours = [value.detach().double().flatten() for value in act.moments()]
    torch.testing.assert_close(ours[0], torch.full((8,), mean, dtype=torch.float64), atol=2e-6, rtol=0)
    torch.testing.assert_close(ours[1], torch.full((8,), scale, dtype=torch.float64), atol=1e-5, rtol=0)


def test_same_padding():
    golden = arrays("same_padding")
    columns = golden["columns"].tolist()
    assert len(golden["rows"]) > 50
    for values in golden["rows"].tolist():
        row = dict(zip(columns, values))
        assert same_padding(row["size"], row["kernel"], row["stride"]) == (row["before"], row["after"]), row
