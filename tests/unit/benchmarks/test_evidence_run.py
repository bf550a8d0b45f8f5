"""The whole program in miniature, and the committed results against what the code says of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.evidence.__main__ import main
from benchmarks.evidence.jobs import Job, run_jobs
from benchmarks.evidence.page_text import to_markdown
from benchmarks.evidence.parts import PARTS
from benchmarks.evidence.power import PowerCase
from benchmarks.evidence.settings import FULL, QUICK
from benchmarks.evidence.training import Stretch, TrainingCase, make_runtime, train
from benchmarks.measure.results import FOLDER

TINY = TrainingCase(
    net="short",
    options={"norm": "ln", "strides": (2, 2), "width": 0.5},
    seed=0,
    stretches=(Stretch(1, 32, 1e-3, (32,)), Stretch(1, 64, 1e-3, (64,), trainable="Top", after=0)),
    images=8,
    test_images=10,
    micro_batch=2,
    global_batch=4,
)


def silent(text):
    pass


def test_the_tiny_run_writes_everything(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    arguments = ["--quick", "--out", str(tmp_path), "--workers", "0", "--only", "micro_batch,power"]
    assert main(arguments) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "evidence.json",
        "evidence.md",
        "evidence_micro_batch.png",
        "evidence_power.png",
    ]
    record = json.loads((tmp_path / "evidence.json").read_text(encoding="utf-8"))
    assert record["kind"] == "measured" and record["settings"]["seeds"] == list(QUICK.seeds)
    assert list(record["parts"]) == ["power", "micro_batch"]
    assert len(record["parts"]["micro_batch"]["rows"]) == 4 * 2
    page = (tmp_path / "evidence.md").read_text(encoding="utf-8")
    printed = capsys.readouterr().out
    for sentence in (said for part in record["parts"].values() for said in part["sentences"]):
        assert sentence in page and sentence in printed
    assert page.count("![") == 2


@pytest.mark.parametrize("name", ["group_size", "half_resolution", "progressive"])
def test_parts_with_timing_run(name, tmp_path):
    pytest.importorskip("matplotlib")
    assert main(["--quick", "--out", str(tmp_path), "--workers", "0", "--only", name]) == 0
    part = json.loads((tmp_path / "evidence.json").read_text(encoding="utf-8"))["parts"][name]
    assert part["timing"] or name == "progressive"  # whose trainings tell their own time
    assert part["sentences"] and (tmp_path / f"evidence_{name}.png").stat().st_size > 9000


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--only", "speed"], "--only=speed: choose from power, micro_batch"),
        (["--quick"], "--out: needed with --quick"),
        (["--only", "power"], "--out: needed with"),
        (["--workers", "-1"], "--workers=-1: must be"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(arguments, message, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


@pytest.mark.processes
def test_processes_do_not_change_a_result():
    jobs = [
        Job(
            {"net": "random", "seed": seed},
            PowerCase("random", "ln_pn", seed, 4, 8, depth=2, width=8),
            3 - seed,
        )
        for seed in (0, 1)
    ] + [Job({"net": "short"}, replace(TINY, stretches=TINY.stretches[:1]))]
    found = [run_jobs(jobs, workers, silent) for workers in (0, 2)]
    for row in (*found[0], *found[1]):
        assert row.pop("cpu_s") >= 0
    assert found[0] == found[1] and [row.get("seed") for row in found[0]] == [0, 1, None]


def test_a_stretch_starts_from_an_earlier_ones_end_and_trains_only_what_it_says():
    first, tuned = train(TINY)
    assert [test["resolution"] for test in (*first["tests"], *tuned["tests"])] == [32, 64]
    assert first["tests"][0]["images"] == 10 and len(tuned["train_losses"]) == 1
    runtime = make_runtime(TINY, TINY.stretches[1])
    learning = {
        name.split(".")[1] for name, p in runtime._train_graph.model.named_parameters() if p.requires_grad
    }
    assert learning == {"Top"}


def test_the_micro_batch_changes_batch_norm_only():
    for norm, is_same in (("ln", True), ("bn", False)):
        losses = []
        for micro in (2, 4):
            options = {**TINY.options, "norm": norm}
            case = TrainingCase("short", options, 0, TINY.stretches[:1], 8, 10, micro, 4)
            losses.append(train(case)[0]["train_losses"][0])
        assert (losses[0] == pytest.approx(losses[1], abs=1e-4)) is is_same


@pytest.mark.skipif(not (FOLDER / "evidence.json").is_file(), reason="no results yet")
def test_committed_sentences_follow_from_the_committed_values():
    record = json.loads((FOLDER / "evidence.json").read_text(encoding="utf-8"))
    measured = [name for name in PARTS if name in record["parts"]]
    assert list(record["parts"]) == measured and len(PARTS) - len(measured) <= 1  # the newest part may wait
    for name, part in record["parts"].items():
        assert part["sentences"] == PARTS[name].sentences(part["rows"], part["timing"], FULL)
        assert Path(FOLDER / f"evidence_{name}.png").is_file()
    assert (FOLDER / "evidence.md").read_text(encoding="utf-8") == to_markdown(record, FULL)
