"""What each option of the ``ipu`` section reaches in PopTorch, and that a network trains with it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ipu_app import build
from ipu_app.config.load import load_config
from ipu_app.distributed.comm import SingleComm
from ipu_app.runtime.base import StepKnobs
from ipu_app.runtime.ipu_graph import compile_when_free
from ipu_app.runtime.ipu_options import inference_options, training_options
from ipu_app.runtime.poptorch_api import load_poptorch
from ipu_app.settling.device_settings import ipu_settings
from ipu_app.settling.phase_batches import make_geometries
from ipu_app.settling.phase_estimates import configured_spec, phase_plan

BASE = [
    "model.name=cifar",
    "device.kind=ipu",
    "device.poptorch=sim",
    "phases.train.resolution=32",
    "phases.train.batch.micro=2",
    "phases.train.batch.accumulation=3",
    "phases.train.pipeline.precision=32.32",
    "phases.train.optimizer.kind=sgd",
]
PIPELINE = ["phases.train.pipeline.splits=[block3a]"]
REPLICAS = ["phases.train.batch.replicas=2"]
STRIDED = ["model.norm=gn", "model.norm_grouping=strided"]


def made(*settings: str) -> Any:
    """Training and inference options of a configuration."""
    config = load_config(None, [*BASE, *settings])
    phase = config.phases["train"]
    parts = load_poptorch("sim"), phase_plan(phase)
    geometries = make_geometries(phase, "ipu", instances=1)
    chosen = ipu_settings(config, phase)
    return (
        training_options(*parts, geometries[0], chosen),
        inference_options(*parts, geometries[1], chosen),
    )


def popart(options: Any) -> Any:
    return options._Popart.options


@pytest.mark.parametrize(
    ("settings", "key", "value"),
    [
        (["ipu.prefetch_depth=3"], "defaultPrefetchBufferingDepth", 3),
        (["ipu.fast_group_norm=true", *STRIDED], "groupNormStridedChannelGrouping", True),
        (["ipu.recompute=off"], "autoRecomputation", 0),
        (["ipu.recompute=off", *PIPELINE], "autoRecomputation", 0),
        (["ipu.recompute=standard"], "autoRecomputation", 1),
        (["ipu.checkpoints=[block1a]"], "autoRecomputation", 4),
        (["ipu.checkpoints=[block1a]"], "explicitRecomputation", True),
        (["ipu.merge_collectives=true"], "replicatedCollectivesSettings.mergeAllReduceCollectives", True),
        (["ipu.popart=[enableOutlining=false]"], "enableOutlining", False),
    ],
)
def test_what_reaches_popart(settings: Any, key: str, value: Any) -> None:
    training, _ = made(*settings)
    assert popart(training)[key] == value
    assert popart(made()[0]).get(key) != value or key == "autoRecomputation"


def test_a_pipeline_with_checkpoints_keeps_poptorchs_own_recomputation() -> None:
    assert "autoRecomputation" not in popart(made("ipu.checkpoints=[block1a]", *PIPELINE)[0])


def test_engine_options_join_those_that_are_always_set() -> None:
    for options in made("ipu.exchange_target=balanced", "ipu.engine=[debug.x=1]"):
        assert popart(options)["engineOptions"] == {
            "target.deterministicWorkers": "portable",
            "opt.internalExchangeOptimisationTarget": "balanced",
            "debug.x": "1",
        }


def test_overlapped_io_has_tiles_of_its_own_and_no_pipeline() -> None:
    training, _ = made("ipu.io_tiles=64")
    assert training.TensorLocations.numIOTiles == 64 or training.TensorLocations.exists("numIOTiles")
    assert type(training._execution_strategy).__name__ == "ShardedExecution"


def test_switches_of_poptorch_are_set() -> None:
    plain, _ = made()
    chosen, _ = made(
        "ipu.auto_loss_scale=true",
        "ipu.stable_norm=true",
        "ipu.float_exceptions=true",
        "ipu.optimizer_sharding=true",
        "ipu.offline_version=21",
    )
    differing = {key for key, value in chosen.toDict().items() if plain.toDict().get(key) != value}
    for words in ("ipu_version", "connection_type"):
        assert words in differing
    assert popart(chosen)["enableStableNorm"] is True
    assert popart(chosen)["automaticLossScalingSettings.enabled"] is True


def train(*settings: str) -> Any:
    config = load_config(None, [*BASE, *settings])
    phase = config.phases["train"]
    spec = configured_spec(config.model, 10)
    geometries = make_geometries(phase, "ipu", instances=1)
    parts = build.make_parts(config, phase, spec, geometries)
    runtime = build.make_runtime("ipu", config, phase, parts, SingleComm())
    torch.manual_seed(0)
    count = runtime.geometry.samples_per_batch
    images = torch.randint(0, 255, (count, 3, 32, 32), dtype=torch.uint8)
    try:
        result = runtime.train_batch((images, torch.arange(count) % 10), StepKnobs(lr=0.1, loss_scale=1.0))
        rows = runtime.eval_geometry.samples_per_batch
        tested = runtime.eval_batch((images[:1].repeat(rows, 1, 1, 1), torch.zeros(rows, dtype=torch.long)))
        return result.loss_sum, runtime.weights(), tested
    finally:
        runtime.close()


@pytest.mark.parametrize(
    "settings",
    [
        ["ipu.io_tiles=32", "ipu.prefetch_depth=3", "ipu.checkpoints=[block1a]"],
        ["ipu.recompute=standard", "ipu.pad_input=true"],
        ["ipu.checkpoints=[block2a]", "ipu.separate_validation=true", *PIPELINE],
        ["ipu.optimizer_sharding=true", "ipu.merge_collectives=true", *REPLICAS],
        ["ipu.exchange_target=memory", "ipu.stable_norm=true", "ipu.popart=[enableOutlining=false]"],
    ],
    ids=lambda settings: settings[0],
)
def test_options_that_save_time_or_memory_change_no_result(settings: Any) -> None:
    same = [word for word in settings if word.startswith("phases.")]
    plain, chosen = train(*same), train(*settings)
    assert chosen[0] == pytest.approx(plain[0], rel=1e-4)
    for name, weight in plain[1].items():
        assert torch.allclose(weight, chosen[1][name], atol=1e-4), name


def test_the_devices_fast_group_norm_is_the_models_strided_one() -> None:
    plain, fast = train(*STRIDED), train(*STRIDED, "ipu.fast_group_norm=true")
    assert fast[0] == pytest.approx(plain[0], rel=1e-4)


def test_unknown_checkpoints_are_refused_with_those_there_are() -> None:
    with pytest.raises(
        ValueError, match="ipu.checkpoints names 'block9z': no such sub-block; blocks are block0"
    ):
        train("ipu.checkpoints=[block9z]")


class _Busy(Exception):
    pass


class _Executor:
    """Fails to attach so often, as a busy machine does."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    def compile(self, *batch: Any) -> str:
        self.failures -= 1
        if self.failures >= 0:
            raise _Busy("Failed to acquire 4 IPU(s)")
        return "compiled"


class _PopTorch:
    Error = _Busy


def test_ipus_in_use_are_waited_for_as_long_as_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipu_app.runtime.ipu_graph._POLL_S", 0.001)
    assert compile_when_free(_PopTorch, _Executor(3), (), 60.0) == "compiled"
    with pytest.raises(_Busy):
        compile_when_free(_PopTorch, _Executor(1), (), 0.0)
