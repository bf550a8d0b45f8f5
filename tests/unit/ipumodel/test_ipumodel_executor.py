"""The executor around the model: held weights, files, hooks, reports, devices, several processes."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import Any, Iterator, List, Tuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import ipu_app.ipumodel as poptorch
from ipu_app.ipumodel.device import collectives, devices


class Net(nn.Module):
    """Convolution, batch norm, dropout, classifier; (logits, loss) when labels are given."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor, labels: Any = None) -> Any:
        logits = self.head(F.relu(self.norm(self.conv(x))).mean((2, 3)))
        return logits if labels is None else (logits, F.cross_entropy(logits, labels))


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def batch() -> Tuple[Tensor, Tensor]:
    return torch.randn(8, 3, 6, 6), torch.randint(0, 5, (8,))


@pytest.fixture
def trained(batch: Tuple[Tensor, Tensor]) -> Iterator[Tuple[Net, Any]]:
    model = Net()
    executor = poptorch.trainingModel(
        model, poptorch.Options(), poptorch.optim.SGD(model.parameters(), lr=0.5)
    )
    executor(*batch)
    yield model, executor
    executor.destroy()


# ---- held weights


def test_any_touch_reads_new_weights(batch: Tuple[Tensor, Tensor]) -> None:
    model = Net()
    held, buffer = model.head.weight, model.norm.running_mean
    before, before_buffer = held.detach().clone(), buffer.clone()
    executor = poptorch.trainingModel(
        model, poptorch.Options(), poptorch.optim.SGD(model.parameters(), lr=0.5)
    )
    executor(*batch)
    assert not torch.equal(held.detach(), before)
    executor(*batch)
    assert not torch.equal(buffer, before_buffer)
    executor.destroy()


def test_model_keeps_class_names_and_gets_its_classes_back(trained: Tuple[Net, Any]) -> None:
    model, executor = trained
    assert isinstance(model, Net)
    assert isinstance(model.head.weight, nn.Parameter)
    assert list(model.state_dict()) == list(Net().state_dict())
    assert all(type(value) is Tensor for value in model.state_dict().values())
    assert type(copy.deepcopy(model)) is Net
    executor.destroy()
    assert type(model) is Net
    assert type(model.head.weight) is nn.Parameter
    assert type(model.norm.running_mean) is Tensor


def test_copies_and_files_hold_the_new_weights(trained: Tuple[Net, Any], tmp_path: Path) -> None:
    model, _ = trained
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    stored = torch.load(tmp_path / "weights.pt")
    twin = copy.deepcopy(model)
    assert type(twin.head.weight) is nn.Parameter
    for name, value in model.state_dict().items():
        assert torch.equal(stored[name], value)
        assert torch.equal(twin.state_dict()[name], value)


def test_inference_follows_training_and_equals_the_host(trained: Tuple[Net, Any], batch: Any) -> None:
    model, executor = trained
    model.eval()
    inference = poptorch.inferenceModel(model, poptorch.Options())
    for _ in range(2):
        with torch.no_grad():
            assert torch.allclose(inference(batch[0]), model(batch[0]), atol=1e-6)
        executor(*batch)
    inference.destroy()


def test_batch_norm_counts_each_micro_batch_and_never_its_counter(batch: Any) -> None:
    model = Net()
    reference = copy.deepcopy(model)
    options = poptorch.Options().replicationFactor(2).broadcastBuffers(False)
    options.Training.gradientAccumulation(2)
    executor = poptorch.trainingModel(model, options, poptorch.optim.SGD(model.parameters(), lr=0.5))
    executor(*batch)
    for start in (0, 4):  # the first replica's micro-batches
        reference(batch[0][start : start + 2])
    assert torch.allclose(model.norm.running_mean, reference.norm.running_mean)
    assert model.norm.num_batches_tracked.item() == 0
    executor.destroy()


def test_a_model_stays_wrapped_until_its_executor_is_destroyed() -> None:
    model = Net()
    poptorch.trainingModel(model, poptorch.Options())
    with pytest.raises(RuntimeError, match="already been wrapped"):
        poptorch.trainingModel(model, poptorch.Options())
    uncompiled = poptorch.trainingModel(Net(), poptorch.Options())
    uncompiled.destroy()
    with pytest.raises(RuntimeError, match="already been wrapped"):
        poptorch.trainingModel(uncompiled.model, poptorch.Options())


