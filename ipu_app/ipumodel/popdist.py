"""A stand-in for popdist, the package poprun's processes use to learn their place among each other.

Everything comes from the POPDIST_* variables poprun sets; outside of poprun there is one
instance with one replica. The instance's number is its replica offset divided by its replicas: replicas are
spread evenly.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Callable, Iterable, NoReturn

from .options import Options as _Options
from .settings.options_groups import _DistributedOptions
from .variables import integer as _integer
from .variables import is_set as _is_set


def isPopdistEnvSet() -> bool:
    """Whether poprun started this process."""
    return _is_set("POPDIST_NUM_TOTAL_REPLICAS")


def init() -> None:
    """Join the other instances; nothing to do here."""


def getNumTotalReplicas() -> int:
    """Replicas of all instances together."""
    return _integer("POPDIST_NUM_TOTAL_REPLICAS", 1)


def getNumLocalReplicas() -> int:
    """Replicas of this instance."""
    return _integer("POPDIST_NUM_LOCAL_REPLICAS", 1)


def getNumIpusPerReplica() -> int:
    """IPUs one replica takes, as poprun was told."""
    return _integer("POPDIST_NUM_IPUS_PER_REPLICA", 1)


def checkNumIpusPerReplica(ipus_per_replica: int) -> None:
    """ValueError unless poprun was told the same number of IPUs per replica."""
    told = getNumIpusPerReplica()
    if isPopdistEnvSet() and told != ipus_per_replica:
        raise ValueError(
            f"ipus_per_replica={ipus_per_replica}: poprun was started with --ipus-per-replica {told}"
        )


def getReplicaIndexOffset() -> int:
    """The number of this instance's first replica among all."""
    return _integer("POPDIST_REPLICA_INDEX_OFFSET", 0)


def getNumInstances() -> int:
    """How many processes poprun started."""
    return getNumTotalReplicas() // getNumLocalReplicas()


def getInstanceIndex() -> int:
    """The number of this process among all."""
    return getReplicaIndexOffset() // getNumLocalReplicas()


def getLocalInstanceIndex() -> int:
    """The number of this process among those of its host."""
    return _integer("POPDIST_LOCAL_INSTANCE_INDEX", 0)


def getDeviceId(ipus_per_replica: int = 0) -> int:
    """The device this instance uses: simulated devices are numbered as the instances of a host."""
    return getLocalInstanceIndex()


def execute_on_instances(
    instances: Iterable[int], function: Callable[..., Any], *args: Any, **kwargs: Any
) -> Any:
    """Call a function in the named instances only; None in the others."""
    return function(*args, **kwargs) if getInstanceIndex() in set(instances) else None


def _refuse(name: str) -> NoReturn:
    raise RuntimeError(f"Cannot call `{name}` with popdist.poptorch.Options")


class _PopdistDistributed(_DistributedOptions):
    """The process's place is poprun's business: it can be read, not set (RuntimeError)."""

    def __init__(self) -> None:
        super().__init__()
        self._place_among(getInstanceIndex(), getNumInstances())

    def disable(self) -> NoReturn:
        """Refused."""
        _refuse("Distributed.disable")

    def setEnvVarNames(self, var_num_processes: str, var_process_id: str) -> NoReturn:
        """Refused."""
        _refuse("Distributed.setEnvVarNames")

    def configureProcessId(self, process_id: int, num_processes: int) -> NoReturn:
        """Refused."""
        _refuse("Distributed.configureProcessId")


class Options(_Options):
    """poptorch.Options with replicas, process and device as poprun set them; what sets those is refused."""

    def __init__(self, ipus_per_replica: int = 1) -> None:
        super().__init__()
        checkNumIpusPerReplica(ipus_per_replica)
        self._distributed = _PopdistDistributed()
        self.set(replication_factor=getNumLocalReplicas())
        if isPopdistEnvSet():
            self.createOrSet(ipu_id=getDeviceId(ipus_per_replica))

    def useIpuId(self, ipu_id: int) -> NoReturn:
        """Refused."""
        _refuse("useIpuId")

    def replicationFactor(self, replication_factor: int) -> NoReturn:
        """Refused."""
        _refuse("replicationFactor")


#: ``popdist.poptorch.Options``, as in the vendor's package
poptorch = SimpleNamespace(Options=Options)
