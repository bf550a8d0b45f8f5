"""``export``: files that compute what the network computes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from integration_images import CLASSES, ImagesRun

from ipu_app import compat
from ipu_app.__main__ import main
from ipu_app.inference.trained import ModelFile, TrainedModel, load_model_file, load_trained
from ipu_app.models.efficientnet import EfficientNet
from ipu_app.models.spec import make_spec
from ipu_app.training.checkpoint import find_checkpoints


def some_images(number: int, resolution: int = 32) -> torch.Tensor:
    torch.manual_seed(number)
    return torch.randint(0, 256, (number, 3, resolution, resolution), dtype=torch.uint8)


def test_safetensors_and_description_rebuild_the_network(images_run: ImagesRun, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    assert main(["export", str(images_run.path), str(tmp_path)]) == 0
    file = load_model_file(tmp_path / "model.json")
    assert file.classes == CLASSES and file.resolution == 32
    rebuilt = TrainedModel(file, load_file(str(tmp_path / "model.safetensors")), "exported").logits_graph()
    with torch.no_grad():
        expected = load_trained(images_run.path).logits_graph()(some_images(4))
        assert torch.equal(rebuilt(some_images(4)), expected)


def test_weights_are_called_averaged_where_averaging_changed_them(images_run: ImagesRun) -> None:
    first, second = find_checkpoints(images_run.path / "checkpoints")  # the first average is of one sample
    assert load_trained(first).origin == "weights of epoch-0001"
    assert load_trained(second).origin == "averaged weights of epoch-0002"
    assert load_trained(second, averaged=False).origin == "raw weights of epoch-0002"


def test_torchscript_takes_any_batch(images_run: ImagesRun, tmp_path: Path) -> None:
    assert main(["export", str(images_run.path), str(tmp_path), "--format", "torchscript"]) == 0
    script, graph = compat.load_script(str(tmp_path / "model.torchscript.pt")), load_trained(images_run.path)
    for number in (1, 5):
        with torch.no_grad():
            torch.testing.assert_close(
                script(some_images(number)), graph.logits_graph()(some_images(number)), rtol=1e-4, atol=1e-4
            )


@pytest.mark.parametrize("resolution", [32, 45])
def test_onnx_takes_any_batch(
    images_run: ImagesRun, tmp_path: Path, resolution: int, capsys: pytest.CaptureFixture
) -> None:
    ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (requirements-export.txt)")
    pytest.importorskip("onnx", reason="onnx is not installed (requirements-export.txt)")
    words = ["export", str(images_run.path), str(tmp_path), "--format", "onnx", "--res", str(resolution)]
    assert main(words) == 0
    assert "onnxruntime's logits differ by" in capsys.readouterr().out
    session = ort.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    graph = load_trained(images_run.path).logits_graph()
    for number in (1, 5):
        images = some_images(number, resolution)
        (found,) = session.run(None, {"images": images.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(found, graph(images).numpy(), rtol=1e-4, atol=1e-4)
    described = json.loads((tmp_path / "model.json").read_text())["input"]
    assert described["shape"] == ["batch", 3, resolution, resolution]


def test_onnx_says_what_is_missing(
    images_run: ImagesRun, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # Python's own way to say that there is none
    capsys.readouterr()
    assert main(["export", str(images_run.path), str(tmp_path / "out"), "--format", "onnx"]) == 2
    assert "pip install -r requirements-export.txt" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_torchvision_loads_what_is_exported_for_it(tmp_path: Path) -> None:
    """A batch-norm network in torchvision's own code gives the same logits."""
    torchvision = pytest.importorskip("torchvision", reason="torchvision is not installed")
    from safetensors.torch import load_file

    from ipu_app.inference.export import export

    torch.manual_seed(0)
    spec = make_spec("b0", norm="bn", padding="symmetric", norm_eps=1e-5, num_classes=3)
    model = EfficientNet(spec)
    trained = TrainedModel(ModelFile(spec, CLASSES, 64, "torchvision", False), model.state_dict(), "random")
    export(trained, tmp_path, formats=["torchvision"], resolution=64)
    theirs = torchvision.models.efficientnet_b0(num_classes=3)
    theirs.load_state_dict(load_file(str(tmp_path / "torchvision.safetensors")))
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(theirs.eval()(images), model.eval()(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "words, said",
    [
        (["--format", "tflite"], "format='tflite': choose from safetensors"),
        (["--format", "timm"], "timm's weights need"),
        (["--res", "8"], "must be 32 or more"),
    ],
)
def test_bad_requests_are_one_line(
    images_run: ImagesRun, tmp_path: Path, words: list, said: str, capsys: pytest.CaptureFixture
) -> None:
    capsys.readouterr()
    assert main(["export", str(images_run.path), str(tmp_path / "out"), *words]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
