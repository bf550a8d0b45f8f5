"""Power shares against values worked out by hand, and in networks whose answer is known."""

from __future__ import annotations

import pytest
import torch

from benchmarks.evidence.power import PARTS, PowerCase, digits, hooked_shares, measure_power, power_shares
from ipu_app.models.efficientnet import EfficientNet
from ipu_app.models.spec import make_spec


def activations(*channels):
    """(N, C, 1, 2) from, for each channel, its images' pairs of pixels."""
    return torch.tensor(channels, dtype=torch.float64).permute(1, 0, 2).unsqueeze(2)


@pytest.mark.parametrize(
    "pairs, part",
    [
        ([(2, 2), (2, 2)], "channel"),
        ([(1, 1), (-1, -1)], "instance"),
        ([(1, -1), (-1, 1)], "spread"),
    ],
)
def test_a_channel_of_one_kind_has_all_its_power_there(pairs, part):
    assert power_shares(activations(pairs)) == pytest.approx({name: float(name == part) for name in PARTS})


def test_shares_of_a_mixed_channel_are_those_worked_out_by_hand():
    # image means 1 and 3, standard deviations 0 and 2: mean square (1 + 1 + 25 + 1) / 4 = 7
    found = power_shares(activations([(1, 1), (5, 1)]))
    assert found == pytest.approx(
        {"channel": 4 / 7, "instance": 1 / 7, "spread": 1 / 7, "spread_varies": 1 / 7}
    )


def test_channels_count_by_their_power():
    found = power_shares(activations([(3, 3), (3, 3)], [(1, -1), (1, -1)]))
    assert found["channel"] == pytest.approx(0.9) and found["spread"] == pytest.approx(0.1)


@pytest.mark.parametrize("norm", ["bn", "gn", "ln", "in", "ln_pn"])
def test_norms_in_a_random_network(norm):
    case = PowerCase("random", norm, seed=0, images=8, resolution=16, depth=30, width=32)
    layers = measure_power(case)
    assert len(layers) == 30
    assert all(sum(shares.values()) == pytest.approx(1) for shares in layers)
    last = layers[-1]
    if norm == "bn":
        assert last["channel"] < 1e-6 < last["instance"]
    elif norm == "in":
        assert last["channel"] < 1e-6 and last["spread"] > 0.999
    elif norm == "ln":
        assert last["channel"] > 0.5 > 10 * layers[0]["channel"]
    elif norm == "ln_pn":
        assert last["channel"] < 0.2
    else:
        assert 0.05 < last["channel"] < 0.99


def test_the_seed_decides_and_nothing_else():
    first, again, other = (
        measure_power(PowerCase("random", "ln", seed, images=4, resolution=8, depth=2, width=8))
        for seed in (0, 0, 1)
    )
    assert first == again != other


def test_every_norm_of_a_model_is_measured_in_order():
    images = digits(4, 64)
    torch.manual_seed(0)
    model = EfficientNet(make_spec("b0", norm="bn")).train()
    with torch.no_grad():
        shares = hooked_shares(model, images)
    assert len(shares) == 49 and max(layer["channel"] for layer in shares) < 1e-3
    assert not any(module._forward_hooks for module in model.modules())
    instance = measure_power(PowerCase("b0", "in", 0, images=4, resolution=64))
    assert instance[0]["instance"] < 1e-6 < shares[0]["instance"]


def test_images_are_standardised():
    images = digits(8, 16)
    assert images.shape == (8, 3, 16, 16)
    assert abs(float(images.mean())) < 1e-5 and float(images.std()) == pytest.approx(1)
