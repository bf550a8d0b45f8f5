"""Weights from and to torchvision's and timm's EfficientNets (batch norm, groups of 1, expand ratio 6).

The three families of published weights differ in padding and in the norm's epsilon, so that each needs its
own spec (:func:`published_spec`): torchvision's (symmetric; 1e-5, but 1e-3 in b5 to b7), timm's
``efficientnet_b*`` (symmetric, 1e-5) and timm's ``tf_efficientnet_b*`` (SAME, 1e-3). State dicts are plain;
neither library is imported.
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, Mapping, NamedTuple, Tuple

import torch
from torch import nn

from ipu_app.models.layout import block_specs, top_conv
from ipu_app.models.spec import SIZES, EfficientNetSpec, make_spec

NORM_LEAVES = ("weight", "bias", "running_mean", "running_var")
FAMILIES = ("torchvision", "timm", "timm_tf")


class ModulePair(NamedTuple):
    """A module of ours, the module of the other library that it equals, and their tensors' common names."""

    ours: str
    theirs: str
    leaves: Tuple[str, ...]


def published_spec(name: str, family: str, **options: Any) -> EfficientNetSpec:
    """The spec under which ``family``'s weights (torchvision, timm, timm_tf) of b0 to b7 mean what they
    meant there.
    """
    if family not in FAMILIES:
        raise ValueError(f"family={family!r}: choose one of {', '.join(FAMILIES)}")
    spec = make_spec(name, norm="bn", **options)
    if family == "timm_tf":
        return make_spec(name, norm="bn", padding="same", norm_eps=1e-3, **options)
    wide = family == "torchvision" and spec.name in ("b5", "b6", "b7")
    return make_spec(name, norm="bn", padding="symmetric", norm_eps=1e-3 if wide else 1e-5, **options)


def identify_weights(state: Mapping[str, torch.Tensor]) -> Tuple[str, str]:
    """The library (torchvision or timm) and the size (b0 to b7) of a state dict; refuses other networks.

    The classifier is not looked at. timm's two families can not be told apart by their names and shapes.
    """
    library = _library_of(state)
    names = MODULE_NAMES[library]
    for size in (name for name in SIZES if name.startswith("b")):
        spec = published_spec(size, library)
        pairs = [pair for pair in _module_pairs(spec, library) if pair.ours != "blocks.Top.fc"]
        keys = {f"{pair.theirs}.{leaf}" for pair in pairs for leaf in pair.leaves}
        found = {
            key
            for key in state
            if not key.endswith("num_batches_tracked") and not key.startswith(f"{names.fc}.")
        }
        if keys == found and state[f"{names.top[0]}.weight"].shape[0] == top_conv(spec).out_channels:
            return library, size
    raise ValueError(f"weights: {library}'s names, but none of its EfficientNets b0 to b7")


def load_weights(model: nn.Module, state: Mapping[str, torch.Tensor], *, reset_head: bool = False) -> None:
    """Load torchvision's or timm's state dict into an EfficientNet, in place.

    ``reset_head`` keeps the model's own classifier, whatever the number of classes was. Refuses other
    networks, a spec whose function these weights were not made for, and (without ``reset_head``) another
    number of classes.
    """
    library = _library_of(state)
    _check_spec(model.spec, library)
    pairs = list(_module_pairs(model.spec, library))
    expected = {f"{pair.theirs}.{leaf}" for pair in pairs for leaf in pair.leaves}
    surplus = sorted(key for key in set(state) - expected if not key.endswith("num_batches_tracked"))
    missing = sorted(expected - set(state))
    if surplus or missing:
        raise ValueError(
            f"weights: not {library}'s {model.spec.name}: missing {missing[:3]}, unknown {surplus[:3]}"
        )
    own = model.state_dict()
    for pair in pairs:
        if reset_head and pair.ours == "blocks.Top.fc":
            continue
        for leaf in pair.leaves:
            own[f"{pair.ours}.{leaf}"] = _fitting(state[f"{pair.theirs}.{leaf}"], own, f"{pair.ours}.{leaf}")
    model.load_state_dict(own)


def export_weights(model: nn.Module, library: str) -> Dict[str, torch.Tensor]:
    """The model's weights as a state dict that ``library`` (torchvision or timm) loads strictly; copies.

    Refuses networks that the library does not have, and specs whose function would change there.
    """
    if library not in MODULE_NAMES:
        raise ValueError(f"library={library!r}: choose one of {', '.join(MODULE_NAMES)}")
    _check_spec(model.spec, library)
    own, state = model.state_dict(), {}
    for pair in _module_pairs(model.spec, library):
        for leaf in pair.leaves:
            state[f"{pair.theirs}.{leaf}"] = own[f"{pair.ours}.{leaf}"].detach().clone()
        if pair.leaves == NORM_LEAVES:
            state[f"{pair.theirs}.num_batches_tracked"] = torch.tensor(0)
    return state


