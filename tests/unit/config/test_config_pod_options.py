"""The ``ipu`` section: what it refuses, and the later recipes for PopTorch that use it."""

from __future__ import annotations

import pytest

from ipu_app.config.load import load_config, recipe_path
from ipu_app.settling.phase_estimates import phase_plan
from pipelines.known_runs import KNOWN_RUNS


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("ipu.io_tiles=31", "must be 0, or an even number 32 to 192"),
        ("ipu.io_tiles=33", "must be 0, or an even number 32 to 192"),
        ("ipu.recompute=some", "auto, off, standard"),
        ("ipu.exchange_target=speed", "cycles, balanced, memory"),
        ("ipu.prefetch_depth=0", "prefetch_depth"),
        ("ipu.attach_timeout_s=-1", "must be 0 or more"),
        ("ipu.offline_version=3", "choose one of 2 .*, 21"),
        ("ipu.engine=[a]", "must be key=value"),
        ("ipu.popart=[a=1, a=2]", "a stands twice"),
        ("ipu.fast_group_norm=true", "set model.norm_grouping=strided"),
    ],
)
def test_what_poptorch_would_refuse_is_named(setting, message):
    with pytest.raises(ValueError, match=message):
        load_config(None, [setting])


def test_overlapped_io_is_refused_with_a_pipeline_and_checkpoints_without_recomputation():
    pipeline = ["phases.train.pipeline.splits=[block3a]", "phases.train.batch.accumulation=4"]
    with pytest.raises(ValueError, match="without a pipeline only; phases.train.pipeline.splits make 2"):
        load_config(None, ["ipu.io_tiles=32", *pipeline])
    with pytest.raises(ValueError, match="has no effect with ipu.recompute=off"):
        load_config(None, ["ipu.checkpoints=[block1a]", "ipu.recompute=off"])


def test_values_for_popart_have_the_type_that_they_look_like():
    config = load_config(None, ["ipu.popart=[a=true, b=3, c=0.5, d=word]", "ipu.engine=[x.y=3]"])
    assert config.ipu.popart_options == {"a": True, "b": 3, "c": 0.5, "d": "word"}
    assert config.ipu.engine_options == {"x.y": "3"}


@pytest.mark.parametrize("name", ["b0-g16-gn-poptorch", "b4-g16-gn-poptorch", "b4-g1-gn-poptorch"])
def test_the_later_recipes_are_the_configurations_known_to_run(name):
    config = load_config(recipe_path(name))
    phase = config.phases["train"]
    batch = (phase.batch.micro, phase.batch.accumulation, phase.batch.replicas)
    known = [
        run
        for run in KNOWN_RUNS
        if (run.model, run.group_size, run.factors) == (config.model.name, config.model.group_size, batch)
    ]
    assert len(known) == 1 and known[0].sdk == "3"
    assert phase_plan(phase) == known[0].plan and phase.pipeline.precision == known[0].precision
