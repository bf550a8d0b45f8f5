"""How well the model predicts what was published, and that all published runs plan and fit."""

from __future__ import annotations

from collections import Counter

import pytest

from ipu_app.cli.planning import published_fit, published_layers
from ipu_app.config.load import load_config, recipe_path
from ipu_app.models.spec import make_spec
from ipu_app.settling.phase_estimates import phase_plan
from pipelines.cost.cycles import FITTED
from pipelines.cost.hardware import ipu_target, paper_target
from pipelines.estimate import estimate_plan, memory_rejections
from pipelines.fit import fit_report
from pipelines.geometry import BatchGeometry
from pipelines.plan import PipelinePlan
from pipelines.published import published_run, published_runs, published_throughputs


@pytest.fixture(scope="module")
def report(environ):
    return published_fit(environ)


def test_the_fit_is_as_good_as_it_says(report):
    assert len(report.rows) == 12
    assert report.mean_pct <= 3.5
    assert report.left_out_mean_pct <= 4.5
    assert report.left_out_worst_pct <= 15.0


def test_the_naive_baselines_are_worse(report):
    assert len(report.baselines) == 2
    for mean, left_out in report.baselines.values():
        assert mean > 2 * report.mean_pct and left_out > 1.5 * report.left_out_mean_pct


def test_the_constants_in_use_are_those_of_the_fit(report):
    assert FITTED.elementwise_factor == pytest.approx(report.calibration.elementwise_factor, rel=0.01)
    assert FITTED.compute_set_cycles == pytest.approx(report.calibration.compute_set_cycles, rel=0.01)


def test_the_expected_error_is_no_smaller_than_what_was_found(report, environ):
    run = published_run("b2-g16-gn-native")
    estimate = estimate_plan(published_layers(run, environ), run.plan, run.geometry, paper_target())
    assert estimate.error_pct >= report.left_out_mean_pct
    assert estimate.extrapolated == ()


def test_one_bow_row_calibrates_and_the_others_follow(environ):
    layers = published_layers(published_run("b4-g16-gn-native"), environ)
    plan = PipelinePlan.from_splits(["block4a"])
    rows = {row.devices: row.images_per_s for row in published_throughputs() if row.platform == "bow"}
    errors = {}
    for ipus, published in rows.items():
        instances = max(1, ipus // 64)
        replicas = ipus // 2
        geometry = BatchGeometry(3, 6144 // 3 // replicas, replicas // instances, 1, instances)
        estimate = estimate_plan(
            layers, plan, geometry, ipu_target("bow", framework="tf1"), precision="16.16"
        )
        errors[ipus] = 100 * (estimate.images_per_s / published - 1)
        assert estimate.extrapolated == ("sdk",) and abs(errors[ipus]) < estimate.error_pct
    assert sorted(errors) == [16, 64, 256]
    assert abs(errors[16]) < 0.2 and abs(errors[64]) < 2 and abs(errors[256]) <= 4


@pytest.mark.slow
def test_all_published_runs_plan_and_fit(environ):
    runs = published_runs()
    assert len(runs) == 30
    for run in runs.values():
        target = paper_target(run.available_memory_proportion)
        estimate = estimate_plan(
            published_layers(run, environ),
            run.plan,
            run.geometry,
            target,
            precision=run.precision,
            offload_optimizer=run.offload_optimizer,
        )
        assert memory_rejections(estimate) == ()
        assert max(estimate.memory_mb) > 300
        assert run.geometry.samples_per_step == 768
        assert estimate.extrapolated == ()


def test_a_fit_needs_several_model_sizes():
    with pytest.raises(ValueError, match="three model sizes"):
        fit_report([])


def test_published_rows_are_labelled_and_sourced():
    rows = published_throughputs()
    assert all(row.source and row.images_per_s > 0 for row in rows)
    runs = published_runs()
    fitted = [row for row in rows if row.platform == "mk2"]
    assert Counter(runs[row.case].group_size for row in fitted) == {1: 6, 16: 6}
    with pytest.raises(ValueError, match="run='b2-g16-gn': no such published run; nearest: b2-g16-gn-"):
        published_run("b2-g16-gn")


def test_the_recipes_are_the_published_runs():
    for run in published_runs().values():
        config = load_config(recipe_path(run.name))
        phase = next(iter(config.phases.values()))
        pipeline = phase.pipeline
        model = (config.model.name, config.model.group_size, config.model.norm)
        assert model == (run.model, run.group_size, run.norm)
        resolution = phase.resolution or make_spec(run.model).native_resolution
        assert (resolution, pipeline.precision) == (run.resolution, run.precision)
        batch = phase.batch
        assert (batch.micro, batch.accumulation, batch.replicas) == (
            run.micro_batch,
            run.accumulation,
            run.replicas,
        )
        assert phase_plan(phase) == run.plan
        # published per pass, configured per IPU: the mean is the same
        targets = [
            ipu_target("mk2", available_memory_proportion=proportions)
            for proportions in (pipeline.available_memory_proportion, run.available_memory_proportion)
        ]
        assert targets[0].conv_slowdown == pytest.approx(targets[1].conv_slowdown)
        assert pipeline.offload_optimizer == run.offload_optimizer
