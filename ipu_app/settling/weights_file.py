"""Weights from a file as a start: torchvision's, timm's or our own, and the model they are made for."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from torch import Tensor

from ipu_app.config.schema import ModelConfig
from ipu_app.models.choices import departures
from ipu_app.models.efficientnet import EfficientNet
from ipu_app.models.foreign_weights import families_of, identify_weights, load_weights, published_spec
from ipu_app.models.spec import EfficientNetSpec
from ipu_app.runtime.base import Weights
from ipu_app.settling.state_dicts import read_state_dict
from ipu_app.settling.weights_family import Description, describe_file
from ipu_app.training.model_json import read_model_json

# Input of the networks whose weights do not take torchvision's usual one; timm_tf's are the original's
_NORMALISATIONS = {
    ("torchvision", "v2-l"): "half",
    **{("timm_tf", name): "released_v2" for name in ("v2-s", "v2-m", "v2-l", "v2-xl")},
}
HEAD = "blocks.Top.fc."  # the names of the classifier's weights begin so


class Needs(NamedTuple):
    """What a file of weights brings: ``settings`` (key -> value) under which it means what it meant where it
    was made, and ``notes`` for people. ``classes``: the names of those it was trained on, where it tells.
    """

    settings: Dict[str, Any]
    notes: Tuple[str, ...]
    classes: Tuple[str, ...]


def file_needs(file: Path, given: Sequence[str], *, ema: Optional[bool] = None) -> Needs:
    """Return what a file of weights needs; ``given`` are the user's own ``key=value``.

    With ``model.padding=same`` timm's weights are taken as those of its ``tf_efficientnet`` family, whose
    file looks the same. Refuses a given model that contradicts.
    """
    found = read_state_dict(file, ema=ema)
    if is_own(found.weights):
        model = _own_description(file)
        if model is None:
            return Needs({}, found.notes, ())
        spec, normalise, classes = model["spec"], model["normalise"], tuple(model["classes"])
        origin, notes = "these weights", found.notes
    else:
        library, name = identify_weights(found.weights)
        known = describe_file(file, found.arch)
        family, why = _family(library, name, known, given)
        spec, origin = published_spec(name, family), f"{family}'s {name} weights"
        usual = _NORMALISATIONS.get((family, name), "torchvision")
        normalise, classes = known.normalise or usual, known.classes
        notes = (*found.notes, *why, *_input_notes(normalise))
    theirs = {field.name for field in fields(spec)} - {"dropout", "drop_connect"}
    keys = [field.name for field in fields(ModelConfig) if field.name in theirs and field.name != "sections"]
    needed = {f"model.{key}": getattr(spec, key) for key in keys}
    needed.update((f"model.{key}", value) for key, value in departures(spec).items())
    _refuse_others(needed, given, origin)
    return Needs({**needed, "data.normalise": normalise}, tuple(notes), classes)


def _family(library: str, name: str, known: Description, given: Sequence[str]) -> Tuple[str, List[str]]:
    """The family of a library's network, and what is to be said where only the user can tell it."""
    families = families_of(library, name)
    if len(families) == 1:
        return families[0], []
    paddings = [item.partition("=")[2].strip("'\"") for item in given if item.startswith("model.padding=")]
    if paddings:
        return families[-1] if paddings[-1] == "same" else families[0], []
    if known.name:
        return families[-1] if known.is_tf else families[0], [f"taken for {known.name}, by {known.source}"]
    note = (
        f"taken for timm's efficientnet_{name}; if they are tf_efficientnet_{name}, which look the same, say "
        "so: --set model.padding=same"
    )
    return families[0], [note]


def _input_notes(normalise: str) -> List[str]:
    if normalise != "half":
        return []
    return ["input from -1 to 1 (data.normalise=half), as Inception's and AdvProp's weights take it"]


def missing_overrides(needed: Mapping[str, Any], given: Sequence[str]) -> List[str]:
    """Return the needed settings that the user has not given, as ``key=value``."""
    keys = {item.partition("=")[0] for item in given}
    return [f"{key}={value}" for key, value in needed.items() if key not in keys]


def _refuse_others(needed: Mapping[str, Any], given: Sequence[str], origin: str) -> None:
    for item in given:
        key, _, text = item.partition("=")
        if key in needed and not _same(text.strip("'\""), needed[key]):
            listed = " ".join(f"{name}={value}" for name, value in needed.items())
            raise ValueError(f"{item}: {origin} need --set {listed} (leave them out and they are set)")


def _same(text: str, value: Any) -> bool:
    try:
        return bool(float(text) == float(value))
    except ValueError:
        return text == str(value)


def initial_weights(
    file: Path, own: Weights, spec: EfficientNetSpec, *, reset_head: bool, ema: Optional[bool] = None
) -> Weights:
    """Return a model's weights with those of a file put in; ``reset_head`` leaves the classifier as it is."""
    state = read_state_dict(file, ema=ema).weights
    if is_own(state):
        return _own_weights(file, state, own, reset_head=reset_head)
    model = EfficientNet(spec, initialise=False)
    model.load_state_dict(own)
    load_weights(model, state, reset_head=reset_head)
    return dict(model.state_dict())


def is_own(state: Mapping[str, Tensor]) -> bool:
    """Tell whether the names are those of this project's networks."""
    return any(name.startswith("blocks.block0.") for name in state)


def _own_description(file: Path) -> Optional[Dict[str, Any]]:
    """Return the ``model.json`` of an export, or of a checkpoint's run."""
    folder = file.resolve().parent
    described = (folder / "model.json", folder.parent.parent / "model.json")
    found = next((path for path in described if path.is_file()), None)
    return None if found is None else read_model_json(found)


def _own_weights(file: Path, state: Weights, own: Weights, *, reset_head: bool) -> Weights:
    kept = {name: value for name, value in own.items() if reset_head and name.startswith(HEAD)}
    found = {**state, **kept}
    wrong = [name for name in own if name not in found or found[name].shape != own[name].shape]
    if wrong and all(name.startswith(HEAD) for name in wrong):
        raise ValueError(f"init={file}: made for another number of classes; add --reset-head")
    if wrong or set(found) - set(own):
        first = (wrong or sorted(set(found) - set(own)))[0]
        raise ValueError(f"init={file}: not weights of this model ({first} does not fit); see model.json")
    return found
