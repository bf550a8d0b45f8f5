"""Half precision: rounding after each operation, overflow, loss scaling, stochastic rounding of weights."""

from __future__ import annotations

from typing import Any, Tuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import ipu_app.ipumodel as poptorch
from ipu_app.ipumodel.device.random import DeviceRandom
from ipu_app.ipumodel.device.rounding import StochasticRounding


def run(model: nn.Module, *inputs: Tensor) -> Any:
    executor = poptorch.inferenceModel(model.eval(), poptorch.Options())
    result = executor(*inputs)
    executor.destroy()
    return result


class Calls(nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(*inputs)


def test_each_operation_rounds_to_half() -> None:
    x = torch.randn(64).half()
    found = run(Calls(lambda t: (t * 1.1 + 0.3) * 0.7), x)
    assert found.dtype == torch.float16
    expected = ((x.float() * 1.1).half().float() + 0.3).half().float() * 0.7
    assert torch.equal(found, expected.half())
    assert not torch.equal(found, ((x.float() * 1.1 + 0.3) * 0.7).half())


def test_half_overflows() -> None:
    x = torch.tensor([300.0, 200.0]).half()
    assert run(Calls(lambda t: t * t), x).tolist() == [float("inf"), 40000.0]
    assert run(Calls(lambda t: (t.float() * t.float()).sum()), x).item() == 130000.0


def test_half_underflows() -> None:
    x = torch.tensor([1e-3]).half()
    assert run(Calls(lambda t: t * t * 1e3), x).item() == pytest.approx(1e-3, rel=0.1)
    assert run(Calls(lambda t: t * t * t * 1e8), x).item() == 0.0


def test_mixed_types_follow_promotion() -> None:
    half, single = torch.randn(2, 3).half(), torch.randn(2, 3)
    assert run(Calls(lambda a, b: a + b), half, single).dtype == torch.float32
    assert run(Calls(lambda a, b: a @ b.t()), half, single).dtype == torch.float16  # a product: its first's
    assert run(Calls(lambda a, b: a @ b.t()), single, half).dtype == torch.float32


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 4, 3, bias=False),
        nn.GroupNorm(2, 4),
        nn.BatchNorm2d(4),
        nn.Conv2d(4, 4, 1, groups=2, bias=False),
    ],
    ids=["conv", "group_norm", "batch_norm", "group_conv"],
)
def test_convolution_and_norm_weights_are_cast_to_the_input_type(layer: nn.Module) -> None:
    x = torch.randn(2, 4, 5, 5).half()
    found = run(layer, x)
    assert found.dtype == torch.float16
    with torch.no_grad():
        expected = layer.float()(x.float())
    assert torch.allclose(found.float(), expected, atol=2e-2)


def test_norm_statistics_are_float32() -> None:
    """The sum of squares of these values is far beyond 65504."""
    x = (200.0 + torch.randn(1, 4, 16, 16)).half()
    found = run(nn.GroupNorm(1, 4), x)
    assert torch.isfinite(found).all()
    # torch 2.0 squares before it subtracts the mean in channels_last, which costs it two digits here
    assert torch.allclose(found.float(), F.group_norm(x.float(), 1), rtol=1e-2, atol=5e-3)


