"""What the trace records and refuses, beyond the list of traps."""

from __future__ import annotations

from typing import Any, Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils import checkpoint

import ipu_app.ipumodel as poptorch
from ipu_app.ipumodel.trace import tracing

X = torch.linspace(-2.0, 3.0, 24).reshape(4, 6)
IMAGE = torch.linspace(-2.0, 3.0, 2 * 3 * 8 * 8).reshape(2, 3, 8, 8)


class Function(nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, *inputs: Any) -> Any:
        return self.function(self, *inputs)


def run(function: Callable[..., Any], *inputs: Any) -> Any:
    executor = poptorch.inferenceModel(Function(function).eval(), poptorch.Options())
    try:
        return executor(*inputs)
    finally:
        executor.destroy()


def in_place(x: Tensor) -> Tensor:
    y = x.clone()
    y[0] = 1.0
    y[:, 1] = y[:, 2]
    y[1:3, 0:2] += 1
    return y


SAME_AS_EAGER = {
    "where_with_number": lambda x: torch.where(x > 0, x, 0.0),
    "list_index": lambda x: x[:, [0, 2]],
    "strided_slice": lambda x: x[1:3, ::2],
    "index_by_constant": lambda x: x[:, torch.tensor([1, 0, 2], device=x.device)],
    "gather": lambda x: x.gather(1, x.argmax(1, keepdim=True)),
    "scatter": lambda x: torch.zeros(4, 6, device=x.device).scatter(1, x.argmax(1, keepdim=True), 1.0),
    "one_hot": lambda x: F.one_hot(x.argmax(1), 6).float(),
    "take_along_dim": lambda x: torch.take_along_dim(x, x.argmax(1, keepdim=True), 1),
    "in_place": in_place,
    "topk": lambda x: x.topk(2, 1)[0],
    "einsum": lambda x: torch.einsum("ij,kj->ik", x, x),
    "roll_flip": lambda x: x.roll(1, 0).flip(1),
    "new_tensor": lambda x: x * x.new_tensor([2.0]),
    "full_and_arange": lambda x: (
        torch.full((4, 1), 3.0, device=x.device) + x * torch.arange(6, device=x.device)
    ),
    "logsumexp": lambda x: x.logsumexp(1),
    "normalize": lambda x: F.normalize(x, dim=1),
    "smoothed_cross_entropy": lambda x: F.cross_entropy(
        x, x.argmax(1).long(), label_smoothing=0.1, reduction="sum"
    ),
    "embedding": lambda x: F.embedding(x.argmax(1), x.t()),
    "detach_and_data": lambda x: x.detach() + x.data,
    "unbind_stack": lambda x: torch.stack(list(x.unbind(0)), 1),
}
SAME_ON_IMAGES = {
    "pooling": lambda x: F.max_pool2d(F.avg_pool2d(x, 2), 2),
    "interpolate": lambda x: F.interpolate(x, scale_factor=2),
    "reflect": lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"),
    "permuted": lambda x: x.permute(0, 2, 3, 1).reshape(2, -1),
    "instance_norm": lambda x: F.instance_norm(x),
    "grouped_convolution": lambda x: F.conv2d(x, torch.ones(6, 1, 3, 3, device=x.device), groups=3, stride=2),
    "transposed_convolution": lambda x: F.conv_transpose2d(
        x, torch.ones(3, 2, 2, 2, device=x.device), stride=2
    ),
    "pixel_shuffle": lambda x: F.pixel_shuffle(x[:, :1].repeat(1, 4, 1, 1), 2),
}


@pytest.mark.parametrize("name", [*SAME_AS_EAGER, *SAME_ON_IMAGES])
def test_operation_equals_eager(name: str) -> None:
    function, x = (SAME_AS_EAGER[name], X) if name in SAME_AS_EAGER else (SAME_ON_IMAGES[name], IMAGE)
    found, expected = run(lambda m, t: function(t), x), function(x)
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_messages_name_operation_module_and_remedy() -> None:
    model = nn.Sequential(nn.Identity(), nn.Sequential(Function(lambda m, x: torch.erfinv(x))))
    executor = poptorch.inferenceModel(model, poptorch.Options())
    with pytest.raises(poptorch.Error) as caught:
        executor(X)
    text = str(caught.value)
    assert "Unsupported ops found in compiled model: [aten::erfinv]" in text
    assert "'1.0'" in text
    assert "buffer" in text


def test_all_unsupported_operations_are_named_at_once() -> None:
    with pytest.raises(poptorch.Error) as caught:
        run(lambda m, x: torch.erfinv(x) + torch.lgamma(x), X)
    assert "[aten::erfinv, aten::lgamma]" in str(caught.value)


def test_the_users_errors_pass_through() -> None:
    with pytest.raises(ZeroDivisionError):
        run(lambda m, x: x * (1 / 0), X)
    assert not poptorch.isRunningOnIpu()


def test_zero_sized_tensors_are_refused() -> None:
    for inputs, function in ((X, lambda m, x: x[:0]), (X[:0], lambda m, x: x)):
        with pytest.raises(poptorch.Error, match="Zero-sized tensors are unsupported"):
            run(function, inputs)


def test_complex_numbers_are_refused() -> None:
    with pytest.raises(poptorch.Error, match="Unsupported"):
        run(lambda m, x: torch.fft.fft(x), X)
    with pytest.raises(poptorch.Error, match="Unsupported input type"):
        run(lambda m, x: x, X + 0j)


def test_module_hidden_in_a_list_stays_on_the_host() -> None:
    hidden = [nn.Linear(6, 6)]
    with pytest.raises(poptorch.Error, match="Expected an IPU tensor"):
        run(lambda m, x: hidden[0](x), X)


