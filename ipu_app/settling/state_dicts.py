"""The weights in other people's checkpoints: which of several state dicts, behind which wrapper's names.

A training's checkpoint holds the weights as they train and often their average (EMA), whose accuracy is the
published one; ``DataParallel``, ``torch.compile``, Lightning and the like put a prefix before every name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from torch import Tensor

from ipu_app.files.tensors import read_tensors
from ipu_app.runtime.base import Weights
from pipelines.door import BadFile, shown

AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "ema", "model_ema_state_dict")
RAW = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params", "module")
_STEMS = ("conv_stem.weight", "features.0.0.weight", "blocks.block0.conv.weight")  # timm, torchvision, ours
_MOST_WRAPPERS = 3  # state dicts inside state dicts


class StateDict(NamedTuple):
    """Weights by their own names; ``notes``: which were taken and what was left out; ``arch``: the network's
    name, where the file tells it.
    """

    weights: Weights
    notes: Tuple[str, ...]
    arch: str


def read_state_dict(file: Path, *, ema: Optional[bool] = None) -> StateDict:
    """Return the weights of a file; BadFile where it has none.

    ``ema``: take the averaged weights, or those as they trained; None takes the averaged where there are any.
    """
    if not file.exists():
        raise ValueError(f"init={shown(file)}: no such file")
    try:
        content = read_tensors(file)
    except BadFile as error:
        raise BadFile(f"init={error}") from None
    arch = content.value.get("arch") if isinstance(content.value, dict) else None
    try:
        weights, notes = _choose(content.value, ema)
        weights, left_out = _unwrapped(weights, ema)
    except BadFile as error:
        hint = (
            f"; objects that are not taken: {', '.join(content.strangers[:5])}" if content.strangers else ""
        )
        raise BadFile(f"init={shown(file)}: {error}{hint}") from None
    if content.strangers:
        notes.append(f"objects left out: {', '.join(content.strangers[:5])}")
    return StateDict(weights, (*notes, *left_out), arch if isinstance(arch, str) else "")


def _choose(value: Any, ema: Optional[bool]) -> Tuple[Dict[str, Tensor], List[str]]:
    """The state dict of a checkpoint, and what is to be said of the choice."""
    notes: List[str] = []
    for _ in range(_MOST_WRAPPERS):
        if not isinstance(value, dict):
            break
        averaged, raw = _first(value, AVERAGED), _first(value, RAW)
        if averaged is None and raw is None:
            return _tensors(value), [*notes, *_without_average(ema, notes)]
        takes_average = averaged is not None and (ema is not False or raw is None)
        key = averaged if takes_average else raw
        if averaged is not None and raw is not None:
            other = "--ema no takes" if takes_average else "--ema yes takes"
            kind = "averaged (EMA) weights" if takes_average else "weights as they trained"
            notes.append(f"{kind} taken, {key}; {other} {raw if takes_average else averaged}")
        elif averaged is not None:
            notes.append(f"averaged (EMA) weights taken, {key}")
        value = value[key]
    raise BadFile("must hold a state dict, that is names and tensors")


def _without_average(ema: Optional[bool], notes: Sequence[str]) -> List[str]:
    if ema and not notes:
        raise BadFile("has no averaged (EMA) weights; leave out --ema yes")
    return []


def _first(value: Mapping[str, Any], keys: Sequence[str]) -> Optional[str]:
    return next((key for key in keys if isinstance(value.get(key), dict) and value[key]), None)


def _tensors(value: Mapping[Any, Any]) -> Dict[str, Tensor]:
    found = {key: item for key, item in value.items() if isinstance(key, str) and isinstance(item, Tensor)}
    if not found:
        raise BadFile("must hold a state dict, that is names and tensors")
    return found


def _unwrapped(weights: Dict[str, Tensor], ema: Optional[bool]) -> Tuple[Weights, List[str]]:
    """The weights without a wrapper's prefix, and what lies beside them."""
    prefixes = sorted({key[: -len(stem)] for key in weights for stem in _STEMS if key.endswith(stem)})
    prefixes = [prefix for prefix in prefixes if not prefix or prefix.endswith(".")]
    if not prefixes:
        return weights, []
    prefix = _one_of(prefixes, ema)
    found = {key[len(prefix) :]: value for key, value in weights.items() if key.startswith(prefix)}
    notes = [f"names taken without {prefix!r} before them"] if prefix else []
    beside = [key for key in weights if not key.startswith(prefix)]
    if beside:
        listed = ", ".join(shown(key, 60) for key in beside[:3]) + (", ..." if len(beside) > 3 else "")
        notes.append(f"{len(beside)} tensors beside the network left out ({listed})")
    return found, notes


def _one_of(prefixes: Sequence[str], ema: Optional[bool]) -> str:
    """The prefix of the network to take, where a file has several copies of it."""
    if len(prefixes) == 1:
        return prefixes[0]
    averaged = [prefix for prefix in prefixes if "ema" in prefix.lower() or "average" in prefix.lower()]
    wanted = averaged if ema is not False and averaged else [p for p in prefixes if p not in averaged]
    if len(wanted) != 1:
        raise BadFile(f"has {len(prefixes)} networks: {', '.join(map(repr, prefixes[:5]))}; keep one of them")
    return wanted[0]