def _library_of(state: Mapping[str, torch.Tensor]) -> str:
    for library, key in (("torchvision", "features.0.0.weight"), ("timm", "conv_stem.weight")):
        if key in state:
            return library
    raise ValueError(
        "weights: neither torchvision's nor timm's EfficientNet (no features.0.0 and no conv_stem)"
    )


def _check_spec(spec: EfficientNetSpec, library: str) -> None:
    """Only the plain network is the other libraries' network."""
    wanted = {"group_size": 1, "expand_ratio": 6, "norm": "bn", "activation": "swish"}
    for field, value in wanted.items():
        if getattr(spec, field) != value:
            raise ValueError(f"{field}={getattr(spec, field)!r}: {library}'s weights need {field}={value!r}")
    families = [family for family in FAMILIES if family.startswith(library)]
    specs = [published_spec(spec.name, family) for family in families]
    if not any((spec.padding, spec.norm_eps) == (other.padding, other.norm_eps) for other in specs):
        needed = " or ".join(f"padding={other.padding!r} with norm_eps={other.norm_eps:g}" for other in specs)
        raise ValueError(
            f"padding={spec.padding!r}, norm_eps={spec.norm_eps:g}: {library}'s {spec.name} needs {needed}"
        )


def _fitting(value: torch.Tensor, own: Mapping[str, torch.Tensor], name: str) -> torch.Tensor:
    if value.shape == own[name].shape:
        return value
    if name.startswith("blocks.Top.fc"):
        raise ValueError(
            f"num_classes={own[name].shape[0]}: the weights have {value.shape[0]} classes; "
            "reset the head (--reset-head) or ask for as many"
        )
    raise ValueError(f"weights: {name} is {tuple(own[name].shape)}, theirs is {tuple(value.shape)}")


def _module_pairs(spec: EfficientNetSpec, library: str) -> Iterator[ModulePair]:
    """Every module with weights, ours and theirs."""
    names = MODULE_NAMES[library]
    stem, top, fc = names.stem, names.top, names.fc
    yield ModulePair("blocks.block0.conv", stem[0], ("weight",))
    yield ModulePair("blocks.block0.norm", stem[1], NORM_LEAVES)
    for block in block_specs(spec):
        section, repeat = int(block.name[5:-1]) - 1, ord(block.name[-1]) - ord("a")
        theirs = names.block_prefix.format(section=section, one=section + 1, repeat=repeat)
        parts = names.expanding if block.expand is not None else names.plain
        for part, (first, second) in parts.items():
            leaves = (("weight", "bias"),) * 2 if part == "se" else (("weight",), NORM_LEAVES)
            kinds = ("reduce", "expand") if part == "se" else ("conv", "norm")
            for kind, their_name, leaf in zip(kinds, (first, second), leaves):
                yield ModulePair(f"blocks.{block.name}.{part}.{kind}", theirs + their_name, leaf)
    yield ModulePair("blocks.Top.conv", top[0], ("weight",))
    yield ModulePair("blocks.Top.norm", top[1], NORM_LEAVES)
    yield ModulePair("blocks.Top.fc", fc, ("weight", "bias"))


class _Names(NamedTuple):
    """Names of one library: (conv, norm) pairs, (reduce, expand) for squeeze-excite; blocks below a
    prefix.
    """

    stem: Tuple[str, str]
    block_prefix: str
    expanding: Dict[str, Tuple[str, str]]
    plain: Dict[str, Tuple[str, str]]
    top: Tuple[str, str]
    fc: str


MODULE_NAMES = {
    "torchvision": _Names(
        stem=("features.0.0", "features.0.1"),
        block_prefix="features.{one}.{repeat}.block.",
        expanding={
            "expand": ("0.0", "0.1"),
            "spatial": ("1.0", "1.1"),
            "se": ("2.fc1", "2.fc2"),
            "project": ("3.0", "3.1"),
        },
        plain={"spatial": ("0.0", "0.1"), "se": ("1.fc1", "1.fc2"), "project": ("2.0", "2.1")},
        top=("features.8.0", "features.8.1"),
        fc="classifier.1",
    ),
    "timm": _Names(
        stem=("conv_stem", "bn1"),
        block_prefix="blocks.{section}.{repeat}.",
        expanding={
            "expand": ("conv_pw", "bn1"),
            "spatial": ("conv_dw", "bn2"),
            "se": ("se.conv_reduce", "se.conv_expand"),
            "project": ("conv_pwl", "bn3"),
        },
        plain={
            "spatial": ("conv_dw", "bn1"),
            "se": ("se.conv_reduce", "se.conv_expand"),
            "project": ("conv_pw", "bn2"),
        },
        top=("conv_head", "bn2"),
        fc="classifier",
    ),
}