def test_deleted_buffer_is_refused() -> None:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        del m.level
        return x + 0.0

    model = Function(forward)
    model.register_buffer("level", torch.ones(1))
    executor = poptorch.inferenceModel(model, poptorch.Options())
    with pytest.raises(poptorch.Error, match="Buffer level is removed from the model"):
        executor(X)
    assert model.level.item() == 1.0


def test_parameters_are_back_after_a_failed_trace() -> None:
    model = Function(lambda m, x: (m.weight * x).sum().item())
    with pytest.raises(NotImplementedError):
        poptorch.inferenceModel(model, poptorch.Options())(X)
    assert model.weight.device.type == "cpu"
    assert torch.rand(1).device.type == "cpu"
    assert torch.autograd.Function.apply is not None


def weight_after_training(function: Callable[..., Any]) -> float:
    model = Function(function)
    executor = poptorch.trainingModel(
        model, poptorch.Options(), poptorch.optim.SGD(model.parameters(), lr=1.0)
    )
    executor(torch.ones(1))
    executor.destroy()
    return float(model.weight.detach())


def test_no_grad_and_detach_are_honoured() -> None:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        with torch.no_grad():
            frozen = m.weight * 5
        return poptorch.identity_loss((m.weight * x + frozen + m.weight.detach()).sum(), reduction="none")

    assert weight_after_training(forward) == 0.0


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_checkpointing_changes_nothing(use_reentrant: bool) -> None:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        y = checkpoint.checkpoint(lambda t: t * m.weight * 3, x, use_reentrant=use_reentrant)
        return poptorch.identity_loss(y.sum(), reduction="none")

    assert weight_after_training(forward) == -2.0


def test_random_python_values_are_frozen() -> None:
    draws = iter(range(100))
    executor = poptorch.inferenceModel(
        Function(lambda m, x: x + next(draws)), poptorch.Options().deviceIterations(4)
    )
    assert executor(torch.zeros(4)).tolist() == [0.0] * 4
    assert executor(torch.zeros(4)).tolist() == [0.0] * 4
    executor.destroy()


def test_what_the_forward_writes_into_an_input_reaches_the_host() -> None:
    x, kept = torch.ones(3), torch.ones(3)
    assert run(lambda m, t: t.add_(1.0) * 1.0, x).tolist() == [2.0] * 3
    assert x.tolist() == [2.0] * 3
    run(lambda m, t: (t + 0).add_(1.0), kept)
    assert kept.tolist() == [1.0] * 3


def test_silent_traps_are_listed_in_the_report() -> None:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        pooled = F.avg_pool2d(x[None], 2, divisor_override=1)
        return x * pooled.sum()

    report = poptorch.inferenceModel(Function(forward), poptorch.Options()).compile(X)
    assert any("divisor_override" in warning for warning in report.warnings)


def test_host_constants_are_returned_unchanged_with_a_warning() -> None:
    constant = torch.arange(3.0)
    executor = poptorch.inferenceModel(
        Function(lambda m, x: (x, constant)), poptorch.Options().deviceIterations(2)
    )
    with pytest.warns(UserWarning, match="expected to be on the IPU but is on cpu"):
        x, found = executor(torch.zeros(2))
    assert x.shape == (2,)
    assert torch.equal(found, constant)
    executor.destroy()


def test_non_contiguous_inputs_warn(caplog: pytest.LogCaptureFixture) -> None:
    run(lambda m, x: x * 1.0, X.t())
    assert "not contiguous" in caplog.text


def test_factories_without_a_device_warn(caplog: pytest.LogCaptureFixture) -> None:
    run(lambda m, x: x + torch.zeros_like(x), X)
    assert "No device set in torch.zeros_like(): forcing to IPU" in caplog.text
    caplog.clear()
    run(lambda m, x: x + torch.zeros_like(x, device=x.device) + torch.ones(1, device="ipu"), X)
    assert not caplog.text


def test_control_flow_operations_only_in_inference() -> None:
    def loop(m: nn.Module, x: Tensor) -> Tensor:
        return poptorch.for_loop(3, lambda y: [y * 2], [x])[0]

    assert run(loop, torch.ones(1)).item() == 8.0
    with pytest.raises(poptorch.Error, match="for_loop"):
        weight_after_training(lambda m, x: poptorch.identity_loss(loop(m, x), reduction="sum"))

    def choose(m: nn.Module, x: Tensor) -> Tensor:
        return poptorch.cond(x.sum() > 0, lambda y: [y * 2], [x], lambda y: [y * 3], [x])[0]

    assert run(choose, torch.ones(1)).item() == 2.0
    assert run(choose, -torch.ones(1)).item() == -3.0
    with pytest.raises(ValueError, match="list"):
        poptorch.for_loop(3, lambda y: [y], X)


@pytest.mark.slow
def test_a_large_network_is_traced_in_seconds() -> None:
    """A thousand blocks on images of 600 px: shapes only, so neither memory nor time grow with the images."""
    layers: Any = [nn.Conv2d(3, 16, 3, padding=1)]
    for _ in range(500):
        layers += [nn.Conv2d(16, 16, 3, padding=1, groups=4), nn.GroupNorm(4, 16)]
    model = nn.Sequential(*layers)
    shape = torch.zeros(1).expand(8, 3, 600, 600)
    tracer, _ = tracing.trace(model, (shape,), {}, strategy=poptorch.PipelinedExecution(), training=False)
    assert len(tracer.graph.nodes) == 1001
