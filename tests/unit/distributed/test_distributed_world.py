"""Who am I: every launcher's variables, and contradictions between them."""

from __future__ import annotations

from typing import Dict

import pytest

from ipu_app.distributed.world import World, detect_world

POPRUN = {
    "POPDIST_NUM_TOTAL_REPLICAS": "8",
    "POPDIST_NUM_IPUS_PER_REPLICA": "2",
    "POPDIST_NUM_LOCAL_REPLICAS": "2",
    "POPDIST_UNIFORM_REPLICAS_PER_INSTANCE": "1",
    "POPDIST_REPLICA_INDEX_OFFSET": "6",
    "POPDIST_LOCAL_INSTANCE_INDEX": "1",
    "OMPI_COMM_WORLD_RANK": "3",
    "OMPI_COMM_WORLD_SIZE": "4",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
}
HOROVOD = {"HOROVOD_RANK": "1", "HOROVOD_SIZE": "2", "HOROVOD_LOCAL_RANK": "1", "HOROVOD_LOCAL_SIZE": "2"}
TORCHRUN = {
    "RANK": "5",
    "WORLD_SIZE": "8",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "4",
    "MASTER_ADDR": "node0",
    "MASTER_PORT": "4711",
}
MPIRUN = {name: value for name, value in POPRUN.items() if name.startswith("OMPI")}
SRUN = {
    "SLURM_PROCID": "4",
    "SLURM_STEP_NUM_TASKS": "5",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "2",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2),1",
    "SLURM_LAUNCH_NODE_IPADDR": "10.0.0.1",
    "SLURM_JOB_ID": "120034",
}
EXPECTED = {
    "poprun": (POPRUN, World("poprun", 3, 4, 1, 2, 8, 2, 6, 2)),
    "horovodrun": (HOROVOD, World("horovodrun", 1, 2, 1, 2, master_addr="127.0.0.1")),
    "torchrun": (TORCHRUN, World("torchrun", 5, 8, 1, 4, master_addr="node0", master_port=4711)),
    "mpirun": (MPIRUN, World("mpirun", 3, 4, 1, 2)),
    "slurm": (SRUN, World("slurm", 4, 5, 0, 1, master_addr="10.0.0.1", master_port=29534)),
    "none": ({"PATH": "/bin"}, World("none", master_addr="127.0.0.1")),
}


@pytest.mark.parametrize("launcher", sorted(EXPECTED))
def test_each_launcher_is_recognised(launcher: str) -> None:
    environ, world = EXPECTED[launcher]
    assert detect_world(environ) == world


def test_detection_leaves_the_environment_alone() -> None:
    environ = dict(POPRUN)
    detect_world(environ)
    assert environ == POPRUN


def test_poprun_alone_on_one_host_needs_no_mpi_variables() -> None:
    world = detect_world({name: value for name, value in POPRUN.items() if name.startswith("POPDIST")})
    assert (world.rank, world.size, world.local_rank, world.local_size) == (3, 4, 1, 4)


def test_a_batch_script_of_slurm_is_one_process() -> None:
    assert detect_world({"SLURM_PROCID": "0", "SLURM_NTASKS": "16", "SLURM_JOB_ID": "7"}).launcher == "none"


def test_torchrun_inside_slurm_or_one_per_host_by_mpirun_is_torchrun() -> None:
    per_host = {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}
    assert detect_world({**SRUN, **TORCHRUN}).launcher == "torchrun"
    assert detect_world({**TORCHRUN, **per_host}).rank == 5


