"""Which process of which job this is, read from the launcher's environment variables.

``detect_world`` is pure: it takes the environment as a mapping and returns a frozen ``World``. It knows the
variables of PopRun (POPDIST_*), horovodrun (HOROVOD_*), torchrun (RANK, WORLD_SIZE, ...), Open MPI's mpirun
(OMPI_COMM_WORLD_*) and SLURM's srun (SLURM_*). Two launchers that name different ranks are refused: a job
whose processes disagree on who they are would hang or, worse, train something else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Dict, Mapping, Optional, Tuple

LAUNCHERS = ("poprun", "horovodrun", "torchrun", "mpirun", "slurm", "none")
DEFAULT_MASTER_PORT = 29500
# `ipu_app launch` tells the split of replicas to instances that PopRun did not start (see launch.py)
INSTANCES_KEY = "IPU_APP_INSTANCES"
TOTAL_REPLICAS_KEY = "IPU_APP_TOTAL_REPLICAS"
IPUS_PER_REPLICA_KEY = "IPU_APP_IPUS_PER_REPLICA"

Environ = Mapping[str, str]


@dataclass(frozen=True)
class World:
    """One process of a job of ``size`` processes (instances).

    ``rank`` and ``local_rank`` count from 0, over the job and over this host. The replica fields are known
    only under PopRun or ``ipu_app launch``, else None; ``replica_offset`` is the job-wide index of this
    instance's first replica. ``master_addr`` and ``master_port`` say where rank 0 listens, for
    torch.distributed; ``has_agent``: torchrun listens there itself.
    """

    launcher: str = "none"
    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    total_replicas: Optional[int] = None
    local_replicas: Optional[int] = None
    replica_offset: Optional[int] = None
    ipus_per_replica: Optional[int] = None
    master_addr: Optional[str] = None
    master_port: int = DEFAULT_MASTER_PORT
    has_agent: bool = False

    def __post_init__(self) -> None:
        if self.launcher not in LAUNCHERS:
            raise ValueError(f"launcher={self.launcher!r}: choose one of {list(LAUNCHERS)}")
        if self.size < 1:
            raise ValueError(f"size={self.size} ({self.launcher}): a job has 1 or more processes")
        if not 0 <= self.rank < self.size:
            raise ValueError(
                f"rank={self.rank} ({self.launcher}): must be from 0 to size - 1 = {self.size - 1}"
            )
        if not 1 <= self.local_size <= self.size:
            raise ValueError(
                f"local_size={self.local_size} ({self.launcher}): must be from 1 to size = {self.size}"
            )
        if not 0 <= self.local_rank < self.local_size:
            raise ValueError(
                f"local_rank={self.local_rank} ({self.launcher}): "
                f"must be from 0 to local_size - 1 = {self.local_size - 1}"
            )

    def check_layout(self, *, replicas: int, ipus_per_replica: int) -> None:
        """Refuse a configuration of other replicas (of the whole job) or pipeline stages than PopRun's.

        PopRun gives the IPUs and PopTorch takes the replicas from it, so batches would silently be others.
        """
        wanted = (replicas, ipus_per_replica)
        if self.launcher == "poprun" and wanted != (self.total_replicas, self.ipus_per_replica):
            flags = f"--replicas {replicas} --ipus-per-replica {ipus_per_replica}"
            raise ValueError(
                f"batch.replicas={replicas} with {ipus_per_replica} pipeline stage(s): PopRun started with "
                f"{self.total_replicas} replicas of {self.ipus_per_replica} IPU(s); `ipu_app launch {flags}` "
                "starts what fits, or change batch.replicas and pipeline.splits"
            )

    @property
    def is_distributed(self) -> bool:
        """Whether more than one process belongs to the job."""
        return self.size > 1


def detect_world(environ: Environ) -> World:
    """Return who this process is; refuse (ValueError) incomplete or contradicting variables.

    PopRun wins over horovodrun, torchrun, mpirun and SLURM, in this order: each of them may be started inside
    the next. Those that are present must agree on rank and size.
    """
    readers = (_poprun, _horovodrun, _torchrun, _mpirun)
    found = [world for world in (read(environ) for read in readers) if world is not None]
    if not found:
        world = _slurm(environ) or World()
        return _with_rendezvous(_with_announced_replicas(world, environ), environ)
    world = found[0]
    for other in found[1:]:
        _check_agree(world, other)
    return _with_rendezvous(_with_announced_replicas(world, environ), environ)


def _poprun(environ: Environ) -> Optional[World]:
    """PopRun: replicas come as POPDIST_*, ranks follow from them (every instance has equally many)."""
    names = ("POPDIST_NUM_TOTAL_REPLICAS", "POPDIST_NUM_LOCAL_REPLICAS", "POPDIST_REPLICA_INDEX_OFFSET")
    values = _all_or_none(environ, names)
    if values is None:
        return None
    total, local, offset = values
    if environ.get("POPDIST_UNIFORM_REPLICAS_PER_INSTANCE", "1") == "0":
        raise ValueError(
            "POPDIST_UNIFORM_REPLICAS_PER_INSTANCE=0: every instance must have equally many replicas"
        )
    if local < 1 or total % local or offset % local:
        raise ValueError(
            f"POPDIST_NUM_LOCAL_REPLICAS={local}: must divide the {total} replicas of the job "
            f"and this instance's offset {offset}"
        )
    size = total // local
    local_rank = _number(
        environ, "POPDIST_LOCAL_INSTANCE_INDEX", _number(environ, "OMPI_COMM_WORLD_LOCAL_RANK", 0)
    )
    return World(
        "poprun",
        rank=offset // local,
        size=size,
        local_rank=local_rank,
        local_size=_number(environ, "OMPI_COMM_WORLD_LOCAL_SIZE", size),
        total_replicas=total,
        local_replicas=local,
        replica_offset=offset,
        ipus_per_replica=_number(environ, "POPDIST_NUM_IPUS_PER_REPLICA", 1),
    )


def _horovodrun(environ: Environ) -> Optional[World]:
    names = ("HOROVOD_RANK", "HOROVOD_SIZE", "HOROVOD_LOCAL_RANK", "HOROVOD_LOCAL_SIZE")
    values = _all_or_none(environ, names)
    if values is None:
        return None
    rank, size, local_rank, local_size = values
    return World("horovodrun", rank, size, local_rank, local_size)


def _torchrun(environ: Environ) -> Optional[World]:
    values = _all_or_none(environ, ("RANK", "WORLD_SIZE"))
    if values is None:
        return None
    # some cluster operators set only these two, for one process per host
    rank, size = values
    local_rank = _number(environ, "LOCAL_RANK", 0)
    local_size = _number(environ, "LOCAL_WORLD_SIZE", local_rank + 1)
    has_agent = environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    return World("torchrun", rank, size, local_rank, local_size, has_agent=has_agent)


def _mpirun(environ: Environ) -> Optional[World]:
    prefix = "OMPI_COMM_WORLD_"
    values = _all_or_none(environ, tuple(prefix + name for name in ("RANK", "SIZE")))
    if values is None:
        return None
    rank, size = values
    local_rank = _number(environ, prefix + "LOCAL_RANK", 0)
    return World("mpirun", rank, size, local_rank, _number(environ, prefix + "LOCAL_SIZE", local_rank + 1))


def _slurm(environ: Environ) -> Optional[World]:
    """SLURM: only inside srun. A batch script has SLURM_PROCID too, but there one process is the whole
    job.
    """
    if "SLURM_STEP_NUM_TASKS" not in environ:
        return None
    names = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID")
    values = _all_or_none(environ, names)
    assert values is not None
    rank, size, local_rank = values
    tasks = _tasks_per_node(environ.get("SLURM_STEP_TASKS_PER_NODE", str(size)))
    node = _number(environ, "SLURM_NODEID", 0)
    if node >= len(tasks):
        raise ValueError(f"SLURM_NODEID={node}: SLURM_STEP_TASKS_PER_NODE names {len(tasks)} hosts only")
    return World(
        "slurm",
        rank,
        size,
        local_rank,
        tasks[node],
        master_addr=environ.get("SLURM_LAUNCH_NODE_IPADDR"),
        # one port per job, so that two jobs on one host do not meet
        master_port=DEFAULT_MASTER_PORT + _number(environ, "SLURM_JOB_ID", 0) % 1000,
    )


def _tasks_per_node(text: str) -> Tuple[int, ...]:
    """Read SLURM's run-length form: ``2(x3),1`` is (2, 2, 2, 1)."""
    counts: Tuple[int, ...] = ()
    for part in text.split(","):
        match = re.match(r"^(\d+)(?:\(x(\d+)\))?$", part.strip())
        if match is None:
            raise ValueError(f"SLURM_STEP_TASKS_PER_NODE={text!r}: must look like 2(x3),1")
        counts += (int(match.group(1)),) * int(match.group(2) or 1)
    return counts


