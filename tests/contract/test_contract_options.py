"""Options: setters, checks, freezing, files, JSON and the environment; the same rules as PopTorch 3.4."""

from __future__ import annotations

import json
import logging
import pickle
import sys
from pathlib import Path
from typing import Any, Callable, Dict

import pytest
import torch

SURFACE = json.loads(Path(__file__).with_name("poptorch_surface.json").read_text(encoding="utf-8"))

SETTERS: Dict[str, Callable[[Any, Any], Any]] = {
    "replicationFactor": lambda p, o: o.replicationFactor(4),
    "deviceIterations": lambda p, o: o.deviceIterations(4),
    "outputMode": lambda p, o: o.outputMode(p.OutputMode.All),
    "connectionType": lambda p, o: o.connectionType(p.ConnectionType.OnDemand),
    "syncPattern": lambda p, o: o.syncPattern(p.SyncPattern.SinglePipeline),
    "autoRoundNumIPUs": lambda p, o: o.autoRoundNumIPUs(),
    "broadcastBuffers": lambda p, o: o.broadcastBuffers(False),
    "randomSeed": lambda p, o: o.randomSeed(3),
    "logDir": lambda p, o: o.logDir("logs"),
    "maxRepeatLogs": lambda p, o: o.maxRepeatLogs(None),
    "modelName": lambda p, o: o.modelName("net"),
    "useIpuId": lambda p, o: o.useIpuId(1),
    "useIpuModel": lambda p, o: o.useIpuModel(True),
    "useOfflineIpuTarget": lambda p, o: o.useOfflineIpuTarget(2),
    "setAvailableMemoryProportion": lambda p, o: o.setAvailableMemoryProportion({"IPU0": 0.2}),
    "setExecutionStrategy": lambda p, o: o.setExecutionStrategy(p.ShardedExecution()),
    "inputReplicaGrouping": lambda p, o: o.inputReplicaGrouping(1, p.CommGroupType.Consecutive),
    "enableExecutableCaching": lambda p, o: o.enableExecutableCaching("cache"),
    "enableStableNorm": lambda p, o: o.enableStableNorm(True),
    "enableSyntheticData": lambda p, o: o.enableSyntheticData(True),
    "logCycleCount": lambda p, o: o.logCycleCount(True),
    "Training.gradientAccumulation": lambda p, o: o.Training.gradientAccumulation(4),
    "Training.setAutomaticLossScaling": lambda p, o: o.Training.setAutomaticLossScaling(True),
    "Training.setConvolutionDithering": lambda p, o: o.Training.setConvolutionDithering(True),
    "Precision.setPartialsType": lambda p, o: o.Precision.setPartialsType(torch.half),
    "Precision.enableStochasticRounding": lambda p, o: o.Precision.enableStochasticRounding(True),
    "Distributed.configureProcessId": lambda p, o: o.Distributed.configureProcessId(0, 2),
    "TensorLocations.numIOTiles": lambda p, o: o.TensorLocations.numIOTiles(64),
    "_Popart.set": lambda p, o: o._Popart.set("enableOutlining", False),
}


@pytest.mark.parametrize("name", SETTERS)
def test_setters_chain_and_are_refused_on_frozen_options(poptorch: Any, name: str) -> None:
    options = poptorch.Options()
    owner = getattr(options, name.split(".")[0]) if "." in name else options
    assert SETTERS[name](poptorch, options) is owner
    poptorch.DataLoader(options, [torch.zeros(1)] * 64)
    with pytest.raises(AttributeError, match="Can't modify frozen Options"):
        SETTERS[name](poptorch, options)
    SETTERS[name](poptorch, options.clone())


def test_clone_is_deep(poptorch: Any) -> None:
    options = poptorch.Options()
    twin = options.clone()
    twin.Training.gradientAccumulation(8)
    twin._Popart.set("enableOutlining", False)
    twin.setAvailableMemoryProportion({"IPU0": 0.3})
    assert options.Training.gradient_accumulation == 1
    assert "enableOutlining" not in options._Popart.options
    assert options.available_memory_proportion == {}


def test_attribute_assignment_takes_the_same_check(poptorch: Any) -> None:
    options = poptorch.Options()
    options.replication_factor = 4
    assert options.replication_factor == 4
    with pytest.raises(AssertionError):
        options.replication_factor = "4"
    with pytest.raises(AssertionError, match="Invalid option"):
        options.replicas = 4
    with pytest.raises(AttributeError):
        options.replicas  # noqa: B018 - the read is the test


