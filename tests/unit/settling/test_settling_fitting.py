"""What fits: batches for few images, micro-batches for little memory, settings that have an effect."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import List, Optional

import pytest

from ipu_app.config.asked import Asked, asked_keys, refuse_without_effect, sets_batch
from ipu_app.config.batches import TooFewImages, check_global_batch, micro_batches, smaller_batch
from ipu_app.config.load import load_config, recipe_path
from ipu_app.config.schema import AugmentConfig, BatchConfig, PhaseConfig, PipelineConfig, RunConfig
from ipu_app.models.spec import make_spec
from ipu_app.runtime.choose import DeviceChoice
from ipu_app.runtime.device_memory import free_memory_bytes, settle_autocast
from ipu_app.settling.fitting import (
    PROCESS_BYTES,
    bytes_per_image,
    conv_outputs,
    fit_to_images,
    fit_to_memory,
)
from ipu_app.settling.machine import Machine
from ipu_app.settling.phase_estimates import configured_spec
from pipelines.geometry import BatchGeometry

B0 = recipe_path("b0-g16-ln_pn-native")


def host(free_bytes: float = 16e9, device: str = "cpu") -> Machine:
    return Machine(DeviceChoice(device, "asked for"), free_bytes)


def recipe(*overrides: str, norm: str = "ln_pn") -> RunConfig:
    return load_config(B0, [f"model.norm={norm}", *overrides])


@pytest.mark.parametrize("num_images", [6, 29, 200, 767, 3000])
@pytest.mark.parametrize("instances, on_ipus", [(1, True), (2, True), (1, False)])
def test_a_small_batch_keeps_the_pipeline_full(num_images: int, instances: int, on_ipus: bool) -> None:
    phase = recipe().phases["train"]
    batch = smaller_batch(phase, num_images, instances=instances, on_ipus=on_ipus)
    if batch is None:
        assert num_images < 3 * 2 * instances
        return
    assert batch.global_batch <= num_images and batch.accumulation >= 3
    assert batch.replicas % instances == 0 or not on_ipus
    assert batch.torch_micro is not None and batch.global_batch % batch.torch_micro == 0
    if num_images >= 200:
        assert num_images // batch.global_batch >= 4 and batch.micro >= 8


def test_images_too_few_for_the_smallest_batch_leave_it() -> None:
    phase = recipe().phases["train"]
    assert smaller_batch(phase, 5, instances=1, on_ipus=True) is None  # mixed pairs x accumulation of 3
    fitted = fit_to_images(recipe(), 5, host())
    assert fitted.config == recipe() and fitted.lines == ()


def test_few_images_are_told_and_many_change_nothing() -> None:
    fitted = fit_to_images(recipe(), 29, host())
    assert fitted.config.phases["train"].batch.global_batch == 6
    (line,) = fitted.lines
    assert "29 images are few for steps of 768; phase train takes 6" in line
    assert fit_to_images(recipe(), 768, host()) == (recipe(), ())


def test_the_refusal_names_settings_that_do() -> None:
    phase = recipe().phases["train"]
    with pytest.raises(TooFewImages, match="takes 768 images .* there are only 29") as refusal:
        check_global_batch(BatchGeometry(24, 4, 8, 1, 1), 29, phase)
    words = str(refusal.value).split("--set ")[1:]
    assert refusal.value.num_images == 29 and len(words) == 4
    smaller = recipe(*(word.strip() for word in words)).phases["train"].batch
    assert smaller.global_batch <= 29


@pytest.mark.parametrize(
    "free_gb, micro", [(2.0, 6), (5.0, 24), (16.0, 96), (40.0, 192), (100.0, 384), (0.5, 2)]
)
def test_the_micro_batch_follows_the_free_memory(free_gb: float, micro: int) -> None:
    """Multiples of the published micro-batch of 24, in which images are mixed, or parts of it."""
    fitted = fit_to_memory(recipe(), host(free_gb * 1e9), Asked())
    batch = fitted.config.phases["train"].batch
    assert batch.torch_micro == micro and batch.global_batch == 768
    image = bytes_per_image(configured_spec(recipe().model), recipe().phases["train"], "off")
    assert (image * micro + PROCESS_BYTES <= free_gb * 1e9) == (free_gb > 1)
    said = " ".join(fitted.lines)
    if free_gb < 1:
        assert "warning: phase train: micro-batch 2 may not fit (estimated" in said
    else:
        assert ("estimated" in said) == (micro < 384)


def test_a_typed_micro_batch_stays_and_batch_norm_is_noted() -> None:
    asked = Asked(("phases.train.batch.torch_micro",))
    fitted = fit_to_memory(recipe(), host(4e9), asked)
    assert fitted.config.phases["train"].batch.torch_micro == 384
    assert "may not fit" in fitted.lines[0]
    lines = fit_to_memory(recipe(norm="bn"), host(16e9), Asked()).lines
    assert any("batch norm takes its statistics over micro-batches of" in line for line in lines)


def test_what_was_chosen_is_chosen_again() -> None:
    once = fit_to_memory(recipe(), host(16e9), Asked()).config
    assert once.device.autocast == "off"  # resolved: a resumed run asks no more
    assert fit_to_memory(once, host(64e9), Asked()) == (once, ())
    assert fit_to_memory(recipe(), host(1e9, "ipu"), Asked()) == (recipe(), ())


def test_the_estimate_is_near_what_was_measured() -> None:
    """100 MB an image was measured for B0 at 224 px in float32 on a CPU; Top alone takes a small part."""
    spec, phase = make_spec("b0", group_size=16, norm="ln_pn"), PhaseConfig("train")
    whole = bytes_per_image(spec, phase, "off")
    assert whole == pytest.approx(100e6, rel=0.05)
    assert bytes_per_image(spec, phase, "bfloat16") < 0.8 * whole
    assert bytes_per_image(spec, replace(phase, trainable="Top"), "off") < 0.2 * whole
    assert sum(conv_outputs(spec, 448).values()) == 4 * sum(conv_outputs(spec, 224).values())


@pytest.mark.parametrize(
    "autocast, device, meaning", [("auto", "cpu", "off"), ("float16", "cuda", "float16")]
)
def test_autocast_off_the_gpu_is_off_unless_asked_for(autocast: str, device: str, meaning: str) -> None:
    assert settle_autocast(autocast, device) == meaning


@pytest.mark.parametrize(
    "limit, used, cache, expected", [("max", "5", "0", 8e9), ("3000000000", "2500000000", "500000000", 1e9)]
)
def test_free_memory_is_that_of_the_container(
    tmp_path: Path, limit: str, used: str, cache: str, expected: float
) -> None:
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9000000 kB\nMemAvailable:    7812500 kB\n")
    for name, text in (("max", limit), ("current", used), ("stat", f"anon 1\ninactive_file {cache}")):
        (group / f"memory.{name}").write_text(text + "\n")
    assert free_memory_bytes("cpu", tmp_path) == expected


def test_micro_batches_of_several_instances() -> None:
    phase = PhaseConfig("train", batch=BatchConfig(8, 6, 2), augment=AugmentConfig(mixup_alpha=0.1))
    assert micro_batches(phase, 2, 96) == [48, 24, 16, 8, 6, 4, 3, 2]
    assert micro_batches(replace(phase, augment=AugmentConfig()), 2, 12) == [12, 8, 6, 4, 3, 2, 1]


@pytest.mark.parametrize(
    "words, device, requested, said",
    [
        (
            ["device.strict_memory=true", "device.ipu_model=true"],
            "cpu",
            "cpu",
            "--strict-memory, --ipu-model",
        ),
        (
            ["device.autocast=bfloat16", "device.compile=true"],
            "ipu",
            "ipu",
            "autocast, device.compile: no effect",
        ),
        (["phases[0].pipeline.splits=[x]"], "cuda", "auto", "phases.train.pipeline.splits"),
        (["phases.train.batch.torch_micro=2"], "ipu", "auto", "torch_micro: no effect on device ipu"),
        (["device.poptorch=sim"], "cpu", "cpu", "--poptorch"),
        (["device.poptorch=sim"], "cpu", "auto", None),
        (["device.autocast=off", "data.workers=1", "device.threads=2"], "cuda", "cuda", None),
        (["device.platform=bow", "device.threads=2"], "ipu", "ipu", None),
    ],
)
def test_settings_without_effect_are_refused(
    words: List[str], device: str, requested: str, said: Optional[str]
) -> None:
    asked = Asked(asked_keys(words, ["train"]))
    if said is None:
        refuse_without_effect(asked, device, requested)
        return
    with pytest.raises(ValueError) as refusal:
        refuse_without_effect(asked, device, requested)
    assert said in str(refusal.value)


def test_which_keys_are_a_batch_of_ones_own() -> None:
    assert sets_batch(asked_keys(["phases[0].batch.micro=3"], ["train"]))
    assert sets_batch(["phases.train.batch"]) and not sets_batch(["phases.train.batch.torch_micro"])
    assert Asked(("phases.train.batch",)).has("phases.train.batch.micro")


def test_a_pipeline_keeps_its_least_accumulation() -> None:
    pipeline = PipelineConfig(splits=("block2c", "block4c", "block6a"))
    phase = PhaseConfig("train", batch=BatchConfig(4, 48, 4), pipeline=pipeline)
    batch = smaller_batch(phase, 30, instances=1, on_ipus=True)
    assert batch is not None and (batch.accumulation, batch.global_batch) == (7, 7)
