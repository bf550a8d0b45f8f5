"""One body for every implementation of the contract: real processes, the same expectations."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest
from distributed_jobs import PROGRAMS, job_environment, launch_argv, run_to_end, skip_if_missing

from ipu_app.distributed import comm as comm_module
from ipu_app.distributed.comm import SingleComm
from ipu_app.distributed.connect import make_comm
from ipu_app.distributed.gradients import buckets
from ipu_app.distributed.world import World

Seen = List[Dict[str, Any]]
pytestmark = pytest.mark.processes


def collect(folder: Path, argv: List[str], size: int) -> Seen:
    result = run_to_end(argv)
    assert result.returncode == 0, result.stdout
    return [json.loads((folder / f"rank{rank}.json").read_text("utf-8")) for rank in range(size)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    folder = tmp_path_factory.mktemp("single")
    return collect(folder, [sys.executable, str(PROGRAMS / "collectives.py"), str(folder)], 1)


@pytest.fixture(scope="module", params=["none", "torchrun", "horovodrun"])
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    if request.param == "none":
        found: Seen = request.getfixturevalue("alone")
        return found
    skip_if_missing(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    return collect(folder, launch_argv(request.param, 2, str(PROGRAMS / "collectives.py"), str(folder)), 2)


def test_every_instance_knows_its_place(seen: Seen) -> None:
    assert [one["rank"] for one in seen] == list(range(len(seen)))
    assert {one["size"] for one in seen} == {len(seen)}
    assert [one["root"] for one in seen] == [True] + [False] * (len(seen) - 1)


def test_launch_tells_the_split_of_replicas(seen: Seen) -> None:
    if len(seen) == 1:
        assert seen[0]["world"]["total_replicas"] is None
        return
    splits = [(one["world"]["total_replicas"], one["world"]["replica_offset"]) for one in seen]
    assert splits == [(2, 0), (2, 1)]


def test_sums_of_every_form_agree_on_all_instances(seen: Seen) -> None:
    size = len(seen)
    ranks = sum(range(size))
    for one in seen:
        assert one["sum_mapping"] == {"loss": 0.5 * (ranks + size), "count": 2 * size}
        assert one["sum_sequence"] == [ranks, 10 * size]
        # float64: in float32 the small part would be lost
        assert one["sum_number"] == size * 2.0**-40 + ranks
        assert one["sum_tensor"] == [[float(ranks + size)] * 3] * 2
        assert one["sum_tensor_type"] == "torch.float64"
        assert one["input_kept"] == [[one["rank"] + 1.0] * 3] * 2


def test_all_reduce_works_in_place_and_on_views(seen: Seen) -> None:
    size = len(seen)
    for one in seen:
        assert one["in_place"]
        assert one["flat"] == [index * float(sum(range(size)) + size) for index in range(4)]
        assert one["transposed"] == [[0.0, 3.0 * size], [1.0 * size, 4.0 * size], [2.0 * size, 5.0 * size]]


def test_strings_and_least_numbers_travel(seen: Seen) -> None:
    for one in seen:
        assert one["strings"] == ["é" * rank for rank in range(len(seen))]
        assert one["smallest"] == 7 - (len(seen) - 1)


def test_the_roots_state_arrives_bit_for_bit(seen: Seen) -> None:
    for one in seen:
        assert one["state_equal"]
        assert one["large_equal"]
        assert "state['bad'][0] is a object" in one["refused_state"]


def test_differing_facts_are_refused_on_every_instance(seen: Seen) -> None:
    for one in seen:
        assert one["fleet_same"] is None
        if len(seen) == 1:
            assert one["fleet_config"] is None
            continue
        assert (
            one["fleet_config"]
            == "config differs from rank 0's on rank 1; rank 1: line 2 is 'b: 3' instead of 'b: 2'"
        )
        assert one["fleet_names"].startswith("list of facts differs")


def test_training_equals_one_process_on_the_whole_batch(seen: Seen, alone: Seen) -> None:
    for one in seen:
        assert one["weights"] == pytest.approx(alone[0]["weights"], abs=1e-12)


def test_gradients_stay_at_home_until_the_last_micro_batch(seen: Seen) -> None:
    if len(seen) == 2:
        assert seen[0]["first_gradients"] != pytest.approx(seen[1]["first_gradients"], abs=1e-3)


def test_leaving_the_group_never_stands_still(tmp_path: Path) -> None:
    argv = [sys.executable, str(PROGRAMS / "leaving.py"), str(tmp_path)]
    jobs = []
    for rank in "01":
        place = {"RANK": rank, "WORLD_SIZE": "2", "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": "2"}
        environ = {**job_environment(), **place}
        jobs.append(subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, universal_newlines=True))
    try:
        assert [job.communicate(timeout=120)[0] for job in jobs] == ["left 20 times\n"] * 2
    finally:
        for job in jobs:
            job.kill()
            job.wait()


def test_broadcasts_go_out_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    class Counting(SingleComm):
        calls = 0

        def broadcast_(self, tensor: torch.Tensor, root: int = 0) -> torch.Tensor:
            self.calls += 1
            return tensor

    monkeypatch.setattr(comm_module, "BROADCAST_CHUNK_BYTES", 16)
    comm = Counting()
    body = torch.arange(40, dtype=torch.uint8)
    assert comm._broadcast_bytes(body, 40).tolist() == list(range(40))
    assert comm.calls == 3


def test_buckets_hold_one_type_up_to_the_limit() -> None:
    import torch

    tensors = [torch.zeros(4), torch.zeros(4), torch.zeros(4).half(), torch.zeros(4), torch.zeros(40)]
    groups = list(buckets(tensors, 32))
    assert [[tensor.numel() for tensor in group] for group in groups] == [[4, 4], [4], [4], [40]]
    assert sum(len(group) for group in groups) == len(tensors)
    assert all(len({tensor.dtype for tensor in group}) == 1 for group in groups)


def test_make_comm_refuses_what_cannot_work() -> None:
    two = World("torchrun", rank=0, size=2, local_size=1)
    with pytest.raises(ValueError, match="backend='mpi': choose one of"):
        make_comm(World(), backend="mpi")
    with pytest.raises(ValueError, match="torchrun started 2 processes"):
        make_comm(two, backend="single")
    with pytest.raises(ValueError, match="MASTER_ADDR is not set"):
        make_comm(two, backend="torch")
