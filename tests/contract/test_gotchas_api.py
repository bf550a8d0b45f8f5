"""Traps of PopTorch that options, optimizers, data loading and errors hold, one test each.

The numbers are those of the project's list of 59 traps: programs that pass on plain PyTorch and fail or go
wrong on an IPU. The rest, which needs a model to run, is in test_gotchas.py.
"""

from __future__ import annotations

import ast
import math
import subprocess
import sys
from pathlib import Path
from typing import Any, List

import pytest
import torch
from contract_datasets import Numbers, Unpicklable

SIMULATOR = Path(__file__).parents[2] / "ipu_app" / "ipumodel"


class Net(torch.nn.Module):
    """One weight, whose gradient is the mean of the inputs."""

    def __init__(self, poptorch: Any) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.identity_loss = poptorch.identity_loss

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.identity_loss(self.weight * x, reduction="mean")


def weight_after(poptorch: Any, make_optimizer: Any, calls: int = 1, x: float = 2.0) -> float:
    model = Net(poptorch)
    training = poptorch.trainingModel(model, None, make_optimizer(model))
    for _ in range(calls):
        training(torch.full((1,), x))
    value = float(model.weight.detach())
    training.destroy()
    return value


def test_gotcha_01_the_simulator_is_python_38() -> None:
    for path in SIMULATOR.rglob("*.py"):
        ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 8))