# ---- files, hooks, reports


def test_a_saved_executor_computes_the_same(batch: Any, tmp_path: Path) -> None:
    executor = poptorch.inferenceModel(Net().eval(), poptorch.Options().deviceIterations(2))
    expected = executor(batch[0])
    file = str(tmp_path / "net.poptorch")
    executor.save(file)
    loaded = poptorch.load(file)
    assert loaded.isCompiled()
    assert torch.equal(loaded(batch[0]), expected)
    fresh = poptorch.inferenceModel(executor.model, poptorch.Options().deviceIterations(2))
    fresh.loadExecutable(file)
    assert torch.equal(fresh(batch[0]), expected)
    for each in (executor, loaded, fresh):
        each.destroy()


def test_files_of_others_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"not an executable")
    executor = poptorch.inferenceModel(Net(), poptorch.Options())
    with pytest.raises(poptorch.Error, match="not a PopTorch executable"):
        executor.loadExecutable(str(tmp_path / "bad"))


def test_compile_hooks_run_around_compilation(batch: Any) -> None:
    order: List[str] = []
    handles = [
        poptorch.registerPreCompileHook(lambda: order.append("before")),
        poptorch.registerPostCompileHook(lambda: order.append("after")),
    ]
    executor = poptorch.inferenceModel(Net().eval(), poptorch.Options())
    executor(batch[0])
    executor(batch[0])
    for handle in handles:
        handle.remove()
    assert order == ["before", "after"]
    executor.destroy()


def test_report_lists_operations_with_their_places(batch: Any, caplog: pytest.LogCaptureFixture) -> None:
    model = Net()
    poptorch.BeginBlock(model.head, ipu_id=1)
    options = poptorch.Options()
    options.Training.gradientAccumulation(4)
    executor = poptorch.trainingModel(model, options, poptorch.optim.SGD(model.parameters(), lr=0.5))
    report = executor.compile(*batch)
    assert (report.num_ipus, report.num_stages, report.loss_op) == (2, 2, "nll_loss")
    convolution = next(op for op in report.ops if op.name == "aten::convolution")
    assert (convolution.module, convolution.shapes[0], convolution.ipu) == ("conv", (2, 4, 6, 6), 0)
    product = next(op for op in report.ops if op.name == "aten::addmm")
    assert (product.module, product.stage, product.ipu) == ("head", 1, 1)
    assert report.ops[-1].ipu == 1  # the loss runs where the last block began
    assert product.dtypes == (torch.float32,)
    assert "2 IPU(s)" in str(report)
    assert "aten::convolution -> float32[2, 4, 6, 6]" in report.listing()
    with caplog.at_level(logging.WARNING):
        assert executor.compile(*batch) is report
    executor.destroy()


class Pair:
    """An argument type of a user's own."""

    def __init__(self, left: Tensor, right: Tensor) -> None:
        self.left, self.right = left, right


class PairParser(poptorch.ICustomArgParser):
    def yieldTensors(self, struct: Pair) -> Iterator[Tensor]:
        yield struct.left
        yield struct.right

    def reconstruct(self, original_structure: Pair, tensor_iterator: Iterator[Tensor]) -> Pair:
        return Pair(next(tensor_iterator), next(tensor_iterator))


class AddsPairs(nn.Module):
    def forward(self, pair: Pair) -> Tensor:
        return pair.left + pair.right


def test_custom_argument_types() -> None:
    poptorch.registerCustomArgParser(Pair, PairParser())
    executor = poptorch.inferenceModel(AddsPairs(), poptorch.Options().deviceIterations(2))
    assert executor(Pair(torch.ones(4), torch.ones(4))).tolist() == [2.0] * 4
    with pytest.raises(poptorch.Error, match="Shape mismatch"):
        executor(Pair(torch.ones(4), torch.ones(2)))
    executor.destroy()
    poptorch.registerCustomArgParser(Pair, None)


# ---- devices


