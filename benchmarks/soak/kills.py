"""A run that is killed again and again, damaged and starved in between, against one that was left alone."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, List, Tuple

import torch

from benchmarks.soak.children import Ended, Stop, run
from benchmarks.soak.score import Score
from ipu_app.training import checkpoint as checkpoints
from ipu_app.training.sinks import read_rows

CONFIG = """
runs_dir: {folder}
keep_checkpoints: 2
checkpoint_minutes: {minutes}
model: {{name: cifar, norm: gn, group_size: 16, dropout: 0.3, drop_connect: 0.2}}
data: {{limit_train: 32, limit_val: 8, workers: 0}}
device: {{kind: {kind}, threads: 1}}
evaluate: {{resolutions: [32, 64]}}
tracking: {{logs_per_epoch: 2}}
phases:
  train:
    epochs: 3
    resolution: 32
    averaging: 0.5
    batch: {{micro: 4, torch_micro: 4, eval_micro: 4}}
    optimizer: {{lr: 0.003, loss_scale: 1}}
    schedule: {{warmup_epochs: 0.5}}
"""
LAST = "epoch-0003"
MINUTES = 0.003  # a checkpoint about every second call
TIMES = ("time_s", "images_per_s")
KILLS_A_RUN = 14
SHARE = 0.25  # of the time of a whole run, within which a process is killed
SOFT, HARM, STARVE = (
    0.2,
    0.15,
    0.1,
)  # shares of stops by notice, of damage and of limited files before a resume


@dataclass(frozen=True)
class Subject:
    """What is trained: where, on which kind of device, how long it takes when left alone."""

    folder: Path
    kind: str
    config: Path
    seconds: float

    @property
    def whole(self) -> Path:
        """The run that was left alone."""
        return self.folder / "whole"


def prepare(folder: Path, kind: str) -> Subject:
    """Train the run that all others are compared with."""
    folder.mkdir(parents=True)
    config = folder / "run.yaml"
    config.write_text(CONFIG.format(folder=folder, kind=kind, minutes=MINUTES), encoding="utf-8")
    started = time.monotonic()
    ended = run(["train", "--config", str(config), "--name", "whole"], folder / "log")
    if ended.code:
        raise ValueError(f"soak: the run that is left alone fails: {ended.last}")
    return Subject(folder, kind, config, time.monotonic() - started)


def round_of_kills(subject: Subject, score: Score, draw: random.Random) -> None:
    """Kill one run again and again, resume it to its end, compare; what is lost is kept for a look."""
    log, cut = subject.folder / "log", subject.folder / "cut"
    shutil.rmtree(cut, ignore_errors=True)
    words = ["train", "--config", str(subject.config), "--name", "cut"]
    trail: List[str] = []
    kills = 0
    while kills < KILLS_A_RUN:
        ended, what = _stopped(words, log, subject, draw)
        trail.append(f"{what}: {ended.code} {ended.last[:160]}")
        if _is_over(ended):
            ended = replace(ended, code=0)
        if ended.code == 0 or not ended.is_clean or not _expected(ended):
            break
        kills += 1
        if checkpoints.find_checkpoints(cut / "checkpoints"):
            words = ["train", "--resume", str(cut)]
            _harm(cut, draw, score, trail)
        else:
            shutil.rmtree(cut, ignore_errors=True)
            words = ["train", "--config", str(subject.config), "--name", "cut"]
    if ended.code != 0:
        ended = run(words, log)
        ended = replace(ended, code=0) if _is_over(ended) else ended
        trail.append(f"to the end: {ended.code} {ended.last[:160]}")
    differing = [ended.last] if ended.code else differences(subject.whole, cut)
    held = not differing and ended.is_clean and not _leftovers(cut)
    score.add(f"kills and notices, {subject.kind}", kills, lost=0 if held else max(kills, 1))
    score.add(f"runs compared bit for bit, {subject.kind}", 1, lost=0 if held else 1)
    if not held:
        score.keep(subject.folder, trail + differing[:5] + _leftovers(cut))


def _stopped(words: List[str], log: Path, subject: Subject, draw: random.Random) -> Tuple[Ended, str]:
    after_s = draw.uniform(0.05, max(0.3, subject.seconds * SHARE))
    if draw.random() < STARVE:
        return run(
            words, log, stop=Stop(after_s * 3), file_limit=draw.choice([10_000, 2_000_000, 8_000_000])
        ), "file limit"
    soft = draw.random() < SOFT
    number = draw.choice([signal.SIGTERM, signal.SIGINT, signal.SIGUSR1]) if soft else signal.SIGKILL
    return run(words, log, stop=Stop(after_s, number)), f"{signal.Signals(number).name} after {after_s:.2f} s"


def _is_over(ended: Ended) -> bool:
    """Whether the kill before came after all was written."""
    return ended.code == 2 and "epochs are done" in ended.last


def _expected(ended: Ended) -> bool:
    """Killed; by a notice; the file limit's one line; a notice before anything listened."""
    return ended.code in (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGUSR1, 143, 130, 1)


def _harm(run_dir: Path, draw: random.Random, score: Score, trail: List[str]) -> None:
    """Damage a file of the newest checkpoint where there is an older one, or a line of the metrics."""
    found = checkpoints.find_checkpoints(run_dir / "checkpoints")
    if len(found) < 2 or draw.random() > HARM:
        return
    file = found[-1] / draw.choice([*checkpoints.ALL_FILES, checkpoints.MANIFEST])
    how = draw.choice(["cut", "flip", "remove", "empty"])
    size = file.stat().st_size
    if how == "remove" and file.name == checkpoints.MANIFEST:
        how = "cut"
    if how == "cut":
        os.truncate(str(file), draw.randrange(size))
    elif how == "empty":
        file.write_bytes(b"")
    elif how == "remove":
        file.unlink()
    else:
        with file.open("r+b") as stream:
            stream.seek(draw.randrange(size))
            byte = stream.read(1)
            stream.seek(-1, os.SEEK_CUR)
            stream.write(bytes([byte[0] ^ (1 << draw.randrange(8))]))
    trail.append(f"{how} {file.parent.name}/{file.name}")
    score.add(f"damaged files: {how}", 1)


def differences(whole: Path, cut: Path) -> List[str]:
    """Return what is not the same in two runs: tensors, rows but for their times, the files of their end."""
    one, two = _tensors(whole), _tensors(cut)
    found = [
        name
        for name in {*one, *two}
        if name not in one or name not in two or not torch.equal(one[name], two[name])
    ]
    if _rows(whole) != _rows(cut):
        found.append("metrics.jsonl")
    return found + [name for name in ("summary.json", "report.html") if not (cut / name).is_file()]


def _tensors(run_dir: Path) -> Dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    folder = run_dir / "checkpoints" / LAST
    names = (checkpoints.WEIGHTS, checkpoints.AVERAGED, checkpoints.STATE)
    files = [folder / name for name in names if (folder / name).is_file()]
    return {f"{file.name}/{key}": value for file in files for key, value in load_file(str(file)).items()}


def _rows(run_dir: Path) -> List[Dict[str, Any]]:
    rows = read_rows(run_dir / "metrics.jsonl")
    return [{key: value for key, value in row.items() if key not in TIMES} for row in rows]


def _leftovers(run_dir: Path) -> List[str]:
    return [path.name for path in run_dir.rglob(".*.part")] if run_dir.is_dir() else []
