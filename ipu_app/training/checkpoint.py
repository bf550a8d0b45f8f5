"""Checkpoints: safetensors for every tensor, JSON for the rest, written aside and moved into place whole.

checkpoints/epoch-0007/
    weights.safetensors     the model as it trains
    averaged.safetensors    the averaged model, which validation uses
    state.safetensors       optimiser, average (float64) and random state
    state.json              progress, configuration, and the shape of the state's tree
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import torch
from torch import Tensor

FORMAT = 1
_TENSOR, _TUPLE, _DICT = "__tensor__", "__tuple__", "__dict__"
_NAME = re.compile(r"epoch-(\d+)$")


def save_checkpoint(
    folder: Path,
    epoch: int,
    *,
    weights: Dict[str, Tensor],
    averaged: Dict[str, Tensor],
    state: Dict[str, Any],
) -> Path:
    """Write one checkpoint; a crash leaves either a whole one or none. Returns its folder."""
    target = folder / f"epoch-{epoch:04d}"
    draft = folder / f".{target.name}.{os.getpid()}.part"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    tensors: Dict[str, Tensor] = {}
    tree = _take_tensors(state, "state", tensors)
    save_tensors(_plain(weights), draft / "weights.safetensors")
    save_tensors(_plain(averaged), draft / "averaged.safetensors")
    save_tensors(_plain(tensors), draft / "state.safetensors")
    (draft / "state.json").write_text(json.dumps({"format": FORMAT, "state": tree}), encoding="utf-8")
    shutil.rmtree(target, ignore_errors=True)
    os.replace(draft, target)
    return target


def save_tensors(tensors: Dict[str, Tensor], path: Path) -> None:
    """Write a safetensors file that others may read as they may any new file: as the umask allows.

    The library writes a private temporary file and renames it, so that only its owner could read it.
    """
    from safetensors.torch import save_file

    path.touch()
    mode = stat.S_IMODE(path.stat().st_mode)
    save_file(tensors, str(path))
    path.chmod(mode)


def load_state(checkpoint: Path) -> Dict[str, Any]:
    """Return the state that ``save_checkpoint`` was given; refuse a folder that holds none."""
    from safetensors.torch import load_file

    file = checkpoint / "state.json"
    if not file.is_file():
        raise ValueError(
            f"checkpoint={checkpoint}: no state.json there; give a folder like .../checkpoints/epoch-0007"
        )
    record = json.loads(file.read_text(encoding="utf-8"))
    if record.get("format") != FORMAT:
        raise ValueError(
            f"checkpoint={checkpoint}: format {record.get('format')!r}, this version reads {FORMAT}"
        )
    state: Dict[str, Any] = _put_tensors(record["state"], load_file(str(checkpoint / "state.safetensors")))
    return state


def load_weights(checkpoint: Path, *, averaged: bool) -> Dict[str, Tensor]:
    """Return the model weights of a checkpoint."""
    from safetensors.torch import load_file

    name = "averaged" if averaged else "weights"
    weights: Dict[str, Tensor] = load_file(str(checkpoint / f"{name}.safetensors"))
    return weights


def describe_weights(checkpoint: Path, *, averaged: bool) -> str:
    """Return in words what ``load_weights`` returns; they are averaged only where averaging changed them."""
    import filecmp

    files = [str(checkpoint / f"{name}.safetensors") for name in ("averaged", "weights")]
    kind = "" if filecmp.cmp(*files, shallow=False) else "averaged " if averaged else "raw "
    return f"{kind}weights of {checkpoint.name}"


def find_checkpoints(folder: Path) -> List[Path]:
    """Return the whole checkpoints of a folder, the oldest first."""
    if not folder.is_dir():
        return []
    numbered: List[Tuple[int, Path]] = []
    for path in folder.iterdir():
        match = _NAME.match(path.name)
        if match and (path / "state.json").is_file():
            numbered.append((int(match.group(1)), path))
    return [path for _, path in sorted(numbered)]


def newest_checkpoint(folder: Path) -> Optional[Path]:
    """Return the newest whole checkpoint, or None."""
    found = find_checkpoints(folder)
    return found[-1] if found else None


def prune(folder: Path, keep: int) -> None:
    """Remove all but the newest ``keep`` checkpoints."""
    for path in find_checkpoints(folder)[:-keep]:
        shutil.rmtree(path, ignore_errors=True)


def _plain(tensors: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """Make tensors contiguous and unshared, as safetensors demands."""
    return {name: value.detach().to("cpu").contiguous().clone() for name, value in tensors.items()}


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
        return {key: _put_tensors(value, tensors) for key, value in tree[_DICT]}
    return tree
