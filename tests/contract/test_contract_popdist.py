"""popdist: the place among instances comes from poprun's variables; what poprun decides can not be set."""

from __future__ import annotations

from typing import Any, Callable

import pytest

from ipu_app.ipumodel import popdist

VARIABLES = {
    "POPDIST_NUM_TOTAL_REPLICAS": "8",
    "POPDIST_NUM_LOCAL_REPLICAS": "2",
    "POPDIST_NUM_IPUS_PER_REPLICA": "2",
    "POPDIST_REPLICA_INDEX_OFFSET": "6",
    "POPDIST_LOCAL_INSTANCE_INDEX": "1",
}


@pytest.fixture
def poprun(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def no_poprun(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_place_under_poprun(poprun: None) -> None:
    assert popdist.isPopdistEnvSet()
    assert (popdist.getNumTotalReplicas(), popdist.getNumLocalReplicas()) == (8, 2)
    assert (popdist.getNumInstances(), popdist.getInstanceIndex(), popdist.getLocalInstanceIndex()) == (
        4,
        3,
        1,
    )
    options = popdist.poptorch.Options(ipus_per_replica=2)
    assert options.replication_factor == 2
    assert (options.Distributed.numProcesses, options.Distributed.processId) == (4, 3)
    assert options.exists("ipu_id")


def test_place_without_poprun(no_poprun: None) -> None:
    assert not popdist.isPopdistEnvSet()
    options = popdist.poptorch.Options()
    assert (options.Distributed.numProcesses, options.Distributed.processId) == (1, 0)
    assert options.replication_factor == 1 and not options.exists("ipu_id")


@pytest.mark.parametrize(
    "call",
    [
        lambda o: o.replicationFactor(2),
        lambda o: o.useIpuId(0),
        lambda o: o.Distributed.disable(),
        lambda o: o.Distributed.setEnvVarNames("A", "B"),
        lambda o: o.Distributed.configureProcessId(0, 1),
    ],
)
def test_what_poprun_decides_is_refused(no_poprun: None, call: Callable[[Any], Any]) -> None:
    for options in (popdist.poptorch.Options(), popdist.poptorch.Options().clone()):
        with pytest.raises(RuntimeError, match="Cannot call .* with popdist.poptorch.Options"):
            call(options)


def test_other_setters_work(poprun: None) -> None:
    options = popdist.poptorch.Options(2).deviceIterations(3)
    options.Training.gradientAccumulation(4)
    assert options.clone().device_iterations == 3


def test_ipus_per_replica_must_be_poprun_s(poprun: None) -> None:
    with pytest.raises(ValueError, match="ipus_per_replica=4"):
        popdist.poptorch.Options(ipus_per_replica=4)


def test_execute_on_instances(poprun: None) -> None:
    assert popdist.execute_on_instances({3}, lambda a, b=0: a + b, 1, b=2) == 3
    assert popdist.execute_on_instances({0}, lambda: 1) is None
