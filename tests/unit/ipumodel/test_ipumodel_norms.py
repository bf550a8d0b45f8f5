"""Norms: what PopTorch fills in, what it refuses, and which running statistics it writes."""

from __future__ import annotations

from typing import Any, Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import ipu_app.ipumodel as poptorch


class Calls(nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(torch.rand(4) + 0.5)
        self.register_buffer("var", torch.ones(4))

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


NORMS = {
    "group": lambda m, x, w, b: F.group_norm(x, 2, w, b, 1e-3),
    "layer": lambda m, x, w, b: F.layer_norm(x, (4,), w, b),
    "batch": lambda m, x, w, b: F.batch_norm(x, None, None, w, b, True),
}


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize("half", [False, True])
def test_a_norm_has_weight_and_bias_or_neither(name: str, half: bool) -> None:
    shape = (3, 4) if name == "layer" else (3, 4, 2, 2)
    x = torch.randn(shape)
    x = x.half() if half else x
    for given, missing in (("weight", "bias"), ("bias", "weight")):

        def call(m: Calls, t: Tensor, given: str = given) -> Tensor:
            pair = {"weight": None, "bias": None, given: m.weight}
            return NORMS[name](m, t, pair["weight"], pair["bias"])

        with pytest.raises(poptorch.Error, match=rf"isNone\(\*weight\) != isNone\(\*bias\).* no {missing}"):
            poptorch.inferenceModel(Calls(call).eval())(x)
    both = Calls(lambda m, t: NORMS[name](m, t, m.weight, m.weight * 0))
    neither = Calls(lambda m, t: NORMS[name](m, t, None, None) * m.weight[0])
    for model in (both, neither):
        assert poptorch.inferenceModel(model.eval())(x).shape == x.shape


def test_running_statistics_are_written_into_buffers_only() -> None:
    x = torch.randn(8, 4, 3, 3) * 3

    def through_a_tensor(m: Calls, t: Tensor) -> Tensor:
        share = torch.zeros_like(m.var)
        F.batch_norm(t, torch.zeros_like(m.var), share, None, None, True, 0.5)
        return share

    assert poptorch.inferenceModel(Calls(through_a_tensor).eval())(x).tolist() == [0.0] * 4

    def through_a_buffer(m: Calls, t: Tensor) -> Tensor:
        return F.batch_norm(t, torch.zeros_like(m.var), m.var, None, None, True, 0.5)

    model = Calls(through_a_buffer).eval()
    executor = poptorch.inferenceModel(model)
    executor(x)
    executor.copyWeightsToHost()
    expected = 0.5 + 0.5 * x.transpose(0, 1).reshape(4, -1).var(1)
    torch.testing.assert_close(model.var, expected)
