"""Strategies: which stage and IPU a block gets, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from ipu_app import ipumodel


def test_stages_in_order_and_their_ipus() -> None:
    strategy = ipumodel.PipelinedExecution(
        ipumodel.Stage("a", "b"), "c", ["d", "e"], ipumodel.Stage("f").ipu(0)
    )
    assert [strategy.stage_of(block, None) for block in "abcdef"] == [
        (0, 0),
        (0, 0),
        (1, 1),
        (2, 2),
        (2, 2),
        (3, 0),
    ]


def test_block_ipu_counts_unless_the_stage_has_one() -> None:
    strategy = ipumodel.PipelinedExecution(ipumodel.Stage("a").ipu(3), "b")
    assert strategy.stage_of("a", 1) == (0, 3)
    assert strategy.stage_of("b", 5) == (1, 5)


def test_block_no_stage_names() -> None:
    with pytest.raises(AssertionError, match="Unknown Block 'b'"):
        ipumodel.PipelinedExecution("a").stage_of("b", 0)


def test_same_block_in_two_stages(poptorch: Any) -> None:
    with pytest.raises(AssertionError):
        poptorch.PipelinedExecution("a", poptorch.Stage("b", "a"))


def test_same_as_ipu() -> None:
    strategy = ipumodel.PipelinedExecution()
    assert [strategy.stage_of(str(i), ipu) for i, ipu in enumerate([0, 0, 1, 1, 2])] == [
        (0, 0),
        (0, 0),
        (1, 1),
        (1, 1),
        (2, 2),
    ]
    with pytest.raises(AssertionError, match="SameAsIpu"):
        strategy.stage_of("x", None)


def test_same_as_ipu_can_not_return_to_an_ipu() -> None:
    strategy = ipumodel.PipelinedExecution()
    strategy.stage_of("a", 0)
    strategy.stage_of("b", 1)
    with pytest.raises(ipumodel.Error, match="visited twice"):
        strategy.stage_of("c", 0)
    strategy.onStartTracing()
    assert strategy.stage_of("a", 0) == (0, 0)


def test_auto_increment_returns_to_an_ipu() -> None:
    strategy = ipumodel.PipelinedExecution(ipumodel.AutoStage.AutoIncrement)
    assert [strategy.stage_of(block, ipu) for block, ipu in zip("abca", [0, 1, 0, 0])] == [
        (1, 0),
        (2, 1),
        (3, 0),
        (1, 0),
    ]
    assert strategy.stage_of("d", None) == (4, 4)


def test_flags() -> None:
    assert ipumodel.PipelinedExecution().is_pipelined and not ipumodel.PipelinedExecution().is_sharded
    assert ipumodel.ShardedExecution().is_sharded and not ipumodel.ShardedExecution().is_pipelined
    assert isinstance(ipumodel.ShardedExecution(), ipumodel.PipelinedExecution)
    assert ipumodel.SerialPhasedExecution("a").is_phased


def test_backend_options(poptorch: Any) -> None:
    assert poptorch.PipelinedExecution().backendOptions() == {"execution_mode": 0}
    assert poptorch.ShardedExecution().backendOptions() == {"execution_mode": 1}
    parallel = poptorch.ParallelPhasedExecution(["a"], ["b"]).sendTensorsOffChipAfterFwd().backendOptions()
    assert (
        parallel["execution_mode"] == 2 and parallel["tensors_liveness"] == poptorch.Liveness.OffChipAfterFwd
    )
    assert not parallel["serial_phases_execution"]
    serial = poptorch.SerialPhasedExecution(["a"]).setTensorsLiveness(poptorch.Liveness.OffChipAfterEachPhase)
    assert serial.useSeparateBackwardPhase().backendOptions()["separate_backward_phase"]
    assert serial.backendOptions()["serial_phases_execution"]


def test_phases(poptorch: Any) -> None:
    strategy = poptorch.SerialPhasedExecution(
        [poptorch.Stage("a"), poptorch.Stage("b")],
        poptorch.Phase(poptorch.Stage("c"), poptorch.Stage("d")),
        "e",
    )
    strategy.phase(0).ipus(0, 1)
    assert strategy.stage("b")._ipu == 1
    assert [stage.blocks[0] for stage in strategy.phase(1).stages] == ["c", "d"]
    with pytest.raises(AssertionError):
        strategy.phase(1).ipus(0)
    with pytest.raises(AssertionError):
        strategy.phase(-1)
    with pytest.raises(AssertionError):
        poptorch.SerialPhasedExecution()
    with pytest.raises(AssertionError):
        poptorch.SerialPhasedExecution(["a"], ["a"])


def test_stage_arguments(poptorch: Any) -> None:
    assert list(poptorch.Stage("a", "b").blocks) == ["a", "b"]
    for call in (
        lambda: poptorch.Stage(1),
        lambda: poptorch.Stage("a").ipu("0"),
        lambda: poptorch.Phase("a", 1),
    ):
        with pytest.raises(AssertionError):
            call()


def test_unknown_stage(poptorch: Any) -> None:
    with pytest.raises(AssertionError):
        poptorch.PipelinedExecution("a").stage("b")
