"""Weights from and to torchvision's and timm's EfficientNets (batch norm, groups of 1, expand ratio 6).

The three families of published weights differ in padding and in the norm's epsilon, so that each needs its
own spec (:func:`published_spec`): torchvision's (symmetric; 1e-5, but 1e-3 in b5 to b7 and in version 2),
timm's ``efficientnet_b*`` (symmetric, 1e-5) and timm's ``tf_efficientnet_b*``, ``tf_efficientnetv2_*`` (SAME,
1e-3). Of version 2 torchvision has s, m and l; timm's symmetric ``efficientnetv2_*`` were published without
weights. State dicts are plain; neither library is imported.
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Set, Tuple

import torch
from torch import nn

from ipu_app.models.layout import BlockSpec, block_places, block_specs, top_conv
from ipu_app.models.spec import SIZES, EfficientNetSpec, make_spec

NORM_LEAVES = ("weight", "bias", "running_mean", "running_var")
_FIRST = tuple(f"b{size}" for size in range(8))
PUBLISHED = {  # the networks of each family
    "torchvision": (*_FIRST, "v2-s", "v2-m", "v2-l"),
    "timm": _FIRST,
    "timm_tf": (*_FIRST, *(name for name in SIZES if name.startswith("v2-"))),
}
FAMILIES = tuple(PUBLISHED)
_WIDE_EPS = {"torchvision": ("b5", "b6", "b7", "v2-s", "v2-m", "v2-l"), "timm": (), "timm_tf": tuple(SIZES)}


class ModulePair(NamedTuple):
    """A module of ours, the module of the other library that it equals, and their tensors' common names."""

    ours: str
    theirs: str
    leaves: Tuple[str, ...]


def published_spec(name: str, family: str, **options: Any) -> EfficientNetSpec:
    """The spec under which ``family``'s weights (torchvision, timm, timm_tf) of a network mean what they
    meant there.

    Refuses networks that the family has no weights of.
    """
    if family not in PUBLISHED:
        raise ValueError(f"family={family!r}: choose one of {', '.join(FAMILIES)}")
    key = make_spec(name).name
    if key not in PUBLISHED[family]:
        raise ValueError(
            f"model={name!r}: {family} has no weights of it; choose one of {', '.join(PUBLISHED[family])}"
        )
    eps = 1e-3 if key in _WIDE_EPS[family] else 1e-5
    padding = "same" if family == "timm_tf" else "symmetric"
    return make_spec(key, norm="bn", padding=padding, norm_eps=eps, **options)


def families_of(library: str, name: str) -> List[str]:
    """The families of a library (torchvision or timm) that have the network; the first is the likeliest."""
    return [each for each, names in PUBLISHED.items() if each.startswith(library) and name in names]


def identify_weights(state: Mapping[str, torch.Tensor]) -> Tuple[str, str]:
    """The library (torchvision or timm) and the size (b0 to b7, v2-...) of a state dict; refuses other
    networks.

    The classifier is not looked at. timm's two families can not be told apart by their names and shapes.
    """
    library = _library_of(state)
    names = MODULE_NAMES[library]
    found = {
        key for key in state if not key.endswith("num_batches_tracked") and not key.startswith(f"{names.fc}.")
    }
    for size in SIZES:
        families = families_of(library, size)
        if families and _is_network(state, found, published_spec(size, families[0]), library):
            return library, size
    raise ValueError(f"weights: {library}'s names, but none of its EfficientNets b0 to b7, v2-s to v2-xl")


