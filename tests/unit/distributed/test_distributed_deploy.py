"""Job files: an IPUJob as the operator takes it, a batch script that a shell accepts."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest
import yaml
from distributed_jobs import ROOT

from ipu_app.__main__ import main
from ipu_app.distributed.deploy import ClusterOptions

POD16 = ["--instances", "4", "--replicas", "8", "--ipus-per-replica", "2"]
POD64 = ["--instances", "8", "--replicas", "16", "--ipus-per-replica", "4", "--num-hosts", "4"]
B0 = ["--", "train", "--run", "b0-g16-ln_pn-native", "--data", "/data"]
B4 = ["--", "train", "--run", "b4-g16-ln_pn-native", "--data", "/data", "--ipus", "64"]
# eight processes share the global batch of 768, so that a micro-batch holds at most 96 images
B0_GPU = [*B0, "--device", "cuda", "--set", "phases.train.batch.torch_micro=96"]
CACHE = ["--executable-cache", "/data/executables"]
# file in deploy/ -> arguments of `ipu_app launch` that write it
EXAMPLES = {
    "b0-pod16.ipujob.yaml": [
        "--emit",
        "k8s",
        *POD16,
        *CACHE,
        "--name",
        "b0-pod16",
        "--claim",
        "imagenet:/data",
        *B0,
    ],
    "b0-pod16.sbatch": ["--emit", "slurm", *POD16, *CACHE, "--name", "b0-pod16", *B0],
    "b4-pod64-4hosts.sbatch": ["--emit", "slurm", *POD64, *CACHE, "--name", "b4-pod64", *B4],
    "b0-8gpu-2hosts.sbatch": [
        "--emit",
        "slurm",
        "--instances",
        "8",
        "--num-hosts",
        "2",
        "--name",
        "b0-8gpu",
        *B0_GPU,
    ],
}

# the part of IPUJob and of a Pod that is written here: field -> type or nested fields, a list by its element
NAMED_VALUE = {"name": str, "value": str}
CONTAINER: Dict[str, Any] = {
    "name": str,
    "image": str,
    "workingDir": str,
    "command": [str],
    "args": [str],
    "env": [NAMED_VALUE],
    "resources": {"limits": {"cpu": int, "memory": str}},
    "securityContext": {"capabilities": {"add": [str]}},
    "volumeMounts": [{"mountPath": str, "name": str}],
}
SCHEMA: Dict[str, Any] = {
    "apiVersion": str,
    "kind": str,
    "metadata": {"generateName": str},
    "spec": {
        "jobInstances": int,
        # the operator's CRD has these two as strings
        "modelReplicasPerWorker": str,
        "ipusPerJobInstance": str,
        "workers": {
            "template": {
                "spec": {"containers": [CONTAINER], "restartPolicy": str, "hostIPC": bool, "volumes": [dict]}
            }
        },
    },
}


def check_schema(value: Any, schema: Any, where: str = "IPUJob") -> None:
    if isinstance(schema, dict):
        assert set(value) == set(schema), where
        for name, part in schema.items():
            check_schema(value[name], part, f"{where}.{name}")
    elif isinstance(schema, list):
        assert isinstance(value, list) and value, where
        for index, item in enumerate(value):
            check_schema(item, schema[0], f"{where}[{index}]")
    else:
        assert type(value) is schema, f"{where} is {value!r}"


def emit(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["launch", *arguments]) == 0
    return capsys.readouterr().out


def test_ipu_job_has_the_operators_shape(capsys: pytest.CaptureFixture[str]) -> None:
    job = yaml.safe_load(emit(capsys, *EXAMPLES["b0-pod16.ipujob.yaml"]))
    check_schema(job, SCHEMA)
    assert (job["apiVersion"], job["kind"]) == ("graphcore.ai/v1alpha1", "IPUJob")
    spec = job["spec"]
    assert (spec["jobInstances"], spec["modelReplicasPerWorker"], spec["ipusPerJobInstance"]) == (
        1,
        "8",
        "16",
    )
    pod = spec["workers"]["template"]["spec"]
    container = pod["containers"][0]
    assert container["command"] == ["poprun"]
    assert {"--num-instances=4", "--num-replicas=8", "--ipus-per-replica=2"} <= set(container["args"])
    assert container["args"][-7:] == ["-m", "ipu_app", *B0[1:]]
    # every mount has its volume
    assert {mount["name"] for mount in container["volumeMounts"]} == {
        volume["name"] for volume in pod["volumes"]
    }
    assert pod["restartPolicy"] == "Never"


def check_shell(script: Path) -> None:
    beside = shutil.which("shellcheck", path=str(Path(sys.executable).parent)) or shutil.which("shellcheck")
    # SC2016: single quotes are meant, nothing in a word may expand
    argv = [beside, "--severity=style", "--exclude=SC2016"] if beside else ["bash", "-n"]
    result = subprocess.run(
        [*argv, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name.endswith(".sbatch")])
def test_batch_scripts_pass_the_shell_checker(name: str, tmp_path: Path) -> None:
    script = tmp_path / name
    assert main(["launch", "--output", str(script), *EXAMPLES[name]]) == 0
    check_shell(script)


def run_batch_script(script: Path, tmp_path: Path) -> List[str]:
    """Run a script with stand-ins for SLURM and the launcher; return the words that the launcher got."""
    for program, body in {
        "scontrol": 'printf "n%s\\n" 1 2 3 4',
        "poprun": 'printf "%s\\n" "$MASTER_ADDR" "$@"',
        "srun": 'printf "%s\\n" "$IPU_APP_INSTANCES" "$@"',
    }.items():
        (tmp_path / program).write_text(f"#!/bin/bash\n{body}\n", encoding="utf-8")
        (tmp_path / program).chmod(0o755)
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_JOB_NODELIST": "n[1-4]", "MASTER_ADDR": "-"}
    result = subprocess.run(
        ["bash", str(script)], env=environ, stdout=subprocess.PIPE, universal_newlines=True, check=True
    )
    return result.stdout.splitlines()


def test_a_batch_script_gives_poprun_the_hosts_of_slurm(tmp_path: Path) -> None:
    script = tmp_path / "job.sbatch"
    assert main(["launch", "--output", str(script), *EXAMPLES["b4-pod64-4hosts.sbatch"]]) == 0
    words = run_batch_script(script, tmp_path)
    assert words[0] == "n1"
    assert {"--host=n1,n2,n3,n4", "--num-instances=8", "--executable-cache-path=/data/executables"} <= set(
        words
    )
    assert words[-9:] == ["-m", "ipu_app", *B4[1:]]
    text = script.read_text("utf-8")
    assert "#SBATCH --nodes=4\n" in text and "#SBATCH --ipus=64\n" in text


def test_a_batch_script_starts_one_torchrun_per_host(tmp_path: Path) -> None:
    script = tmp_path / "job.sbatch"
    assert main(["launch", "--output", str(script), *EXAMPLES["b0-8gpu-2hosts.sbatch"]]) == 0
    words = run_batch_script(script, tmp_path)
    assert words[0] == "8"
    assert {"--nnodes=2", "--nproc_per_node=4", "--rdzv_endpoint=n1:29400"} <= set(words)
    assert "--ipus" not in script.read_text("utf-8")


def test_odd_words_survive_the_shell(tmp_path: Path) -> None:
    script = tmp_path / "job.sbatch"
    odd = 'name=it\'s $HOME "quoted"'
    assert (
        main(["launch", "--emit", "slurm", "--output", str(script), *POD16, "--", "train", "--set", odd]) == 0
    )
    check_shell(script)
    assert run_batch_script(script, tmp_path)[-1] == odd


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_the_examples_are_up_to_date(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    written = (ROOT / "deploy" / name).read_text("utf-8")
    assert emit(capsys, *EXAMPLES[name]) == written, (
        f"write it anew: ipu_app launch {' '.join(EXAMPLES[name])}"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--emit", "docker", "--", "train"], "emit='docker': choose one of"),
        (
            ["--emit", "k8s", "--instances", "2", "--hosts", "a,b", "--", "train"],
            "an IPUJob has one worker Pod",
        ),
        (["--emit", "k8s", "--vipu-partition", "p", "--", "train"], "the operator makes the partition"),
        (["--emit", "k8s", "--instances", "2", "--replicas", "128", "--", "train"], "at most 64"),
        (["--emit", "k8s", "--queue", "gpu", "--", "train"], "queue=gpu: has no effect with --emit k8s"),
        (
            ["--emit", "slurm", "--memory", "1Gi", "--", "train"],
            "memory=1Gi: has no effect with --emit slurm",
        ),
        (["--emit", "slurm", "--launcher", "mpirun", "--", "train"], "a SLURM job takes poprun or torchrun"),
        (
            ["--emit", "slurm", "--instances", "2", "--num-hosts", "4", "--", "train"],
            "must be a multiple of 4 hosts",
        ),
        (["--emit", "k8s", "--name", "B0", "--", "train"], "name='B0': lower-case"),
        (["--emit", "k8s", "--claim", "data", "--", "train"], "claims='data': must look like name:/data"),
    ],
)
def test_what_a_cluster_cannot_do_is_refused(
    arguments: List[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["launch", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_cluster_options_check_themselves() -> None:
    with pytest.raises(ValueError, match="time_limit='1h'"):
        ClusterOptions(time_limit="1h")
    with pytest.raises(ValueError, match="memory='200'"):
        ClusterOptions(memory="200")
    with pytest.raises(ValueError, match="cpus=0"):
        ClusterOptions(cpus=0)
