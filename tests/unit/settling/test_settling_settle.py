"""A run is settled purely: the same request, machine and images give the same run, and nothing is touched."""

from __future__ import annotations

import builtins
import dataclasses
import socket
from typing import Any

import pytest

from ipu_app.config.asked import Asked
from ipu_app.config.load import load_config, recipe_path
from ipu_app.config.schema import RunConfig
from ipu_app.distributed.world import World
from ipu_app.runtime.choose import DeviceChoice
from ipu_app.runtime.poptorch_api import load_poptorch
from ipu_app.settling.data_facts import DataFacts
from ipu_app.settling.first_lines import first_lines, phase_lines
from ipu_app.settling.machine import Machine
from ipu_app.settling.settle import Request, settle

HALF = recipe_path("b0-g16-ln_pn-half")
IMAGES = DataFacts(400, 100, ("cat", "dog"), "two classes", "hash")


def recipe(*overrides: str) -> RunConfig:
    return load_config(HALF, overrides)


def machine(device: str = "cpu", **facts: Any) -> Machine:
    poptorch = load_poptorch("sim") if device == "ipu" else None
    return Machine(DeviceChoice(device, "asked for"), **{"free_bytes": 16e9, "poptorch": poptorch, **facts})


@pytest.mark.parametrize("device", ["cpu", "ipu"])
def test_settling_opens_and_changes_nothing(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    request, here = Request(recipe()), machine(device)
    before = dataclasses.replace(request.config)
    expected = settle(request, here, IMAGES)  # fills the cache of layer tables

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError(f"touched {args}")

    monkeypatch.setattr(builtins, "print", refuse)
    monkeypatch.setattr(socket, "socket", refuse)
    assert settle(request, here, IMAGES) == expected
    assert request.config == before
    with pytest.raises(dataclasses.FrozenInstanceError):
        expected.config = before  # type: ignore[misc]


def test_every_phase_is_settled_with_its_network_batches_and_plan() -> None:
    run = settle(Request(recipe()), machine("ipu"), dataclasses.replace(IMAGES, num_train=10**6))
    assert list(run.phases) == ["train", "finetune"] and run.first.name == "train"
    assert not run.refusals
    for name, phase in run.phases.items():
        section = run.config.phases[name]
        assert phase.config is section and phase.resolution == (section.resolution or 224)
        assert phase.geometry.samples_per_step == section.batch.global_batch
        assert phase.spec.num_classes == 2 and phase.plan.num_stages == len(section.pipeline.splits) + 1
        assert phase.estimate is not None and phase.estimate.images_per_s > 0
        assert phase.optimizer.lr > 0


def test_what_can_not_be_done_is_told_of_all_phases_at_once() -> None:
    key = "phases.train.batch.torch_micro"
    wrong = recipe("phases.finetune.trainable=block99", f"{key}=7")
    run = settle(Request(wrong, Asked((key,), batch=True)), machine())
    first, second = run.refusals
    assert "can not be made of micro-batches of 7" in first and "trainable='block99'" in second
    with pytest.raises(ValueError, match="micro-batches of 7 .*; trainable='block99'"):
        run.check()


def test_a_later_phase_that_takes_more_images_than_there_are_is_refused_at_the_start() -> None:
    large = recipe("phases.train.batch.accumulation=4", "phases.finetune.batch.accumulation=4000")
    (refusal,) = settle(Request(large), machine(), dataclasses.replace(IMAGES, num_train=1000)).refusals
    assert refusal.startswith("phases.finetune.batch: one call takes")


def test_few_images_and_little_memory_are_told_in_the_first_lines() -> None:
    run = settle(Request(recipe(), Asked()), machine(free_bytes=3e9), IMAGES)
    said = "\n".join(first_lines(run))
    assert "batch: 400 images are few for steps of 768" in said and "memory: phase train" in said
    assert run.config.phases["train"].batch.global_batch < 768
    again = settle(Request(run.config, Asked()), machine(free_bytes=3e9), IMAGES)
    assert again.config == run.config, "what was settled stays"


def test_the_phases_of_a_dry_run_say_what_they_are() -> None:
    run = settle(Request(recipe()), machine("ipu"), dataclasses.replace(IMAGES, num_train=10**6))
    train, plan, finetune, _ = phase_lines(run)
    assert train.startswith("phase train: 350 epochs at 160 px in steps of 768 images") and "plan: " in plan
    assert finetune.startswith("phase finetune: 2 epochs at 224 px")


def test_a_finished_phase_is_not_settled_again() -> None:
    progress = {"progress": {"phase": 0, "epoch": 350, "total_epochs": 350, "step": 1}}
    run = settle(Request(recipe(), progress=progress), machine())
    assert list(run.phases) == ["finetune"] and list(run.config.phases) == ["train", "finetune"]


def test_all_processes_of_a_job_settle_to_the_same() -> None:
    worlds = [World("torchrun", rank=rank, size=2, local_rank=rank, local_size=2) for rank in (0, 1)]
    runs = [settle(Request(recipe()), machine(instances=2, world=world)) for world in worlds]
    assert runs[0].config == runs[1].config and runs[0].phases == runs[1].phases
