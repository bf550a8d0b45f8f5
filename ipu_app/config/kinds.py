"""What can be chosen by name, each listed once. No torch: a row says where its code is, and loads it late.

The schema, the help texts, the specs and the builders read these tables. To add a norm, an activation, a kind
of block, an optimiser, a schedule, a data source or a decoder: write it in a file of its own and add its row.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional


@dataclass(frozen=True)
class Kind:
    """One row: its ``meaning`` in a few words for people, and ``home`` as "module:name" of its code."""

    meaning: str
    home: str = ""

    def load(self) -> Any:
        """Import the code and return it."""
        return load(self.home)


def load(home: str) -> Any:
    """Return what "module:name" names."""
    module, _, name = home.partition(":")
    return getattr(importlib.import_module(module), name)


def listed(kinds: Mapping[str, SourceKind]) -> str:
    """Return what there is to choose from, for help texts: meanings, before them the names that are typed."""
    texts = [f"{name} ({kind.meaning})" if kind.by_name else kind.meaning for name, kind in kinds.items()]
    return "; ".join(reversed(texts))


@dataclass(frozen=True)
class NormKind(Kind):
    """``home`` makes the norm of a spec for a number of channels.

    ``has_proxy``: activations after it are proxy-normalised; ``per_batch``: its statistics are those of a
    micro-batch, with moving averages.
    """

    has_proxy: bool = False
    per_batch: bool = False


NORMS: Dict[str, NormKind] = {
    "bn": NormKind("batch", "ipu_app.models.norms:batch_norm", per_batch=True),
    "gn": NormKind("group", "ipu_app.models.norms:group_norm"),
    "ln": NormKind("layer", "ipu_app.models.norms:layer_norm"),
    "ln_pn": NormKind("layer, activations by proxy", "ipu_app.models.norms:layer_norm", has_proxy=True),
    "gn_pn": NormKind("group, activations by proxy", "ipu_app.models.norms:group_norm", has_proxy=True),
}


@dataclass(frozen=True)
class ActivationKind(Kind):
    """``home`` is an elementwise function.

    ``proxy`` makes its proxy-normalised form where a closed one is known; "" takes the sum over nodes that
    any function has.
    """

    proxy: str = ""


ACTIVATIONS: Dict[str, ActivationKind] = {
    "swish": ActivationKind("x sigmoid(x)", "torch.nn.functional:silu"),
    "relu": ActivationKind("max(x, 0)", "torch.nn.functional:relu", proxy="ipu_app.models.proxy:ProxyRelu"),
}


@dataclass(frozen=True)
class BlockKind(Kind):
    """``home`` is the module; ``layout`` makes its ``BlockSpec`` from a section."""

    layout: str = ""


BLOCKS: Dict[str, BlockKind] = {
    "mbconv": BlockKind(
        "inverted bottleneck", "ipu_app.models.network_parts:MBConv", layout="ipu_app.models.layout:mbconv"
    ),
    "fused": BlockKind(
        "a dense convolution for expansion and spatial convolution",
        "ipu_app.models.network_parts:FusedMBConv",
        layout="ipu_app.models.layout:fused",
    ),
}


@dataclass(frozen=True)
class OptimizerKind(Kind):
    """``home`` makes torch's from (parameter groups, settings), ``ipu`` PopTorch's from (optim, ...)."""

    ipu: str = ""


OPTIMIZERS: Dict[str, OptimizerKind] = {
    name: OptimizerKind(
        meaning, f"ipu_app.runtime.optimizers:torch_{name}", f"ipu_app.runtime.optimizers:ipu_{name}"
    )
    for name, meaning in (
        ("rmsprop_tf", "TensorFlow's RMSProp"),
        ("sgd", "with momentum"),
        ("adamw", "decoupled weight decay"),
    )
}

# home: share of the peak after the warm-up, from (Curve, epoch)
SCHEDULES: Dict[str, Kind] = {
    "exponential": Kind("in drops, as published", "ipu_app.training.curves:exponential"),
    "cosine": Kind("to 0", "ipu_app.training.curves:cosine"),
    "constant": Kind("the peak", "ipu_app.training.curves:constant"),
}


@dataclass(frozen=True)
class SourceKind(Kind):
    """``home`` has ``claims(data)`` and ``open(data, split, ...)`` (``ipu_app.data.sources.Opener``).

    ``by_name``: it is asked for by its name, alone or as NAME:MORE, and looks at no files; ``decodes``:
    images are files that are decoded; ``in_memory``: the host has next to nothing to do for an image.
    """

    by_name: bool = False
    decodes: bool = True
    in_memory: bool = False


# the first that claims the data takes them
SOURCES: Dict[str, SourceKind] = {
    "digits": SourceKind(
        "embedded handwritten digits",
        "ipu_app.data.sources:DIGITS",
        by_name=True,
        decodes=False,
        in_memory=True,
    ),
    "generated": SourceKind(
        "made-up images; generated:CLASSES", "ipu_app.data.sources:GENERATED", by_name=True, decodes=False
    ),
    "synthetic": SourceKind(
        "one image for all", "ipu_app.data.sources:SYNTHETIC", by_name=True, decodes=False, in_memory=True
    ),
    "shards": SourceKind("tar shards: a folder, pattern or URL", "ipu_app.data.sources:SHARDS"),
    "cifar": SourceKind("torchvision's CIFAR folder", "ipu_app.data.sources:CIFAR"),
    "folder": SourceKind("a folder with train/<class>/ and val/<class>/", "ipu_app.data.sources:FOLDER"),
}


def kind_of(data: Optional[str]) -> str:
    """Return the kind that ``data.source`` names; "" where only a look at the files can tell."""
    name = (data or next(iter(SOURCES))).partition(":")[0]
    return name if name in SOURCES and SOURCES[name].by_name else ""


@dataclass(frozen=True)
class DecoderKind(Kind):
    """``home`` opens an encoded image, or gives None for ``pil`` to open; ``package`` has to be installed."""

    package: str = ""


# auto takes the first that is installed
DECODERS: Dict[str, DecoderKind] = {
    "simplejpeg": DecoderKind(
        "JPEG by libjpeg-turbo, the rest by pil", "ipu_app.data.jpeg_image:open_jpeg", package="simplejpeg"
    ),
    "pil": DecoderKind("all formats", "ipu_app.data.pil_image:PilImage", package="PIL"),
}

DEVICES: Dict[str, Kind] = {
    "ipu": Kind("IPUs, real or simulated", "ipu_app.build:make_ipu_runtime"),
    "cuda": Kind("a GPU", "ipu_app.build:make_torch_runtime"),
    "cpu": Kind("this host", "ipu_app.build:make_torch_runtime"),
}
