"""``ipu_app launch``: start the instances of a job, on a POD or rehearsed here; or write its job file."""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import sys
from pathlib import Path
from typing import Any, Optional, Tuple

HELP = "start a job of several instances (poprun, torchrun, horovodrun, mpirun), or write its job file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb; what every instance runs follows after ``--``."""
    job = parser.add_argument_group("job")
    job.add_argument("--instances", type=int, help="processes of the whole job (default 1, or the plan's)")
    job.add_argument("--replicas", type=int, help="replicas of the whole job (default one per instance)")
    job.add_argument("--ipus-per-replica", type=int, help="pipeline stages; leave out for GPUs and CPUs")
    job.add_argument("--plan", type=Path, metavar="FILE", help="a saved plan fills the numbers above in")
    job.add_argument(
        "--hosts", default="", metavar="A,B", help="machines; their number divides the instances"
    )
    job.add_argument("--launcher", default="auto", help="auto, poprun, torchrun, horovodrun or mpirun")
    job.add_argument("--dry-run", action="store_true", help="print the command line and start nothing")
    _add_poprun_arguments(parser.add_argument_group("poprun"))
    _add_cluster_arguments(parser.add_argument_group("job files"))
    parser.add_argument("command", nargs=argparse.REMAINDER, help="-- train --config FILE ...")


def _add_poprun_arguments(group: Any) -> None:
    group.add_argument(
        "--executable-cache", metavar="DIR", help="shared by all instances: one of them compiles"
    )
    group.add_argument("--vipu-server-host")
    group.add_argument("--vipu-server-port", type=int)
    group.add_argument("--vipu-server-timeout", type=int, metavar="SECONDS")
    group.add_argument("--vipu-partition")
    group.add_argument("--vipu-allocation")
    for name in ("reset-partition", "update-partition", "remove-partition", "numa-aware", "print-topology"):
        group.add_argument(f"--{name}", type=_yes_or_no, metavar="yes|no")
    group.add_argument("--num-ilds", type=int, help="IPU link domains, for systems beyond one POD64")
    group.add_argument("--only-output-from-instance", type=int, metavar="N")
    group.add_argument("--tcp-interface", help="network interface or subnet between hosts")
    group.add_argument("--mpi-global-args", default="", help="more arguments for mpirun")
    group.add_argument("--mpi-local-args", default="", help="more arguments for mpirun, per instance")
    group.add_argument(
        "--environment", default="", metavar="A,B", help="variables to pass on to every instance"
    )


def _add_cluster_arguments(group: Any) -> None:
    group.add_argument("--emit", metavar="k8s|slurm", help="write a job file instead of starting the job")
    group.add_argument("--output", type=Path, metavar="FILE", help="where to (default: print it)")
    group.add_argument("--name", help="of the job")
    group.add_argument("--cpus", type=int, help="of one Pod or host")
    group.add_argument("--image", help="k8s: container image with this application in --workdir")
    group.add_argument("--workdir", help="k8s: folder of this application in the image")
    group.add_argument("--memory", metavar="200Gi", help="k8s: memory of the Pod")
    group.add_argument("--claim", action="append", metavar="NAME:/DIR", help="k8s: volume claim to mount")
    group.add_argument("--num-hosts", type=int, help="slurm: hosts that SLURM chooses")
    group.add_argument("--time-limit", metavar="HH:MM:SS", help="slurm")
    group.add_argument("--queue", help="slurm: its partition")


def run(args: argparse.Namespace) -> int:
    """Start the job and return its exit code; or print it, or write its job file."""
    from ipu_app.distributed.launch import choose_launcher, launch_command

    job = _job(args)
    popruns = _poprun_options(args)
    if args.emit is not None:
        return _emit(args, job, popruns)
    _refuse_unused(args)
    launcher = choose_launcher(args.launcher, job, _which, dry=args.dry_run)
    command = launch_command(launcher, job, python=sys.executable, options=popruns)
    if args.dry_run:
        print(command.shell())
        return 0
    return _start(command)


def _start(command: Any) -> int:
    from ipu_app.distributed.process import run_job
    from ipu_app.environment import read_environ

    program = _which(command.argv[0])
    if program is None:
        raise ValueError(f"launcher={command.launcher!r}: {command.argv[0]} is not on the PATH")
    code = run_job([program, *command.argv[1:]], command.merged_environment(read_environ()))
    if code != 0:
        print(
            f"ipu_app: error: the job failed: {command.launcher} ended with exit code {code}, "
            "and every instance has been stopped",
            file=sys.stderr,
        )
    return code


