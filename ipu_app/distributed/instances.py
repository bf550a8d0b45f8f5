"""What a job is made of: instances, replicas, IPUs and hosts, checked before anything is started.

The limits are PopTorch's and the V-IPU controller's: partitions are powers of two, and one process drives at
most 64 IPUs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

from ipu_app.distributed.world import INSTANCES_KEY, IPUS_PER_REPLICA_KEY, TOTAL_REPLICAS_KEY

MAX_IPUS_PER_INSTANCE = 64


@dataclass(frozen=True)
class Job:
    """A job of ``instances`` processes that share ``replicas`` replicas (of the whole job) evenly.

    ``ipus_per_replica`` is the width of the pipeline; None where no IPUs take part (GPUs, CPUs). ``hosts``
    names the machines, none for this one. ``command`` is what every instance runs: a verb of ipu_app with
    its arguments, or a Python file with its own.
    """

    command: Tuple[str, ...]
    instances: int = 1
    replicas: int = 1
    ipus_per_replica: Optional[int] = None
    hosts: Tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.command:
            raise ValueError(
                "command=(): put what every instance runs after --, for example: -- train --config FILE"
            )
        for name in ("instances", "replicas", "ipus_per_replica"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}={value}: must be 1 or more")
        if len(set(self.hosts)) != len(self.hosts) or not all(self.hosts):
            raise ValueError(f"hosts={','.join(self.hosts)}: every host is named once")
        if self.replicas % self.instances:
            nearest = _nearest_multiples(self.replicas, self.instances)
            raise ValueError(
                f"replicas={self.replicas}: must be a multiple of instances={self.instances}; {nearest}"
            )
        if self.hosts and self.instances % len(self.hosts):
            nearest = _nearest_multiples(self.instances, len(self.hosts))
            raise ValueError(
                f"instances={self.instances}: must be a multiple of {len(self.hosts)} hosts; {nearest}"
            )
        if self.ipus_per_replica is not None:
            self._check_ipus(self.ipus_per_replica)

    def _check_ipus(self, ipus_per_replica: int) -> None:
        sizes = {"ipus_per_replica": ipus_per_replica, "replicas": self.replicas, "instances": self.instances}
        for name, value in sizes.items():
            if value & (value - 1):
                below = 1 << (value.bit_length() - 1)
                raise ValueError(
                    f"{name}={value}: must be a power of two, as IPU partitions are; "
                    f"nearest {below} or {below * 2}"
                )
        if self.ipus_per_instance > MAX_IPUS_PER_INSTANCE:
            least = self.num_ipus // MAX_IPUS_PER_INSTANCE
            if least > self.replicas:
                raise ValueError(
                    f"ipus_per_replica={ipus_per_replica}: at most {MAX_IPUS_PER_INSTANCE} in one process"
                )
            raise ValueError(
                f"instances={self.instances}: {self.ipus_per_instance} IPUs in one process, at most "
                f"{MAX_IPUS_PER_INSTANCE}; nearest {least}"
            )

    @property
    def local_replicas(self) -> int:
        """Replicas of one instance."""
        return self.replicas // self.instances

    @property
    def num_ipus(self) -> int:
        """IPUs of the whole job; 0 where none take part."""
        return self.replicas * (self.ipus_per_replica or 0)

    @property
    def ipus_per_instance(self) -> int:
        """IPUs of one instance; 0 where none take part."""
        return self.local_replicas * (self.ipus_per_replica or 0)

    @property
    def num_hosts(self) -> int:
        """Machines of the job."""
        return max(len(self.hosts), 1)

    @property
    def instances_per_host(self) -> int:
        """Instances on each machine."""
        return self.instances // self.num_hosts

    def python_arguments(self) -> List[str]:
        """Arguments of the Python interpreter of every instance: the file, or ``-m ipu_app`` and the verb."""
        if self.command[0].endswith(".py"):
            return list(self.command)
        return ["-m", "ipu_app", *self.command]

    def announcement(self) -> Dict[str, str]:
        """Environment variables that tell the split of replicas to instances that PopRun did not start.

        They have names of their own: with PopDist's, an installed SDK would take a rehearsal for the real
        thing.
        """
        told = {INSTANCES_KEY: str(self.instances), TOTAL_REPLICAS_KEY: str(self.replicas)}
        if self.ipus_per_replica is not None:
            told[IPUS_PER_REPLICA_KEY] = str(self.ipus_per_replica)
        return told


def _nearest_multiples(value: int, factor: int) -> str:
    below = value // factor * factor
    return f"nearest {below} or {below + factor}" if below else f"nearest {factor}"
