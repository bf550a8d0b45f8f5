"""Cases in processes of their own: measured, or told why not."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

from benchmarks.__main__ import main
from benchmarks.keeper import Keeper
from benchmarks.measure.as_trained import make_recipe_step
from benchmarks.measure.cases import Case, Group, cell_of
from benchmarks.measure.groups import measure_group
from benchmarks.measure.host_facts import describe_machine
from benchmarks.measure.results import add_suite, read_results, rows_of
from benchmarks.measure.sweep import best_setting, swept_groups
from benchmarks.measure.workers import CaseFailed, Worker
from benchmarks.suites import Bench, Row, Suite, chosen_models, chosen_suites

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
    LAYOUTS = {"channels_last": 1.0, "contiguous": 0.5}

    def __init__(self, case: Case) -> None:
        self.case = case

    def first_step(self) -> None:
        if self.case.batch not in self.RATES[self.case.compile]:
            raise CaseFailed("out of memory")

    def turn(self) -> float:
        rate = self.RATES[self.case.compile][self.case.batch]
        return self.case.batch / (rate * self.LAYOUTS[self.case.layout])

    def peak_memory_mb(self) -> float:
        return 10.0 * self.case.batch

    def close(self) -> None:
        pass


def test_the_sweep_stops_where_a_larger_batch_gives_nothing() -> None:
    said: List[str] = []
    best = best_setting(TINY, Modelled, said.append)  # type: ignore[arg-type]
    assert (best.batch, best.compile) == (128, "default")
    assert best.layout == "channels_last"
    assert len(said) == 4 + 1 + 2 and "out of memory" in said[-1]


def test_the_sweep_halves_a_first_batch_that_does_not_fit() -> None:
    class Small(Modelled):
        RATES = {"": {8: 50.0, 16: 60.0}, "default": {}, "reduce-overhead": {}}

    best = best_setting(replace(TINY, batch=32), Small, lambda line: None)  # type: ignore[arg-type]
    assert (best.batch, best.compile) == (16, "")


def test_the_sweep_keeps_the_layout_that_wins_and_compiles_that() -> None:
    class Contiguous(Modelled):
        LAYOUTS = {"channels_last": 1.0, "contiguous": 1.3}

    said: List[str] = []
    best = best_setting(TINY, Contiguous, said.append)  # type: ignore[arg-type]
    assert (best.batch, best.layout, best.compile) == (128, "contiguous", "default")
    assert "contiguous" in best.name and best.name != replace(best, layout="channels_last").name


def test_only_the_models_asked_for_are_swept() -> None:
    none = swept_groups(Modelled, print, installed=(), skip=lambda *case: False, models=("b1",))
    assert {group.name for group in none} == {"B1: training", "B1: inference"}
    assert chosen_models([]) == () and chosen_models(["b4", "b0"]) == ("b4", "b0")
    with pytest.raises(ValueError, match="--models=b9: choose from b0, b1"):
        main(["--models", "b9"])


@pytest.mark.parametrize("keep_early", (True, False))
def test_a_spent_budget_ends_between_cases(
    keep_early: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, asked = tmp_path / "here.json", []  # type: ignore[var-annotated]
    whole = {"group": "whole", "kind": "measured", **TINY.to_dict()}
    add_suite(path, "here", "tiny", {"machine": describe_machine(), "rows": [whole]})
    bench = Bench("cpu", 1, say=lambda line: None, is_over=lambda: bool(asked))
    assert not Keeper(path, "here", bench, keep_early=keep_early).run(tiny_suite(asked))
    assert asked == ["one"], "the second group is not even begun"
    assert "--missing continues" in capsys.readouterr().err
    groups = [row["group"] for row in rows_of(read_results(path), "tiny")]
    assert groups == (["one"] if keep_early else ["whole"])


def test_rows_of_models_not_asked_for_stay(tmp_path: Path) -> None:
    path = tmp_path / "here.json"
    other = {"group": "B4: training", "kind": "measured", **replace(TINY, model="b4").to_dict()}
    add_suite(path, "here", "tiny", {"machine": describe_machine(), "rows": [other]})
    bench = Bench("cpu", 1, say=lambda line: None, models=("b0",))
    measured_groups = ["not the second time"] * 2
    assert Keeper(path, "here", bench).run(tiny_suite(measured_groups))
    groups = [row["group"] for row in rows_of(read_results(path), "tiny")]
    assert groups == ["B4: training", "one", "two"]


def test_the_application_trains_as_its_recipe_says() -> None:
    case = replace(TINY, mode="recipe", norm="ln_pn")
    step = make_recipe_step(case, "cpu")
    step()
    (row,) = measured([case]).values()
    assert row["images_per_s"]["median"] > 0 and row["mode"] == "recipe"
    with pytest.raises(ValueError, match="compile=reduce-overhead"):
        make_recipe_step(replace(case, compile="reduce-overhead"), "cpu")


def test_layouts_change_the_memory_and_not_the_case() -> None:
    rows = measured([TINY, replace(TINY, layout="contiguous")])
    assert len(rows) == 2 and all("seconds" in row for row in rows.values())
    cells = {cell_of("g", row) for row in rows.values()}
    assert len(cells) == 1, "a layout is a way to the figure, not another figure"


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
    with pytest.raises(ValueError, match="--budget=0"):
        main(["--budget", "0"])


def test_a_first_run_that_fails_does_not_ask_for_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A time that is over at once stands for a suite that could not be measured."""
    words = ["--suite", "planning", "--device", "cpu", "--out", str(tmp_path), "--budget", "1e-9"]
    assert main(words) == 1
    error = capsys.readouterr().err
    assert "not measured, or not all: planning" in error and "no results" not in error