def _job(args: argparse.Namespace) -> Any:
    from ipu_app.distributed.instances import Job

    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    instances, replicas, ipus = args.instances, args.replicas, args.ipus_per_replica
    if args.plan is not None:
        instances, replicas, ipus = _from_plan(args)
    elif ipus is None and (args.launcher == "poprun" or args.emit == "k8s"):
        ipus = 1
    instances = 1 if instances is None else instances
    return Job(
        command=tuple(command),
        instances=instances,
        replicas=instances if replicas is None else replicas,
        ipus_per_replica=ipus,
        hosts=tuple(name.strip() for name in args.hosts.split(",")) if args.hosts else (),
    )


def _from_plan(args: argparse.Namespace) -> Tuple[int, int, int]:
    """Numbers of a saved plan. Instances may be chosen anew; the replicas and the pipeline may not."""
    from pipelines.plan import load_saved_plan

    saved = load_saved_plan(args.plan)
    planned = {"replicas": saved.geometry.total_replicas, "ipus_per_replica": saved.plan.num_stages}
    for name, value in planned.items():
        given = getattr(args, name)
        if given is not None and given != value:
            raise ValueError(
                f"{name}={given}: the plan {args.plan} has {value}; leave it out, or make another plan"
            )
    instances = saved.geometry.instances if args.instances is None else args.instances
    return instances, planned["replicas"], planned["ipus_per_replica"]


def _poprun_options(args: argparse.Namespace) -> Any:
    from ipu_app.distributed.poprun import PopRunOptions

    values = {field.name: getattr(args, field.name) for field in dataclasses.fields(PopRunOptions)}
    values["environment"] = tuple(name for name in args.environment.split(",") if name)
    return PopRunOptions(**values)


CLUSTER_ARGUMENTS = (
    "name",
    "cpus",
    "image",
    "workdir",
    "memory",
    "claim",
    "num_hosts",
    "time_limit",
    "queue",
)
K8S_ONLY = ("image", "workdir", "memory", "claim")
SLURM_ONLY = ("num_hosts", "time_limit", "queue")


def _emit(args: argparse.Namespace, job: Any, popruns: Any) -> int:
    from ipu_app.distributed import deploy

    if args.emit not in deploy.TARGETS:
        raise ValueError(f"emit={args.emit!r}: choose one of {list(deploy.TARGETS)}")
    unused = SLURM_ONLY if args.emit == "k8s" else K8S_ONLY
    _refuse_unused(args, unused, f"--emit {args.emit}")
    given = {name: getattr(args, name) for name in CLUSTER_ARGUMENTS if getattr(args, name) is not None}
    if "claim" in given:
        given["claims"] = tuple(given.pop("claim"))
    cluster = deploy.ClusterOptions(**given)
    if args.emit == "k8s":
        if args.launcher not in ("auto", "poprun"):
            raise ValueError(f"launcher={args.launcher!r}: an IPUJob runs poprun")
        text = deploy.ipu_job_yaml(job, popruns, cluster)
    else:
        # a job file is for another machine: what is installed here says nothing
        automatic = "poprun" if job.ipus_per_replica else "torchrun"
        launcher = automatic if args.launcher == "auto" else args.launcher
        text = deploy.sbatch_script(launcher, job, popruns, cluster)
    _write(text, args.output)
    return 0


def _write(text: str, output: Optional[Path]) -> None:
    if output is None:
        print(text, end="")
    else:
        output.write_text(text, encoding="utf-8")
        print(f"wrote {output}", file=sys.stderr)


def _refuse_unused(
    args: argparse.Namespace, names: Tuple[str, ...] = (*CLUSTER_ARGUMENTS, "output"), where: str = ""
) -> None:
    for name in names:
        if getattr(args, name) is not None:
            reason = f"has no effect with {where}" if where else "needs --emit"
            raise ValueError(f"{name}={getattr(args, name)}: {reason}")


def _which(program: str) -> Optional[str]:
    """Find a program beside this Python first (a virtual environment that is not activated), then on the
    PATH.
    """
    return shutil.which(program, path=str(Path(sys.executable).parent)) or shutil.which(program)


def _yes_or_no(text: str) -> bool:
    if text not in ("yes", "no"):
        raise argparse.ArgumentTypeError("must be yes or no")
    return text == "yes"