def test_gotcha_02_nothing_of_the_sdk_is_imported_at_top_level() -> None:
    code = (
        "import sys, ipu_app.ipumodel, ipu_app.runtime.poptorch_api as api\n"
        "api.load_poptorch('sim')\n"
        "print([n for n in ('poptorch', 'popart', 'popdist', 'horovod') if n in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_gotcha_03_options_are_frozen_after_use(poptorch: Any) -> None:
    options = poptorch.Options()
    poptorch.DataLoader(options, Numbers(4))
    for change in (
        lambda: options.deviceIterations(2),
        lambda: options.Training.gradientAccumulation(2),
        lambda: options._Popart.set("enableOutlining", True),
        lambda: options.Precision.enableStochasticRounding(True),
        lambda: setattr(options, "replication_factor", 2),
    ):
        with pytest.raises(AttributeError, match="frozen"):
            change()
    assert options.clone().deviceIterations(2).device_iterations == 2


def test_gotcha_06_the_last_short_batch(poptorch: Any) -> None:
    options = poptorch.Options().deviceIterations(2)
    assert [len(labels) for _, labels in poptorch.DataLoader(options, Numbers(11), batch_size=2)] == [4, 4]
    short = poptorch.DataLoader(options, Numbers(10), batch_size=2, drop_last=False)
    model = poptorch.inferenceModel(torch.nn.Flatten(), options)
    with pytest.raises(poptorch.Error, match="Shape mismatch"):
        for images, _ in short:
            model(images)


def test_gotcha_07_batch_size_is_the_micro_batch(poptorch: Any) -> None:
    options = poptorch.Options().deviceIterations(3).replicationFactor(2)
    options.Training.gradientAccumulation(4)
    loader = poptorch.DataLoader(options, Numbers(240), batch_size=5)
    assert loader.combinedBatchSize == 5 * 3 * 2 * 4
    assert [len(labels) for _, labels in loader] == [120, 120]


def test_gotcha_08_one_call_makes_d_updates_at_one_rate(poptorch: Any) -> None:
    model = Net(poptorch)
    options = poptorch.Options().deviceIterations(3)
    training = poptorch.trainingModel(model, options, poptorch.optim.SGD(model.parameters(), lr=1.0))
    training(torch.ones(3))
    assert float(model.weight.detach()) == -3.0


def test_gotcha_25_other_optimizers_and_step_methods(poptorch: Any) -> None:
    class Custom(torch.optim.Optimizer):
        def __init__(self, params: Any) -> None:
            super().__init__(params, {"lr": 0.1})

    class Doubled(torch.optim.SGD):
        def step(self, closure: Any = None) -> None:
            raise RuntimeError("never called")

    with pytest.raises(AssertionError, match="Unsupported optimizer type"):
        weight_after(poptorch, lambda model: Custom(model.parameters()))
    assert weight_after(poptorch, lambda model: Doubled(model.parameters(), lr=0.5)) == -1.0


def test_gotcha_26_a_rate_in_the_groups_only_is_constant(poptorch: Any) -> None:
    def second_call(**arguments: Any) -> float:
        model = Net(poptorch)
        optimizer = poptorch.optim.AdamW([{"params": [model.weight], "lr": 0.1}], **arguments)
        training = poptorch.trainingModel(model, None, optimizer)
        training(torch.ones(1))
        optimizer.param_groups[0]["lr"] = 0.0
        training.setOptimizer(optimizer)
        training(torch.ones(1))
        return float(model.weight.detach())

    with pytest.raises(poptorch.Error):
        second_call()
    assert second_call(lr=0.1) == pytest.approx(-0.1, rel=1e-4)


def test_gotcha_27_tf_rmsprop_is_not_torch_rmsprop(poptorch: Any) -> None:
    def after(tf: bool) -> float:
        return weight_after(
            poptorch,
            lambda model: poptorch.optim.RMSprop(
                model.parameters(), lr=0.1, alpha=0.9, eps=1e-3, use_tf_variant=tf
            ),
        )

    assert after(False) == pytest.approx(-0.1 * 2 / (math.sqrt(0.1 * 4) + 1e-3), rel=1e-5)
    assert after(True) == pytest.approx(-0.1 * 2 / math.sqrt(0.9 + 0.1 * 4 + 1e-3), rel=1e-5)


def test_gotcha_28_arguments_without_effect(poptorch: Any) -> None:
    assert weight_after(poptorch, lambda m: poptorch.optim.SGD(m.parameters(), lr=0.5, maximize=True)) == -1.0
    with pytest.raises(ValueError, match="amsgrad"):
        weight_after(poptorch, lambda m: poptorch.optim.Adam(m.parameters(), lr=0.5, amsgrad=True))


def test_gotcha_29_state_of_a_cpu_optimizer(poptorch: Any) -> None:
    model = Net(poptorch)
    state = torch.optim.RMSprop(model.parameters(), lr=0.1).state_dict()
    with pytest.raises(RuntimeError, match="Only IPU optimizer states can be loaded onto the IPU."):
        poptorch.optim.RMSprop(model.parameters(), lr=0.1).load_state_dict(state)


def test_gotcha_52_partials_and_dithering_overwrite_each_other(poptorch: Any) -> None:
    options = poptorch.Options()
    options.Precision.setPartialsType(torch.half)
    options.Training.setConvolutionDithering(True)
    assert "partialsType" not in options._Popart.options["convolutionOptions"]
    options._Popart.set("convolutionOptions", {"partialsType": "half", "enableConvolutionDithering": "true"})
    model = poptorch.inferenceModel(torch.nn.Flatten(), options)
    assert model(torch.zeros(1, 2, 2)).shape == (1, 4)


@pytest.mark.parametrize(
    "key, value", [("autoRecomputatoin", 3), ("autoRecomputation", "3"), ("enableOutlining", 1)]
)
def test_gotcha_53_popart_settings_are_checked_at_compile(poptorch: Any, key: str, value: Any) -> None:
    options = poptorch.Options()
    options._Popart.set(key, value)
    model = poptorch.inferenceModel(torch.nn.Flatten(), options)
    with pytest.raises(poptorch.Error, match=f"Unknown .* option {key}"):
        model(torch.zeros(1, 2, 2))


def test_gotcha_54_engine_options_are_replaced_as_a_whole(poptorch: Any) -> None:
    options = poptorch.Options()
    options._Popart.setEngineOptions({"target.deterministicWorkers": "portable"})
    options._Popart.setEngineOptions({"autoReport.all": "true"})
    assert options._Popart.options["engineOptions"] == {"autoReport.all": "true"}


@pytest.mark.processes
def test_gotcha_55_what_an_asynchronous_loader_needs(poptorch: Any) -> None:
    asynchronous = poptorch.DataLoaderMode.Async
    with pytest.raises(Exception, match="(?i)pickle"):
        poptorch.DataLoader(poptorch.Options(), Unpicklable(4), mode=asynchronous)
    loader = poptorch.DataLoader(
        poptorch.Options(), Numbers(4), mode=asynchronous, async_options={"buffer_size": 1}
    )
    iterator = iter(loader)
    _, kept = next(iterator)
    _, following = next(iterator)
    assert kept.tolist() == following.tolist() == [1], "an item that is kept must be cloned"
    loader.terminate()


def test_gotcha_56_distributed_shuffle_needs_a_common_seed(poptorch: Any) -> None:
    def orders(seed: Any) -> List[Any]:
        found = []
        for process in range(2):
            options = poptorch.Options()
            options.Distributed.configureProcessId(process, 2)
            if seed is not None:
                options.randomSeed(seed)
            loader = poptorch.DataLoader(options, Numbers(8), batch_size=4, shuffle=True)
            found.append(next(iter(loader))[1].tolist())
        return found

    with pytest.raises(AssertionError, match="randomSeed"):
        orders(None)
    first, second = orders(3)
    assert sorted(first + second) == list(range(8))


def test_gotcha_57_popdist_options_refuse_replicas_and_devices() -> None:
    from ipu_app.ipumodel import popdist

    options = popdist.poptorch.Options(ipus_per_replica=1)
    for refused in (lambda: options.replicationFactor(2), lambda: options.useIpuId(0)):
        with pytest.raises(RuntimeError, match="Cannot call"):
            refused()


def test_gotcha_59_errors_are_no_runtime_errors(poptorch: Any) -> None:
    assert not issubclass(poptorch.Error, RuntimeError)
    assert issubclass(poptorch.RecoverableError, poptorch.Error)
    assert issubclass(poptorch.UnrecoverableError, poptorch.Error)
    with pytest.raises(poptorch.Error) as caught:
        poptorch.inferenceModel(torch.nn.Flatten(), "options")
    assert caught.value.type == "poptorch_py_error"
    assert str(caught.value).startswith("'poptorch_py_error': ")
    assert caught.value.message in str(caught.value)


def test_errors_of_the_cpp_layers_print_their_place_and_type() -> None:
    from ipu_app.ipumodel._errors import cpp_error

    error = cpp_error("no such thing", "poptorch_cpp_error", "Compiler.cpp:12")
    assert str(error).startswith("In Compiler.cpp:12: 'poptorch_cpp_error': no such thing")
    assert (error.type, error.message, error.location) == (
        "poptorch_cpp_error",
        "no such thing",
        "Compiler.cpp:12",
    )