class Classifier(nn.Module):
    """A linear classifier whose gradients are far below float16's smallest number, `scale` times smaller."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.linear = nn.Linear(4, 2, bias=False)
        nn.init.zeros_(self.linear.weight)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        loss = F.nll_loss(F.log_softmax(self.linear(x).float(), 1), labels, reduction="mean")
        return poptorch.identity_loss(loss * self.scale, reduction="none")


def trained_weight(loss_scaling: float, precision: str) -> Tensor:
    model = Classifier(scale=1e-8)
    if precision == "16.16":
        model.half()
    x = torch.tensor([[1.0, 2.0, -1.0, 0.5]]).to(torch.float32 if precision == "32.32" else torch.float16)
    optimizer = poptorch.optim.SGD(model.parameters(), lr=1e6, loss_scaling=loss_scaling)
    executor = poptorch.trainingModel(model, poptorch.Options(), optimizer)
    executor(x, torch.tensor([1]))
    executor.destroy()
    return model.linear.weight.detach().float()


def test_loss_scaling_rescues_gradients_that_vanish_in_half() -> None:
    exact = trained_weight(1.0, "32.32")
    assert exact.abs().max() > 1e-3
    assert torch.equal(trained_weight(1.0, "16.16"), torch.zeros_like(exact))
    assert torch.allclose(trained_weight(2.0**20, "16.16"), exact, rtol=2e-2, atol=1e-6)


def test_too_large_a_loss_scale_overflows() -> None:
    assert not torch.isfinite(trained_weight(2.0**45, "16.16")).all()


def test_loss_scaling_cancels_in_float32() -> None:
    assert torch.allclose(trained_weight(2.0**20, "32.32"), trained_weight(1.0, "32.32"), rtol=1e-6)


def test_weights_stay_half_on_host_and_device() -> None:
    model = nn.Linear(3, 1).half()
    executor = poptorch.trainingModel(
        _WithLoss(model), poptorch.Options(), poptorch.optim.SGD(model.parameters(), lr=0.1)
    )
    before = model.weight.detach().clone()
    executor(torch.ones(2, 3).half())
    after = model.weight.detach()
    assert after.dtype == torch.float16
    assert not torch.equal(before, after)
    executor.destroy()


class _WithLoss(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return poptorch.identity_loss(self.inner(x).float(), reduction="mean")


@pytest.mark.parametrize("precision", ["16.16", "16.32", "32.32"])
def test_small_network_learns_in_every_precision(precision: str) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, bias=False),
        nn.GroupNorm(2, 8, eps=1e-3),
        nn.SiLU(),
        nn.Flatten(),
        nn.Linear(128, 2),
    )
    model = _Task(net, torch.float32 if precision == "32.32" else torch.float16)
    if precision == "16.16":
        net.half()
    elif precision == "16.32":
        net[4].half()  # torch multiplies no half rows with float32 weights
    optimizer = poptorch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, loss_scaling=64.0)
    options = poptorch.Options()
    options.Training.gradientAccumulation(2)
    options.outputMode(poptorch.OutputMode.Sum)
    executor = poptorch.trainingModel(model, options, optimizer)
    x = torch.randn(16, 1, 6, 6)
    labels = (x.mean((1, 2, 3)) > 0).long()
    losses = [executor(x, labels).item() / 2 for _ in range(40)]
    executor.destroy()
    assert losses[-1] < 0.2 < losses[0]


class _Task(nn.Module):
    def __init__(self, net: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.net, self.dtype = net, dtype

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(self.net(x.to(self.dtype)).float(), labels)


def rounding_of(seed: int) -> StochasticRounding:
    return StochasticRounding(DeviceRandom(seed))


def test_stochastic_rounding_is_unbiased_and_seeded() -> None:
    values = torch.tensor([1.0003, -2.0007, 3e-8, -0.1]).repeat(40000, 1)
    rounded = rounding_of(1)(values, torch.float16)
    assert rounded.dtype == torch.float16
    spacing = torch.tensor([2.0**-10, 2.0**-9, 2.0**-24, 2.0**-14])
    error = (rounded.float().double().mean(0) - values[0].double()).abs()
    assert (error < 4 * spacing / 200 / 2 + 1e-12).all()
    assert ((rounded.float() - values).abs() < spacing).all()
    assert torch.equal(rounding_of(1)(values, torch.float16), rounded)
    assert not torch.equal(rounding_of(2)(values, torch.float16), rounded)


def test_stochastic_rounding_keeps_exact_values_and_infinities() -> None:
    values = torch.tensor([0.0, 1.0, -65504.0, 1e6, -1e6])
    assert rounding_of(0)(values, torch.float16).tolist() == [0.0, 1.0, -65504.0, float("inf"), float("-inf")]


def mean_weight_after_small_updates(stochastic: bool) -> float:
    model = nn.Linear(1, 4000, bias=False).half()
    nn.init.ones_(model.weight)
    options = poptorch.Options()
    options.Precision.enableStochasticRounding(stochastic)
    options.randomSeed(5)
    optimizer = poptorch.optim.SGD(model.parameters(), lr=1e-5)
    executor = poptorch.trainingModel(_SumLoss(model), options, optimizer)
    for _ in range(20):
        executor(torch.ones(1, 1).half())
    executor.destroy()
    return float(model.weight.detach().double().mean())


class _SumLoss(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return poptorch.identity_loss(self.inner(x).float().sum(), reduction="none")


def test_stochastic_rounding_of_weights_keeps_updates_below_half_a_step() -> None:
    """Each update is a hundredth of float16's spacing at 1: lost to nearest, kept on average."""
    assert mean_weight_after_small_updates(stochastic=False) == 1.0
    assert mean_weight_after_small_updates(stochastic=True) == pytest.approx(1.0 - 2e-4, abs=3e-5)


