"""Command lines of the launchers, against PopRun's documented flags; and jobs that cannot be."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest

from ipu_app.__main__ import main
from ipu_app.distributed.instances import Job
from ipu_app.distributed.launch import choose_launcher, launch_command
from ipu_app.distributed.poprun import PopRunOptions
from pipelines.geometry import BatchGeometry
from pipelines.plan import PipelinePlan, PlannedModel, SavedPlan, save_plan

# every flag of PopRun that its user guide documents and this application may use
POPRUN_FLAGS = {
    "--num-replicas",
    "--num-instances",
    "--ipus-per-replica",
    "--host",
    "--executable-cache-path",
    "--mpi-global-args",
    "--mpi-local-args",
    "--vipu-server-host",
    "--vipu-server-port",
    "--vipu-server-timeout",
    "--vipu-partition",
    "--vipu-allocation",
    "--reset-partition",
    "--update-partition",
    "--remove-partition",
    "--numa-aware",
    "--num-ilds",
    "--only-output-from-instance",
    "--print-topology",
}


def dry_run(capsys: pytest.CaptureFixture[str], *arguments: str) -> List[str]:
    assert main(["launch", "--dry-run", *arguments]) == 0
    return shlex.split(capsys.readouterr().out)


def poprun_parts(words: List[str]) -> "tuple[Dict[str, str], Dict[str, str], List[str]]":
    """Split a dry run into its variables, PopRun's flags and what the instances run."""
    start = words.index("poprun")
    variables = dict(word.split("=", 1) for word in words[:start])
    flags = [word for word in words[start + 1 :] if word.startswith("--") and "=" in word][
        : len(POPRUN_FLAGS)
    ]
    end = start + 1 + len(flags)
    assert words[start + 1 : end] == flags
    return variables, dict(flag.split("=", 1) for flag in flags), words[end:]


