"""``ipu_app plan``: what it prints, writes and refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from ipu_app.__main__ import main
from pipelines.plan import load_saved_plan

SMALL = ["plan", "--model", "cifar", "--group", "16", "--norm", "gn", "--ipus", "4", "--global-batch", "96"]


@pytest.fixture(autouse=True, scope="module")
def cache(environ):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", environ["XDG_CACHE_HOME"])
        yield


def planned(capsys, *arguments):
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_json_has_every_figure_of_the_best_plan(capsys):
    found = planned(capsys, *SMALL, "--top", "2")
    assert found["kind"] == "estimated"
    assert found["micro_batch"] * found["accumulation"] * found["replicas"] == 96
    assert found["ipus_per_replica"] * found["replicas"] == 4
    assert len(found["splits"]) == found["ipus_per_replica"] - 1
    assert found["images_per_s"] == pytest.approx(96 / found["step_s"])
    assert 0 <= found["bubble_fraction"] < 1 and found["error_pct"] > 0 and found["fits"]
    assert [stage["first"] for stage in found["stages"]] == ["block0", *found["splits"]]
    for stage in found["stages"]:
        assert 0 < stage["memory_mb"] < found["memory_limit_mb"]
        assert 0 < stage["cycles_forward"] < stage["cycles_backward"]
    assert len(found["others"]) == 1 and found["others"][0]["images_per_s"] <= found["images_per_s"]


def test_a_recipe_is_estimated_as_it_is(capsys):
    found = planned(capsys, "plan", "--run", "b0-g16-gn-native")
    assert (found["micro_batch"], found["accumulation"], found["replicas"]) == (12, 8, 8)
    assert found["splits"] == ["block3b"] and found["extrapolated"] == [] and found["rejected"] == []
    assert found["images_per_s"] == pytest.approx(29700, rel=0.1)
    assert (found["platform"], found["sdk"], found["framework"]) == ("mk2", "2.0", "tf1")
    newer = planned(capsys, "plan", "--run", "b0-g16-gn-native", "--sdk", "3")
    assert newer["sdk"] == "3" and newer["images_per_s"] > found["images_per_s"]
    assert found["model"]["resolution"] == 224


FIXED = [*SMALL, "--splits", "block3a", "--micro", "4"]


def test_bow_is_the_clock_and_the_software_is_an_axis_of_its_own(capsys):
    mk2, bow = (planned(capsys, *FIXED, "--platform", name) for name in ("mk2", "bow"))
    assert 1.3 < bow["images_per_s"] / mk2["images_per_s"] < 1.45
    assert (mk2["phase"], mk2["sdk"], mk2["framework"]) == ("training", "3", "poptorch")
    assert "platform" in mk2["extrapolated"] and "platform" not in bow["extrapolated"]
    older = planned(capsys, *FIXED, "--sdk", "2.0", "--framework", "tf1")
    other = planned(capsys, *FIXED, "--framework", "tf1")
    assert older["images_per_s"] < mk2["images_per_s"] < other["images_per_s"]
    assert older["error_pct"] < other["error_pct"] < mk2["error_pct"]
    assert "sdk" not in older["extrapolated"] and "framework" in mk2["extrapolated"]


def test_an_offloaded_optimiser_is_planned_with_its_traffic(capsys):
    kept, away = (planned(capsys, *SMALL, *more) for more in ([], ["--offload-optimizer"]))
    assert kept["step_parts_s"]["offload"] == 0 < away["step_parts_s"]["offload"]
    assert away["model"]["offload_optimizer"] and not kept["model"]["offload_optimizer"]


def test_the_table_labels_its_figures_and_names_the_splits(capsys):
    assert main(SMALL) == 0
    shown = capsys.readouterr().out
    assert "estimated" in shown and "expected error" in shown and "coarse rule" in shown
    assert "block0" in shown and "measured" not in shown


def test_the_best_plan_is_saved_and_drawn(capsys, tmp_path):
    plan, picture = tmp_path / "a.json", tmp_path / "deep" / "a.png"
    found = planned(capsys, *SMALL, "--save", str(plan), "--plot", str(picture))
    saved = load_saved_plan(plan)
    assert list(saved.plan.splits) == found["splits"]
    assert saved.geometry.samples_per_step == 96
    assert saved.model.name == "cifar" and saved.estimate["images_per_s"] == found["images_per_s"]
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 10_000


def test_fixed_cuts_and_micro_batch_are_estimated_even_where_they_do_not_fit(capsys):
    found = planned(capsys, *FIXED)
    assert found["splits"] == ["block3a"] and found["micro_batch"] == 4 and found["fits"]
    tight = planned(capsys, *FIXED, "--memory-limit", "5")
    assert not tight["fits"] and tight["rejected"] and tight["images_per_s"] == found["images_per_s"]
    staged = planned(capsys, *SMALL, "--stages", "4", "--micro", "2")
    assert staged["ipus_per_replica"] == 4 and staged["micro_batch"] == 2


def test_several_values_are_one_table_with_published_accuracy_and_one_picture(capsys, tmp_path):
    picture = tmp_path / "a.png"
    asked = [*SMALL, "--micro", "2", "4", "7", "--ipus", "2", "4"]
    found = planned(capsys, *asked, "--plot", str(picture))
    assert [case["settings"] for case in found["cases"]] == [
        {"ipus": ipus, "micro": micro} for ipus in (2, 4) for micro in (2, 4, 7)
    ]
    made = [case["estimate"] for case in found["cases"] if case["estimate"]]
    assert len(made) == 4 and found["images_per_s"] == max(case["images_per_s"] for case in made)
    assert "micro=7" in found["cases"][2]["reason"] and picture.read_bytes().startswith(b"\x89PNG")
    assert main(["plan", "--norm", "gn", "--group", "1", "16", "--res", "64", "224"]) == 0
    shown = capsys.readouterr().out
    assert "79.10 %" in shown and "79.09 %" in shown and shown.count("\n  >") == 1


def test_what_is_known_beside_the_best_plan_is_said(capsys):
    b0 = ["plan", "--norm", "gn"]
    awkward = planned(capsys, *b0, "--global-batch", "769")
    assert any("a global batch of 768 is" in hint for hint in awkward["hints"])
    many = planned(capsys, *b0, "--ipus", "128")
    assert any("64 IPUs do better than 128" in hint for hint in many["hints"])
    limit = planned(capsys, *SMALL)["stages"][0]["memory_mb"] * 1.01
    last = planned(capsys, *SMALL, "--memory-limit", str(limit), "--stages", "1")
    assert last["needs_last_of_limit"] == any("needs the last 2 %" in hint for hint in last["hints"])


def test_the_proposal_is_marked_its_words_defined_and_the_next_command_printed(capsys):
    assert main([*SMALL, "--splits", "block3a"]) == 0
    shown = capsys.readouterr().out
    assert "\n  > " in shown and "bubble: share" in shown and "calibrated" in shown
    assert "next: python -m ipu_app plan --model cifar --group 16" in shown
    assert "--splits block3a --save cifar.json" in shown and "train --plan cifar.json" in shown


def test_rows_of_many_stages_stay_in_a_readable_width(capsys):
    assert main(["plan", "--model", "b2", "--ipus", "32", "--stages", "32", "--global-batch", "768"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) < 180


def test_inference_says_what_it_is(capsys):
    one = planned(capsys, "plan", "--inference", "--group", "1", "--norm", "bn")
    assert one["phase"] == "inference" and one["replicas"] == 1 and one["io_tiles"] == 32
    assert one["micro_batch"] == one["micro_batch_max"] and one["latency_ms"] > 0
    assert one["stages"][0]["memory_mb"] > 0 and one["error_pct"] >= 25
    soon = planned(capsys, "plan", "--inference", "--latency", "--group", "1", "--norm", "bn")
    assert soon["micro_batch"] == 1 and soon["latency_ms"] < one["latency_ms"] < one["call_ms"]
    assert main(["plan", "--inference", "--ipus", "1", "4", "16"]) == 0
    assert "estimated inference, Mk2, SDK 3.x, PopTorch" in capsys.readouterr().out
    assert main(["plan", "--inference", "--ipus", "4", "--stages", "2", "--io-tiles", "32"]) == 2
    assert "without a pipeline only" in capsys.readouterr().err


def test_configurations_known_to_run_are_printed(capsys):
    assert main(["plan", "--known-runs"]) == 0
    assert "B4 G16 PopTorch, two stages" in capsys.readouterr().out
    assert len(planned(capsys, "plan", "--known-runs")) == 6


def test_constants_are_printed_with_mark_and_source(capsys):
    assert main(["plan", "--constants"]) == 0
    assert "elementwise_factor" in capsys.readouterr().out
    constants = planned(capsys, "plan", "--constants")
    assert {constant["mark"] for constant in constants} == {"source", "assumed", "fitted", "calibrated"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ipus", "3"], "ipus=3: must be a power of two, 1 to 256; nearest: 2 or 4"),
        (["--global-batch", "7", "--ipus", "16"], "global_batch=7: cannot be made on 16 IPUs"),
        (["--memory-limit", "1"], "the model fits nowhere; nearest is"),
        (["--memory-limit", "0"], "must be above 0"),
        (["--platform", "mk3"], "platform='mk3': choose one of mk2, bow"),
        (["--precision", "8.8"], "precision='8.8': choose one of"),
        (["--model", "b9"], "model='b9': choose one of"),
        (["--norm", "xn"], "norm='xn': choose one of"),
        (["--res", "8"], "resolution=8: must be 32 or more"),
        (["--top", "0"], "top=0: must be 1 or more"),
        (["--plot", "a.jpg"], "must end in .png"),
        (["--memory-limit", "941"], "must be above 0, and at most the 940.5 MB of an IPU"),
        (["--sdk", "1"], "sdk='1': choose one of 2.0, 3"),
        (["--framework", "jax"], "framework='jax': choose one of tf1, poptorch"),
        (["--stages", "3"], "stages=3: must be one of 1, 2, 4 on 4 IPUs"),
        (["--micro", "7"], "with micro=7"),
        (["--splits", "block3"], "splits='block3': no such sub-block; nearest are"),
        (["--splits", "block3a", "--stages", "4"], "1 splits make 2 stages"),
        (["--splits", "block2a", "block3a"], "stages=3: must be one of 1, 2, 4"),
        (["--latency"], "latency=True: has no effect with training; add --inference"),
        (["--inference"], "global_batch=96: has no effect with --inference"),
        (["--micro", "2", "4", "--save", "x.json"], "give one value of each setting"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(capsys, arguments, message):
    assert main([*SMALL, *arguments]) == 2
    refusal = capsys.readouterr().err
    assert message in refusal and refusal.count("\n") == 1


def test_options_that_a_recipe_decides_are_refused_beside_it(capsys):
    assert main(["plan", "--run", "b0-g16-gn-native", "--ipus", "4"]) == 2
    assert "ipus=4: has no effect with --run" in capsys.readouterr().err
    assert main(["plan", "--run", "b0-g16"]) == 2
    assert "b0-g16-gn-" in capsys.readouterr().err


@pytest.mark.processes
def test_a_model_that_was_planned_before_needs_no_torch(capsys):
    planned(capsys, *SMALL)
    program = (
        "import sys; from ipu_app.__main__ import main; code = main(sys.argv[1:]); "
        "sys.exit(code or 3 * ('torch' in sys.modules or 'matplotlib' in sys.modules))"
    )
    command = [sys.executable, "-c", program, *SMALL]
    done = subprocess.run(command, env=dict(os.environ), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr.decode()


GROWING = [*SMALL, "--res", "64", "--progressive", "paper", "--epochs", "8", "--images", "96000"]


def test_a_cost_sheet_has_a_plan_and_hours_for_each_stage(capsys):
    found = planned(capsys, *GROWING)["progressive"]
    stages, whole = found["stages"], found["without_progression"]
    assert found["kind"] == "estimated" and found["error_pct"] > 0 and "half_resolution" in found
    assert [stage["resolution"] for stage in stages] == [32, 42, 53, 64]
    assert [stage["epochs"] for stage in stages] == [2, 2, 2, 2] and whole["epochs"] == 8
    for row in (*stages, whole):
        assert row["micro_batch"] * row["accumulation"] * row["replicas"] == 96
        assert row["ipus_per_replica"] * row["replicas"] == 4
        assert row["hours"] == pytest.approx(96000 * row["epochs"] / row["images_per_s"] / 3600)
    assert found["hours"] == pytest.approx(sum(stage["hours"] for stage in stages))
    rates = [stage["images_per_s"] for stage in stages]
    assert rates == sorted(rates, reverse=True) and rates[-1] == whole["images_per_s"]
    assert found["hours"] < whole["hours"]


def test_a_cost_sheet_is_printed_below_the_plans(capsys):
    assert main(GROWING) == 0
    printed = capsys.readouterr().out
    assert "stage 4 of 4" in printed and "saved by stages" in printed and "Error to expect" in printed


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([*SMALL, "--epochs", "8"], "epochs=8: is for the cost sheet"),
        ([*SMALL, "--progressive", "fast"], "progressive.rule='fast': choose one of off, paper, released"),
        ([*GROWING[:-1], "0"], "images=0: must be 1 or more"),
        ([*GROWING, "--epochs", "3"], "epochs=3: must be at least progressive.stages=4"),
    ],
)
def test_a_bad_cost_sheet_is_refused_in_one_line(arguments, message, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
