"""Scaling on paper: real estimates of one model, their parts, their limits and how they are shown."""

from __future__ import annotations

import json

import pytest

from benchmarks.scaling.__main__ import Point, model_points, published_check, write_results
from ipu_app.models.layer_table import load_layer_table
from ipu_app.models.spec import make_spec
from pipelines.cost.hardware import ipu_target
from pipelines.estimate import estimate_plan

PODS = (16, 32, 64, 256)


@pytest.fixture(scope="module")
def points(environ):
    return model_points("b0", environ, platforms=["mk2"], pods=PODS)


def curve(points, kind):
    found = {point.ipus: point for point in points if point.kind == kind}
    assert tuple(found) == PODS
    return found


def made(points):
    return [point for point in points if point.estimate is not None]


def test_efficiency_begins_at_one_and_falls_as_ipus_are_added(points):
    assert 2 * len(PODS) < len(made(points)) < 3 * len(PODS)
    for kind in ("weak", "strong, same plan", "strong, planned anew"):
        shares = [point.efficiency for point in made(curve(points, kind).values())]
        assert shares[0] == 1.0 and all(0 < share <= 1 for share in shares)
        assert shares == sorted(shares, reverse=True) and (len(shares) == 1 or shares[-1] < 1)


def test_the_parts_are_the_whole_step_and_the_estimates_are_the_models(points, tables):
    layers = load_layer_table(make_spec("b0", group_size=16, norm="ln_pn"), cache=tables)
    for point in made(points):
        found = point.estimate
        assert estimate_plan(layers, found.plan, found.geometry, ipu_target("mk2")) == found
        assert found.plan.num_stages * found.geometry.total_replicas == point.ipus
        assert sum(point.parts_s.values()) == pytest.approx(found.step_s)
        assert min(point.parts_s.values()) >= 0 and point.parts_s["host link"] > 0
        assert point.parts_s["compute"] > 0.25 * found.step_s


def test_weak_scaling_keeps_the_accumulation_and_loses_to_the_all_reduce_alone(points):
    found = curve(points, "weak")
    base = found[16].estimate.geometry
    for ipus, point in found.items():
        geometry = point.estimate.geometry
        assert (geometry.micro_batch, geometry.accumulation) == (base.micro_batch, base.accumulation)
        assert geometry.samples_per_step == 768 * ipus // 16
        more_s = point.estimate.time.allreduce_s - found[16].estimate.time.allreduce_s
        assert point.estimate.step_s - found[16].estimate.step_s == pytest.approx(more_s)
    assert found[16].limit == "compute" and found[256].limit == "all-reduce"
    assert found[256].efficiency < 0.9 < found[64].efficiency


def test_strong_scaling_shrinks_the_accumulation_to_the_least_and_then_plans_anew(points):
    same, anew = curve(points, "strong, same plan"), curve(points, "strong, planned anew")
    least = same[16].estimate.plan.min_accumulation
    for ipus, point in same.items():
        accumulation = same[16].estimate.geometry.accumulation * 16 / ipus
        if accumulation % 1 or accumulation < least:
            would_be = (
                f"cannot be made: accumulation would be {accumulation:.3g}, this pipeline needs {least} "
            )
            assert point.estimate is None and point.limit.startswith(would_be)
        else:
            assert point.estimate.geometry.accumulation == accumulation
    assert same[256].estimate is None
    for ipus, point in anew.items():
        assert point.estimate.geometry.samples_per_step == 768
        if same[ipus].estimate is not None:
            assert point.estimate.images_per_s >= same[ipus].estimate.images_per_s
    assert anew[256].limit == "all-reduce"


def test_the_published_scaling_is_met(environ):
    check = published_check(environ)
    assert [row["ipus"] for row in check] == [16, 64, 256]
    for row in check:
        assert row["estimated_images_per_s"] == pytest.approx(row["published_images_per_s"], rel=0.08)


def test_tables_and_picture_label_everything_as_estimated(points, environ, tmp_path):
    check = published_check(environ)
    write_results(points, check, tmp_path)
    stored = json.loads((tmp_path / "scaling.json").read_text())
    assert stored["kind"] == "estimated" and len(stored["rows"]) == len(points)
    for row in stored["rows"]:
        if row["estimate"] is not None:
            low, high = row["range_images_per_s"]
            assert low < row["estimate"]["images_per_s"] < high
            assert row["estimate"]["kind"] == "estimated" and row["estimate"]["error_pct"] >= 5
    text = (tmp_path / "scaling.md").read_text()
    speed = f"{curve(points, 'weak')[256].estimate.images_per_s:,.0f} ±"
    for piece in ("*estimated*", "B0, weak scaling (estimated)", "cannot be made", speed, "117,641"):
        assert piece in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("| Mk2 |")}
    assert widths == {10, 13}
    assert (tmp_path / "scaling.png").read_bytes().startswith(b"\x89PNG")


def test_a_size_that_cannot_be_made_has_a_reason_and_no_figures():
    row = Point("b0", "mk2", "strong, same plan", 64, limit="cannot be made: x").to_dict()
    assert row["estimate"] is None and row["limit"] == "cannot be made: x" and "efficiency" not in row
