"""Cases in processes of their own: measured, or told why not."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

from benchmarks.__main__ import main
from benchmarks.cases import Case, Group
from benchmarks.keeper import Keeper
from benchmarks.machine import describe_machine
from benchmarks.measure import measure_group
from benchmarks.results import add_suite, read_results, rows_of
from benchmarks.suites import Bench, Row, Suite, chosen_suites
from benchmarks.sweep import best_setting
from benchmarks.workers import CaseFailed, Worker

TINY = Case(resolution=32, batch=2, group_size=16, norm="gn", expand_ratio=4.0)

pytestmark = pytest.mark.processes


def measured(cases: List[Case], installed: Any = ("ours", "torchvision")) -> Dict[str, Dict[str, Any]]:
    bench = Bench("cpu", 1, say=lambda line: None)
    group = Group("tiny", tuple(cases), rounds=2)
    rows = measure_group(group, bench.make_worker, installed=installed, say=lambda line: None)
    return {row["case"]: row for row in rows}


def test_training_and_inference_are_measured() -> None:
    cases = [TINY, replace(TINY, mode="infer"), replace(TINY, library="torchvision", group_size=1, norm="bn")]
    rows = measured(cases)
    for case in cases:
        row = rows[case.name]
        assert row["images_per_s"]["repeats"] == len(row["seconds"]) == 2
        assert row["images_per_s"]["median"] > 0 and row["first_step_s"] > 0 and row["peak_memory_mb"] > 0
    assert rows[TINY.name]["parameters"] > 1e6
    assert multiprocessing.active_children() == []


def test_what_fails_or_is_absent_leaves_the_others_alone() -> None:
    bad = replace(TINY, norm="no such norm")
    absent = replace(TINY, library="timm", group_size=1, norm="bn")
    rows = measured([TINY, replace(TINY, batch=-1), absent])
    assert "images_per_s" in rows[TINY.name]
    assert "not_measured" in rows[replace(TINY, batch=-1).name]
    assert rows[absent.name]["not_measured"] == "timm is not installed"
    worker = Worker(bad, device="cpu", threads=1)
    with pytest.raises(CaseFailed, match="norm='no such norm'"):
        worker.first_step()
    worker.close()


class Modelled:
    """A GPU on paper: images/s by batch and way of compiling; more than 256 images do not fit."""

    RATES = {
        "": {32: 100.0, 64: 180.0, 128: 300.0, 256: 305.0},
        "default": {128: 400.0},
        "reduce-overhead": {},
    }

    def __init__(self, case: Case) -> None:
        self.case = case

    def first_step(self) -> None:
        if self.case.batch not in self.RATES[self.case.compile]:
            raise CaseFailed("out of memory")

    def turn(self) -> float:
        return self.case.batch / self.RATES[self.case.compile][self.case.batch]

    def peak_memory_mb(self) -> float:
        return 10.0 * self.case.batch

    def close(self) -> None:
        pass


def test_the_sweep_stops_where_a_larger_batch_gives_nothing() -> None:
    said: List[str] = []
    best = best_setting(TINY, Modelled, said.append)  # type: ignore[arg-type]
    assert (best.batch, best.compile) == (128, "default")
    assert len(said) == 4 + 2 and "out of memory" in said[-1]


def test_the_sweep_halves_a_first_batch_that_does_not_fit() -> None:
    class Small(Modelled):
        RATES = {"": {8: 50.0, 16: 60.0}, "default": {}, "reduce-overhead": {}}

    best = best_setting(replace(TINY, batch=32), Small, lambda line: None)  # type: ignore[arg-type]
    assert (best.batch, best.compile) == (16, "")


def tiny_suite(measured_groups: List[str]) -> Suite:
    def measure(bench: Bench) -> List[Row]:
        def groups() -> Iterator[Group]:
            for name in ("one", "two"):
                if not bench.holds(name, TINY):
                    measured_groups.append(name)
                if name == "two" and len(measured_groups) == 2:
                    raise RuntimeError("the lease is over")
                yield Group(name, (TINY,), rounds=1)

        return bench.measure_groups(groups())

    return Suite("tiny", "one small network twice", measure)


def test_a_run_that_ended_early_is_continued(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, asked = tmp_path / "here.json", []  # type: ignore[var-annotated]
    bench = Bench("cpu", 1, say=lambda line: None)
    suite = tiny_suite(asked)
    assert not Keeper(path, "here", bench).run(suite)
    assert "tiny failed: RuntimeError: the lease is over" in capsys.readouterr().err
    assert [row["group"] for row in rows_of(read_results(path), "tiny")] == ["one"]
    before = rows_of(read_results(path), "tiny")[0]
    assert Keeper(path, "here", bench, missing_only=True).run(suite)
    rows = rows_of(read_results(path), "tiny")
    assert [row["group"] for row in rows] == ["one", "two"] and rows[0] == before
    assert asked == ["one", "two", "two"]


def test_an_early_end_leaves_whole_results_alone(tmp_path: Path) -> None:
    path, bench = tmp_path / "here.json", Bench("cpu", 1, say=lambda line: None)
    section = {"machine": describe_machine(), "rows": [{"group": "whole", "kind": "measured"}]}
    add_suite(path, "here", "tiny", section)
    assert not Keeper(path, "here", bench).run(tiny_suite([]))
    assert [row["group"] for row in rows_of(read_results(path), "tiny")] == ["whole"]


def test_only_results_of_the_same_versions_are_continued(tmp_path: Path) -> None:
    path, bench = tmp_path / "here.json", Bench("cpu", 1, say=lambda line: None)
    other = {**describe_machine(), "versions": {"torch": "0.1"}}
    section = {"machine": other, "rows": [{"kind": "measured"}]}
    add_suite(path, "here", "tiny", section)
    with pytest.raises(ValueError, match="--missing: tiny was measured with versions {'torch': '0.1'}"):
        Keeper(path, "here", bench, missing_only=True).run(tiny_suite([]))


def test_unknown_suites_and_devices_are_refused() -> None:
    with pytest.raises(ValueError, match="SUITE=nothing: choose from startup, bars"):
        chosen_suites(["nothing"], "cpu")
    with pytest.raises(ValueError, match="SUITE=bars: measures on cpu, not on cuda"):
        chosen_suites(["bars"], "cuda")
    assert "compiled" not in [suite.name for suite in chosen_suites([], "cpu")]
    with pytest.raises(ValueError, match="--threads=0"):
        main(["--threads", "0"])


def test_a_report_without_results_is_refused(tmp_path: Any) -> None:
    with pytest.raises(ValueError, match="no results"):
        main(["--report-only", "--device", "cpu", "--out", str(tmp_path)])
