"""``train --init``: other people's weights as a start for one's own classes."""

from __future__ import annotations

from pathlib import Path
from typing import List

import pytest
import torch
from integration_images import ImagesRun

from ipu_app.__main__ import main
from ipu_app.config.load import load_config
from ipu_app.models.efficientnet import EfficientNet
from ipu_app.models.foreign_weights import MODULE_NAMES, export_weights, identify_weights, published_spec
from ipu_app.settling.state_dicts import read_state_dict
from ipu_app.settling.weights_file import file_needs
from ipu_app.training.checkpoint import find_checkpoints, load_weights


@pytest.fixture(scope="module")
def torchvision_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torchvision = pytest.importorskip("torchvision", reason="torchvision is not installed")
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("weights") / "efficientnet_b0.pth"
    torch.save(torchvision.models.efficientnet_b0(num_classes=1000).state_dict(), str(file))
    return file


def start(file: Path, data: Path, runs: Path, *words: str) -> List[str]:
    fixed = [
        "--set",
        "phases.finetune.optimizer.lr=0",
        "--set",
        "data.workers=0",
        "--set",
        f"runs_dir={runs}",
    ]
    smoke = ["--smoke", "--device", "cpu", "--name", "run"]
    return ["train", "--init", str(file), "--data", str(data), *smoke, *fixed, *words]


def test_torchvision_weights_start_a_run_with_other_classes(
    torchvision_file: Path, images_run: ImagesRun, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """At a learning rate of 0 what comes out is what went in, but for the new classifier."""
    assert main(start(torchvision_file, images_run.data, tmp_path, "--reset-head")) == 0
    said = capsys.readouterr().out
    assert "sets model.name=b0" in said and "model.padding=symmetric" in said
    config = load_config(tmp_path / "run" / "config.yaml")
    assert (config.model.norm, config.model.norm_eps, config.model.group_size) == ("bn", 1e-5, 1)
    assert config.data.normalise == "torchvision"
    ours = load_weights(find_checkpoints(tmp_path / "run" / "checkpoints")[-1], averaged=False)
    theirs = read_state_dict(torchvision_file).weights
    assert torch.equal(ours["blocks.block0.conv.weight"], theirs["features.0.0.weight"])
    assert torch.equal(ours["blocks.block3a.se.reduce.bias"], theirs["features.3.0.block.2.fc1.bias"])
    assert ours["blocks.Top.fc.weight"].shape == (3, 1280)


@pytest.mark.parametrize(
    "name, family, file, normalise",
    [
        ("v2-b3", "timm_tf", "model.pth", "torchvision"),
        ("v2-s", "timm_tf", "model.pth", "released_v2"),
        ("v2-s", "torchvision", "efficientnet_v2_s.pth", "torchvision"),
    ],
)
def test_weights_of_version_2_bring_their_own_settings(
    name: str, family: str, file: str, normalise: str, tmp_path: Path
) -> None:
    model = EfficientNet(published_spec(name, family, num_classes=4), initialise=False)
    torch.save(export_weights(model, family.split("_")[0]), str(tmp_path / file))
    needed = file_needs(tmp_path / file, []).settings
    padding = "same" if family == "timm_tf" else "symmetric"
    found = (needed["model.name"], needed["model.padding"], needed["model.norm_eps"])
    assert found == (name, padding, 1e-3)
    assert needed["data.normalise"] == normalise


def test_exported_weights_start_a_run(
    images_run: ImagesRun, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(["export", str(images_run.path), str(tmp_path / "out")]) == 0
    weights = tmp_path / "out" / "model.safetensors"
    words = ["train", "--init", str(weights), "--smoke", "--device", "cpu", "--name", "next", "--config"]
    words += [str(images_run.config), "--data", "generated:5", "--set", f"runs_dir={tmp_path}"]
    assert main(words) == 2
    assert "add --reset-head" in capsys.readouterr().err
    assert not (tmp_path / "next").exists()
    assert main([*words, "--reset-head"]) == 0
    assert "sets model.name=cifar" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words, said",
    [
        ([], "--reset-head"),
        (["--reset-head", "--norm", "gn"], "torchvision's b0 weights need --set model.name=b0"),
        (["--reset-head", "--set", "model.norm_eps=0.001"], "model.norm_eps=1e-05"),
        (["--reset-head", "--model", "b1"], "model.name='b1': torchvision's b0 weights need"),
    ],
)
def test_what_does_not_fit_is_one_line(
    torchvision_file: Path,
    images_run: ImagesRun,
    tmp_path: Path,
    words: List[str],
    said: str,
    capsys: pytest.CaptureFixture,
) -> None:
    capsys.readouterr()
    assert main(start(torchvision_file, images_run.data, tmp_path / "runs", *words)) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("library", sorted(MODULE_NAMES))
@pytest.mark.parametrize("size", ["b0", "b2"])
def test_library_and_size_are_recognised(library: str, size: str) -> None:
    state = export_weights(EfficientNet(published_spec(size, library, num_classes=2)), library)
    assert identify_weights(state) == (library, size)
    with pytest.raises(ValueError, match="none of its EfficientNets"):
        identify_weights(dict(list(state.items())[:-40]))


def test_timms_two_families_differ_by_name_or_by_what_is_asked(tmp_path: Path) -> None:
    state = export_weights(EfficientNet(published_spec("b0", "timm", num_classes=2)), "timm")
    plain, tensorflow = tmp_path / "efficientnet_b0.pth", tmp_path / "tf_efficientnet_b0.pth"
    for file in (plain, tensorflow):
        torch.save(state, str(file))
    assert file_needs(plain, []).settings["model.padding"] == "symmetric"
    assert file_needs(tensorflow, []).settings["model.padding"] == "same"
    assert file_needs(plain, ["model.padding=same"]).settings["model.norm_eps"] == 1e-3
