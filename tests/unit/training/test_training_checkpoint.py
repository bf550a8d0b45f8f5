"""Checkpoints are whole or not there, and what a disk does to them later is found out and named."""

from __future__ import annotations

import errno
import json
import math
import os
from pathlib import Path
from typing import Any, Callable, Dict

import pytest
import torch
from safetensors.torch import load_file

from ipu_app.errors import RunFailed
from ipu_app.training import checkpoint as checkpoints
from ipu_app.training import tensor_file
from ipu_app.training.durable import explained_writing
from ipu_app.training.sinks import JsonlSink, damaged_lines, keep_rows_up_to, read_rows
from pipelines.door import to_json

WEIGHTS = {"w": torch.arange(6.0).reshape(2, 3), "n": torch.tensor(3)}
STATE: Dict[str, Any] = {
    "progress": {"step": 4},
    "runtime": {"groups": [{"lr": 0.1, "betas": (0.9, 0.99)}], "state": {0: {"m": torch.ones(2)}}},
    "limit": math.inf,
}


def save(folder: Path, epoch: int, calls: int = 0) -> Path:
    return checkpoints.save_checkpoint(
        folder, epoch, calls=calls, weights=WEIGHTS, averaged=WEIGHTS, state=STATE, config={"seed": 1}
    )


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    found = save(tmp_path, 1)
    state = checkpoints.load_state(found)
    assert state["runtime"]["groups"] == STATE["runtime"]["groups"] and state["limit"] == math.inf
    assert torch.equal(state["runtime"]["state"][0]["m"], torch.ones(2))
    assert torch.equal(checkpoints.load_weights(found, averaged=True)["w"], WEIGHTS["w"])
    manifest = checkpoints.load_manifest(found)
    assert manifest["config"] == {"seed": 1} and manifest["versions"]["torch"] == torch.__version__
    assert checkpoints.damage(found) is None


@pytest.mark.parametrize("dtype", list(tensor_file.NAMES))
def test_tensor_files_are_read_by_the_library(dtype: torch.dtype, tmp_path: Path) -> None:
    tensors = {
        "odd": torch.ones(3, 5).to(dtype).t(),
        "none": torch.zeros(0, 2).to(dtype),
        "one": torch.tensor(1).to(dtype),
        "bytes": torch.arange(7, dtype=torch.uint8),
    }
    listed = tensor_file.write_tensors(tensors, tmp_path / "f.safetensors")
    read = load_file(str(tmp_path / "f.safetensors"))
    assert sorted(read) == sorted(tensors)
    assert all(
        torch.equal(read[name], value) and read[name].dtype == value.dtype for name, value in tensors.items()
    )
    assert listed["bytes"] == (tmp_path / "f.safetensors").stat().st_size


def cut(file: Path) -> None:
    os.truncate(str(file), file.stat().st_size // 2)


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-2] ^= 1
    file.write_bytes(bytes(content))


@pytest.mark.parametrize("name", [*checkpoints.ALL_FILES, checkpoints.MANIFEST])
@pytest.mark.parametrize("harm", [cut, flip, os.unlink, lambda file: file.write_bytes(b"")])
def test_damage_is_named_and_the_one_before_is_taken(
    name: str, harm: Callable[[Path], Any], tmp_path: Path
) -> None:
    older, newer = save(tmp_path, 1), save(tmp_path, 1, 7)
    harm(newer / name)
    found = checkpoints.newest_whole(tmp_path)
    if name == checkpoints.MANIFEST and harm is os.unlink:  # as a version without manifests wrote it
        assert found is not None
        return
    assert found is not None and found.path == older
    assert (
        len(found.notes) == 1
        and str(newer / name) in found.notes[0]
        and "epoch-0001 is taken" in found.notes[0]
    )
    harm(older / name)
    with pytest.raises(ValueError, match="there is no other"):
        checkpoints.newest_whole(tmp_path)


def test_only_what_is_needed_must_be_whole(tmp_path: Path) -> None:
    found = save(tmp_path, 1)
    cut(found / checkpoints.STATE)
    assert checkpoints.newest_whole(tmp_path, (checkpoints.AVERAGED,)) == (found, ())


def test_a_checkpoint_of_an_old_version_is_read_to_see_whether_it_is_whole(tmp_path: Path) -> None:
    found = save(tmp_path, 1)
    (found / checkpoints.MANIFEST).unlink()
    assert checkpoints.damage(found) is None
    cut(found / checkpoints.STATE)
    assert "damaged" in str(checkpoints.damage(found))


def test_the_newest_inside_an_epoch_goes_with_the_epochs_end(tmp_path: Path) -> None:
    def names() -> Any:
        return [path.name for path in checkpoints.find_checkpoints(tmp_path)]

    for epoch, calls in ((1, 0), (2, 0), (2, 5), (2, 12)):
        save(tmp_path, epoch, calls)
        checkpoints.prune(tmp_path, 2)
    assert names() == ["epoch-0001", "epoch-0002", "epoch-0002-call-000012"]
    save(tmp_path, 3)
    checkpoints.prune(tmp_path, 2)
    assert names() == ["epoch-0002", "epoch-0003"]


def test_drafts_of_dead_processes_are_removed(tmp_path: Path) -> None:
    save(tmp_path, 1)
    (tmp_path / ".epoch-0002.123.part").mkdir()
    (tmp_path / ".metrics.jsonl.123.part").write_text("x")
    checkpoints.remove_drafts(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-0001"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO])
def test_what_the_disk_refuses_leaves_nothing_and_is_one_line(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = save(tmp_path, 1)

    def refuse(tensors: Any, path: Path) -> Any:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(checkpoints, "write_tensors", refuse)
    failed = pytest.raises(RunFailed, match="checkpoint epoch-0002 could not be written: .*kept")
    with failed, explained_writing("checkpoint epoch-0002", "epoch-0001 is kept"):
        save(tmp_path, 2)
    assert list(tmp_path.iterdir()) == [older] and checkpoints.damage(older) is None


def test_a_damaged_line_of_metrics_costs_that_line(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    sink = JsonlSink(file)
    for step in range(3):
        sink.row({"kind": "val", "step": step, "epoch": 1.0, "loss": math.nan if step == 1 else 0.5})
    lines = file.read_bytes().split(b"\n")
    bad = [b"garbage", b"[1]", b"7", b'{"kind": "val"}', b"\xff\xfe", b"[" * 100_000]
    file.write_bytes(b"\n".join([lines[0], *bad, *lines[1:]]) + b'{"kind": "tr')
    assert [(row["step"], row["loss"]) for row in read_rows(file)] == [(0, 0.5), (1, None), (2, 0.5)]
    assert damaged_lines(file) == len(bad)
    keep_rows_up_to(file, 2, validation=False)
    assert [row["step"] for row in read_rows(file)] == [0, 1] and damaged_lines(file) == 0


def test_json_is_strict() -> None:
    text = to_json({"a": [math.nan, {"b": -math.inf}], "c": 1.5})
    assert json.loads(text, parse_constant=lambda name: pytest.fail(name)) == {
        "a": [None, {"b": None}],
        "c": 1.5,
    }
