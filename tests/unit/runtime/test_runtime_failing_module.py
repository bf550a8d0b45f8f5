"""An error at compile, of whatever type, names the module that it came from."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ipu_app.runtime.failing_module import failing_module, one_line


class _Breaks(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        try:
            return x.reshape(7)
        except RuntimeError as error:
            raise ValueError("two lines\nof text") from error


def test_the_innermost_module_of_a_traceback_is_found() -> None:
    model = nn.Sequential(nn.Identity(), nn.Sequential(nn.Identity(), _Breaks()))
    with pytest.raises(ValueError) as caught:
        model(torch.ones(2))
    assert failing_module(caught.value, model) == "1.1"
    assert failing_module(caught.value, nn.Identity()) is None
    assert one_line(caught.value) == "ValueError: two lines of text"
    assert one_line(KeyError()) == "KeyError"
