"""From rows to claims, tables and the page, whatever was or was not measured."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, Dict, List

import pytest

from benchmarks.measure.cases import CPU_BATCHES, Case, bar_groups, network_groups, others
from benchmarks.measure.host_facts import describe_machine, host_kind
from benchmarks.measure.networks import MAKERS
from benchmarks.measure.results import add_suite, gpu_results, read_results, results_path
from benchmarks.published.paper import paper_row, published_accuracies
from benchmarks.report.claims import BARS, bar_rows
from benchmarks.report.ipu_estimates import borrowed_plan, fit_note
from benchmarks.report.network_tables import (
    Beside,
    grid_table,
    networks_table,
    pods_table,
    published_cells,
    recipe_table,
)
from benchmarks.report.page import write_report
from benchmarks.report.paper_plot import published_points
from benchmarks.report.table import NOT_MEASURED
from benchmarks.report.tables import bars_table, loader_table, paper_table, published_table
from ipu_app.cli.planning import published_fit
from pipelines.published import published_runs, published_throughputs

MACHINE = {
    "cpu": "a processor",
    "cores": 2,
    "load_average": [0.1, 0.1, 0.1],
    "date": "2026-01-01",
    "versions": {"torch": "2.0"},
}


def measured(case: Case, seconds: List[float]) -> Dict[str, Any]:
    rates = [case.batch / value for value in seconds]
    spread = {"median": rates[0], "low": min(rates), "high": max(rates), "repeats": len(rates)}
    facts = {"kind": "measured", "first_step_s": 1.0, "peak_memory_mb": 10, "seconds": seconds}
    return {"group": "g", **case.to_dict(), **facts, "images_per_s": spread}


def results_with(rows: List[Dict[str, Any]], suite: str = "bars") -> Dict[str, Any]:
    section = {"machine": MACHINE, "threads": 2, "command": "c", "seconds": 1.0, "rows": rows}
    return {"host": "cpu-2core", "suites": {suite: section}}


def bars_by_claim(results: Dict[str, Any]) -> Dict[str, Dict[str, Any]]:
    return {row["claim"]: row for row in bar_rows(results["suites"])}


def test_the_first_claim_compares_with_the_faster_of_the_others() -> None:
    plain, timm, torchvision = bar_groups()[0].cases[:3]
    rows = [measured(plain, [1.0, 1.0]), measured(timm, [1.5, 1.5]), measured(torchvision, [1.2, 1.2])]
    row = bars_by_claim(results_with(rows))[BARS[0].claim]
    assert row["found"]["median"] == pytest.approx(1.2) and row["met"] is True
    slow = [measured(plain, [1.3, 1.3]), *rows[1:]]
    assert bars_by_claim(results_with(slow))[BARS[0].claim]["met"] is False


def test_the_cost_of_proxy_norm_is_over_group_norm() -> None:
    cases = {(case.norm, case.proxy_rule): case for case in bar_groups()[0].cases if case.group_size == 16}
    rows = [
        measured(cases["gn", "quadrature"], [1.0]),
        measured(cases["ln_pn", "quadrature"], [1.1]),
        measured(cases["ln_pn", "quantile200"], [1.4]),
    ]
    found = [row for row in bar_rows(results_with(rows)["suites"]) if "eager" in row["claim"]]
    assert [row["found"]["median"] for row in found] == [1.1, 1.4]
    assert [row["met"] for row in found] == [True, None]  # the original's rule is shown, not judged


def test_every_claim_finds_its_rows_in_its_suite() -> None:
    """The settings that the claims look for are those that the groups measure."""
    rows = [measured(case, [1.0]) for group in bar_groups() for case in group.cases]
    wanted = [bar for bar in BARS if bar.suite == "bars"]
    assert len(wanted) == 7
    assert all(bar.measure(rows) is not None for bar in wanted)


def test_what_was_not_measured_says_so() -> None:
    results = results_with([])
    assert {row["kind"] for row in bar_rows(results["suites"])} == {"not measured"}
    table = bars_table(results)
    assert {(row[1], row[2]) for row in table.rows} == {("-", NOT_MEASURED)}
    assert table.head[:3] == ["claim", "met", "found"] and table.cards


def test_every_claim_is_understood_by_itself() -> None:
    claims = [bar.claim for bar in BARS]
    assert len(set(claims)) == len(claims)
    assert not [claim for claim in claims if claim.startswith("the same")]


def test_an_absent_library_is_a_cell_that_says_so() -> None:
    case = Case(batch=8, resolution=224)
    timm, torchvision = others(case)
    absent = {"group": "g", "kind": "measured", **timm.to_dict(), "not_measured": "timm is not installed"}
    rows = [measured(case, [0.5]), absent, measured(torchvision, [1.0])]
    (line,) = networks_table(results_with(rows, "networks")).rows
    one_round = ["16.0 [16.0 to 16.0]", "8.00 [8.00 to 8.00]"]
    assert line[:5] == ["B0 G1 BN", "224", *one_round, "timm is not installed"]


def test_brackets_are_the_range_of_few_rounds_and_the_quartiles_of_many() -> None:
    case = Case(batch=8, resolution=224)
    few = {**measured(case, [0.5, 0.4, 1.0]), "starts": 3}
    table = networks_table(results_with([few], "networks"))
    assert table.rows[0][2] == "16.0 [8.00 to 20.0]"
    assert "the range of 3 rounds in 3 starts of the process" in table.note
    spread = {"median": 16.0, "low": 15.0, "high": 17.0, "repeats": 8}
    many = {**measured(case, [0.5, 0.4, *[0.5] * 6]), "images_per_s": spread, "starts": 2}
    table = networks_table(results_with([many], "networks"))
    assert table.rows[0][2] == "16.0 [15.0 to 17.0]"
    assert "the quartiles of 8 rounds in 2 starts of the process" in table.note


def test_gpu_cells_come_from_a_gpu_file_only(tmp_path: Path) -> None:
    assert gpu_results(tmp_path) is None
    case = Case(batch=8, resolution=224)
    rows = results_with([measured(case, [0.5])], "networks")
    estimate = {"model": "b0", "group_size": 1, "norm": "bn", "resolution": 224}
    for platform in ("mk2", "bow"):
        estimate[f"{platform}_images_per_s"] = 3200.0
    (line,) = pods_table(rows, Beside.of([estimate], None, {})).rows
    assert line == ["B0 G1 BN", "224", "3200 est.", "3200 est.", NOT_MEASURED, NOT_MEASURED]
    on_gpu = copy.deepcopy(rows)
    on_gpu["host"] = "h100"
    on_gpu["suites"]["networks"]["machine"]["gpu"] = "NVIDIA H100"
    (line,) = pods_table(rows, Beside.of([estimate], on_gpu, {})).rows
    assert line[-2:] == ["16", "200.0"]
    add_suite(results_path("h100", tmp_path), "h100", "networks", on_gpu["suites"]["networks"])
    add_suite(results_path("cpu-2core", tmp_path), "cpu-2core", "networks", rows["suites"]["networks"])
    assert gpu_results(tmp_path)["host"] == "h100"
    assert write_report(on_gpu, tmp_path).name == "h100-report.html"


def b0_rows() -> List[Dict[str, Any]]:
    (group,) = [group for group in network_groups(batches={"b0": 8}) if group.name == "B0: training"]
    seconds = [[2.0] if case.group_size == 1 else [1.0] for case in group.cases]
    return [{**measured(*pair), "group": group.name} for pair in zip(group.cases, seconds)]


def test_the_grid_is_relative_to_groups_of_1_with_batch_norm() -> None:
    lines = grid_table(results_with(b0_rows(), "networks")).rows
    assert {line[0]: line[2] for line in lines}["B0 G16 LN+PN"] == "2.00"
    assert len(lines) == 16
    elsewhere = [{**row, "group": "alone"} if row["norm"] == "gn" else row for row in b0_rows()]
    lines = grid_table(results_with(elsewhere, "networks")).rows
    assert {line[0]: line[2] for line in lines}["B0 G16 GN"] == "-", "no ratio without common rounds"


def test_a_cell_is_measured_once_and_has_one_value() -> None:
    for group in network_groups(batches=CPU_BATCHES):
        assert len(set(group.cases)) == len(group.cases)
        assert group.starts > 1 or {case.mode for case in group.cases} == {"infer"}
    cells = [case for group in network_groups(batches=CPU_BATCHES) for case in group.cases]
    assert len(set(cells)) == len(cells)
    results = results_with(b0_rows(), "networks")
    grid = {line[0]: line[1] for line in grid_table(results).rows}
    beside = {line[0]: line[2] for line in networks_table(results).rows if line[1] == "224"}
    assert beside == {name: grid[name] for name in ("B0 G1 BN", "B0 G16 LN+PN")}


def test_as_trained_stands_beside_the_plain_step() -> None:
    rows = b0_rows()
    for row in rows:
        if row["mode"] == "recipe":
            row["seconds"] = [1.25]
    (line,) = recipe_table(results_with(rows, "networks")).rows
    assert line[:3] == ["B0 G16 LN+PN", "8", "fp32"] and line[4] == "0.80"


def test_estimates_say_how_wrong_they_are_and_on_what(tmp_path: Path) -> None:
    fit, note = published_fit({"XDG_CACHE_HOME": str(tmp_path)}), fit_note()
    for error in (fit.mean_pct, fit.worst_pct, fit.left_out_mean_pct, fit.left_out_worst_pct):
        assert f"{error:.1f} %" in note
    assert f"fitted to the {len(fit.rows)} published rows" in note
    row = paper_row(published_runs()["b1-g16-gn-native"], {"XDG_CACHE_HOME": str(tmp_path)})
    table = paper_table([row], note)
    assert table.below == note and not [cell for cell in table.rows[0] if "±" in cell]
    assert table.rows[0][3] == f"{row['estimated_images_per_s']:.0f} est."
    assert table.rows[0][6] == ", ".join(str(value) for value in row["estimated_mb_per_ipu"])
    assert published_points([row, {**row, "published_images_per_s": None}]) == [row]


def test_every_published_figure_links_to_its_source() -> None:
    rows = published_table(published_throughputs()).rows
    assert rows and all(": https://" in line[-1] for line in rows)


def test_the_loader_table_says_what_is_not_installed() -> None:
    spread = {"median": 100.0, "low": 90.0, "high": 110.0, "repeats": 3}
    own = {"case": "loader", "kind": "measured", "images": "40 JPEGs", "images_per_s_per_core": spread}
    own.update(times_torchvision=None, share_of_bare_decode=spread)
    absent = {"case": "torchvision", "kind": "not measured", "not_measured": "torchvision is not installed"}
    table = loader_table([own, absent])
    assert table.rows[0] == ["loader", "100", "-", "10000%"]
    assert table.rows[1] == ["torchvision", "torchvision is not installed", "-", "-"]
    assert "40 JPEGs" in table.note
    found = bars_by_claim(results_with([own, absent], "loader"))
    loader = [row for claim, row in found.items() if "image loader" in claim]
    assert [row["met"] for row in loader] == [None, True]


def test_results_keep_the_other_suites(tmp_path: Path) -> None:
    path = results_path("cpu-2core", tmp_path)
    section = results_with([])["suites"]["bars"]
    add_suite(path, "cpu-2core", "bars", {**section, "seconds": 5})
    add_suite(path, "cpu-2core", "loader", section)
    results = add_suite(path, "cpu-2core", "bars", {**section, "seconds": 7})
    assert results == read_results(path)
    assert {name: part["seconds"] for name, part in results["suites"].items()} == {"bars": 7, "loader": 1.0}
    assert [each.name for each in tmp_path.iterdir()] == ["cpu-2core.json"]


def test_page_stands_alone(tmp_path: Path) -> None:
    rows = [measured(case, [0.5]) for group in network_groups(batches={"b0": 8})[:2] for case in group.cases]
    page = write_report(results_with(rows, "networks"), tmp_path).read_text(encoding="utf-8")
    assert "data:image/png;base64," in page and 'src="http' not in page
    assert "NVIDIA DeepLearningExamples" in page and "not measured" in page


def test_published_cells_hold_single_gpus_and_pod16s() -> None:
    cells = published_cells()
    assert cells["b0", 1, "bn", 224] == {"a100-80gb": 2489, "v100-16gb": 1301, "rtx-3090": 1751.72}
    assert cells["b4", 16, "gn", 380] == {"mk2": 4660, "bow": 8936}


def test_network_groups_cover_what_the_suite_promises() -> None:
    cases = [case for group in network_groups(batches=CPU_BATCHES) for case in group.cases]
    assert {case.model for case in cases} == {"b0", "b1", "b2", "b3", "b4", "b5", "v2-b0", "v2-s"}
    assert {case.library for case in cases if case.model == "v2-b0"} == {"ours", "timm"}  # no other has it
    assert {(case.group_size, case.norm) for case in cases if case.model == "v2-s"} == {
        (1, "bn"), (16, "gn"), (16, "ln_pn")
    }  # fmt: skip
    assert {(case.group_size, case.norm) for case in cases if case.model == "b0"} >= {
        (group, norm) for group in (1, 4, 16, 64) for norm in ("bn", "gn", "ln", "ln_pn")
    }
    assert {case.library for case in cases} == {"ours", "timm", "torchvision"}
    assert {case.mode for case in cases} == {"train", "infer", "recipe"}


def test_cells_that_nobody_published_borrow_a_recipes_plan(tmp_path: Path) -> None:
    borrowed = borrowed_plan("v2-s", 16, "gn", 128)
    assert borrowed.name == "v2-s-g16-gn-native" and borrowed.geometry.samples_per_step == 4096
    assert borrowed_plan("b4", 16, "gn", 380).name == "b4-g16-gn-native"


@pytest.mark.parametrize("library", ["ours", "timm", "torchvision"])
def test_networks_of_version_2_are_the_same_in_every_library(library: str) -> None:
    pytest.importorskip(library if library != "ours" else "torch")
    network = MAKERS[library](Case("v2-s", library=library))
    assert sum(parameter.numel() for parameter in network.parameters()) == 21458488


def test_paper_rows_join_what_was_published_with_estimates(tmp_path: Path) -> None:
    accuracies = published_accuracies()
    assert set(accuracies) == set(published_runs())
    run = published_runs()["b0-g16-gn-native"]
    row = paper_row(run, {"XDG_CACHE_HOME": str(tmp_path)})
    assert (row["published_top1_pct"], row["published_images_per_s"]) == (79.09, 29700)
    assert abs(row["estimated_images_per_s"] / 29700 - 1) < 0.15
    assert row["estimated_best_images_per_s"] >= row["estimated_images_per_s"]


def test_host_kinds() -> None:
    assert host_kind({"cores": 2}) == "cpu-2core"
    assert host_kind({"cores": 16, "gpu": "NVIDIA H100 80GB HBM3"}) == "h100"
    assert host_kind({"cores": 16, "gpu": "NVIDIA H200"}) == "h200"
    assert host_kind({"cores": 16, "gpu": "NVIDIA GeForce RTX 4090"}) == "nvidia-geforce-rtx-4090"
    assert json.dumps(describe_machine())
