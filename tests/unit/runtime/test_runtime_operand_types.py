"""Which types meet in the graphs that an IPU compiles: every norm and what the recipes choose, in every
precision, for training, validation and logits.

torch 2.0.1's own checks and PopTorch's casts are applied while the graph is traced
(``ipumodel.trace.type_rules``); what then still mixes float16 with float32 in one operation must stand in the
table, with the reason.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, Dict, Iterator, List, Set, Tuple

import pytest
import torch
from torch import nn

from ipu_app import build
from ipu_app.config.load import load_config
from ipu_app.ipumodel.strategies import PipelinedExecution
from ipu_app.ipumodel.trace.tracing import trace
from ipu_app.models.efficientnet import EfficientNet
from ipu_app.models.norms import separate_statistics
from ipu_app.models.spec import NORM_NAMES, make_spec
from ipu_app.models.train_graph import EvalGraph, LogitsGraph, TrainGraph
from ipu_app.runtime import ipu_runtime

RECIPES = sorted((Path(build.__file__).parents[1] / "configs" / "recipes").glob("*.yaml"))
PRECISIONS = ("32.32", "16.32", "16.16")
CLASSES = 10
#: operation -> why float16 and float32 operands may meet in it
MAY_MIX: Dict[str, str] = {
    "_to_copy": "a cast",
    "copy_": "a cast into a buffer",
    "native_batch_norm": "running statistics in float32 beside half values, in evaluation: PopART's "
    "batchnorm takes mean and variance of a type of their own (willow/src/op/batchnorm.cpp)",
}
MAY_MIX["_native_batch_norm_legit_no_training"] = MAY_MIX["native_batch_norm"]
MAY_MIX["_batch_norm_no_update"] = MAY_MIX["native_batch_norm"]


def model_choices() -> List[Tuple[Tuple[str, Any], ...]]:
    """The sections ``model`` of all recipes that differ in more than size, and every norm by itself."""
    chosen = set()
    for path in RECIPES:
        section = load_config(path).model
        chosen.add((("group_size", section.group_size), ("norm", section.norm), ("padding", section.padding)))
    chosen |= {(("group_size", 4), ("norm", norm)) for norm in NORM_NAMES}
    chosen.add((("norm", "gn"), ("norm_grouping", "strided")))
    chosen |= {(("norm", "ln_pn"), ("activation", name)) for name in ("relu", "swish")}
    return sorted(chosen, key=str)


class _Loss(nn.Module):
    """The train graph with its loss marked, as the runtime wraps it."""

    def __init__(self, graph: TrainGraph, poptorch: Any) -> None:
        super().__init__()
        self.graph, self.poptorch = graph, poptorch

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> Any:
        loss, correct = self.graph(images, labels)
        return self.poptorch.identity_loss(loss, reduction="none"), correct


def graphs(choice: Dict[str, Any], precision: str) -> Iterator[Tuple[str, nn.Module, int]]:
    """Yield what is compiled: its name, the module and how many inputs it takes."""
    import ipu_app.ipumodel as poptorch

    spec = make_spec("cifar", num_classes=CLASSES, dropout=0.2, **choice)
    for name, make in (("train", TrainGraph), ("eval", EvalGraph)):
        graph = make(EfficientNet(spec), num_classes=CLASSES)
        ipu_runtime._set_precision(graph, precision)
        separate_statistics(graph.model)
        yield name, _Loss(graph, poptorch) if name == "train" else graph, 2
    logits = LogitsGraph(EfficientNet(spec))
    ipu_runtime._set_precision(logits, precision)
    yield "logits", logits, 1


def mixing_operations(graph: Any) -> Set[str]:
    found = set()
    for node in graph.nodes:
        types = {graph.values[number].dtype for number in node.reads()}
        if {torch.float16, torch.float32} <= types:
            found.add(f"{node.name} in '{node.place.module}'")
    return found


def traced(module: nn.Module, num_inputs: int, *, training: bool) -> Any:
    inputs = (torch.zeros(2, 3, 32, 32, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64))[:num_inputs]
    strategy = PipelinedExecution()
    tracer, _ = trace(module.train(training), inputs, {}, strategy=strategy, training=training)
    return tracer.graph


@pytest.mark.parametrize(
    ("choice", "precision"),
    list(itertools.product(model_choices(), PRECISIONS)),
    ids=lambda value: value if isinstance(value, str) else "-".join(str(item[1]) for item in value),
)
def test_types_that_meet_are_in_the_table(
    choice: Tuple[Tuple[str, Any], ...], precision: str, caplog: pytest.LogCaptureFixture
) -> None:
    for name, module, num_inputs in graphs(dict(choice), precision):
        graph = traced(module, num_inputs, training=name == "train")
        mixing = {entry for entry in mixing_operations(graph) if entry.split(" ")[0] not in MAY_MIX}
        assert not mixing, f"{name} at {precision}"
        has_half = any(value.dtype == torch.float16 for value in graph.values)
        assert has_half == (precision != "32.32"), "the precision has no effect"
    assert "No device set" not in caplog.text


def test_a_half_input_that_meets_a_float_bias_is_seen() -> None:
    """The checks that the table relies on: without the network's casts the graph is refused."""
    graph = EvalGraph(EfficientNet(make_spec("cifar", num_classes=CLASSES)), num_classes=CLASSES)
    ipu_runtime._set_precision(graph, "16.32")
    gates = [module for name, module in graph.model.named_modules() if name.endswith("se.reduce")]
    gates[0].forward = lambda x: nn.functional.conv2d(x, gates[0].weight, gates[0].bias)
    with pytest.raises(RuntimeError, match="bias type .*se.reduce"):
        traced(graph, 2, training=False)


def test_casts_change_nothing_in_float32() -> None:
    torch.manual_seed(0)
    net = EfficientNet(make_spec("cifar", num_classes=CLASSES)).eval()
    x = torch.randn(2, 3, 32, 32)
    found = net(x)
    for name, module in net.named_modules():
        if name.endswith(("se.reduce", "se.expand")):
            module.forward = lambda y, conv=module: nn.Conv2d.forward(conv, y)
    assert torch.equal(net(x), found)