def test_two_variables_of_a_cluster_operator_are_enough() -> None:
    world = detect_world({"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "pod-0"})
    assert (world.rank, world.size, world.local_rank, world.master_addr) == (1, 2, 0, "pod-0")


def test_launch_announces_replicas_to_other_launchers() -> None:
    announced = {"IPU_APP_INSTANCES": "2", "IPU_APP_TOTAL_REPLICAS": "8", "IPU_APP_IPUS_PER_REPLICA": "4"}
    world = detect_world({**HOROVOD, **announced})
    assert (world.total_replicas, world.local_replicas, world.replica_offset, world.ipus_per_replica) == (
        8,
        4,
        4,
        4,
    )


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({**POPRUN, "OMPI_COMM_WORLD_RANK": "0"}, "poprun says rank 3 of 4, mpirun says rank 0 of 4"),
        ({**POPRUN, "OMPI_COMM_WORLD_SIZE": "8"}, "mpirun says rank 3 of 8"),
        (
            {**HOROVOD, "RANK": "0", "WORLD_SIZE": "2"},
            "horovodrun says rank 1 of 2, torchrun says rank 0 of 2",
        ),
        ({**TORCHRUN, "OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2"}, "mpirun says rank 0 of 2"),
        ({**POPRUN, "POPDIST_UNIFORM_REPLICAS_PER_INSTANCE": "0"}, "POPDIST_UNIFORM_REPLICAS_PER_INSTANCE=0"),
        ({**POPRUN, "POPDIST_NUM_LOCAL_REPLICAS": "3"}, "POPDIST_NUM_LOCAL_REPLICAS=3: must divide"),
        ({**POPRUN, "POPDIST_NUM_LOCAL_REPLICAS": "0"}, "POPDIST_NUM_LOCAL_REPLICAS=0: must divide"),
        ({"POPDIST_NUM_TOTAL_REPLICAS": "8"}, "without POPDIST_NUM_LOCAL_REPLICAS"),
        ({"RANK": "0"}, "RANK=0 without WORLD_SIZE"),
        ({**HOROVOD, "HOROVOD_SIZE": "two"}, "HOROVOD_SIZE='two': must be a whole number"),
        ({**HOROVOD, "HOROVOD_RANK": "-1"}, "HOROVOD_RANK='-1'"),
        ({**TORCHRUN, "RANK": "8"}, r"rank=8 \(torchrun\): must be"),
        ({**TORCHRUN, "LOCAL_RANK": "4"}, r"local_rank=4 \(torchrun\)"),
        ({**TORCHRUN, "LOCAL_WORLD_SIZE": "9"}, r"local_size=9 \(torchrun\)"),
        ({**TORCHRUN, "WORLD_SIZE": "0"}, r"size=0 \(torchrun\)"),
        ({**SRUN, "SLURM_STEP_TASKS_PER_NODE": "2x2"}, "must look like"),
        ({**SRUN, "SLURM_NODEID": "3"}, "SLURM_NODEID=3"),
        (
            {**HOROVOD, "IPU_APP_INSTANCES": "4", "IPU_APP_TOTAL_REPLICAS": "4"},
            "horovodrun started 2 instead",
        ),
        (
            {**HOROVOD, "IPU_APP_INSTANCES": "2", "IPU_APP_TOTAL_REPLICAS": "3"},
            "must be a multiple of the 2 instances",
        ),
    ],
)
def test_contradictions_are_refused(environ: Dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        detect_world(environ)


def test_every_replica_of_a_job_is_owned_once() -> None:
    owned = []
    for rank in range(4):
        environ = {**POPRUN, "POPDIST_REPLICA_INDEX_OFFSET": str(2 * rank), "OMPI_COMM_WORLD_RANK": str(rank)}
        world = detect_world(environ)
        assert world.rank == rank
        owned += range(world.replica_offset or 0, (world.replica_offset or 0) + (world.local_replicas or 0))
    assert owned == list(range(8))


def test_a_configuration_of_other_replicas_than_popruns_is_refused():
    world = detect_world(POPRUN)
    world.check_layout(replicas=8, ipus_per_replica=2)
    for replicas, stages in ((2, 2), (8, 1)):
        with pytest.raises(
            ValueError, match=f"batch.replicas={replicas} with {stages} pipeline.*8 replicas of 2"
        ):
            world.check_layout(replicas=replicas, ipus_per_replica=stages)
    World().check_layout(replicas=3, ipus_per_replica=5)  # nobody else gives IPUs out