def test_pod16_on_one_host(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--launcher", "poprun", "--instances", "4", "--replicas", "8", "--ipus-per-replica", "2"]
    options += ["--executable-cache", "/scratch/cache", "--vipu-partition", "pod16", "--numa-aware", "yes"]
    words = dry_run(capsys, *options, "--", "train", "--config", "b0.yaml", "--set", "a=1")
    variables, flags, program = poprun_parts(words)
    assert variables == {}
    assert set(flags) <= POPRUN_FLAGS
    assert flags == {
        "--num-instances": "4",
        "--num-replicas": "8",
        "--ipus-per-replica": "2",
        "--numa-aware": "yes",
        "--vipu-partition": "pod16",
        "--executable-cache-path": "/scratch/cache",
        "--mpi-global-args": "--tag-output --allow-run-as-root",
    }
    assert program[1:] == ["-m", "ipu_app", "train", "--config", "b0.yaml", "--set", "a=1"]


def test_pod64_on_four_hosts(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--launcher", "poprun", "--instances", "16", "--replicas", "64", "--hosts", "h1,h2,h3,h4"]
    options += ["--vipu-server-host", "10.1.2.3", "--vipu-partition", "pod64", "--update-partition", "yes"]
    options += ["--tcp-interface", "eno1", "--only-output-from-instance", "0", "--environment", "WANDB_MODE"]
    variables, flags, _ = poprun_parts(dry_run(capsys, *options, "--", "train"))
    assert set(flags) <= POPRUN_FLAGS
    assert (flags["--num-instances"], flags["--num-replicas"], flags["--ipus-per-replica"]) == (
        "16",
        "64",
        "1",
    )
    assert flags["--host"] == "h1,h2,h3,h4"
    assert flags["--vipu-server-host"] == "10.1.2.3"
    assert flags["--only-output-from-instance"] == "0"
    assert "--mca btl_tcp_if_include eno1" in flags["--mpi-global-args"]
    forwarded = flags["--mpi-local-args"].split("-x ")[1:]
    names = [name.strip() for name in forwarded]
    assert names[:5] == ["LD_LIBRARY_PATH", "OPAL_PREFIX", "PATH", "CPATH", "PYTHONPATH"]
    # every variable that is set here reaches the other hosts too
    assert set(variables) <= set(names) and "WANDB_MODE" in names
    assert variables["IPUOF_VIPU_API_TIMEOUT"] == "800"
    assert variables["MASTER_ADDR"] == "h1"


def test_pod256_takes_four_processes_or_more(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--launcher", "poprun", "--replicas", "64", "--ipus-per-replica", "4", "--num-ilds", "4"]
    hosts = ",".join(f"pod256-{index}" for index in range(16))
    _, flags, _ = poprun_parts(
        dry_run(capsys, *options, "--instances", "16", "--hosts", hosts, "--", "train")
    )
    assert set(flags) <= POPRUN_FLAGS
    assert int(flags["--num-replicas"]) * int(flags["--ipus-per-replica"]) == 256
    assert len(flags["--host"].split(",")) == 16
    assert main(["launch", "--dry-run", *options, "--instances", "2", "--", "train"]) == 2
    message = capsys.readouterr().err
    assert "instances=2: 128 IPUs in one process, at most 64; nearest 4" in message


@pytest.mark.parametrize(
    ("launcher", "beginning"),
    [
        ("torchrun", ["PY", "-m", "torch.distributed.run", "--nnodes=1", "--nproc_per_node=2"]),
        ("horovodrun", ["horovodrun", "-np", "2", "-H", "localhost:2", "PY", "-m", "ipu_app", "train"]),
        ("mpirun", ["mpirun", "-np", "2", "--host", "localhost:2"]),
    ],
)
def test_other_launchers_get_the_same_split(launcher: str, beginning: List[str]) -> None:
    job = Job(("train",), instances=2, replicas=8, ipus_per_replica=4)
    command = launch_command(launcher, job, python="PY")
    assert list(command.argv[: len(beginning)]) == beginning
    assert command.argv[-3:] == ("-m", "ipu_app", "train")
    assert command.environment == {
        "IPU_APP_INSTANCES": "2",
        "IPU_APP_TOTAL_REPLICAS": "8",
        "IPU_APP_IPUS_PER_REPLICA": "4",
    }


def test_several_hosts_of_the_other_launchers() -> None:
    job = Job(("train",), instances=4, replicas=4, hosts=("a", "b"))
    torchrun = launch_command("torchrun", job, python="PY").argv
    assert {"--nnodes=2", "--nproc_per_node=2", "--rdzv_endpoint=a:29400"} <= set(torchrun)
    assert "a:2,b:2" in launch_command("horovodrun", job, python="PY").argv
    assert "a:2,b:2" in launch_command("mpirun", job, python="PY").argv


def test_a_users_own_settings_win_over_defaults_but_not_over_the_split() -> None:
    job = Job(("train",), instances=2, replicas=2, ipus_per_replica=1, hosts=("a", "b"))
    merged = launch_command("poprun", job, python="PY").merged_environment({"IPUOF_VIPU_API_TIMEOUT": "5"})
    assert merged["IPUOF_VIPU_API_TIMEOUT"] == "5"
    merged = launch_command("torchrun", job, python="PY").merged_environment({"IPU_APP_INSTANCES": "9"})
    assert merged["IPU_APP_INSTANCES"] == "2"


@pytest.mark.parametrize(
    ("installed", "hosts", "expected"),
    [
        (["poprun", "horovodrun"], (), "poprun"),
        (["horovodrun"], (), "torchrun"),
        (["horovodrun"], ("a", "b"), "horovodrun"),
        ([], (), "torchrun"),
        ([], ("a", "b"), None),
    ],
)
def test_auto_takes_poprun_where_it_is(installed: List[str], hosts: Any, expected: Optional[str]) -> None:
    job = Job(("train",), instances=2, replicas=2, hosts=hosts)

    def which(program: str) -> Optional[str]:
        return f"/bin/{program}" if program in installed else None

    if expected is None:
        with pytest.raises(ValueError, match="launcher='auto'"):
            choose_launcher("auto", job, which)
    else:
        assert choose_launcher("auto", job, which) == expected
    assert choose_launcher("mpirun", job, which) == "mpirun"
    with pytest.raises(ValueError, match="launcher='ssh': choose one of"):
        choose_launcher("ssh", job, which)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"instances": 3, "replicas": 8}, "replicas=8: must be a multiple of instances=3; nearest 6 or 9"),
        ({"instances": 4, "replicas": 2}, "replicas=2: must be a multiple of instances=4; nearest 4$"),
        (
            {"instances": 3, "replicas": 3, "hosts": ("a", "b")},
            "instances=3: must be a multiple of 2 hosts; nearest 2 or 4",
        ),
        (
            {"instances": 2, "replicas": 6, "ipus_per_replica": 2},
            "replicas=6: must be a power of two.*nearest 4 or 8",
        ),
        ({"ipus_per_replica": 3}, "ipus_per_replica=3: must be a power of two.*nearest 2 or 4"),
        (
            {"instances": 1, "replicas": 32, "ipus_per_replica": 4},
            "instances=1: 128 IPUs in one process.*nearest 2$",
        ),
        ({"ipus_per_replica": 128}, "ipus_per_replica=128: at most 64 in one process"),
        ({"instances": 0}, "instances=0: must be 1 or more"),
        ({"ipus_per_replica": 0}, "ipus_per_replica=0: must be 1 or more"),
        ({"hosts": ("a", "a"), "instances": 2, "replicas": 2}, "hosts=a,a: every host is named once"),
        ({"command": ()}, "put what every instance runs after --"),
    ],
)
def test_impossible_jobs_name_the_setting_and_the_nearest_legal_one(
    values: Dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Job(**{"command": ("train",), **values})


def test_without_ipus_any_number_of_processes_will_do() -> None:
    job = Job(("train",), instances=3, replicas=3)
    assert (job.num_ipus, job.local_replicas) == (0, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--instances", "2", "--numa-aware", "yes", "--launcher", "torchrun", "--", "train"],
            "only poprun knows this",
        ),
        (["--instances", "2", "--name", "x", "--", "train"], "name=x: needs --emit"),
        (["--instances", "2"], "put what every instance runs after --"),
        (["--launcher", "poprun", "--only-output-from-instance", "2", "--", "train"], "must be 0 to 0"),
        (["--plan", "/nowhere/plan.json", "--", "train"], "plan.json"),
    ],
)
def test_settings_without_effect_are_refused(
    arguments: List[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["launch", "--dry-run", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.fixture()
def plan_file(tmp_path: Path) -> Path:
    plan = PipelinePlan.from_splits(["block3b"])
    geometry = BatchGeometry(micro_batch=12, accumulation=8, replicas=2, instances=4)
    model = PlannedModel(name="b0", group_size=16, norm="ln_pn", resolution=224, precision="16.16")
    path = tmp_path / "plan.json"
    save_plan(path, SavedPlan(plan, geometry, model))
    return path


@pytest.mark.parametrize(
    ("given", "instances"), [([], "4"), (["--instances", "2"], "2"), (["--replicas", "8"], "4")]
)
def test_a_plan_fills_the_numbers_in(
    given: List[str], instances: str, plan_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = dry_run(capsys, "--launcher", "poprun", "--plan", str(plan_file), *given, "--", "train")
    _, flags, _ = poprun_parts(words)
    numbers = (flags["--num-instances"], flags["--num-replicas"], flags["--ipus-per-replica"])
    assert numbers == (instances, "8", "2")


def test_numbers_that_the_plan_was_not_made_for_are_refused(
    plan_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("replicas", "16"), ("ipus-per-replica", "4")):
        assert main(["launch", "--plan", str(plan_file), f"--{name}", value, "--", "train"]) == 2
        assert f"{name.replace('-', '_')}={value}: the plan" in capsys.readouterr().err


def test_poprun_options_check_themselves() -> None:
    with pytest.raises(ValueError, match="vipu_server_port=0: must be 1 or more"):
        PopRunOptions(vipu_server_port=0)


@pytest.mark.parametrize("ipus, expected", [(2, "poprun"), (None, "horovodrun")])
def test_a_dry_run_for_several_hosts_needs_nothing_installed(ipus: Optional[int], expected: str) -> None:
    job = Job(("train",), instances=2, replicas=2, ipus_per_replica=ipus, hosts=("a", "b"))
    assert choose_launcher("auto", job, lambda program: None, dry=True) == expected
