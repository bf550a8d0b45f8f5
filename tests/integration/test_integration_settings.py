"""What the user says of batch, data and device: kept, fitted, or refused by name; real runs in seconds."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
from pathlib import Path
from typing import List

import pytest
import torch
from integration_images import ImagesRun

from ipu_app.__main__ import main
from ipu_app.cli.train import add_arguments
from ipu_app.cli.train_config import asked_from_args, config_from_args
from ipu_app.config.load import load_config
from ipu_app.config.schema import RunConfig
from ipu_app.models.efficientnet import EfficientNet
from ipu_app.models.foreign_weights import export_weights, published_spec
from ipu_app.training.checkpoint import find_checkpoints, load_weights
from ipu_app.training.sinks import read_rows

ROOT = Path(__file__).resolve().parents[2]


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(list(words))


def configured(*words: str) -> RunConfig:
    return config_from_args(parsed(*words))


def refusal(words: List[str], capsys: pytest.CaptureFixture) -> str:
    capsys.readouterr()
    assert main(words) == 2
    return capsys.readouterr().err


@pytest.fixture(scope="module")
def timm_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("weights") / "efficientnet_b0.pth"
    torch.save(export_weights(EfficientNet(published_spec("b0", "timm", num_classes=2)), "timm"), str(file))
    return file


@pytest.mark.parametrize("recipe", ["b0-g16-ln_pn-half", "b2-g16-gn-native", "b4-g16-ln_pn-half"])
def test_a_miniature_makes_four_steps_or_more_in_every_phase(recipe: str) -> None:
    config = configured("--run", recipe, "--smoke")
    for phase in config.phases.values():
        assert config.data.limit_train is not None
        assert config.data.limit_train // phase.batch.global_batch >= 4
        assert phase.schedule.warmup_epochs <= 0.25 and phase.resolution is not None
        assert phase.batch.global_batch % (phase.batch.torch_micro or 0) == 0


def test_the_training_of_a_miniature_changes_the_weights(tmp_path: Path) -> None:
    words = ["train", "--run", "b2-g16-ln_pn-half", "--smoke", "--phase", "train", "--device", "cpu"]
    words += ["--name", "small", "--set", f"runs_dir={tmp_path}", "--set", "tracking.logs_per_epoch=4"]
    assert main([*words, "--epochs", "2"]) == 0
    rows = [row for row in read_rows(tmp_path / "small" / "metrics.jsonl") if row["kind"] == "train"]
    assert rows[-1]["step"] >= 8 and rows[-1]["lr"] > 0
    found = find_checkpoints(tmp_path / "small" / "checkpoints")
    first, last = (load_weights(path, averaged=False) for path in (found[0], found[-1]))
    moved = {name for name in first if name.endswith("conv.weight") and not first[name].equal(last[name])}
    assert "blocks.block0.conv.weight" in moved and "blocks.Top.conv.weight" in moved


def test_a_miniature_keeps_what_the_user_sets() -> None:
    words = ["--run", "b0-g16-ln_pn-half", "--smoke", "--epochs", "2", "--set", "data.limit_train=120"]
    config = configured(*words, "--res", "64", "--set", "phases.finetune.batch={micro: 4}")
    train, tune = config.phases.values()
    assert (train.epochs, train.resolution, config.data.limit_train) == (2, 64, 120)
    assert (tune.epochs, tune.batch.micro) == (1, 4)


def test_few_images_get_a_batch_that_fits(
    images_run: ImagesRun, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Told in a line and written down; but where the user chose the batch, he is told what would do."""
    words = ["train", "--data", str(images_run.data), "--device", "cpu", "--res", "32", "--epochs", "1"]
    words += ["--set", "data.workers=0", "--set", f"runs_dir={tmp_path}", "--name", "few"]
    assert main(words) == 0
    assert "batch: 24 images are few for steps of 768; phase train takes" in capsys.readouterr().out
    batch = load_config(tmp_path / "few" / "config.yaml").phases["train"].batch
    summary = json.loads((tmp_path / "few" / "summary.json").read_text())
    assert summary["global_batch"] == batch.global_batch <= 24 and summary["steps"] >= 4
    said = refusal([*words, "--set", "phases.train.batch.replicas=2"], capsys)
    assert "there are only 24; for instance --set phases.train.batch.micro=" in said


