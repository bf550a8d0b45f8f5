"""Which launcher starts a job, and with which command line: pure functions from a ``Job`` to argv lists.

PopRun where real IPUs are; torchrun, horovodrun or mpirun elsewhere, with the same instances and the same
split of replicas, so that the simulated device, GPUs or CPUs do what the POD would do. Nothing here starts
anything: that is ``process.run_job``.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import Callable, Dict, List, Mapping, Optional, Tuple

from ipu_app.distributed.instances import Job
from ipu_app.distributed.poprun import PopRunOptions, poprun_argv, poprun_environment

LAUNCHERS = ("auto", "poprun", "torchrun", "horovodrun", "mpirun")
RENDEZVOUS_PORT = 29400


@dataclass(frozen=True)
class LaunchCommand:
    """A command line, and the environment it adds: ``defaults`` yield to the user's own variables."""

    launcher: str
    argv: Tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)

    def merged_environment(self, environ: Mapping[str, str]) -> Dict[str, str]:
        """Return the whole environment for the launcher."""
        return {**self.defaults, **environ, **self.environment}

    def shell(self) -> str:
        """Return the command as one line that a shell accepts."""
        added = {**self.defaults, **self.environment}
        assignments = [f"{name}={shlex.quote(value)}" for name, value in added.items()]
        return " ".join([*assignments, *(shlex.quote(word) for word in self.argv)])


def choose_launcher(
    requested: str, job: Job, which: Callable[[str], Optional[str]], *, dry: bool = False
) -> str:
    """Resolve "auto": PopRun where it is installed, else torchrun; horovodrun for several hosts.

    ``which`` tells whether a program is installed (``shutil.which``). torchrun does not reach other hosts by
    itself: ask for it by name, and start the same command on each of them. ``dry``: nothing is started here,
    so several hosts are thought to have what they need, PopRun for IPUs.
    """
    if requested not in LAUNCHERS:
        raise ValueError(f"launcher={requested!r}: choose one of {list(LAUNCHERS)}")
    if requested != "auto":
        return requested
    if which("poprun"):
        return "poprun"
    if job.num_hosts == 1:
        return "torchrun"
    if which("horovodrun"):
        return "horovodrun"
    if dry:
        return "poprun" if job.ipus_per_replica else "horovodrun"
    raise ValueError(
        "launcher='auto': several hosts need poprun or horovodrun on the PATH; "
        "or take torchrun and run the same command on each host"
    )


def launch_command(
    launcher: str, job: Job, *, python: str, options: Optional[PopRunOptions] = None
) -> LaunchCommand:
    """Return how ``launcher`` starts the job; ``python`` is the interpreter of every instance.

    PopRun's options are refused (ValueError) for another launcher, where they would have no effect.
    """
    if launcher == "poprun":
        argv = poprun_argv(job, options or PopRunOptions(), python=python)
        return LaunchCommand(launcher, tuple(argv), defaults=poprun_environment(job))
    if options is not None and options != PopRunOptions():
        changed = [name for name, value in vars(options).items() if value != getattr(PopRunOptions(), name)]
        raise ValueError(
            f"{changed[0]}={getattr(options, changed[0])!r}: only poprun knows this, not {launcher}"
        )
    argv = BUILDERS[launcher](job, python)
    return LaunchCommand(launcher, tuple(argv), environment=job.announcement())


def torchrun_argv(job: Job, python: str) -> List[str]:
    """Return torchrun's command line; with several hosts the same one is run on each of them."""
    # port 0: a free one, so that two jobs on one machine do not meet
    endpoint = f"{job.hosts[0]}:{RENDEZVOUS_PORT}" if job.num_hosts > 1 else "localhost:0"
    argv = [
        python,
        "-m",
        "torch.distributed.run",
        f"--nnodes={job.num_hosts}",
        f"--nproc_per_node={job.instances_per_host}",
        "--rdzv_backend=c10d",
        f"--rdzv_endpoint={endpoint}",
        "--rdzv_id=ipu_app",
        "--max_restarts=0",
    ]
    return argv + job.python_arguments()


def horovodrun_argv(job: Job, python: str) -> List[str]:
    """Return horovodrun's command line."""
    hosts = ",".join(f"{host}:{job.instances_per_host}" for host in job.hosts or ("localhost",))
    return ["horovodrun", "-np", str(job.instances), "-H", hosts, python, *job.python_arguments()]


def mpirun_argv(job: Job, python: str) -> List[str]:
    """Return Open MPI's command line."""
    hosts = ",".join(f"{host}:{job.instances_per_host}" for host in job.hosts or ("localhost",))
    argv = ["mpirun", "-np", str(job.instances), "--host", hosts, "--bind-to", "none", "--tag-output"]
    for name in job.announcement():
        argv += ["-x", name]
    return [*argv, python, *job.python_arguments()]


BUILDERS: Dict[str, Callable[[Job, str], List[str]]] = {
    "torchrun": torchrun_argv,
    "horovodrun": horovodrun_argv,
    "mpirun": mpirun_argv,
}
