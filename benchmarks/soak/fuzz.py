"""Files of a run with bytes changed at random: every reader says what is wrong in one line, or reads on."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path
from typing import Callable, Dict, List

from benchmarks.soak.score import Score
from ipu_app.config.load import load_config
from ipu_app.inference.trained import load_model_file, load_trained
from ipu_app.runs.first_weights import load_resume
from ipu_app.training import checkpoint as checkpoints
from ipu_app.training.rundir import read_json
from ipu_app.training.sinks import read_rows

_BITS = (
    b"",
    b"\x00",
    b"\xff",
    b"{",
    b"]",
    b'"',
    b"NaN",
    b"1e999",
    b"-1",
    b"null",
    b"[[[[",
    b"\n",
    b": ",
    b"&a ",
    b"!!x",
)


def fuzz_readers(run_dir: Path, scratch: Path, score: Score, draw: random.Random, seconds: float) -> None:
    """Change a file, read it as ``--resume``, validate, predict and export do; only ValueError is held."""
    deadline = time.monotonic() + seconds
    checkpoint = checkpoints.find_checkpoints(run_dir / "checkpoints")[-1].relative_to(run_dir)
    readers: Dict[Path, Callable[[Path], object]] = {
        Path("config.yaml"): lambda run: load_config(run / "config.yaml", opens_data=False),
        Path("model.json"): lambda run: load_model_file(run / "model.json"),
        Path("summary.json"): lambda run: read_json(run / "summary.json"),
        Path("metrics.jsonl"): lambda run: read_rows(run / "metrics.jsonl"),
        checkpoint / checkpoints.TREE: lambda run: load_resume(run / checkpoint),
        checkpoint / checkpoints.MANIFEST: lambda run: checkpoints.damage(run / checkpoint, ()),
        checkpoint / checkpoints.AVERAGED: load_trained,
        checkpoint / checkpoints.STATE: load_resume,
    }
    copy = scratch / "fuzzed"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(str(run_dir), str(copy))
    while time.monotonic() < deadline:
        name = draw.choice(list(readers))
        content = (run_dir / name).read_bytes()
        (copy / name).write_bytes(_changed(content, draw))
        problem = _problem(readers[name], copy)
        score.add(f"changed files read: {name.name}", 1, lost=1 if problem else 0)
        if problem:
            score.notes.append(f"lost: {name}: {problem[:200]}")
        (copy / name).write_bytes(content)


def _problem(reader: Callable[[Path], object], run: Path) -> str:
    try:
        reader(run)
    except (ValueError, FileNotFoundError):
        return ""
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _changed(content: bytes, draw: random.Random) -> bytes:
    pieces: List[bytes] = []
    at = 0
    for place in sorted(draw.randrange(len(content) + 1) for _ in range(draw.randint(1, 3))):
        pieces += [content[at:place], draw.choice(_BITS)]
        at = min(len(content), place + draw.choice([0, 1, 3]))
    whole = b"".join([*pieces, content[at:]])
    return whole[: draw.randrange(len(whole))] if draw.random() < 0.2 else whole