def test_weights_are_fine_tuned_by_a_configuration_of_their_own(
    timm_file: Path, images_run: ImagesRun, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """All blocks or Top, few epochs, IPU splits of the published training; --phase finetune is its name."""
    words = ["--init", str(timm_file), "--reset-head", "--data", str(images_run.data)]
    (phase,) = configured(*words, "--phase", "finetune", "--trainable", "Top").phases.values()
    assert (phase.name, phase.trainable, phase.optimizer.kind) == ("finetune", "Top", "adamw")
    assert phase.epochs <= 20 and phase.optimizer.lr is not None and phase.optimizer.lr < 1e-3
    assert phase.pipeline.splits and 48 <= phase.batch.global_batch <= 96 and not phase.augment.mixes
    run = ["train", *words, "--device", "cpu", "--res", "32", "--epochs", "1", "--name", "tuned"]
    assert main([*run, "--set", f"runs_dir={tmp_path}", "--set", "data.workers=0"]) == 0
    assert "24 images are few for steps of" in capsys.readouterr().out
    config = load_config(tmp_path / "tuned" / "config.yaml")
    assert list(config.phases) == ["finetune"] and config.phases["finetune"].trainable == "all"
    assert "on which images? Give --data DIR" in refusal(["train", "--init", str(timm_file)], capsys)


def test_a_published_run_asks_for_its_images(capsys: pytest.CaptureFixture) -> None:
    said = refusal(["train", "--run", "b0-g16-ln_pn-half", "--device", "cpu"], capsys)
    assert "run=b0-g16-ln_pn-half: on which images?" in said and "--data digits" in said
    assert configured("--run", "demo").data.source is None


@pytest.mark.parametrize(
    "words, said",
    [
        (["--device", "cpu", "--strict-memory", "--ipu-model"], "--ipu-model, --strict-memory: no effect"),
        (
            ["--device", "ipu", "--set", "device.autocast=bfloat16"],
            "device.autocast: no effect on device ipu",
        ),
        (["--device", "cpu", "--set", "phases[0].pipeline.splits=[]"], "phases.train.pipeline.splits"),
    ],
)
def test_what_has_no_effect_on_the_device_is_refused(
    words: List[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert said in refusal(["train", *words, "--set", f"runs_dir={tmp_path / 'runs'}"], capsys)
    assert not (tmp_path / "runs").exists()


def test_a_recipes_own_settings_are_not_the_users() -> None:
    args = parsed("--run", "b0-g16-ln_pn-half", "--data", "digits", "--device", "cpu")
    asked = asked_from_args(args, config_from_args(args))
    assert set(asked.keys) == {"data.source", "device.kind"} and not asked.batch


def test_the_configuration_is_printed_with_meanings(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    words = ["--run", "b2-g16-ln_pn-half", "--set", "data.normalise=torchvision", "--device", "ipu"]
    assert main(["train", *words, "--print-config"]) == 0
    printed = capsys.readouterr().out
    (tmp_path / "printed.yaml").write_text(printed)
    assert load_config(tmp_path / "printed.yaml") == configured(*words)
    assert "# peak learning rate" in printed


def test_validation_says_what_it_is_of(images_run: ImagesRun, capsys: pytest.CaptureFixture) -> None:
    words = [
        "validate",
        str(images_run.path),
        "--device",
        "cpu",
        "--res",
        "32",
        "45",
        "--set",
        "data.limit_val=3",
    ]
    capsys.readouterr()
    assert main(words) == 0
    said = capsys.readouterr().out
    assert said.count("on 3 images") == 2 and said.count("a subset of the validation images") == 1
    assert said.count("warning: 45 px after training at 32 px") == 1 and "warning: 32 px" not in said


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_fine_tuning_by_make_stays_on_the_runs_device_unless_told() -> None:
    def command(*words: str) -> str:
        made = ["make", "-n", "finetune", "RUN=runs/x", *words]
        done = subprocess.run(
            made, cwd=str(ROOT), stdout=subprocess.PIPE, universal_newlines=True, check=True
        )
        return done.stdout

    assert "--device" not in command()
    assert "--device cpu" in command("DEVICE=cpu")


def test_the_size_of_a_weight_update_is_one_option(capsys: pytest.CaptureFixture) -> None:
    phase = configured("--batch", "192", "--lr", "0.01").phases["train"]
    assert (phase.batch.global_batch, phase.batch.accumulation, phase.optimizer.lr) == (192, 6, 0.01)
    for wrong in ("100", "32"):  # not a multiple; less than the pipeline needs
        assert "for instance 96 or 128" in refusal(["train", "--batch", wrong, "--print-config"], capsys)