def test_half_accumulation_keeps_a_running_mean() -> None:
    """The sum of these gradients overflows float16, their running mean does not."""
    assert accumulated(torch.float16, poptorch.ReductionType.Mean) == pytest.approx(40000.0, rel=1e-3)
    assert accumulated(torch.float16, poptorch.ReductionType.Sum) == float("inf")
    assert accumulated(torch.float32, poptorch.ReductionType.Sum) == pytest.approx(160000.0)


def accumulated(dtype: torch.dtype, reduction: Any) -> float:
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    options = poptorch.Options()
    options.Training.gradientAccumulation(4).accumulationAndReplicationReductionType(reduction)
    optimizer = poptorch.optim.SGD(model.parameters(), lr=1.0, accum_type=dtype)
    executor = poptorch.trainingModel(_SumLoss(model), options, optimizer)
    executor(torch.full((4, 1), 40000.0))
    executor.destroy()
    return -float(model.weight.detach())


def test_sum_mode_adds_in_the_outputs_own_type() -> None:
    options = poptorch.Options().deviceIterations(2).outputMode(poptorch.OutputMode.Sum)
    executor = poptorch.inferenceModel(nn.Identity(), options)
    assert executor(torch.tensor([40000.0, 40000.0]).half()).tolist() == [float("inf")]
    executor.destroy()


def test_automatic_loss_scaling_finds_its_way_down_and_up() -> None:
    from ipu_app.ipumodel.device.accumulation import AutomaticLossScale

    scale, book = 1024.0, AutomaticLossScale()
    for _ in range(16):
        scale = book.observe([torch.full((10,), 60000.0)], scale)
    assert scale == 256.0
    for _ in range(8):
        scale = book.observe([torch.full((10,), 1.0)], scale)
    assert scale == 512.0


def test_in_place_operations_round_too() -> None:
    def forward(x: Tensor) -> Tuple[Tensor, Tensor]:
        y = x * 1.0
        y.add_(0.0007)
        return y, F.silu(y, inplace=True)

    x = torch.ones(3).half()
    first, second = run(Calls(forward), x)
    assert first.dtype == torch.float16
    expected = F.silu((torch.ones(3) + 0.0007).half().float()).half()
    assert torch.equal(second, expected)


def test_floating_point_exceptions_stop_a_run() -> None:
    options = poptorch.Options()
    options.Precision.enableFloatingPointExceptions(True)
    executor = poptorch.inferenceModel(Calls(lambda t: t * t), options)
    assert executor(torch.ones(2).half()).tolist() == [1.0, 1.0]
    with pytest.raises(poptorch.Error, match="Floating point exception"):
        executor(torch.full((2,), 300.0).half())
    executor.destroy()


def test_a_failed_call_leaves_no_gradients_behind() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    options = poptorch.Options()
    options.Precision.enableFloatingPointExceptions(True)
    executor = poptorch.trainingModel(
        _SumLoss(model), options, poptorch.optim.SGD(model.parameters(), lr=1.0)
    )
    with pytest.raises(poptorch.Error):
        executor(torch.full((1, 1), float("inf")))
    executor(torch.ones(1, 1))
    assert model.weight.item() == -1.0
    executor.destroy()
