"""The command line of Graphcore's PopRun, which starts the instances of a job on real IPUs.

Flags and their meaning: PopRun user guide (docs.graphcore.ai/projects/poprun-user-guide). For several hosts
the same environment, paths and SDK are needed on each of them, and ssh without a password.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

from ipu_app.distributed.instances import Job

# what remote instances need from this shell, and the settings that Graphcore's multi-host examples pass on
FORWARDED = ("LD_LIBRARY_PATH", "OPAL_PREFIX", "PATH", "CPATH", "PYTHONPATH")
VIPU_TIMEOUT_S = 800
# hosts reach their first step at different times; the default of the host sync is far shorter
HOST_SYNC_TIMEOUT_S = 900


@dataclass(frozen=True)
class PopRunOptions:
    """PopRun's own settings; None leaves PopRun's default. Times in seconds.

    ``environment`` names variables of this shell (NAME) that every instance gets through mpirun's ``-x``.
    ``tcp_interface`` is the network interface, or subnet, that Open MPI uses between hosts.
    """

    executable_cache: Optional[str] = None
    vipu_server_host: Optional[str] = None
    vipu_server_port: Optional[int] = None
    vipu_server_timeout: Optional[int] = None
    vipu_partition: Optional[str] = None
    vipu_allocation: Optional[str] = None
    reset_partition: Optional[bool] = None
    update_partition: Optional[bool] = None
    remove_partition: Optional[bool] = None
    numa_aware: Optional[bool] = None
    num_ilds: Optional[int] = None
    only_output_from_instance: Optional[int] = None
    print_topology: Optional[bool] = None
    tcp_interface: Optional[str] = None
    mpi_global_args: str = ""
    mpi_local_args: str = ""
    environment: Tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("vipu_server_port", "vipu_server_timeout", "num_ilds"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}={value}: must be 1 or more")

    @property
    def names_partition(self) -> bool:
        """Whether the V-IPU controller or its partitions are set by hand."""
        fields = (
            "vipu_server_host",
            "vipu_server_port",
            "vipu_server_timeout",
            "vipu_partition",
            "vipu_allocation",
        )
        return any(getattr(self, name) is not None for name in fields)


def poprun_argv(job: Job, options: PopRunOptions, *, python: str) -> List[str]:
    """Return PopRun's command line for a job on IPUs."""
    instance = options.only_output_from_instance
    if instance is not None and not 0 <= instance < job.instances:
        raise ValueError(f"only_output_from_instance={instance}: must be 0 to {job.instances - 1}")
    argv = [
        "poprun",
        f"--num-instances={job.instances}",
        f"--num-replicas={job.replicas}",
        f"--ipus-per-replica={job.ipus_per_replica or 1}",
    ]
    if job.hosts:
        argv.append(f"--host={','.join(job.hosts)}")
    argv += _flags(options)
    argv.append(f"--mpi-global-args={_global_args(options)}")
    local_args = _local_args(job, options)
    if local_args:
        argv.append(f"--mpi-local-args={local_args}")
    return argv + [python, *job.python_arguments()]


def poprun_environment(job: Job) -> Dict[str, str]:
    """Return variables that several hosts need and that a user's own settings override."""
    if job.num_hosts == 1:
        return {}
    engine = {"opt.enableMultiAccessCopies": "false", "target.hostSyncTimeout": str(HOST_SYNC_TIMEOUT_S)}
    return {
        "POPLAR_ENGINE_OPTIONS": json.dumps(engine),
        "IPUOF_VIPU_API_TIMEOUT": str(VIPU_TIMEOUT_S),
        # for torch.distributed, which sends weights and metrics where Horovod is not installed
        "MASTER_ADDR": job.hosts[0],
    }


def _flags(options: PopRunOptions) -> List[str]:
    values = {
        "numa-aware": options.numa_aware,
        "num-ilds": options.num_ilds,
        "vipu-server-host": options.vipu_server_host,
        "vipu-server-port": options.vipu_server_port,
        "vipu-server-timeout": options.vipu_server_timeout,
        "vipu-partition": options.vipu_partition,
        "vipu-allocation": options.vipu_allocation,
        "reset-partition": options.reset_partition,
        "update-partition": options.update_partition,
        "remove-partition": options.remove_partition,
        "executable-cache-path": options.executable_cache,
        "only-output-from-instance": options.only_output_from_instance,
        "print-topology": options.print_topology,
    }
    return [f"--{flag}={_text(value)}" for flag, value in values.items() if value is not None]


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _global_args(options: PopRunOptions) -> str:
    parts = ["--tag-output", "--allow-run-as-root"]
    if options.tcp_interface is not None:
        for layer in ("btl", "oob"):
            parts += ["--mca", f"{layer}_tcp_if_include", options.tcp_interface]
    if options.mpi_global_args:
        parts.append(options.mpi_global_args)
    return " ".join(parts)


def _local_args(job: Job, options: PopRunOptions) -> str:
    names: List[str] = []
    if job.num_hosts > 1:
        names += [*FORWARDED, *poprun_environment(job)]
    names += [name for name in options.environment if name not in names]
    parts = [f"-x {name}" for name in names]
    if options.mpi_local_args:
        parts.append(options.mpi_local_args)
    return " ".join(parts)
