"""Checkpoints: safetensors for every tensor, JSON for the rest, written aside and moved into place whole.

checkpoints/epoch-0007/
    weights.safetensors     the model as it trains
    averaged.safetensors    the averaged model, which validation uses
    state.safetensors       optimiser, average (float64) and random state
    state.json              progress, and the shape of the state's tree
    manifest.json           size and SHA-256 of the others, versions, configuration

``epoch-0007-call-000120`` is one inside the eighth epoch, after 120 of its training calls. All files and
folders are on the disk before the folder gets its name, so that one of this name is whole; what a disk does
to it later is found out by its manifest.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import platform
import re
import shutil
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor

from ipu_app.training.durable import sync_folder, write_text
from ipu_app.training.tensor_file import write_tensors
from pipelines.door import to_json

FORMAT = 1
MANIFEST = "manifest.json"
WEIGHTS, AVERAGED, STATE, TREE = (
    "weights.safetensors",
    "averaged.safetensors",
    "state.safetensors",
    "state.json",
)
ALL_FILES = (WEIGHTS, AVERAGED, STATE, TREE)
_TENSOR, _TUPLE, _DICT, _FLOAT = "__tensor__", "__tuple__", "__dict__", "__float__"
_NAME = re.compile(r"epoch-(\d+)(?:-call-(\d+))?$")
_DRAFT = re.compile(r"\..*\.part$")


class Found(NamedTuple):
    """The newest checkpoint that is whole, and a line for each newer one that is not."""

    path: Path
    notes: Tuple[str, ...]


def checkpoint_name(epoch: int, calls: int = 0) -> str:
    """Return the name of a checkpoint after so many epochs, and calls of the next."""
    return f"epoch-{epoch:04d}" + (f"-call-{calls:06d}" if calls else "")


def save_checkpoint(
    folder: Path,
    epoch: int,
    *,
    calls: int = 0,
    weights: Dict[str, Tensor],
    averaged: Dict[str, Tensor],
    state: Dict[str, Any],
    config: Optional[Mapping[str, Any]] = None,
) -> Path:
    """Write the checkpoint after ``epoch`` epochs, and ``calls`` of the next; return its folder.

    A crash leaves either a whole one or none.
    OSError where the disk refuses: nothing of it is left then, and older ones are as they were.
    """
    name = checkpoint_name(epoch, calls)
    target, draft = folder / name, _draft(folder, name)
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        _write_parts(draft, weights, averaged, state, config)
        sync_folder(draft)
        _remove(target)
        os.replace(draft, target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    sync_folder(folder)
    return target


def _write_parts(
    draft: Path,
    weights: Dict[str, Tensor],
    averaged: Dict[str, Tensor],
    state: Dict[str, Any],
    config: Optional[Mapping[str, Any]],
) -> None:
    tensors: Dict[str, Tensor] = {}
    tree = json.dumps({"format": FORMAT, "state": _take_tensors(state, "state", tensors)}, allow_nan=False)
    files = {
        name: write_tensors(content, draft / name)
        for name, content in ((WEIGHTS, weights), (AVERAGED, averaged), (STATE, tensors))
    }
    write_text(draft / TREE, tree)
    content = tree.encode("utf-8")
    files[TREE] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    manifest = {"format": FORMAT, "files": files, "versions": versions, "config": dict(config or {})}
    write_text(draft / MANIFEST, to_json(manifest, indent=1) + "\n")


def save_tensors(tensors: Dict[str, Tensor], path: Path) -> None:
    """Write a safetensors file."""
    write_tensors(tensors, path)


def load_state(checkpoint: Path) -> Dict[str, Any]:
    """Return the state that ``save_checkpoint`` was given; refuse a folder that holds none."""
    file = checkpoint / TREE
    if not file.is_file():
        raise ValueError(
            f"checkpoint={checkpoint}: no {TREE} there; give a folder like .../checkpoints/epoch-0007"
        )
    with _naming_damage(file):
        record = json.loads(file.read_text(encoding="utf-8"))
        version = record.get("format")
    if version != FORMAT:
        raise ValueError(f"checkpoint={checkpoint}: format {version!r}, this version reads {FORMAT}")
    tensors = _load_file(checkpoint / STATE)
    with _naming_damage(file):
        state: Dict[str, Any] = _put_tensors(record["state"], tensors)
    return state


def load_manifest(checkpoint: Path) -> Dict[str, Any]:
    """Return what a checkpoint says of itself; empty where it is of a version that did not."""
    file = checkpoint / MANIFEST
    if not file.is_file():
        return {}
    with _naming_damage(file):
        manifest = json.loads(file.read_text(encoding="utf-8"))
        for entry in manifest["files"].values():
            int(entry["bytes"]), str(entry["sha256"])
        return dict(manifest)


@contextlib.contextmanager
def _naming_damage(file: Path) -> Iterator[None]:
    """Name the file that is not what it should be (ValueError)."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{file}: damaged ({type(error).__name__}: {reason:.120})") from error


def _load_file(path: Path) -> Dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    with _naming_damage(path):
        try:
            tensors: Dict[str, Tensor] = load_file(str(path))
        except SafetensorError as error:
            raise ValueError(str(error)) from error
        return tensors


def damage(checkpoint: Path, names: Sequence[str] = ALL_FILES) -> Optional[str]:
    """Return in words what is wrong with the files of these names, None where they are whole."""
    try:
        listed = load_manifest(checkpoint).get("files", {})
    except ValueError as error:
        return str(error)
    for name in names:
        file = checkpoint / name
        try:
            wrong = _difference(file, listed.get(name))
        except OSError as error:
            wrong = error.strerror or str(error)
        if wrong:
            return f"{file}: {wrong}"
    return None


