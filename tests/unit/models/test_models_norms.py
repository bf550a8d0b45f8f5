from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ipu_app.models.efficientnet import EfficientNet
from ipu_app.models.norms import make_norm, separate_statistics, set_updates_per_step, write_norms_out
from ipu_app.models.spec import make_spec

SHAPE = (3, 24, 5, 4)


def norm_of(norm, channels=24, affine="full", **options):
    return make_norm(make_spec("b0", norm=norm, **options), channels, affine=affine).double()


def data(seed=0):
    torch.manual_seed(seed)
    return 2 * torch.randn(SHAPE, dtype=torch.float64) + 1


def by_definition(x, channel_groups, eps=1e-3):
    """Biased statistics over the channels of each group, one loop step per sample and group."""
    y = torch.empty_like(x)
    for sample, out in zip(x, y):
        for channels in channel_groups:
            part = sample[channels]
            out[channels] = (part - part.mean()) / ((part - part.mean()).pow(2).mean() + eps).sqrt()
    return y


@pytest.mark.parametrize(
    ("norm", "grouping", "groups"),
    [
        ("gn", "contiguous", [range(start, start + 6) for start in range(0, 24, 6)]),
        ("gn", "strided", [range(start, 24, 4) for start in range(4)]),
        ("gn_pn", "strided", [range(start, 24, 4) for start in range(4)]),
        ("ln", "contiguous", [range(24)]),
        ("ln", "strided", [range(24)]),
    ],
)
def test_groups_by_definition(norm, grouping, groups):
    x, weight, bias = data(), torch.rand(24).double(), torch.rand(24).double()
    module = norm_of(norm, norm_grouping=grouping)
    expected = by_definition(x, [list(group) for group in groups])
    torch.testing.assert_close(module(x), expected, atol=1e-12, rtol=1e-12)
    given = expected * weight.reshape(1, -1, 1, 1) + bias.reshape(1, -1, 1, 1)
    torch.testing.assert_close(module(x, weight, bias), given, atol=1e-12, rtol=1e-12)


def test_strided_group_norm_is_the_contiguous_one_of_sorted_channels():
    order = torch.arange(24).reshape(6, 4).T.flatten()
    x = data().requires_grad_()
    direction = torch.randn(SHAPE, dtype=torch.float64)
    strided, sorted_ = norm_of("gn", norm_grouping="strided")(x), norm_of("gn")(x[:, order])
    ours = torch.autograd.grad((strided * direction).sum(), x)[0]
    theirs = torch.autograd.grad((sorted_ * direction[:, order]).sum(), x)[0]
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-10)


def test_strided_group_norm_takes_half_precision():
    x = 40 * data().half()
    module = norm_of("gn", norm_grouping="strided").half()
    torch.testing.assert_close(module(x).double(), module.double()(x.double()), atol=5e-3, rtol=5e-3)


@pytest.mark.parametrize("norm", ["gn", "ln"])
@pytest.mark.parametrize("affine", ["full", "scale", "none"])
def test_a_norm_written_out_is_the_same(norm, affine):
    x = data()
    module = norm_of(norm, affine=affine)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.rand_like(parameter) + 0.5)
    expected = module(x)
    write_norms_out(module)
    torch.testing.assert_close(module(x), expected)
    assert module.half()(x.half()).dtype == torch.float16


def test_affine_kinds():
    assert sorted(name for name, _ in norm_of("ln", affine="full").named_parameters()) == ["bias", "weight"]
    assert [name for name, _ in norm_of("ln", affine="scale").named_parameters()] == ["weight"]
    assert not list(norm_of("ln", affine="none").parameters())
    with torch.no_grad():
        scaled = norm_of("ln", affine="scale")
        scaled.weight.fill_(3)
        torch.testing.assert_close(scaled(data()), 3 * norm_of("ln")(data()))


@pytest.mark.parametrize("separate", [False, True])
def test_batch_norm_averages_take_the_biased_variance(separate):
    module, x = norm_of("bn"), data()
    if separate:
        separate_statistics(module)
    mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
    y = module(x)
    torch.testing.assert_close(y, F.batch_norm(x, None, None, training=True, eps=1e-3))
    torch.testing.assert_close(module.running_mean, 0.03 * mean)
    torch.testing.assert_close(module.running_var, 0.97 + 0.03 * var)
    module.eval()
    expected = F.batch_norm(x, 0.03 * mean, 0.97 + 0.03 * var, eps=1e-3)
    torch.testing.assert_close(module(x), expected)


def test_batch_norm_forgets_once_per_step_whatever_the_accumulation():
    model = EfficientNet(make_spec("cifar"))
    norm = model.blocks["block0"].norm
    set_updates_per_step(model, 4)
    norm.running_mean.fill_(1.0)
    for _ in range(4):
        norm(torch.zeros(2, 16, 3, 3))
    torch.testing.assert_close(norm.running_mean, torch.full((16,), 0.97))
    with pytest.raises(ValueError, match="updates_per_step=0"):
        set_updates_per_step(model, 0)


def test_batch_norm_survives_a_single_value_per_channel_in_evaluation():
    module = norm_of("bn").eval()
    assert torch.isfinite(module(torch.ones(1, 24, 1, 1, dtype=torch.float64))).all()