@pytest.mark.parametrize("value", ["2", 2.0, None])
def test_types_are_those_of_the_defaults(poptorch: Any, value: Any) -> None:
    for setter in ("deviceIterations", "replicationFactor"):
        with pytest.raises(AssertionError):
            getattr(poptorch.Options(), setter)(value)
    with pytest.raises(AssertionError):
        poptorch.Options().Training.gradientAccumulation(value)


def test_a_bool_passes_as_an_int(poptorch: Any) -> None:
    assert poptorch.Options().deviceIterations(True).device_iterations == 1


def test_output_mode(poptorch: Any) -> None:
    options = poptorch.Options()
    assert options.defaultOutputMode()
    options.outputMode(poptorch.OutputMode.EveryN, 3)
    assert (options.output_mode, options.output_return_period) == (1, 3)
    assert not options.defaultOutputMode()
    for period in (None, 0, -1):
        with pytest.raises(AssertionError):
            options.outputMode(poptorch.OutputMode.EveryN, period)
    with pytest.raises(AssertionError):
        options.outputMode("All")
    options.outputMode(poptorch.OutputMode.Sum, 3)
    assert options.output_return_period == 3


@pytest.mark.parametrize(
    "call",
    [
        lambda p, o: o.setExecutionStrategy("pipelined"),
        lambda p, o: o.connectionType(1),
        lambda p, o: o.randomSeed(1.5),
        lambda p, o: o.randomSeed("1"),
        lambda p, o: o.useIpuId("0"),
        lambda p, o: o.setAvailableMemoryProportion({"0": 0.2}),
        lambda p, o: o.TensorLocations.setWeightLocation({"onChip": True}),
        lambda p, o: o.TensorLocations.numIOTiles(33),
        lambda p, o: o.TensorLocations.numIOTiles(30),
        lambda p, o: o.TensorLocations.numIOTiles(194),
        lambda p, o: o.Precision.enableFloatingPointExceptions(1),
        lambda p, o: p.TensorLocationSettings().useOnChipStorage("yes"),
        lambda p, o: p.TensorLocationSettings().minElementsForOffChip(2.0),
    ],
)
def test_argument_checks_are_assertions(poptorch: Any, call: Callable[[Any, Any], Any]) -> None:
    with pytest.raises(AssertionError):
        call(poptorch, poptorch.Options())


@pytest.mark.parametrize(
    "call",
    [
        lambda p, o: o.inputReplicaGrouping(2, p.CommGroupType.All),
        lambda p, o: o.inputReplicaGrouping(8, p.CommGroupType.Consecutive),
        lambda p, o: o.inputReplicaGrouping(3, p.CommGroupType.Consecutive),
        lambda p, o: o.Precision.setPartialsType(torch.int32),
        lambda p, o: o.Training.accumulationAndReplicationReductionType(p.ReductionType.NoReduction),
        lambda p, o: o.Jit.traceModel(True),
    ],
)
def test_values_that_are_refused(poptorch: Any, call: Callable[[Any, Any], Any]) -> None:
    with pytest.raises(ValueError):
        call(poptorch, poptorch.Options().replicationFactor(4))


def test_replica_grouping(poptorch: Any) -> None:
    options = poptorch.Options().replicationFactor(4)
    options.inputReplicaGrouping(2, poptorch.CommGroupType.Consecutive)
    assert options.input_group_size == 2
    options.inputReplicaGrouping(4, poptorch.CommGroupType.NoGrouping)
    assert (options.input_group_size, options.input_cgt) == (1, poptorch.CommGroupType.Consecutive)


def test_deprecated_switches_only_warn(poptorch: Any) -> None:
    options = poptorch.Options()
    options.Precision.halfFloatCasting(poptorch.HalfFloatCastingBehavior.HalfUpcastToFloat)
    options.Precision.runningStatisticsAlwaysFloat(True)
    options.Jit.traceModel(False)
    assert not hasattr(poptorch, "autocast")


def test_partials_and_dithering_overwrite_each_other(poptorch: Any) -> None:
    options = poptorch.Options()
    options.Precision.setPartialsType(torch.half)
    assert options._Popart.options["partialsTypeMatMuls"] == "half"
    assert options._Popart.options["convolutionOptions"] == {"partialsType": "half"}
    options.Training.setConvolutionDithering(True)
    assert "partialsType" not in options._Popart.options["convolutionOptions"]


