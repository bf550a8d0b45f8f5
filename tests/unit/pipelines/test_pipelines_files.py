"""Saved plans and cached layer tables: round trips, and what is wrong with bad files."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from ipu_app.models.layer_table import load_layer_table
from ipu_app.models.spec import make_spec
from pipelines.cost.layers import ConvShape, LayerSpec
from pipelines.geometry import BatchGeometry
from pipelines.plan import PipelinePlan, PlannedModel, SavedPlan, load_saved_plan, save_plan
from pipelines.table_cache import cache_folder, read_table, table_key, write_table

SAVED = SavedPlan(
    PipelinePlan.from_splits(["block2a.project", "block4a"]),
    BatchGeometry(4, 48, 4),
    PlannedModel("b4", 16, "gn", 380, "16.32"),
    {"kind": "estimated", "images_per_s": 4500.0},
)
TABLE = (
    LayerSpec("input", "block0", "input", 3, 3, 3),
    LayerSpec("conv", "block0", "conv", 3, 8, 0, 24, 1, ConvShape(3, 8, 1, 1, 1)),
)


def test_a_saved_plan_comes_back_as_it_was(tmp_path):
    path = tmp_path / "plans" / "b4.json"
    save_plan(path, SAVED)
    assert load_saved_plan(path) == SAVED
    assert json.loads(path.read_text())["version"] == 1


def change(path, *keys, value):
    data = SAVED.to_dict()
    part = data
    for key in keys[:-1]:
        part = part[key]
    if value is None:
        del part[keys[-1]]
    else:
        part[keys[-1]] = value
    path.write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("version",), 2, "plan.version=2: this program reads version 1"),
        (("extra",), 1, "plan file: unknown key 'extra'"),
        (("geometry",), None, "plan file: missing key 'geometry'"),
        (("geometry", "micro_batch"), 0, "micro_batch: must be a whole number from 1"),
        (("geometry", "batch"), 3, "plan.geometry: unknown key 'batch'"),
        (("model", "norm"), None, "plan.model: missing key 'norm'"),
        (("plan", "schedule"), "zigzag", "plan.schedule='zigzag'"),
        (("plan", "stages"), None, "plan.stages: is missing"),
        (("plan", "stages"), 3, "not a plan that"),
        (("plan",), [], "plan: must be an object, and is a list"),
    ],
)
def test_what_is_wrong_with_a_plan_file_is_named(tmp_path, keys, value, message):
    path = tmp_path / "plan.json"
    change(path, *keys, value=value)
    with pytest.raises(ValueError, match=message.replace("[", r"\[")):
        load_saved_plan(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "3"])
def test_files_that_are_no_plans_are_refused(tmp_path, text):
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="plan"):
        load_saved_plan(path)
    with pytest.raises(FileNotFoundError):
        load_saved_plan(tmp_path / "none.json")


def test_a_plan_is_refused_for_another_model():
    SAVED.check_model(name="b4", group_size=16, norm=None)
    with pytest.raises(ValueError, match="plan.model.resolution=380: the plan is not for resolution=252"):
        SAVED.check_model(name="b4", resolution=252)


def test_a_table_comes_back_and_a_damaged_one_does_not(tmp_path):
    key = table_key({"model": "b0"}, [])
    assert read_table(tmp_path, key) is None
    assert write_table(tmp_path / "new", key, TABLE)
    assert read_table(tmp_path / "new", key) == TABLE
    path = tmp_path / "new" / f"{key}.json"
    good = path.read_text()
    for bad in ("", good[:-20], good.replace('"out_elements": 8', '"out_elements": 9'), "[]", "{}", "null"):
        path.write_text(bad)
        assert read_table(tmp_path / "new", key) is None


def test_keys_depend_on_facts_and_sources(tmp_path):
    source = tmp_path / "model.py"
    source.write_text("x = 1")
    keys = [table_key({"a": 1}, [source]), table_key({"a": 2}, [source])]
    source.write_text("x = 2")
    keys.append(table_key({"a": 1}, [source]))
    assert len(set(keys)) == 3


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")
    assert write_table(blocker / "below", "key", TABLE) is False


def test_many_writers_leave_one_whole_table(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        reads = list(
            pool.map(lambda k: write_table(tmp_path, "key", TABLE) and read_table(tmp_path, "key"), range(64))
        )
    assert reads == [TABLE] * 64
    assert [path.name for path in tmp_path.iterdir()] == ["key.json"]


def test_the_cached_table_is_the_traced_one(tmp_path):
    spec = make_spec("cifar", norm="ln_pn")
    traced = load_layer_table(spec, 48)
    assert load_layer_table(spec, 48, cache=tmp_path) == traced
    (stored,) = tmp_path.iterdir()
    before = stored.stat().st_mtime_ns
    assert load_layer_table(spec, 48, cache=tmp_path) == traced
    assert stored.stat().st_mtime_ns == before
    stored.write_text("damaged")
    assert load_layer_table(spec, 48, cache=tmp_path) == traced
    assert len(load_layer_table(spec, 64, cache=tmp_path)) == len(traced)
    assert len(list(tmp_path.iterdir())) == 2


def test_the_cache_is_the_users():
    assert str(cache_folder({"XDG_CACHE_HOME": "/x"})) == "/x/ipu_app/layer_tables"
    assert str(cache_folder({"HOME": "/home/me"})) == "/home/me/.cache/ipu_app/layer_tables"
