"""Job files for clusters, from the same ``Job`` as a launch: Graphcore's Kubernetes operator and SLURM.

IPUJob (apiVersion graphcore.ai/v1alpha1): fields as in Graphcore's Kubernetes user guide and as EPCC's EIDF
service documents them for multi-IPU training (epcced.github.io/eidf-docs, "Distributed training on multiple
IPUs"): one job instance, one worker Pod that runs PopRun, an IPU partition made by the operator. SLURM:
Graphcore's plug-in adds ``--ipus`` to sbatch.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

from ipu_app.distributed.instances import MAX_IPUS_PER_INSTANCE, Job
from ipu_app.distributed.launch import launch_command
from ipu_app.distributed.poprun import PopRunOptions

API_VERSION = "graphcore.ai/v1alpha1"
KIND = "IPUJob"
TARGETS = ("k8s", "slurm")


@dataclass(frozen=True)
class ClusterOptions:
    """What a cluster wants to know besides the job. Sizes as Kubernetes writes them (200Gi).

    ``image``, ``workdir``, ``memory``, ``shared_memory`` and ``claims`` (persistent volume claims,
    ``name:/where``) are Kubernetes'; ``num_hosts``, ``time_limit`` and ``queue`` are SLURM's ``--nodes``,
    ``--time`` and ``--partition``.
    """

    name: str = "efficientnet"
    image: str = "graphcore/pytorch:3.3.0"
    workdir: str = "/app"
    cpus: int = 32
    memory: str = "200Gi"
    shared_memory: str = "10Gi"
    claims: Tuple[str, ...] = ()
    num_hosts: int = 1
    time_limit: str = "24:00:00"
    queue: Optional[str] = None
    python: str = "python3"

    def __post_init__(self) -> None:
        if not re.match(r"^[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?$", self.name):
            raise ValueError(f"name={self.name!r}: lower-case letters, digits and inner dashes, at most 42")
        for name in ("cpus", "num_hosts"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: must be 1 or more")
        for name in ("memory", "shared_memory"):
            if not re.match(r"^\d+(Mi|Gi|Ti)$", getattr(self, name)):
                raise ValueError(
                    f"{name}={getattr(self, name)!r}: must be a number with Mi, Gi or Ti, like 200Gi"
                )
        if not re.match(r"^(\d+-)?\d{1,2}:\d{2}:\d{2}$", self.time_limit):
            raise ValueError(f"time_limit={self.time_limit!r}: must look like 24:00:00 or 2-00:00:00")
        for claim in self.claims:
            if not re.match(r"^[a-z0-9][a-z0-9.-]*:/\S*$", claim):
                raise ValueError(f"claims={claim!r}: must look like name:/data")


def ipu_job(job: Job, popruns: PopRunOptions, cluster: ClusterOptions) -> Dict[str, Any]:
    """Return the IPUJob as plain data; refuse what the operator decides itself (hosts, partition)."""
    if job.hosts:
        raise ValueError(f"hosts={','.join(job.hosts)}: an IPUJob has one worker Pod; leave hosts out")
    if popruns.names_partition:
        raise ValueError("vipu settings: the operator makes the partition of an IPUJob; leave them out")
    if job.num_ipus > MAX_IPUS_PER_INSTANCE:
        raise ValueError(f"replicas={job.replicas}: {job.num_ipus} IPUs, an IPUJob takes at most 64")
    argv = launch_command("poprun", job, python=cluster.python, options=popruns).argv
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"generateName": f"{cluster.name}-"},
        "spec": {
            "jobInstances": 1,
            "modelReplicasPerWorker": str(job.replicas),
            "ipusPerJobInstance": str(job.num_ipus),
            "workers": {"template": {"spec": _pod(argv, cluster)}},
        },
    }


def _pod(argv: Tuple[str, ...], cluster: ClusterOptions) -> Dict[str, Any]:
    """The worker Pod. Data loaders need shared memory, RDMA needs pinned memory."""
    claims = [claim.partition(":")[::2] for claim in cluster.claims]
    mounts = [{"mountPath": path, "name": name} for name, path in claims]
    volumes: List[Dict[str, Any]] = [
        {"name": name, "persistentVolumeClaim": {"claimName": name}} for name, _ in claims
    ]
    shared = {"name": "devshm", "emptyDir": {"medium": "Memory", "sizeLimit": cluster.shared_memory}}
    return {
        "containers": [
            {
                "name": cluster.name,
                "image": cluster.image,
                "workingDir": cluster.workdir,
                "command": [argv[0]],
                "args": list(argv[1:]),
                "env": [
                    {"name": "OMPI_ALLOW_RUN_AS_ROOT", "value": "1"},
                    {"name": "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "value": "1"},
                ],
                "resources": {"limits": {"cpu": cluster.cpus, "memory": cluster.memory}},
                "securityContext": {"capabilities": {"add": ["IPC_LOCK"]}},
                "volumeMounts": [{"mountPath": "/dev/shm", "name": "devshm"}, *mounts],
            }
        ],
        "restartPolicy": "Never",
        "hostIPC": True,
        "volumes": [shared, *volumes],
    }


def ipu_job_yaml(job: Job, popruns: PopRunOptions, cluster: ClusterOptions) -> str:
    """Return the IPUJob as the YAML file that ``kubectl create -f`` takes."""
    import yaml

    header = (
        f"# {job.instances} instances, {job.replicas} replicas, {job.num_ipus} IPUs: kubectl create -f FILE\n"
    )
    return header + str(yaml.safe_dump(ipu_job(job, popruns, cluster), sort_keys=False, width=100))


def sbatch_script(launcher: str, job: Job, popruns: PopRunOptions, cluster: ClusterOptions) -> str:
    """Return a SLURM batch script for PopRun (IPUs) or torchrun (GPUs, or the simulated device).

    Hosts that the job names become SLURM's node list; otherwise SLURM chooses ``cluster.num_hosts`` of them.
    """
    if launcher not in ("poprun", "torchrun"):
        raise ValueError(f"launcher={launcher!r}: a SLURM job takes poprun or torchrun")
    num_hosts = len(job.hosts) or cluster.num_hosts
    # names that only the running job knows; no shell quotes these words
    names = tuple(f"@HOST{index}@" for index in range(num_hosts)) if num_hosts > 1 else ()
    placed = dataclasses.replace(job, hosts=names)
    command = launch_command(launcher, placed, python=cluster.python, options=popruns)
    variables = {**command.defaults, **command.environment}
    exports = [f"export {name}={_quoted(value, names)}" for name, value in variables.items()]
    num_last = len(job.python_arguments()) + (launcher == "poprun")
    words = _over_lines([_quoted(word, names) for word in command.argv], num_last)
    lines = [
        "#!/usr/bin/env bash",
        *(f"#SBATCH --{option}" for option in _sbatch_options(launcher, job, num_hosts, cluster)),
        "",
        "set -euo pipefail",
        *(_host_lines() if names else []),
        *exports,
        words if launcher == "poprun" else f"srun {words}",
    ]
    return "\n".join(lines) + "\n"


def _sbatch_options(launcher: str, job: Job, num_hosts: int, cluster: ClusterOptions) -> List[str]:
    options = [
        f"job-name={cluster.name}",
        f"nodes={num_hosts}",
        # the launcher starts the instances of its host, SLURM only the launcher
        "ntasks-per-node=1",
        f"cpus-per-task={cluster.cpus}",
        f"time={cluster.time_limit}",
        "output=%x-%j.log",
    ]
    if job.hosts:
        options.append(f"nodelist={','.join(job.hosts)}")
    if launcher == "poprun":
        options.append(f"ipus={job.num_ipus}")
    elif _wants_gpus(job):
        options.append(f"gpus-per-node={-(-job.instances // num_hosts)}")
    if cluster.queue is not None:
        options.append(f"partition={cluster.queue}")
    return options


def _wants_gpus(job: Job) -> bool:
    """Whether the program runs on CUDA, as its words say: a GPU for each instance."""
    words = [word.strip("'\"") for word in job.python_arguments()]
    pairs = list(zip(words, words[1:]))
    return (
        ("--device", "cuda") in pairs
        or "--device=cuda" in words
        or any(word.endswith("device.kind=cuda") for word in words)
    )


def _host_lines() -> List[str]:
    comment = "# the hosts that SLURM gave, as the launcher wants them"
    return [comment, 'hosts="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | paste -sd, -)"']


def _over_lines(words: List[str], num_last: int) -> str:
    """Put every launcher flag, and the ``num_last`` words of the program, on a line of their own."""
    lines: List[str] = []
    for word in words[:-num_last]:
        if word.lstrip("'").startswith("--") or not lines:
            lines.append(word)
        else:
            lines[-1] += f" {word}"
    return " \\\n  ".join([*lines, " ".join(words[-num_last:])])


def _quoted(word: str, names: Tuple[str, ...]) -> str:
    """Quote a word for the shell, with the hosts' variables in place of their stand-ins."""
    quoted = shlex.quote(word)
    if names:
        quoted = quoted.replace(",".join(names), '"$hosts"').replace(names[0], '"${hosts%%,*}"')
    return quoted
