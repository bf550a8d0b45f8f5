"""Traps of tracing, execution and pipelines: what passes on plain PyTorch and fails or goes wrong on an IPU.

Numbers are those of the project's list of 59 traps; the ones about options, optimizers and data loading are
in test_gotchas_api.py. NOT_TESTABLE says why a trap has no test; the last test holds that none is forgotten.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Tuple

import pytest
import torch
from torch import Tensor, nn
from torch import arange as imported_arange
from torch.nn import functional as F

#: traps without a test in this file or in test_gotchas_api.py
NOT_TESTABLE: Dict[int, str] = {
    51: "out of memory appears only on hardware: the cost model estimates it, the simulator has no limit",
    58: "needs several instances that disagree; the launcher's and the runtime's tests cover the broadcast",
}
SIMULATOR_SAYS_MORE = (
    "the SDK accepts this silently; the simulator refuses it or warns, so that the trap is seen"
)


class Function(nn.Module):
    """A model with one weight and a buffer whose forward is given: `forward(model, *inputs)`."""

    def __init__(self, forward: Callable[..., Any]) -> None:
        super().__init__()
        self._forward = forward
        self.weight = nn.Parameter(torch.ones(4))
        self.register_buffer("level", torch.zeros(4))
        self.register_buffer("count", torch.zeros((), dtype=torch.int32))
        self.plain = torch.ones(4)

    def forward(self, *inputs: Tensor) -> Any:
        return self._forward(self, *inputs)


def infer(poptorch: Any, forward: Callable[..., Any], *inputs: Tensor, options: Any = None) -> Any:
    executor = poptorch.inferenceModel(Function(forward).eval(), options or poptorch.Options())
    try:
        return executor(*inputs)
    finally:
        executor.destroy()


def train(
    poptorch: Any, forward: Callable[..., Any], *inputs: Tensor, options: Any = None
) -> Tuple[Any, Tensor]:
    """One call of a model trained by SGD with lr 1: its outputs, and how far the weight moved."""
    model = Function(forward)
    optimizer = poptorch.optim.SGD(model.parameters(), lr=1.0)
    executor = poptorch.trainingModel(model, options or poptorch.Options(), optimizer)
    try:
        outputs = executor(*inputs)
        return outputs, 1.0 - model.weight.detach().clone()
    finally:
        executor.destroy()


X = torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])
LABELS = torch.tensor([1, 0])


def refused(
    poptorch: Any, forward: Callable[..., Any], *inputs: Tensor, text: str, training: bool = False
) -> None:
    with pytest.raises(poptorch.Error, match=re.escape(text)):
        (train if training else infer)(poptorch, forward, *inputs)


# ---- batching and outputs


def test_gotcha_04_inference_needs_options_of_its_own(poptorch: Any) -> None:
    options = poptorch.Options()
    options.Training.gradientAccumulation(4)
    with pytest.raises(poptorch.Error, match="gradientAccumulation to 1"):
        poptorch.inferenceModel(Function(lambda m, x: x), options)


def test_gotcha_05_rows_of_every_input_must_divide(poptorch: Any) -> None:
    options = poptorch.Options().deviceIterations(2)
    for inputs in ((torch.ones(4, 4), torch.ones(3)), (torch.ones(4, 4), torch.tensor(1.0))):
        with pytest.raises(AssertionError, match="Invalid batch dimension"):
            infer(poptorch, lambda m, x, y: x, *inputs, options=options.clone())


def test_gotcha_09_training_returns_the_last_micro_batch(poptorch: Any) -> None:
    options = poptorch.Options().deviceIterations(2)
    loss, _ = train(
        poptorch, lambda m, x: poptorch.identity_loss(x.sum(), "none"), torch.ones(4, 4), options=options
    )
    assert loss.shape == ()
    options = poptorch.Options().deviceIterations(2).outputMode(poptorch.OutputMode.Sum)
    loss, _ = train(
        poptorch, lambda m, x: poptorch.identity_loss(x.sum(), "none"), torch.ones(4, 4), options=options
    )
    assert loss.item() == 16.0


def test_gotcha_10_sums_of_half_outputs_overflow(poptorch: Any) -> None:
    options = poptorch.Options().deviceIterations(2).outputMode(poptorch.OutputMode.Sum)
    x = torch.full((2, 4), 40000.0).half()
    assert torch.isinf(infer(poptorch, lambda m, x: x, x, options=options)).all()
    found = infer(poptorch, lambda m, x: x.float(), x, options=options.clone())
    assert found.tolist() == [[80000.0] * 4]


def test_gotcha_11_outputs_are_not_averaged_over_replicas(poptorch: Any) -> None:
    options = poptorch.Options().replicationFactor(2)
    loss, _ = train(poptorch, lambda m, x: poptorch.identity_loss(x.mean(), "none"), X, options=options)
    assert loss.tolist() == [2.5, 6.5]


# ---- losses


def test_gotcha_12_exactly_one_loss(poptorch: Any) -> None:
    refused(
        poptorch, lambda m, x: (m.weight * x).sum(), X, text="Couldn't find a loss in graph!", training=True
    )

    def two(m: Function, x: Tensor) -> Any:
        y = m.weight * x
        return F.mse_loss(y, x * 2), F.l1_loss(y, x * 2)

    refused(poptorch, two, X, text="Multiple independent losses found in graph", training=True)

    def joined(m: Function, x: Tensor) -> Any:
        first, second = two(m, x)
        return poptorch.identity_loss(first + second, reduction="none")

    loss, _ = train(poptorch, joined, X)
    assert loss.item() == pytest.approx(F.mse_loss(X, X * 2).item() + F.l1_loss(X, X * 2).item())


def test_gotcha_13_arithmetic_after_a_loss_is_not_differentiated(poptorch: Any) -> None:
    if not getattr(poptorch, "IS_SIMULATOR", False):
        pytest.skip(SIMULATOR_SAYS_MORE)
    refused(
        poptorch,
        lambda m, x: F.mse_loss(m.weight * x, x * 2) * 10.0,
        X,
        text="Wrap final graph loss in poptorch.identity_loss",
        training=True,
    )
    outputs, _ = train(poptorch, lambda m, x: _with_detached_metric(m, x), X)
    assert outputs[1].item() == pytest.approx(10 * outputs[0].item())


def _with_detached_metric(m: Function, x: Tensor) -> Tuple[Tensor, Tensor]:
    loss = F.mse_loss(m.weight * x, x * 2)
    return loss, loss.detach() * 10.0


def test_gotcha_14_cross_entropy_by_hand(poptorch: Any) -> None:
    def weighted(m: Function, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(m.weight * x, y, weight=m.level + 1)

    refused(poptorch, weighted, X, LABELS, text="weight", training=True)

    def soft(m: Function, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(m.weight * x, torch.softmax(x, 1))

    refused(poptorch, soft, X, LABELS, text="Couldn't find a loss", training=True)

    def smoothed(m: Function, x: Tensor, y: Tensor) -> Tensor:
        log_p = F.log_softmax(m.weight * x, 1)
        total = 0.9 * F.nll_loss(log_p, y) - 0.1 * log_p.mean(1).mean()
        return poptorch.identity_loss(total, reduction="none")

    loss, moved = train(poptorch, smoothed, X, LABELS)
    weight = torch.ones(4, requires_grad=True)
    expected = F.cross_entropy(weight * X, LABELS, label_smoothing=0.1)
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(moved, weight.grad, rtol=1e-4, atol=1e-6)


def test_gotcha_15_a_loss_as_a_metric_is_a_second_loss(poptorch: Any) -> None:
    def forward(m: Function, x: Tensor, y: Tensor) -> Any:
        with torch.no_grad():
            metric = F.mse_loss(x, x * 2)
        return F.nll_loss(F.log_softmax(m.weight * x, 1), y), metric

    refused(poptorch, forward, X, LABELS, text="Multiple independent losses", training=True)


# ---- what a trace can not do


@pytest.mark.parametrize(
    "read",
    [
        lambda x: x.sum().item(),
        lambda x: float(x.sum()),
        lambda x: int(x.sum()),
        lambda x: bool(x.sum() > 0),
        lambda x: x.cpu(),
        lambda x: x.numpy(),
        lambda x: x.tolist(),
    ],
    ids=["item", "float", "int", "bool", "cpu", "numpy", "tolist"],
)
def test_gotcha_16_values_can_not_be_read(poptorch: Any, read: Callable[[Tensor], Any]) -> None:
    def forward(m: Function, x: Tensor) -> Tensor:
        read(x.detach())
        return x

    with pytest.raises((NotImplementedError, TypeError, poptorch.Error), match="IPU tensor"):
        infer(poptorch, forward, X)


def test_gotcha_16_printing_reads(poptorch: Any) -> None:
    def forward(m: Function, x: Tensor) -> Tensor:
        assert str(x)
        return x

    refused(poptorch, forward, X, text="Illegal move to CPU")


@pytest.mark.parametrize(
    "select",
    [
        lambda x: x[x > 2],
        lambda x: x.nonzero(),
        lambda x: torch.masked_select(x, x > 2),
        lambda x: x.unique(),
        lambda x: torch.where(x > 2),
    ],
    ids=["mask", "nonzero", "masked_select", "unique", "where"],
)
def test_gotcha_17_shapes_can_not_depend_on_values(poptorch: Any, select: Callable[[Tensor], Any]) -> None:
    with pytest.raises((poptorch.Error, RuntimeError), match="determined by the tensor values"):
        infer(poptorch, lambda m, x: select(x), X)


def test_gotcha_18_plain_tensor_attributes_stay_on_the_host(poptorch: Any) -> None:
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        infer(poptorch, lambda m, x: x + m.plain, X)
    host = torch.LongTensor([1, 0])
    refused(poptorch, lambda m, x: x.index_select(1, host), X, text="Expected an IPU tensor but got tensor(")
    assert torch.equal(infer(poptorch, lambda m, x: x + m.plain.to(x.device), X), X + 1)
    assert torch.equal(infer(poptorch, lambda m, x: x + m.level, X), X)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("aten::erfinv", torch.erfinv),
        ("aten::special_ndtri", torch.special.ndtri),
        ("aten::hypot", lambda x: torch.hypot(x, x)),
        ("aten::lgamma", torch.lgamma),
    ],
)
def test_gotcha_19_operations_without_a_handler(
    poptorch: Any, name: str, call: Callable[[Tensor], Any]
) -> None:
    with pytest.raises(poptorch.Error, match="Unsupported ops found in compiled model") as caught:
        infer(poptorch, lambda m, x: call(x), X)
    assert name in str(caught.value)


def test_gotcha_19_constant_expressions_are_evaluated_whatever_they_use(poptorch: Any) -> None:
    def forward(m: Function, x: Tensor) -> Tensor:
        grid = torch.erfinv(torch.linspace(-0.9, 0.9, 4, device=x.device))
        mask = torch.ones(4, 4, device=x.device).triu_()
        return x + grid + (mask * torch.eye(4, device=x.device)).sum(0)

    expected = X + torch.erfinv(torch.linspace(-0.9, 0.9, 4)) + 1
    assert torch.allclose(infer(poptorch, forward, X), expected)


def test_gotcha_20_var_mean_with_keepdim_squeezes_the_mean(poptorch: Any) -> None:
    def forward(m: Function, x: Tensor) -> Tensor:
        var, mean = torch.var_mean(x, dim=(2, 3), keepdim=True)
        return (x - mean) / (var + 1e-3).sqrt()

    x = torch.randn(2, 3, 5, 4)
    with pytest.raises(poptorch.Error, match="mean"):
        infer(poptorch, forward, x)

    def remedy(m: Function, x: Tensor) -> Tensor:
        mean = x.mean((2, 3), keepdim=True)
        return (x - mean).square().mean((2, 3), keepdim=True)

    assert torch.allclose(infer(poptorch, remedy, x), x.var((2, 3), unbiased=False, keepdim=True), atol=1e-6)


@pytest.mark.parametrize("numbers", [(0, 5, 2), (0.0, 1.0, 0.25), (10, 1, -2), (2.5,)])
def test_gotcha_21_arange_is_what_torch_makes_of_it(poptorch: Any, numbers: Any) -> None:
    found = infer(poptorch, lambda m, x: torch.arange(*numbers) + x[0, 0], X)
    assert torch.allclose(found, torch.arange(*numbers) + X[0, 0])


class _DoublesItsGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * 3

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad * 1000


def test_gotcha_22_backward_of_a_custom_function_is_ignored(poptorch: Any) -> None:
    def forward(m: Function, x: Tensor) -> Tensor:
        return poptorch.identity_loss(_DoublesItsGradient.apply(m.weight * x).sum(), reduction="none")

    _, moved = train(poptorch, forward, torch.ones(1, 4))
    assert moved.tolist() == [3.0] * 4


def test_gotcha_23_autograd_inside_a_model(poptorch: Any) -> None:
    def grad(m: Function, x: Tensor) -> Tensor:
        loss = (m.weight * x).sum()
        return poptorch.identity_loss(loss + torch.autograd.grad(loss, m.weight)[0].sum(), reduction="none")

    with pytest.raises(poptorch.Error):
        train(poptorch, grad, X)

    def hooked(m: Function, x: Tensor) -> Tensor:
        y = m.weight * x
        y.register_hook(lambda g: g * 1000)
        return poptorch.identity_loss(y.sum(), reduction="none")

    _, moved = train(poptorch, hooked, torch.ones(1, 4))
    assert moved.tolist() == [1.0] * 4


def test_gotcha_24_python_runs_once(poptorch: Any) -> None:
    calls = []

    def forward(m: Function, x: Tensor) -> Tensor:
        calls.append(len(calls))
        return poptorch.identity_loss((m.weight * x).sum() + float(len(calls)), reduction="none")

    options = poptorch.Options().deviceIterations(2).outputMode(poptorch.OutputMode.All)
    loss, _ = train(poptorch, forward, torch.zeros(4, 4), options=options)
    assert len(calls) == 1
    assert loss.tolist() == [1.0, 1.0]


# ---- executors


def test_gotcha_30_no_optimizer_state_without_its_streams(poptorch: Any) -> None:
    options = poptorch.Options()
    options._Popart.set("disableOptimizerStateTensorStreams", True)
    model = Function(lambda m, x: poptorch.identity_loss((m.weight * x).sum(), reduction="none"))
    optimizer = poptorch.optim.SGD(model.parameters(), lr=1.0, momentum=0.9)
    executor = poptorch.trainingModel(model, options, optimizer)
    executor(X)
    if getattr(poptorch, "IS_SIMULATOR", False):
        with pytest.raises(poptorch.Error, match="disableOptimizerStateTensorStreams"):
            optimizer.state_dict()
    executor.destroy()


def test_gotcha_31_the_mode_is_frozen_by_wrapping(poptorch: Any) -> None:
    model = nn.Dropout(0.5).eval()
    executor = poptorch.inferenceModel(model, poptorch.Options())
    assert torch.equal(executor(X), X)
    model.train()
    assert torch.equal(executor(X), X)
    executor.destroy()


def test_gotcha_32_two_attached_executors_need_ipus_for_both(poptorch: Any) -> None:
    if not getattr(poptorch, "IS_SIMULATOR", False):
        pytest.skip("how many IPUs are free is the machine's affair")
    model = Function(lambda m, x: poptorch.identity_loss((m.weight * x).sum(), reduction="none"))
    training = poptorch.trainingModel(
        model, poptorch.Options().replicationFactor(64), poptorch.optim.SGD(model.parameters(), lr=1.0)
    )
    inference = poptorch.inferenceModel(model, poptorch.Options())
    training(torch.ones(64, 4))
    with pytest.raises(poptorch.Error, match="Failed to acquire 1 IPU"):
        inference(X)
    training.detachFromDevice()
    assert inference(torch.ones(1, 4)).item() == 0.0
    inference.detachFromDevice()
    training.attachToDevice()
    with pytest.raises(poptorch.Error, match="attached"):
        training.attachToDevice()
    training.destroy()
    inference.destroy()


def test_gotcha_33_host_edits_need_an_upload(poptorch: Any) -> None:
    model = Function(lambda m, x: m.weight * x)
    executor = poptorch.inferenceModel(model, poptorch.Options())
    assert torch.equal(executor(X), X)
    with torch.no_grad():
        model.weight.fill_(2.0)
    assert torch.equal(executor(X), X)
    executor.copyWeightsToDevice()
    assert torch.equal(executor(X), X * 2)
    executor.load_state_dict({**model.state_dict(), "weight": torch.full((4,), 3.0)})
    assert torch.equal(executor(X), X * 3)
    executor.destroy()


def test_gotcha_34_inference_does_not_sync_buffers_back(poptorch: Any) -> None:
    def forward(m: Function, x: Tensor) -> Tensor:
        m.level.add_(1.0)
        return x + m.level

    model = Function(forward)
    executor = poptorch.inferenceModel(model, poptorch.Options())
    executor(X)
    assert torch.equal(executor(X), X + 2)
    assert model.level.tolist() == [0.0] * 4
    executor.copyWeightsToHost()
    assert model.level.tolist() == [2.0] * 4
    executor.destroy()


def test_gotcha_35_state_dict_shares_memory(poptorch: Any) -> None:
    model = Function(lambda m, x: poptorch.identity_loss((m.weight * x).sum(), reduction="none"))
    executor = poptorch.trainingModel(
        model, poptorch.Options(), poptorch.optim.SGD(model.parameters(), lr=1.0)
    )
    executor(torch.ones(1, 4))
    state = model.state_dict()
    kept = state["weight"].clone()
    executor(torch.ones(1, 4))
    assert type(state["weight"]) is torch.Tensor
    assert not torch.equal(model.state_dict()["weight"], kept)
    assert state["weight"].data_ptr() == model.weight.data_ptr()
    executor.destroy()


# ---- buffers and random numbers


def _counts_up(m: Function, x: Tensor) -> Tensor:
    m.level.add_(x.mean(0))
    return x + 0.0


def test_gotcha_36_buffers_updated_in_place_under_replicas(poptorch: Any) -> None:
    with pytest.raises(poptorch.Error, match="broadcasting buffers"):
        infer(poptorch, _counts_up, X, options=poptorch.Options().replicationFactor(2))
    options = poptorch.Options().replicationFactor(2).broadcastBuffers(False)
    model = Function(_counts_up)
    executor = poptorch.inferenceModel(model, options)
    executor(X)
    executor.copyWeightsToHost()
    assert model.level.tolist() == X[0].tolist()
    executor.destroy()


def test_gotcha_37_buffers_can_not_be_reassigned(poptorch: Any) -> None:
    def reassigned(m: Function, x: Tensor) -> Tensor:
        m.level = m.level + x.mean(0)
        return x + 0.0

    refused(poptorch, reassigned, X, text="is reassigned within the model")

    def copied(m: Function, x: Tensor) -> Tensor:
        m.level.copy_(m.level + x.mean(0))
        return m.level + x

    assert torch.equal(infer(poptorch, copied, X), X + X.mean(0))


def test_gotcha_38_integer_buffers_are_constants(poptorch: Any) -> None:
    def forward(m: Function, x: Tensor) -> Tensor:
        m.count.add_(1)
        return x + m.count

    model = Function(forward)
    executor = poptorch.inferenceModel(model, poptorch.Options())
    for _ in range(3):
        assert torch.equal(executor(X), X + 1)
    executor.copyWeightsToHost()
    assert model.count.item() == 0
    executor.destroy()


def test_gotcha_39_the_device_has_generators_of_its_own(poptorch: Any) -> None:
    options = poptorch.Options().replicationFactor(2).deviceIterations(2).randomSeed(7)
    executor = poptorch.inferenceModel(Function(lambda m, x: torch.rand(1, 64) + x * 0), options)
    state_before = torch.get_rng_state()
    first, second = executor(torch.zeros(4, 1)), executor(torch.zeros(4, 1))
    assert torch.equal(torch.get_rng_state(), state_before)
    rows = [tuple(row.tolist()) for row in torch.cat([first, second])]
    assert len(set(rows)) == 8
    executor.destroy()
    again = poptorch.inferenceModel(Function(lambda m, x: torch.rand(1, 64) + x * 0), options)
    assert torch.equal(again(torch.zeros(4, 1)), first)
    state = again.rng_state
    third = again(torch.zeros(4, 1))
    again.rng_state = state
    assert torch.equal(again(torch.zeros(4, 1)), third)
    again.destroy()


def test_gotcha_40_gamma_and_beta_are_sampled_on_the_host(poptorch: Any) -> None:
    def forward(m: Function, x: Tensor) -> Tensor:
        return x * torch.distributions.Beta(m.weight, m.weight).sample()

    def multinomial(m: Function, x: Tensor) -> Tensor:
        return torch.multinomial(x, 2)

    for sampling in (forward, multinomial):
        with pytest.raises(poptorch.Error, match="Unsupported ops"):
            infer(poptorch, sampling, X)


def test_gotcha_41_imported_factories_escape_the_device(poptorch: Any) -> None:
    with pytest.raises(RuntimeError, match="same device"):
        infer(poptorch, lambda m, x: x + imported_arange(4), X)
    found = infer(poptorch, lambda m, x: x + imported_arange(4, device=x.device), X)
    assert torch.equal(found, X + torch.arange(4))


def test_gotcha_42_long_and_double_are_narrowed(poptorch: Any) -> None:
    seen = []

    def forward(m: Function, x: Tensor, y: Tensor) -> Any:
        seen.append((x.dtype, y.dtype))
        return x * 2, y + 1, x.argmax(1), x.double()

    outputs = infer(poptorch, forward, X.double(), LABELS)
    assert seen == [(torch.float32, torch.int32)]
    assert [output.dtype for output in outputs] == [torch.float32, torch.int32, torch.int32, torch.float32]


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv2d(2, 2, 1, bias=False), (1, 2, 3, 3)),
        (nn.Conv1d(2, 2, 1), (1, 2, 3)),
        (nn.GroupNorm(1, 2), (1, 2, 3, 3)),
        (nn.Linear(2, 3), (2,)),
    ],
    ids=["conv2d without bias", "conv1d", "group norm", "linear of a vector"],
)
def test_gotcha_43_weights_follow_a_half_input(poptorch: Any, layer: nn.Module, shape: Any) -> None:
    executor = poptorch.inferenceModel(layer, poptorch.Options())
    assert executor(torch.randn(shape).half()).dtype == torch.float16
    executor.destroy()


@pytest.mark.parametrize(
    ("layer", "shape", "said"),
    [
        (nn.Conv2d(2, 2, 1), (1, 2, 3, 3), "bias type"),
        (nn.Linear(2, 3), (4, 2), "mat1 and mat2 must have the same dtype"),
        (nn.Linear(2, 3), (1, 4, 2), "mat1 and mat2 must have the same dtype"),
        (nn.PReLU(), (4, 2), "Type promoting not supported"),
    ],
    ids=["conv2d with bias", "linear of rows", "linear of batches of rows", "prelu"],
)
def test_gotcha_43_torch_checks_the_types_of_these(
    poptorch: Any, layer: nn.Module, shape: Any, said: str
) -> None:
    """torch 2.0.1 refuses them before PopTorch sees anything; the remedy and the module are named."""
    model = nn.Sequential()
    model.add_module("inner", layer)
    with pytest.raises(RuntimeError, match=f"{said}.*'inner'.*cast"):
        poptorch.inferenceModel(model, poptorch.Options())(torch.randn(shape).half())


def test_gotcha_44_fast_group_norm_groups_other_channels(poptorch: Any) -> None:
    x = torch.randn(2, 4, 3, 3)
    norm = nn.GroupNorm(2, 4)
    options = poptorch.Options()
    options._Popart.set("groupNormStridedChannelGrouping", True)
    executor = poptorch.inferenceModel(norm, options)
    found = executor(x)
    executor.destroy()
    strided = x[:, [0, 2, 1, 3]]
    assert torch.allclose(found, norm(strided)[:, [0, 2, 1, 3]], atol=1e-5)
    assert not torch.allclose(found, norm(x), atol=1e-3)


def test_gotcha_45_group_norm_without_affine_on_images(poptorch: Any) -> None:
    x = torch.randn(2, 4, 3, 3)
    found = infer(poptorch, lambda m, x: F.group_norm(x, 2), x)
    assert torch.allclose(found, F.group_norm(x, 2), atol=1e-6)


def test_gotcha_46_adaptive_pooling_must_divide(poptorch: Any) -> None:
    x = torch.randn(1, 2, 5, 5)
    refused(poptorch, lambda m, x: F.adaptive_avg_pool2d(x, 2), x, text="divisible")
    found = infer(poptorch, lambda m, x: F.adaptive_avg_pool2d(x, 1), x)
    assert torch.allclose(found, x.mean((2, 3), keepdim=True))


# ---- pipelines


class TwoStages(nn.Module):
    """Two linear layers; the second one on the IPU given."""

    def __init__(self, poptorch: Any, second: Optional[int] = 1) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        if second is not None:
            poptorch.BeginBlock(self.second, ipu_id=second)
        self._identity_loss = poptorch.identity_loss

    def forward(self, x: Tensor) -> Tensor:
        return self._identity_loss(self.second(self.first(x)).sum(), reduction="none")


def run_stages(poptorch: Any, model: nn.Module, accumulation: int, options: Any = None) -> None:
    options = options or poptorch.Options()
    options.Training.gradientAccumulation(accumulation)
    executor = poptorch.trainingModel(model, options, poptorch.optim.SGD(model.parameters(), lr=0.1))
    try:
        executor(torch.ones(accumulation * options.replication_factor, 4))
    finally:
        executor.destroy()


def test_gotcha_47_accumulation_must_fill_the_pipeline(poptorch: Any) -> None:
    with pytest.raises(poptorch.Error, match="gradientAccumulation must be greater than or equal"):
        run_stages(poptorch, TwoStages(poptorch), 2)
    run_stages(poptorch, TwoStages(poptorch), 3)


def test_gotcha_47_no_block_is_active_after_a_with(poptorch: Any) -> None:
    def forward(m: Function, x: Tensor) -> Tensor:
        with poptorch.Block("a", ipu_id=0):
            y = x * 2
        return y + 1

    refused(poptorch, forward, X, text="No active Block")


def test_gotcha_48_ipus_must_be_a_power_of_two(poptorch: Any) -> None:
    with pytest.raises(poptorch.Error, match="power of 2"):
        run_stages(poptorch, TwoStages(poptorch, second=2), 3)
    run_stages(poptorch, TwoStages(poptorch, second=2), 3, poptorch.Options().autoRoundNumIPUs(True))


def test_gotcha_49_a_module_begins_one_block(poptorch: Any) -> None:
    layer = poptorch.BeginBlock(nn.Linear(4, 4), ipu_id=0)
    with pytest.raises(poptorch.Error, match="already"):
        poptorch.BeginBlock(layer, ipu_id=1)
    poptorch.removeBlocks(layer)
    poptorch.BeginBlock(layer, ipu_id=1)


def test_gotcha_50_pipelines_refuse_every_n_and_overlapped_io(poptorch: Any) -> None:
    options = poptorch.Options().outputMode(poptorch.OutputMode.EveryN, 3)
    with pytest.raises(poptorch.Error):
        run_stages(poptorch, TwoStages(poptorch), 3, options)

    def overlapped(m: Function, x: Tensor) -> Tensor:
        return poptorch.set_overlap_for_input(x, poptorch.OverlapMode.OverlapAccumulationLoop) * 2

    options = poptorch.Options().outputMode(poptorch.OutputMode.All)
    options.TensorLocations.numIOTiles(32)
    with pytest.raises(poptorch.Error, match="PipelinedExecution"):
        infer(poptorch, overlapped, X, options=options)
    options = options.clone()
    options.setExecutionStrategy(poptorch.ShardedExecution())
    assert torch.equal(infer(poptorch, overlapped, X, options=options), X * 2)


# ---- the list itself


def test_every_trap_has_a_test_or_a_reason() -> None:
    here = Path(__file__)
    tested = set()
    for path in (here, here.with_name("test_gotchas_api.py")):
        tested |= {
            int(number) for number in re.findall(r"def test_gotcha_(\d+)_", path.read_text(encoding="utf-8"))
        }
    assert sorted(tested | set(NOT_TESTABLE)) == list(range(1, 60))
    assert not tested & set(NOT_TESTABLE)
