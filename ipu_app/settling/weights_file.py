"""Weights from a file as a start: torchvision's, timm's or our own, and the model they are made for."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence

from torch import Tensor

from ipu_app import compat
from ipu_app.config.schema import ModelConfig
from ipu_app.models.choices import departures
from ipu_app.models.efficientnet import EfficientNet
from ipu_app.models.spec import EfficientNetSpec
from ipu_app.models.weights import families_of, identify_weights, load_weights, published_spec
from ipu_app.runtime.base import Weights
from ipu_app.training.rundir import read_json

# Input of the networks whose weights do not take torchvision's usual one; timm_tf's are the original's
_NORMALISATIONS = {
    ("torchvision", "v2-l"): "half",
    **{("timm_tf", name): "released_v2" for name in ("v2-s", "v2-m", "v2-l", "v2-xl")},
}
HEAD = "blocks.Top.fc."  # the names of the classifier's weights begin so


def needed_settings(file: Path, given: Sequence[str]) -> Dict[str, Any]:
    """Return the settings (key -> value) under which a file of weights means what it meant where it was made.

    ``given`` are the user's own ``key=value``; with ``model.padding=same`` timm's weights are taken as those
    of its ``tf_efficientnet`` family, whose file looks the same. Refuses a given model that contradicts.
    """
    state = read_state_dict(file)
    if is_own(state):
        spec, normalise = _own_description(file)
        origin = "these weights"
    else:
        library, name = identify_weights(state)
        wants_tf = file.name.startswith("tf_") or any("model.padding=same" in item for item in given)
        families = families_of(library, name)
        family = families[-1] if wants_tf else families[0]
        spec, origin = published_spec(name, family), f"{family}'s {name} weights"
        normalise = _NORMALISATIONS.get((family, name), "torchvision")
    if spec is None:
        return {}
    theirs = {field.name for field in fields(spec)} - {"dropout", "drop_connect"}
    keys = [field.name for field in fields(ModelConfig) if field.name in theirs and field.name != "sections"]
    needed = {f"model.{key}": getattr(spec, key) for key in keys}
    needed.update((f"model.{key}", value) for key, value in departures(spec).items())
    _refuse_others(needed, given, origin)
    return {**needed, "data.normalise": normalise}


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


def initial_weights(file: Path, own: Weights, spec: EfficientNetSpec, *, reset_head: bool) -> Weights:
    """Return a model's weights with those of a file put in; ``reset_head`` leaves the classifier as it is."""
    state = read_state_dict(file)
    if is_own(state):
        return _own_weights(file, state, own, reset_head=reset_head)
    model = EfficientNet(spec, initialise=False)
    model.load_state_dict(own)
    load_weights(model, state, reset_head=reset_head)
    return dict(model.state_dict())


def is_own(state: Mapping[str, Tensor]) -> bool:
    """Tell whether the names are those of this project's networks."""
    return any(name.startswith("blocks.block0.") for name in state)


def _own_description(file: Path) -> Any:
    """Return (spec, normalisation) of the ``model.json`` of an export, or of a checkpoint's run."""
    folder = file.resolve().parent
    described = (folder / "model.json", folder.parent.parent / "model.json")
    found = next((path for path in described if path.is_file()), None)
    if found is None:
        return None, None
    data = read_json(found)
    return EfficientNetSpec.from_dict(data["spec"]), data["normalise"]


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


def read_state_dict(file: Path) -> Weights:
    """Return the tensors of a weights file; refuses anything that is not a plain state dict."""
    if not file.is_file():
        raise ValueError(f"init={file}: no such file")
    if file.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            weights: Weights = load_file(str(file))
        except SafetensorError as error:
            raise ValueError(f"init={file}: not a safetensors file ({error})") from error
        return weights
    return _read_torch_file(file)


def _read_torch_file(file: Path) -> Weights:
    try:
        state = compat.load_plain(str(file))
    except Exception as error:  # an unpickler fails on other bytes in whatever way they lead it
        raise ValueError(f"init={file}: not a file of plain weights ({type(error).__name__})") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"init={file}: must hold a state dict, that is names and tensors")
    return state
