"""Configuration: layers, overrides, and refusals that name the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipu_app.config.load import CONFIGS, load_config, nearest_recipe, recipe_path, save_config

BASE = """
model: {name: b2}
phases:
  train:
    epochs: 3
    batch: {micro: 4, accumulation: 4, replicas: 2}
    pipeline: {splits: [block4a], precision: 16.32}
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "base.yaml"
    path.write_text(BASE)
    return path


def test_extends_changes_single_values_and_keeps_the_rest(base: Path) -> None:
    child = base.parent / "child.yaml"
    child.write_text("extends: base.yaml\nphases:\n  train: {epochs: 5}\n  tune: {epochs: 1}\n")
    config = load_config(child)
    assert list(config.phases) == ["train", "tune"]
    assert config.phases["train"].epochs == 5
    assert config.phases["train"].batch.global_batch == 32


@pytest.mark.parametrize("key", ["phases.train.batch.micro", "phases[0].batch.micro"])
def test_override_addresses_a_phase_by_name_or_place(base: Path, key: str) -> None:
    assert load_config(base, [f"{key}=8"]).phases["train"].batch.micro == 8


def test_saved_configuration_reads_back_equal(base: Path, tmp_path: Path) -> None:
    config = load_config(base, ["data.source='2012'", "evaluate.resolutions=[32,64]"])
    save_config(config, tmp_path / "saved.yaml")
    assert load_config(tmp_path / "saved.yaml") == config
    assert config.data.source == "2012"


@pytest.mark.parametrize(
    "override, said",
    [
        ("model.nme=3", "model.nme: unknown key"),
        ("phases.train.epochs=abc", "phases.train.epochs='abc': must be a whole number"),
        ("phases.train.epochs=true", "must be a whole number"),
        ("phases.train.epochs=0", "phases.train.epochs=0: must be 1 or more"),
        ("phases[3].epochs=1", "there is 1 phase (train)"),
        ("model.norm=batch", "model.norm='batch': choose one of bn, gn"),
        ("phases.train.batch.accumulation=2", "a training pipeline of 2 stages needs 3 or more"),
        ("phases.train.batch.torch_micro=0", "batch.torch_micro=0: must be 1 or more"),
        ("phases.train.pipeline.precision=16.8", "choose one of 16.16, 16.32, 32.32"),
        ("phases.train.optimizer.momentum=.nan", "must be a finite number"),
        ("phases.train.optimizer.lr=.inf", "must be a finite number"),
        ("phases.train.optimizer.lr=1e999", "must be a finite number"),
        ("phases.train.optimizer.lr=nan", "must be a finite number"),
        ("model=b2", "must be a section"),
        ("phases=3", "must be named sections"),
        ("x", "must be key=value"),
        ("model.name=[1", "--set model.name=[1"),
        ("model.name=${nowhere}", "nowhere"),
    ],
)
def test_bad_value_is_refused_by_name(base: Path, override: str, said: str) -> None:
    with pytest.raises(ValueError) as refusal:
        load_config(base, [override])
    assert said in str(refusal.value)


def test_same_override_twice_is_refused(base: Path) -> None:
    with pytest.raises(ValueError, match="given twice"):
        load_config(base, ["seed=1", "seed=2"])


@pytest.mark.parametrize(
    "text, said",
    [
        ("seed: 1\nseed: 2\n", "duplicate key seed"),
        ("seed: [1\n", "line"),
        ("- 1\n", "must hold keys and values"),
        ("extends: nowhere.yaml\n", "nowhere.yaml: no such file"),
        ("extends: broken.yaml\n", "circle"),
        ("sed: 1\n", "sed: unknown key"),
    ],
)
def test_bad_file_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(ValueError) as refusal:
        load_config(path)
    assert said in str(refusal.value)


def test_there_are_the_thirty_published_runs() -> None:
    recipes = sorted(path.stem for path in (CONFIGS / "recipes").glob("*.yaml"))
    assert len(recipes) == 30
    assert recipes[0] == "b0-g1-gn-native" and "b5-g16-ln_pn-half" in recipes


@pytest.mark.parametrize("path", sorted((CONFIGS / "recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_recipes_are_the_published_training(path: Path) -> None:
    config = load_config(path)
    train = config.phases["train"]
    assert train.batch.global_batch == 768
    assert train.epochs == 350 and train.averaging == 0.97
    assert train.optimizer.lr is None and train.optimizer.rho is None  # open: the paper's rule
    assert config.model.dropout is None  # open: the size's own
    assert ("finetune" in config.phases) == path.stem.endswith("half")
    if "finetune" in config.phases:
        tune = config.phases["finetune"]
        assert tune.batch.global_batch == 512 and tune.trainable == "Top" and tune.epochs == 2
        assert tune.augment.preprocessing == "eval" and not tune.augment.mixes


def test_unknown_recipe_names_near_ones() -> None:
    with pytest.raises(ValueError, match="b2-g16-ln_pn-half"):
        recipe_path("b2-g16-lnpn-half")


def test_nearest_recipe() -> None:
    assert nearest_recipe("b3", 1, "gn").stem == "b3-g1-gn-native"
    assert nearest_recipe("b3", 4, "bn").stem == "b3-g16-ln_pn-native"
    with pytest.raises(ValueError, match="b7"):
        nearest_recipe("b7", 16, "gn")


@pytest.mark.parametrize(
    "typed, meant",
    [
        ("lr=0.1", "phases.train.optimizer.lr"),
        ("phases.train.lr=0.1", "phases.train.optimizer.lr"),
        ("epoch=3", "phases.train.epochs"),
        ("model.nrom=bn", "model.norm"),
        ("xyzzy=1", "allowed here are checkpoint_minutes, data"),
    ],
)
def test_a_misspelt_or_misplaced_key_is_answered_with_the_one_meant(typed: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"unknown key; .*{meant}"):
        load_config(None, [typed])


def test_a_misspelt_phase_is_not_a_new_one() -> None:
    with pytest.raises(ValueError, match="no phase of that name; this run has train"):
        load_config(None, ["phases.trian.optimizer.lr=0.1"])
