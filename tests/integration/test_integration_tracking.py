"""What is told of a run: report page, Weights & Biases, TensorBoard, and whether the host keeps up."""

from __future__ import annotations

import contextlib
import html
import html.parser
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Tuple

import numpy as np
import pytest
from integration_images import CLASSES, ImagesRun
from PIL import Image

from ipu_app.__main__ import main
from ipu_app.runs.host_rate import host_lines
from ipu_app.training.run_report import worst_classes
from ipu_app.training.tracking import has_wandb_key, row_values

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


class Page(html.parser.HTMLParser):
    """Headings, text and everything that a page loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: List[str] = []
        self.headings: List[str] = []
        self._open: List[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: List[Tuple[str, Any]]) -> None:
        self._open.append(tag)
        self.loads += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in ("h1", "h2") and data.strip():
            self.headings.append(data.strip())


class IpuRun(NamedTuple):
    path: Path
    said: str


@pytest.fixture(scope="module")
def ipu_run(images_run: ImagesRun, tmp_path_factory: pytest.TempPathFactory) -> IpuRun:
    runs = tmp_path_factory.mktemp("tracked")
    words = ["train", "--config", str(images_run.config), "--data", str(images_run.data), "--device", "ipu"]
    words += ["--poptorch", "sim", "--name", "a <b> & c", "--epochs", "1"]
    for item in ("evaluate.resolutions=[48]", "data.limit_val=8", f"runs_dir={runs}"):
        words += ["--set", item]
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert main(words) == 0
    return IpuRun(runs / "a <b> & c", said.getvalue())


def test_the_report_needs_no_other_file(ipu_run: IpuRun) -> None:
    text = html.unescape((ipu_run.path / "report.html").read_text(encoding="utf-8"))
    page = Page((ipu_run.path / "report.html").read_text(encoding="utf-8"))
    assert page.loads and all(value.startswith("data:image/png;base64,") for value in page.loads)
    assert "http" not in re.sub(r"base64,[^\"]*", "", text) and "<script" not in text
    assert page.headings[0] == "a <b> & c"
    assert {"Curves", "Other resolutions", "Throughput", "Plan", "Configuration"} <= set(page.headings)
    assert "measured on this host's CPU under the simulator" in text and "estimated" in text


def test_the_report_in_a_browser(ipu_run: IpuRun, tmp_path: Path) -> None:
    """A browser draws curves and plan: of the page's picture, a part is neither white nor grey."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip("no Chromium is installed")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    flags += ["--disable-dev-shm-usage", "--hide-scrollbars", "--window-size=1200,1500"]
    picture, page = tmp_path / "page.png", tmp_path / "report.html"
    shutil.copyfile(str(ipu_run.path / "report.html"), str(page))
    command = [browser, *flags, f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={picture}"]
    subprocess.run([*command, page.as_uri()], check=True, capture_output=True, timeout=120)
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    assert pixels.shape == (1500, 1200, 3)
    assert (pixels == 255).all(axis=2).mean() > 0.5, "the page is mostly white"
    colourful = (pixels.max(axis=2) - pixels.min(axis=2)) > 80
    assert colourful.mean() > 0.005, "no coloured curves and no plan"


def test_worst_classes_are_those_mistaken_most() -> None:
    confusion = {0: {0: 9, 1: 1}, 1: {0: 3, 2: 5, 1: 2}, 2: {2: 4}}
    rows = worst_classes(confusion, CLASSES)
    assert [row["class"] for row in rows] == ["green", "blue"]
    assert rows[0]["accuracy"] == 0.2 and rows[0]["images"] == 10
    assert rows[0]["taken_for"] == [{"class": "red", "images": 5}, {"class": "blue", "images": 3}]


def test_summary_holds_estimate_and_measurement_apart(ipu_run: IpuRun) -> None:
    summary = json.loads((ipu_run.path / "summary.json").read_text())
    assert summary["estimate"]["images_per_s"] > 100 and len(summary["estimate"]["memory_mb"]) == 2
    assert "simulator" in summary["images_per_s_is"]


def test_the_host_is_measured_before_ipus_wait_for_it(ipu_run: IpuRun) -> None:
    assert re.search(r"host: about \d+ images/s .*measured.*\(estimated\)", ipu_run.said)
    assert ipu_run.said.index("host: about") < ipu_run.said.index("] train epoch")
    assert len(host_lines(500.0, workers=1, cores=2, demand_images_per_s=400.0)) == 1
    slow, warning = host_lines(10.0, workers=4, cores=2, demand_images_per_s=1e6)
    assert "4 loader workers" in slow and warning.startswith("warning: IPUs will wait")


def tracked(images_run: ImagesRun, runs: Path, *words: str) -> List[str]:
    start = ["train", "--config", str(images_run.config), "--data", str(images_run.data), "--device", "cpu"]
    sets = ["--set", "evaluate.resolutions=[48]", "--set", "data.limit_val=8", "--set", f"runs_dir={runs}"]
    return [*start, "--name", "tracked", *sets, *words]


def test_tensorboard_gets_curves_and_mixed_images(images_run: ImagesRun, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed (requirements-tracking.txt)")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert main([*tracked(images_run, tmp_path, "--tensorboard"), "--set", "phases.train.epochs=1"]) == 0
    events = EventAccumulator(str(tmp_path / "tracked" / "tensorboard"))
    events.Reload()
    assert {"train/loss", "val/top1", "evaluate 48 px/top1"} <= set(events.Tags()["scalars"])
    summary = json.loads((tmp_path / "tracked" / "summary.json").read_text())
    assert events.Scalars("val/top1")[-1].value == pytest.approx(summary["val_top1"])
    assert any(tag.startswith("images after mixing") for tag in events.Tags()["images"])


def test_wandb_is_offline_without_a_key_and_resumes_the_same_run(
    images_run: ImagesRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed (requirements-tracking.txt)")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main([*tracked(images_run, tmp_path, "--wandb"), "--set", "phases.train.epochs=1"]) == 0
    assert "wandb: offline; upload with: wandb sync" in capsys.readouterr().out
    run = tmp_path / "tracked"
    made = json.loads((run / "tracking.json").read_text())["wandb_id"]
    words = ["train", "--resume", str(run), "--device", "cpu", "--set", "phases.train.epochs=2"]
    assert main(words) == 0
    files = sorted((run / "wandb").glob("offline-run-*/*.wandb"))
    assert len(files) == 2 and all(made in file.name for file in files)
    assert all(b"evaluate 48 px" in file.read_bytes() for file in files)
    media = list((run / "wandb").rglob("*.png"))
    assert len(media) >= 4, "the first micro-batch, mixed"
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["kind"] for row in rows].count("evaluate") == 1


def test_rows_become_series_by_kind() -> None:
    row: Dict[str, Any] = {"kind": "train", "phase": "train", "epoch": 1.0, "step": 3, "loss": 2.0}
    assert row_values({**row, "images_per_s": None}) == {"train/loss": 2.0}
    assert row_values({**row, "kind": "evaluate", "resolution": 288}) == {"evaluate 288 px/loss": 2.0}


def test_a_key_is_found_in_environment_or_netrc(tmp_path: Path) -> None:
    assert not has_wandb_key({"HOME": str(tmp_path)})
    assert has_wandb_key({"HOME": str(tmp_path), "WANDB_API_KEY": "x"})
    (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password x\n")
    assert has_wandb_key({"HOME": str(tmp_path)})