def _difference(file: Path, listed: Optional[Mapping[str, Any]]) -> Optional[str]:
    if not file.is_file():
        return "missing"
    if listed is None:  # written by a version without manifests: readable is all that can be asked
        return _unreadable(file)
    size = file.stat().st_size
    if size != listed["bytes"]:
        return f"damaged: {size} bytes, not the {listed['bytes']} that were written"
    return None if _sha256(file) == listed["sha256"] else "damaged: not the bytes that were written (SHA-256)"


def _unreadable(file: Path) -> Optional[str]:
    try:
        if file.suffix == ".json":
            json.loads(file.read_text(encoding="utf-8"))
        else:
            _load_file(file)
    except ValueError as error:
        return f"damaged ({' '.join(str(error).split()):.120})"
    return None


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        for piece in iter(lambda: stream.read(1 << 22), b""):
            digest.update(piece)
    return digest.hexdigest()


def load_weights(checkpoint: Path, *, averaged: bool) -> Dict[str, Tensor]:
    """Return the model weights of a checkpoint."""
    return _load_file(checkpoint / (AVERAGED if averaged else WEIGHTS))


def describe_weights(checkpoint: Path, *, averaged: bool) -> str:
    """Return in words what ``load_weights`` returns; they are averaged only where averaging changed them."""
    import filecmp

    files = [str(checkpoint / name) for name in (AVERAGED, WEIGHTS)]
    try:
        same = filecmp.cmp(*files, shallow=False)
    except OSError:  # the other one is not needed
        same = False
    kind = "" if same else "averaged " if averaged else "raw "
    return f"{kind}weights of {checkpoint.name}"


def find_checkpoints(folder: Path) -> List[Path]:
    """Return the checkpoints of a folder, the oldest first; whether they are whole, ``damage`` tells."""
    if not folder.is_dir():
        return []
    numbered: List[Tuple[int, int, Path]] = []
    for path in folder.iterdir():
        match = _NAME.match(path.name)
        if match and path.is_dir():
            numbered.append((int(match.group(1)), int(match.group(2) or 0), path))
    return [path for _, _, path in sorted(numbered)]


def newest_checkpoint(folder: Path) -> Optional[Path]:
    """Return the newest checkpoint, or None."""
    found = find_checkpoints(folder)
    return found[-1] if found else None


def newest_whole(folder: Path, names: Sequence[str] = ALL_FILES) -> Optional[Found]:
    """Return the newest checkpoint whose files of these names are whole; None where there never was one.

    ValueError, which names what is damaged, where none of those that are there can be used.
    """
    notes: List[str] = []
    for path in reversed(find_checkpoints(folder)):
        problem = damage(path, names)
        if problem is None:
            said = tuple(f"warning: {note}; {path.name} is taken instead" for note in notes)
            return Found(path, said)
        notes.append(problem)
    if notes:
        raise ValueError(f"checkpoint {'; '.join(notes)}; there is no other")
    return None


def prune(folder: Path, keep: int) -> None:
    """Remove all but the newest ``keep`` checkpoints of whole epochs, and the newest if it is inside one."""
    found = find_checkpoints(folder)
    whole = [path for path in found if not _is_partial(path)]
    kept = {*whole[-keep:], *found[-1:]}
    for path in found:
        if path not in kept:
            _remove(path)


def remove_drafts(folder: Path) -> None:
    """Remove what processes that ended while they wrote have left; the run must be ours alone."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if not _DRAFT.match(path.name):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def is_name(name: str) -> bool:
    """Tell whether this is the name of a checkpoint's folder."""
    return _NAME.match(name) is not None


def epoch_of(checkpoint: Path) -> int:
    """Return after how many epochs of its run a checkpoint was made."""
    match = _NAME.match(checkpoint.name)
    return int(match.group(1)) if match else 0


def _is_partial(path: Path) -> bool:
    match = _NAME.match(path.name)
    return bool(match and match.group(2))


def _draft(folder: Path, name: str) -> Path:
    return folder / f".{name}.{os.getpid()}.part"


def _remove(path: Path) -> None:
    """Take a checkpoint's name away first: one that is half removed must not pass for one."""
    if path.exists():
        doomed = path.with_name(f".{path.name}.{os.getpid()}.old.part")
        os.replace(path, doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def _take_tensors(tree: Any, path: str, tensors: Dict[str, Tensor]) -> Any:
    if isinstance(tree, torch.Tensor):
        tensors[path] = tree
        return {_TENSOR: path}
    if isinstance(tree, dict):
        items = [[key, _take_tensors(value, f"{path}/{key}", tensors)] for key, value in tree.items()]
        return {_DICT: items}  # a list of pairs keeps integer keys, which JSON objects would not
    if isinstance(tree, (list, tuple)):
        values = [_take_tensors(value, f"{path}/{i}", tensors) for i, value in enumerate(tree)]
        return {_TUPLE: values} if isinstance(tree, tuple) else values
    if isinstance(tree, float) and not math.isfinite(tree):
        return {_FLOAT: str(tree)}  # JSON has no infinity
    if tree is None or isinstance(tree, (bool, int, float, str)):
        return tree
    raise TypeError(f"{path}: a checkpoint holds tensors, numbers and text, not {type(tree).__name__}")


def _put_tensors(tree: Any, tensors: Dict[str, Tensor]) -> Any:
    if isinstance(tree, list):
        return [_put_tensors(value, tensors) for value in tree]
    if isinstance(tree, dict):
        if _TENSOR in tree:
            return tensors[tree[_TENSOR]]
        if _TUPLE in tree:
            return tuple(_put_tensors(value, tensors) for value in tree[_TUPLE])
        if _FLOAT in tree:
            return float(tree[_FLOAT])
        return {key: _put_tensors(value, tensors) for key, value in tree[_DICT]}
    return tree
