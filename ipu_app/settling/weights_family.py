"""Which of its library's networks a file of weights is for, and what input it wants.

timm's two families, ``efficientnet_*`` and ``tf_efficientnet_*``, have the same names and shapes but other
padding and epsilon; weights trained with AdvProp take pixels from -1 to 1. What tells them apart is the
hub's ``config.json`` beside the file, the checkpoint's own ``arch``, or the names of file and folders.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, NamedTuple, Optional, Sequence, Tuple

from ipu_app.data.tar_samples import MOST_CLASSES
from pipelines.door import BadFile, anything, list_of, maybe, number, read_json, record, shown, text

_ARCHITECTURE = re.compile(r"(tf_)?efficientnet(v2)?_[a-z0-9]+[\w.]*", re.IGNORECASE)
_ADVPROP = re.compile(r"[._]ap([._-]|$)", re.IGNORECASE)
_LEVELS = 4  # file and folders whose names are looked at: the hub's cache has the network's name in the third
_INPUT = {"mean": maybe(list_of(number(), 3)), "std": maybe(list_of(number(), 3))}
_NAMES = maybe(list_of(text(1000), MOST_CLASSES))
_HUB = record(
    {},
    {
        "architecture": maybe(text(200)),
        "pretrained_cfg": maybe(record({}, {**_INPUT, "tag": maybe(text(200)), "label_names": _NAMES})),
        "label_names": _NAMES,
        "id2label": maybe(anything()),
    },
)
_HALF = 0.5


class Description(NamedTuple):
    """What is known of a network's origin: ``name`` in timm's way, '' where nothing tells it, ``source``
    of that, ``normalise`` and ``classes`` where they are known.
    """

    name: str = ""
    source: str = ""
    normalise: str = ""
    classes: Tuple[str, ...] = ()

    @property
    def is_tf(self) -> bool:
        """Whether it is one of timm's networks with TensorFlow's padding."""
        return self.name.lower().startswith("tf_")


def describe_file(file: Path, arch: str) -> Description:
    """Return what is known of a file's network: by ``config.json``, by its own ``arch``, by names."""
    hub = _read_hub(file.parent / "config.json")
    name, source = _named(hub, arch, file)
    settings = hub.get("pretrained_cfg") or {}
    tagged = f"{name}.{settings.get('tag') or ''}"
    normalise = _by_numbers(settings)
    if not normalise and _ADVPROP.search(tagged):
        normalise = "half"
    classes = hub.get("label_names") or settings.get("label_names") or _numbered(hub.get("id2label"))
    return Description(name, source, normalise, tuple(classes or ()))


def _named(hub: Dict[str, Any], arch: str, file: Path) -> Tuple[str, str]:
    if hub.get("architecture"):
        return str(hub["architecture"]), "config.json"
    if _ARCHITECTURE.match(arch):
        return arch, "the checkpoint's arch"
    for part in [file, *file.resolve().parents][:_LEVELS]:
        found = _ARCHITECTURE.search(part.name)
        if found:
            return found.group(), f"the name {shown(part.name, 100)}"
    return "", ""


def _read_hub(path: Path) -> Dict[str, Any]:
    """The hub's description beside a file; none where it is another program's ``config.json``."""
    if not path.exists():
        return {}
    try:
        found: Dict[str, Any] = read_json(path, _HUB)
    except BadFile as error:
        raise BadFile(f"init: beside the weights, {error}") from None
    return found


def _by_numbers(settings: Dict[str, Any]) -> str:
    mean, std = settings.get("mean"), settings.get("std")
    if not mean or not std:
        return ""
    if all(abs(value - _HALF) < 0.01 for value in (*mean, *std)):
        return "half"
    usual = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    if _close(mean, usual[0]) and _close(std, usual[1]):
        return "torchvision"
    raise BadFile(f"init: config.json's input (mean {mean}, std {std}) is none of data.normalise's")


def _close(values: Sequence[float], others: Sequence[float]) -> bool:
    return len(values) == len(others) and all(abs(a - b) < 0.01 for a, b in zip(values, others))


def _numbered(names: Any) -> Optional[Sequence[str]]:
    """Class names of a table from number to name."""
    if not isinstance(names, dict) or not 0 < len(names) <= MOST_CLASSES:
        return None
    found = [names.get(str(place)) for place in range(len(names))]
    return [str(name) for name in found] if all(isinstance(name, str) for name in found) else None
