"""Updates that are no finite numbers stop a run, naming where they began, or are left out; scales adapt."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ipu_app.models.efficientnet import EfficientNet
from ipu_app.models.spec import make_spec
from ipu_app.models.train_graph import EvalGraph, TrainGraph
from ipu_app.runtime import finite
from ipu_app.runtime.base import RuntimeParts, StepKnobs
from ipu_app.runtime.optimizers import OptimizerSpec
from ipu_app.runtime.torch_runtime import TorchRuntime, TorchSettings
from pipelines.geometry import BatchGeometry

KNOBS = StepKnobs(lr=0.01)


def make_runtime(nonfinite: str = "stop", **optimizer: Any) -> TorchRuntime:
    torch.manual_seed(0)
    model = EfficientNet(make_spec("cifar", norm="gn", group_size=16, num_classes=3, dropout=0.5))
    geometry = BatchGeometry(micro_batch=2, accumulation=1, replicas=1, device_iterations=2)
    spec = OptimizerSpec(**{"kind": "rmsprop_tf", "lr": 0.01, **optimizer})
    graph = TrainGraph(model, num_classes=3, label_smoothing=0.0)
    parts = RuntimeParts(graph, EvalGraph(model, num_classes=3), geometry, geometry, spec)
    return TorchRuntime(parts, settings=TorchSettings(nonfinite=nonfinite))


def batch() -> Any:
    draw = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=draw)
    return images, torch.tensor([0, 1, 2, 0])


def spoil_output(runtime: TorchRuntime, block: str, calls: int) -> None:
    """Let a block's output be infinite for so many forward passes."""
    left = [calls]

    def infinite(module: Any, inputs: Any, output: Any) -> Any:
        left[0] -= 1
        return output * float("inf") if left[0] >= 0 else output

    runtime._train_graph.model.blocks[block].register_forward_hook(infinite)


def test_a_run_stops_before_the_update_and_names_the_first_bad_block() -> None:
    runtime = make_runtime()
    before = runtime.weights()
    spoil_output(runtime, "block3a", 100)
    with pytest.raises(finite.NonFinite, match="output of block block3a"):
        runtime.train_batch(batch(), KNOBS)
    assert all(torch.equal(value, before[name]) for name, value in runtime.weights().items())


def test_bad_weights_are_named() -> None:
    runtime = make_runtime()
    with torch.no_grad():
        next(runtime._train_graph.model.blocks["block2a"].parameters()).fill_(float("nan"))
    with pytest.raises(finite.NonFinite, match="weights of block block2a"):
        runtime.train_batch(batch(), KNOBS)


def test_skipping_leaves_the_update_out_and_counts_it() -> None:
    runtime = make_runtime("skip")
    spoil_output(runtime, "Top", 1)
    result = runtime.train_batch(batch(), KNOBS)
    assert (result.left_out, result.samples) == (1, 2) and result.loss_sum > 0
    assert runtime.train_batch(batch(), KNOBS).left_out == 0


def test_nothing_but_skips_is_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipu_app.runtime.torch_runtime.MOST_IN_A_ROW", 3)
    runtime = make_runtime("skip")
    spoil_output(runtime, "Top", 100)
    runtime.train_batch(batch(), KNOBS)
    with pytest.raises(finite.NonFinite, match="3 updates in a row"):
        runtime.train_batch(batch(), KNOBS)


def test_an_automatic_scale_halves_and_doubles_and_is_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finite, "GROWTH_UPDATES", 2)
    scale = finite.LossScale(auto=True)
    assert scale.now(8.0) == 8.0 and scale.can_shrink() and scale.now(8.0) == 4.0
    scale.grow()
    other = finite.LossScale(auto=True)
    other.load_state_dict(scale.state_dict())
    other.grow()
    assert other.now(8.0) == 8.0
    for _ in range(3):
        assert other.can_shrink()
    assert other.now(8.0) == 1.0 and not other.can_shrink()
    assert finite.LossScale().now(128.0) == 128.0 and not finite.LossScale().can_shrink()


def test_dropout_goes_on_whatever_else_is_drawn() -> None:
    one, two = make_runtime(), make_runtime()
    one.train_batch(batch(), KNOBS)
    two.train_batch(batch(), KNOBS)
    torch.rand(5)
    state = two.state_dict()
    three = make_runtime()
    three.load_state_dict(state)
    torch.rand(3)
    losses = [runtime.train_batch(batch(), KNOBS).loss_sum for runtime in (one, two, three)]
    assert losses[0] == losses[1] == losses[2]


@pytest.mark.parametrize("kind", ["rmsprop_tf", "sgd", "adamw"])
def test_settings_reach_an_optimiser_whose_state_is_taken_up(kind: str) -> None:
    runtime = make_runtime(kind=kind, weight_decay=1e-5)
    runtime.train_batch(batch(), KNOBS)
    changed = {"eps": 0.5, "weight_decay": 0.25, "momentum": 0.1, "rho": 0.2}
    other = make_runtime(kind=kind, **changed)
    other.load_state_dict(runtime.state_dict())
    group = other._optimizer.param_groups[0]
    assert group["weight_decay"] == 0.25
    named = {
        "rmsprop_tf": {"eps": 0.5, "momentum": 0.1, "alpha": 0.2},
        "sgd": {"momentum": 0.1},
        "adamw": {"eps": 0.5},
    }
    assert {key: group[key] for key in named[kind]} == named[kind]
    assert other._optimizer.state_dict()["state"].keys() == runtime._optimizer.state_dict()["state"].keys()
