"""A reader that goes away early, as ``head`` does, ends any verb quietly."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

READER_GONE = 141
COMMANDS = (
    ["--help"],
    ["train", "--help"],
    ["plan", "--constants"],
    ["plan", "--constants", "--json"],
    ["shards", "--help"],
    ["launch", "--dry-run", "--instances", "2", "--replicas", "4", "--ipus-per-replica", "2", "--", "train"],
)


def run_unread(arguments, *, unbuffered, both=False):
    """Run with a standard output that nobody reads; return the exit code and standard error."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    if unbuffered:
        environ["PYTHONUNBUFFERED"] = "1"
    process = subprocess.Popen(
        [sys.executable, "-m", "ipu_app", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if both else subprocess.PIPE,
        env=environ,
    )
    process.stdout.close()
    errors = b"" if both else process.stderr.read()
    if not both:
        process.stderr.close()
    return process.wait(timeout=120), errors.decode()


@pytest.mark.processes
@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: " ".join(arguments[:2]))
def test_output_that_nobody_reads_is_no_error(arguments):
    assert run_unread(arguments, unbuffered=False) == (READER_GONE, "")


@pytest.mark.processes
def test_unbuffered_output_is_no_error_either():
    assert run_unread(["plan", "--constants"], unbuffered=True) == (READER_GONE, "")


@pytest.mark.processes
def test_errors_are_still_reported_and_may_go_unread():
    code, errors = run_unread(["plan", "--ipus", "3"], unbuffered=False)
    assert code == 2 and "ipus=3" in errors and errors.count("\n") == 1
    assert run_unread(["plan", "--constants"], unbuffered=False, both=True)[0] == READER_GONE