def test_engine_options_are_replaced(poptorch: Any) -> None:
    options = poptorch.Options()
    options._Popart.setEngineOptions({"target.deterministicWorkers": "portable"})
    options._Popart.setEngineOptions({"opt.internalExchangeOptimisationTarget": "memory"})
    assert list(options._Popart.options["engineOptions"]) == ["opt.internalExchangeOptimisationTarget"]


def test_random_seed_seeds_the_host(poptorch: Any) -> None:
    poptorch.Options().randomSeed(11)
    first = torch.rand(3)
    poptorch.Options().randomSeed(11)
    assert torch.equal(first, torch.rand(3))


def test_executable_cache(poptorch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "cachePath" not in poptorch.Options()._Popart.options
    monkeypatch.setenv("POPTORCH_CACHE_DIR", "somewhere")
    options = poptorch.Options()
    assert options._Popart.options["cachePath"] == "somewhere"
    assert options._Popart.options["enableEngineCaching"] is True
    options.enableExecutableCaching(None)
    assert options._Popart.options["enableEngineCaching"] is False


def test_offline_target_never_connects(poptorch: Any) -> None:
    options = poptorch.Options().useOfflineIpuTarget(21)
    assert options.connection_type == poptorch.ConnectionType.Never
    assert options.ipu_version == 21


def test_tensor_locations(poptorch: Any) -> None:
    options = poptorch.Options()
    settings = poptorch.TensorLocationSettings().useOnChipStorage(False).useReplicatedTensorSharding()
    options.TensorLocations.setOptimizerLocation(settings.minElementsForReplicatedTensorSharding(1024))
    stored = options.TensorLocations.location_optimizer
    assert stored["onChip"] == 0 and stored["useReplicatedTensorSharding"] == 1
    assert stored["minElementsForReplicatedTensorSharding"] == 1024


def test_mpirun_variables_set_the_process(poptorch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "3")
    options = poptorch.Options()
    assert (options.Distributed.numProcesses, options.Distributed.processId) == (4, 3)
    options.Distributed.disable()
    assert (options.Distributed.numProcesses, options.Distributed.processId) == (1, 0)
    monkeypatch.setenv("MY_SIZE", "2")
    monkeypatch.setenv("MY_RANK", "1")
    options.Distributed.setEnvVarNames("MY_SIZE", "MY_RANK")
    assert (options.Distributed.num_distributed_processes, options.Distributed.distributed_process_id) == (
        2,
        1,
    )


def test_options_file(poptorch: Any, tmp_path: Path) -> None:
    path = tmp_path / "options.conf"
    path.write_text(
        "deviceIterations(3)\n"
        "  Training.gradientAccumulation(4)   # four\n"
        "# a comment\n\n"
        "setExecutionStrategy(poptorch.PipelinedExecution(poptorch.AutoStage.AutoIncrement))\n"
        "setAvailableMemoryProportion({'IPU0': 0.5})\n"
        "_Popart.set('enableOutlining', False)\n"
        "outputMode(poptorch.OutputMode.Sum)\n"
    )
    options = poptorch.Options().loadFromFile(str(path))
    assert options.device_iterations == 3 and options.Training.gradient_accumulation == 4
    assert options.available_memory_proportion == {0: 0.5}
    assert options._Popart.options["enableOutlining"] is False
    assert options.output_mode == poptorch.OutputMode.Sum


@pytest.mark.parametrize("line", ["deviceIterations(3", "outputMode(poptorch.OutputMode.All"])
def test_bad_line_of_an_options_file(poptorch: Any, tmp_path: Path, line: str) -> None:
    path = tmp_path / "options.conf"
    path.write_text(f"deviceIterations(2)\n{line}\n")
    with pytest.raises(poptorch.ConfigFileError, match="SyntaxError at line 2 of options.conf"):
        poptorch.Options().loadFromFile(str(path))


def test_default_options_from_the_environment(poptorch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "deviceIterations": 2,
        "connectionType": "ConnectionType.OnDemand",
        "Precision.enableFloatingPointExceptions": True,
        "_Popart.set": ["saveInitializersToFile", "file.onnx"],
    }
    monkeypatch.setenv("POPTORCH_DEFAULT_OPTIONS", json.dumps(values))
    options = poptorch.Options()
    assert options.device_iterations == 2
    assert options.connection_type == poptorch.ConnectionType.OnDemand
    assert options._Popart.options["enableFloatingPointChecks"] is True
    assert options._Popart.options["saveInitializersToFile"] == "file.onnx"


def test_to_dict_holds_all_groups(poptorch: Any) -> None:
    options = poptorch.Options().deviceIterations(2)
    options.Training.gradientAccumulation(3)
    with pytest.raises(AssertionError):  # the output mode is still to be chosen
        options.toDict()
    values = options.outputMode(poptorch.OutputMode.All).toDict()
    assert values["device_iterations"] == 2 and values["gradient_accumulation"] == 3
    assert values["num_distributed_processes"] == 1 and values["execution_mode"] == 0


def test_options_can_be_pickled(poptorch: Any) -> None:
    options = poptorch.Options().deviceIterations(2)
    assert pickle.loads(pickle.dumps(options)).device_iterations == 2


def test_log_levels(poptorch: Any) -> None:
    level = poptorch.logger.level
    poptorch.setLogLevel("ERR")
    assert poptorch.logger.level >= logging.ERROR
    poptorch.logger.setLevel(level)


# ---- the simulator only: the real check is in C++ and needs a compile


SAMPLES = {"bool": True, "int": 1, "float": 0.5, "str": "x"}


def _sample(key: str, kind: str) -> Any:
    from ipu_app.ipumodel.settings.popart import MAP_KEYS

    return SAMPLES.get(kind) if kind != "collection" else ({"a": "b"} if key in MAP_KEYS else ["a"])


@pytest.mark.parametrize("key, kind", sorted(SURFACE["popart_keys"].items()))
def test_backend_takes_each_listed_key_with_its_type_only(key: str, kind: str) -> None:
    from ipu_app import ipumodel
    from ipu_app.ipumodel.settings.popart import check_backend_option

    right = _sample(key, kind)
    check_backend_option(key, right)
    for wrong in (True, 1, 0.5, "x", ["a"], {"a": "b"}):
        fills_a_map = isinstance(wrong, list) and isinstance(right, dict)
        if type(wrong) is not type(right) and not fills_a_map:
            with pytest.raises(ipumodel.Error, match=f"Unknown .* option {key}"):
                check_backend_option(key, wrong)


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("enableOutlinig", True, "Unknown bool option enableOutlinig"),
        ("autoRecomputation", "Standard", "Unknown string option autoRecomputation"),
        ("enableOutlining", 1, "Unknown uint64 option enableOutlining"),
        ("enableOutlining", ["a"], "Unknown set / vector option enableOutlining"),
        ("engineOptions", {"a": None}, "Unknown value type"),
        ("dotChecks", torch.zeros(1), "Unknown value type"),
    ],
)
def test_backend_refusals(key: str, value: Any, message: str) -> None:
    from ipu_app import ipumodel

    options = ipumodel.Options()
    options._Popart.set(key, value)
    with pytest.raises(ipumodel.Error, match=message):
        options._Popart.validate()


