"""The Makefile's variables: each reaches the command, and a misspelt one never trains something else."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import List

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="needs make")


def make(*words: str) -> "subprocess.CompletedProcess[str]":
    """Only print what would be done."""
    return subprocess.run(["make", "-n", *words], cwd=ROOT, capture_output=True, text=True, timeout=60)


def trained(*words: str) -> List[str]:
    done = make(*words)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if " -m ipu_app train" in line]
    return lines[-1].split(" -m ipu_app train")[1].replace('"', "").split()


@pytest.mark.parametrize(
    "wrong, near", [("MODLE=b3", "MODEL"), ("RESUM=runs/x", "RESUME"), ("data=x", "DATA")]
)
def test_a_misspelt_variable_is_refused_and_the_near_one_named(wrong: str, near: str) -> None:
    done = make("train-ipu", wrong)
    assert done.returncode == 2
    assert wrong in done.stderr and re.search(f"did you mean [^?]*{near}", done.stderr)


def test_variables_reach_the_command() -> None:
    assert trained("train-ipu", "MODEL=b2", "LR=0.1", "BATCH=96") == (
        "--model b2 --group 16 --norm ln_pn --lr 0.1 --batch 96 --device ipu".split()
    )


def test_a_resumed_run_keeps_what_it_was() -> None:
    assert trained("train-ipu", "RESUME=runs/x") == ["--resume", "runs/x"]
    assert trained("train-cpu", "RESUME=runs/x") == ["--resume", "runs/x", "--device", "cpu"]


def test_a_configuration_keeps_its_model() -> None:
    assert trained("train-ipu", "CONFIG=own.yaml") == ["--config", "own.yaml", "--device", "ipu"]
    assert trained("train-ipu", "CONFIG=own.yaml", "MODEL=b1")[:2] == ["--model", "b1"]