def _is_network(
    state: Mapping[str, torch.Tensor], found: Set[str], spec: EfficientNetSpec, library: str
) -> bool:
    pairs = [pair for pair in _module_pairs(spec, library) if pair.ours != "blocks.Top.fc"]
    if {f"{pair.theirs}.{leaf}" for pair in pairs for leaf in pair.leaves} != found:
        return False
    top = next(pair.theirs for pair in pairs if pair.ours == "blocks.Top.conv")
    return bool(state[f"{top}.weight"].shape[0] == top_conv(spec).out_channels)


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

    ``timm_tf`` is another word for timm. Refuses networks that the library does not have, and specs whose
    function would change there.
    """
    library = "timm" if library == "timm_tf" else library
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
    families = families_of(library, spec.name)
    if not families:
        raise ValueError(f"model={spec.name!r}: {library} has no such network")
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
    yield ModulePair("blocks.block0.conv", names.stem[0], ("weight",))
    yield ModulePair("blocks.block0.norm", names.stem[1], NORM_LEAVES)
    for block, (section, repeat) in zip(block_specs(spec), block_places(spec)):
        prefix = names.block_prefix.format(section=section, one=section + 1, repeat=repeat)
        yield from _block_pairs(block, names, prefix)
    top = [name.format(last=len(spec.sections) + 1) for name in names.top]
    yield ModulePair("blocks.Top.conv", top[0], ("weight",))
    yield ModulePair("blocks.Top.norm", top[1], NORM_LEAVES)
    yield ModulePair("blocks.Top.fc", names.fc, ("weight", "bias"))


def _block_pairs(block: BlockSpec, names: _Names, prefix: str) -> Iterator[ModulePair]:
    has_all = (block.expand if block.fused is None else block.project) is not None
    for part, theirs in names.parts[block.kind, has_all].items():
        leaves = (("weight", "bias"),) * 2 if part == "se" else (("weight",), NORM_LEAVES)
        kinds = ("reduce", "expand") if part == "se" else ("conv", "norm")
        for kind, their_name, leaf in zip(kinds, theirs, leaves):
            yield ModulePair(f"blocks.{block.name}.{part}.{kind}", prefix + their_name, leaf)


class _Names(NamedTuple):
    """Names of one library: (conv, norm) pairs, (reduce, expand) for squeeze-excite.

    ``parts`` are those of a block by kind and whether its ratio is above 1, below a prefix.
    """

    stem: Tuple[str, str]
    block_prefix: str
    parts: Dict[Tuple[str, bool], Dict[str, Tuple[str, str]]]
    top: Tuple[str, str]
    fc: str


MODULE_NAMES = {
    "torchvision": _Names(
        stem=("features.0.0", "features.0.1"),
        block_prefix="features.{one}.{repeat}.block.",
        parts={
            ("mbconv", True): {
                "expand": ("0.0", "0.1"),
                "spatial": ("1.0", "1.1"),
                "se": ("2.fc1", "2.fc2"),
                "project": ("3.0", "3.1"),
            },
            ("mbconv", False): {
                "spatial": ("0.0", "0.1"),
                "se": ("1.fc1", "1.fc2"),
                "project": ("2.0", "2.1"),
            },
            ("fused", True): {"fused": ("0.0", "0.1"), "project": ("1.0", "1.1")},
            ("fused", False): {"fused": ("0.0", "0.1")},
        },
        top=("features.{last}.0", "features.{last}.1"),
        fc="classifier.1",
    ),
    "timm": _Names(
        stem=("conv_stem", "bn1"),
        block_prefix="blocks.{section}.{repeat}.",
        parts={
            ("mbconv", True): {
                "expand": ("conv_pw", "bn1"),
                "spatial": ("conv_dw", "bn2"),
                "se": ("se.conv_reduce", "se.conv_expand"),
                "project": ("conv_pwl", "bn3"),
            },
            ("mbconv", False): {
                "spatial": ("conv_dw", "bn1"),
                "se": ("se.conv_reduce", "se.conv_expand"),
                "project": ("conv_pw", "bn2"),
            },
            ("fused", True): {"fused": ("conv_exp", "bn1"), "project": ("conv_pwl", "bn2")},
            ("fused", False): {"fused": ("conv", "bn1")},
        },
        top=("conv_head", "bn2"),
        fc="classifier",
    ),
}
