"""An average over all updates: equal to the law written out, saved and taken up again."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ipu_app.models.update_average import UpdateAverage, decay_at, decay_over


def test_decays_begin_low() -> None:
    assert decay_at(1, 0.9999) == pytest.approx(2 / 11)
    assert decay_at(89991, 0.9999) == 0.9999
    assert decay_over(3, 5, 0.5) == pytest.approx(4 / 13 * 5 / 14 * 0.4)
    expected = 1.0
    for update in range(1, 2001):
        expected *= decay_at(update, 0.99)
    assert decay_over(1, 2000, 0.99) == pytest.approx(expected, rel=1e-9)
    assert decay_over(10**6, 10**6 + 306, 0.9999) == pytest.approx(0.9999**307)


def stepped(model: nn.Module, average: UpdateAverage, count: int) -> None:
    for _ in range(count):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        average.add()


def test_the_average_is_the_law_written_out_moving_statistics_included() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    average = UpdateAverage(model, 0.6)
    by_hand = {name: value.double().clone() for name, value in model.state_dict().items()}
    for update in range(1, 13):
        model(torch.randn(8, 3))
        stepped(model, average, 1)
        decay = min(0.6, (1 + update) / (10 + update))
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                by_hand[name] = decay * by_hand[name] + (1 - decay) * value.double()
    found = average.weights()
    for name, value in by_hand.items():
        if value.dtype == torch.float64 and name != "1.num_batches_tracked":
            torch.testing.assert_close(found[name].double(), value, rtol=1e-5, atol=1e-6)
    assert int(found["1.num_batches_tracked"]) == 12  # counts are taken as they are


def test_a_saved_average_goes_on_as_if_nothing_had_been() -> None:
    models = [nn.Linear(3, 2) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    averages = [UpdateAverage(model, 0.9) for model in models]
    torch.manual_seed(1)
    stepped(models[0], averages[0], 5)
    models[1].load_state_dict(models[0].state_dict())
    averages[1].load_state_dict(averages[0].state_dict())
    for model, average in zip(models, averages):
        torch.manual_seed(2)
        stepped(model, average, 3)
    assert all(torch.equal(value, averages[1].weights()[key]) for key, value in averages[0].weights().items())


def test_it_begins_anew_with_the_models_weights() -> None:
    model = nn.Linear(3, 2)
    average = UpdateAverage(model, 0.9)
    stepped(model, average, 2)
    average.load_state_dict(None)
    assert average.updates == 0
    assert all(torch.equal(value, average.weights()[key]) for key, value in model.state_dict().items())