def test_ipus_are_acquired_and_released(batch: Any) -> None:
    devices.set_capacity(2)
    try:
        model = Net().eval()
        first = poptorch.inferenceModel(model, poptorch.Options().replicationFactor(2))
        second = poptorch.inferenceModel(model, poptorch.Options())
        first.compile(batch[0])
        with pytest.raises(poptorch.Error, match="Failed to acquire 1 IPU"):
            second(batch[0])
        assert not second.isCompiled()
        first.detachFromDevice()
        second(batch[0])
        with pytest.raises(poptorch.Error, match="Failed to acquire 2 IPU"):
            first(batch[0])
        second.destroy()
        first(batch[0])
        first.destroy()
    finally:
        devices.set_capacity(64)


def test_connection_types(batch: Any) -> None:
    options = poptorch.Options().connectionType(poptorch.ConnectionType.OnDemand)
    executor = poptorch.inferenceModel(Net().eval(), options)
    executor.compile(batch[0])
    assert executor.isAttachedToDevice()
    executor.detachFromDevice()
    executor(batch[0])
    assert executor.isAttachedToDevice()
    executor.destroy()
    offline = poptorch.inferenceModel(Net().eval(), poptorch.Options().useOfflineIpuTarget())
    offline.compile(batch[0])
    with pytest.raises(AssertionError, match="offline device"):
        offline(batch[0])


def test_queries(trained: Tuple[Net, Any]) -> None:
    _, executor = trained
    for query in ("getLatency", "getComputeLatency", "getHostIpuLatency", "getIpuHostLatency"):
        low, high, mean = getattr(executor, query)()
        assert 0 <= low <= mean <= high
    assert "head.weight" in executor.getTensorNames()
    assert len(executor.getPerfCounters()) == 4
    assert executor.compilationTime().total_seconds() > 0
    with pytest.raises(poptorch.Error):
        executor.cycleCount()
    executor.destroy()
    with pytest.raises(AssertionError, match="must be compiled"):
        executor.getTensorNames()


def test_state_that_needs_a_compiled_executor() -> None:
    executor = poptorch.inferenceModel(Net(), poptorch.Options())
    for method in (executor.copyWeightsToHost, executor.copyWeightsToDevice, executor.detachFromDevice):
        with pytest.raises(poptorch.Error, match="has not been compiled"):
            method()


# ---- several processes


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        return poptorch.identity_loss((self.weight * x).sum(), reduction="none")


def two_process_options() -> Any:
    options = poptorch.Options()
    options.Distributed.configureProcessId(0, 2)
    return options


def test_gradients_are_summed_over_processes() -> None:
    model = Line()
    executor = poptorch.trainingModel(
        model, two_process_options(), poptorch.optim.SGD(model.parameters(), lr=1.0)
    )
    collectives.set_all_reduce(lambda flat: flat + 10.0)
    try:
        executor(torch.tensor([[2.0, 4.0]]))
    finally:
        collectives.set_all_reduce(None)
    assert model.weight.tolist() == [-6.0, -7.0]
    executor.destroy()


def test_processes_that_cannot_be_reached_are_refused() -> None:
    model = Line()
    executor = poptorch.trainingModel(
        model, two_process_options(), poptorch.optim.SGD(model.parameters(), lr=1.0)
    )
    with pytest.raises(poptorch.Error, match="init_process_group"):
        executor(torch.tensor([[2.0, 4.0]]))
    executor.destroy()


def test_random_numbers_do_not_depend_on_the_split_over_processes() -> None:
    class Noise(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.rand(1, 8)

    one = poptorch.inferenceModel(Noise(), poptorch.Options().replicationFactor(2).randomSeed(3))
    rows = one(torch.zeros(2, 8))
    for process in range(2):
        options = poptorch.Options().randomSeed(3)
        options.Distributed.configureProcessId(process, 2)
        part = poptorch.inferenceModel(Noise(), options)
        assert torch.equal(part(torch.zeros(1, 8)), rows[process : process + 1])
        part.destroy()
    one.destroy()


def test_synthetic_data_replaces_inputs() -> None:
    options = poptorch.Options()
    options._Popart.set("syntheticDataMode", 1)
    executor = poptorch.inferenceModel(nn.Identity(), options)
    assert executor(torch.ones(2)).tolist() == [0.0, 0.0]
    executor.destroy()


def test_what_the_device_takes_silently_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Ranges(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * torch.arange(0, 5, 2).float().sum()

    executor = poptorch.inferenceModel(Ranges(), poptorch.Options())
    with caplog.at_level(logging.WARNING):
        executor(torch.ones(1))
    assert "arange" in caplog.text
    executor.destroy()