def first_call(options: Any) -> None:
    from ipu_app import ipumodel

    ipumodel.inferenceModel(torch.nn.Flatten(), options).compile(torch.zeros(1, 2, 2))


def test_target_versions_and_the_emulated_device(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from ipu_app import ipumodel

    first_call(ipumodel.Options().useOfflineIpuTarget(21))
    with pytest.raises(ipumodel.Error, match="version 3"):
        first_call(ipumodel.Options().useOfflineIpuTarget(3))
    with pytest.raises(ipumodel.Error, match="offline IPU target"):
        first_call(ipumodel.Options().useOfflineIpuTarget().useIpuModel(True))
    monkeypatch.setenv("POPTORCH_IPU_MODEL", "1")
    with pytest.raises(ipumodel.Error, match="offline IPU target"):
        first_call(ipumodel.Options().useOfflineIpuTarget())
    first_call(ipumodel.Options().useOfflineIpuTarget().useIpuModel(False))
    first_call(ipumodel.Options().enableExecutableCaching("cache"))
    assert "does not support executable caching" in caplog.text


def test_there_is_no_ipu_hardware() -> None:
    from ipu_app import ipumodel

    assert not ipumodel.ipuHardwareIsAvailable()
    with pytest.raises(AssertionError, match="none"):
        ipumodel.ipuHardwareVersion()


def test_unknown_log_level_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from ipu_app import ipumodel
    from ipu_app.ipumodel import variables as environment

    monkeypatch.setenv("POPTORCH_LOG_LEVEL", "LOUD")
    with pytest.raises(ipumodel.Error, match="LOUD"):
        environment.log_level()


def test_only_one_module_of_the_simulator_reads_the_environment() -> None:
    folder = Path(sys.modules["ipu_app"].__file__ or "").parent / "ipumodel"
    readers = [path.name for path in folder.rglob("*.py") if "os.environ" in path.read_text(encoding="utf-8")]
    assert readers == ["variables.py"]
