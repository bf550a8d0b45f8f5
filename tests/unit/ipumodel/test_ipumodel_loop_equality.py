"""The simulator against a plain loop over micro-batches: random batch factors, stages and output modes."""

from __future__ import annotations

import copy
from typing import Any, Dict, List, Tuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import ipu_app.ipumodel as poptorch

FEATURES = 3


class Chain(nn.Module):
    """Three linear layers, a buffer-free norm, a mean-squared loss; returns (loss, per-row output)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(FEATURES, FEATURES) for _ in range(3)])

    def forward(self, x: Tensor, target: Tensor) -> Tuple[Tensor, Tensor]:
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return poptorch.identity_loss(((x - target) ** 2).mean(), reduction="none"), x


def make_model(num_stages: int) -> Chain:
    torch.manual_seed(3)
    model = Chain()
    for stage in range(1, num_stages):
        poptorch.BeginBlock(model.layers[stage], ipu_id=stage)
    return model


def combined(outputs: List[Tensor], mode: Any, factors: Dict[str, int]) -> Tensor:
    """Reference for output modes: `outputs` are in the order [D, A, R]."""
    replicas = factors["replicas"]
    if mode == poptorch.OutputMode.All:
        kept = outputs
    elif mode == poptorch.OutputMode.Final:
        kept = outputs[-replicas:]
    else:
        kept = [torch.stack(outputs[replica::replicas]).sum(0) for replica in range(replicas)]
    if len(kept) == 1:
        return kept[0]
    return torch.stack(kept) if kept[0].dim() == 0 else torch.cat(kept)


def plain_training(
    model: Chain, x: Tensor, y: Tensor, factors: Dict[str, int], mode: Any, is_mean: bool
) -> Any:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    size, per_step = factors["micro"], factors["accumulation"] * factors["replicas"]
    losses, rows = [], []
    for iteration in range(factors["iterations"]):
        optimizer.zero_grad()
        for index in range(per_step):
            start = (iteration * per_step + index) * size
            loss, output = model(x[start : start + size], y[start : start + size])
            (loss / per_step if is_mean else loss).backward()
            losses.append(loss.detach())
            rows.append(output.detach())
        optimizer.step()
    return combined(losses, mode, factors), combined(rows, mode, factors)


@st.composite
def factors_of_a_call(draw: Any) -> Dict[str, int]:
    stages = draw(st.integers(1, 3))
    return {
        "stages": stages,
        "accumulation": draw(st.integers(2 * stages - 1 if stages > 1 else 1, 6)),
        "iterations": draw(st.integers(1, 3)),
        "replicas": draw(st.sampled_from([1, 2, 3, 4])),
        "micro": draw(st.integers(1, 3)),
    }


MODES = st.sampled_from([poptorch.OutputMode.All, poptorch.OutputMode.Final, poptorch.OutputMode.Sum])


@settings(max_examples=40, deadline=None, derandomize=True)
@given(factors=factors_of_a_call(), mode=MODES, is_mean=st.booleans())
def test_training_equals_the_loop(factors: Dict[str, int], mode: Any, is_mean: bool) -> None:
    options = (
        poptorch.Options().deviceIterations(factors["iterations"]).replicationFactor(factors["replicas"])
    )
    options.Training.gradientAccumulation(factors["accumulation"])
    reduction = poptorch.ReductionType.Mean if is_mean else poptorch.ReductionType.Sum
    options.Training.accumulationAndReplicationReductionType(reduction)
    options.autoRoundNumIPUs(True).outputMode(mode)
    model = make_model(factors["stages"])
    reference = copy.deepcopy(model)
    rows = factors["iterations"] * factors["accumulation"] * factors["replicas"] * factors["micro"]
    x, y = torch.randn(rows, FEATURES), torch.randn(rows, FEATURES)
    executor = poptorch.trainingModel(model, options, poptorch.optim.SGD(model.parameters(), lr=0.3))
    outputs = executor(x, y)
    expected = plain_training(reference, x, y, factors, mode, is_mean)
    for mine, theirs in zip(outputs, expected):
        assert mine.shape == theirs.shape
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)
    weights = model.state_dict()
    for name, theirs in reference.state_dict().items():
        torch.testing.assert_close(weights[name], theirs, rtol=1e-5, atol=1e-6)
    executor.destroy()


@settings(max_examples=25, deadline=None, derandomize=True)
@given(factors=factors_of_a_call(), mode=MODES)
def test_inference_equals_the_loop(factors: Dict[str, int], mode: Any) -> None:
    iterations = max(factors["iterations"], factors["stages"])
    options = poptorch.Options().deviceIterations(iterations).replicationFactor(factors["replicas"])
    options.autoRoundNumIPUs(True).outputMode(mode)
    model = make_model(factors["stages"]).eval()
    count = iterations * factors["replicas"]
    x, y = torch.randn(count * factors["micro"], FEATURES), torch.randn(count * factors["micro"], FEATURES)
    executor = poptorch.inferenceModel(model, options)
    loss, rows = executor(x, y)
    with torch.no_grad():
        each = [model(a, b) for a, b in zip(x.split(factors["micro"]), y.split(factors["micro"]))]
    for position, found in enumerate((loss, rows)):
        expected = combined([item[position] for item in each], mode, factors)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    executor.destroy()


@pytest.mark.parametrize("period", [1, 2, 3, 6])
def test_every_n_returns_each_nth_micro_batch(period: int) -> None:
    options = poptorch.Options().deviceIterations(6).outputMode(poptorch.OutputMode.EveryN, period)
    executor = poptorch.inferenceModel(nn.Identity(), options)
    found = executor(torch.arange(6.0))
    assert found.reshape(-1).tolist() == [float(index) for index in range(6) if (index + 1) % period == 0]
    executor.destroy()


@pytest.mark.parametrize(
    ("group_type", "expected"),
    [("Consecutive", [0.0, 0.0, 1.0, 1.0]), ("Orthogonal", [0.0, 1.0, 0.0, 1.0])],
)
def test_replicas_of_an_input_group_see_the_same_rows(group_type: str, expected: List[float]) -> None:
    options = poptorch.Options().replicationFactor(4)
    options.inputReplicaGrouping(2, poptorch.CommGroupType[group_type])
    executor = poptorch.inferenceModel(nn.Identity(), options)
    assert executor(torch.tensor([[0.0], [1.0]])).reshape(-1).tolist() == expected
    executor.destroy()


def test_efficientnet_sized_graph_runs_the_same_kernels() -> None:
    """Convolutions and norms give the same bits as the eager module in channels_last: the replay calls the
    same kernels.
    """
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.GroupNorm(2, 8),
        nn.SiLU(),
        nn.Conv2d(8, 8, 3, groups=4, stride=2),
        nn.BatchNorm2d(8),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    ).eval()
    x = torch.randn(2, 3, 9, 9)
    executor = poptorch.inferenceModel(model, poptorch.Options())
    eager = copy.deepcopy(model).to(memory_format=torch.channels_last)
    with torch.no_grad():
        assert torch.equal(executor(x), eager(x.contiguous(memory_format=torch.channels_last)))
    executor.destroy()


def test_a_write_through_a_view_of_an_image_is_kept() -> None:
    """In channels_last that view would be a copy, and the write would be lost."""

    class WritesThroughAView(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = x * 2
            y.view(y.shape[0], -1).add_(1)
            return y

    executor = poptorch.inferenceModel(WritesThroughAView(), poptorch.Options())
    x = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(executor(x), x * 2 + 1)
    executor.destroy()