def _check_agree(first: World, second: World) -> None:
    """Refuse two launchers that give this process different places in the job."""
    if (first.rank, first.size) == (second.rank, second.size):
        return
    # mpirun may start one torchrun per host; then mpirun counts hosts
    nested = (first.rank // first.local_size, first.size // first.local_size)
    if (first.launcher, second.launcher) == ("torchrun", "mpirun") and nested == (second.rank, second.size):
        return
    raise ValueError(
        f"{first.launcher} says rank {first.rank} of {first.size}, "
        f"{second.launcher} says rank {second.rank} of {second.size}: "
        "start the job with one launcher, or unset the variables of the other"
    )


def _with_announced_replicas(world: World, environ: Environ) -> World:
    """Add the split of replicas that ``ipu_app launch`` announced; refuse one that does not fit the job."""
    values = _all_or_none(environ, (INSTANCES_KEY, TOTAL_REPLICAS_KEY))
    if values is None or world.total_replicas is not None:
        return world
    instances, total = values
    if instances != world.size:
        raise ValueError(f"{INSTANCES_KEY}={instances}: {world.launcher} started {world.size} instead")
    if total < 1 or total % instances:
        raise ValueError(f"{TOTAL_REPLICAS_KEY}={total}: must be a multiple of the {instances} instances")
    local = total // instances
    return replace(
        world,
        total_replicas=total,
        local_replicas=local,
        replica_offset=world.rank * local,
        ipus_per_replica=_number(environ, IPUS_PER_REPLICA_KEY, 0) or None,
    )


def _with_rendezvous(world: World, environ: Environ) -> World:
    """Add where rank 0 listens: MASTER_ADDR and MASTER_PORT, else this host where the whole job is on it."""
    address = environ.get("MASTER_ADDR") or world.master_addr
    if address is None and world.local_size == world.size:
        address = "127.0.0.1"
    return replace(world, master_addr=address, master_port=_number(environ, "MASTER_PORT", world.master_port))


def _all_or_none(environ: Environ, names: Tuple[str, ...]) -> Optional[Tuple[int, ...]]:
    """Return the named variables as numbers, None if all are missing; refuse a part of them."""
    present: Dict[str, str] = {name: environ[name] for name in names if name in environ}
    if not present:
        return None
    missing = [name for name in names if name not in present]
    if missing:
        name, value = next(iter(present.items()))
        raise ValueError(f"{name}={value} without {missing[0]}: set both, or neither")
    return tuple(_number(environ, name, 0) for name in names)


def _number(environ: Environ, name: str, default: int) -> int:
    text = environ.get(name)
    if text is None:
        return default
    if not text.strip().isdigit():
        raise ValueError(f"{name}={text!r}: must be a whole number, 0 or more")
    return int(text)
