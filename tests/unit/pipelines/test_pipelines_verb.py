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
    assert found["model"]["resolution"] == 224


def test_bow_is_faster_and_says_that_it_is_calibrated(capsys):
    mk2, bow = (planned(capsys, *SMALL, "--platform", name) for name in ("mk2", "bow"))
    assert bow["images_per_s"] > mk2["images_per_s"]
    assert "platform" in bow["extrapolated"] and bow["error_pct"] > mk2["error_pct"]


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
