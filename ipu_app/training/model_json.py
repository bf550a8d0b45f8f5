"""Reads ``model.json`` from wherever it came: checked before a network of its sizes is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

from ipu_app.config.schema import CROPS, NORMALISATIONS
from ipu_app.data.tar_samples import MOST_CLASSES
from ipu_app.models.spec import EfficientNetSpec
from pipelines.door import (
    BadFile,
    anything,
    equal,
    flag,
    list_of,
    maybe,
    number,
    one_of,
    read_json,
    record,
    shown,
    text,
    whole,
)

FORMAT = 1
_SIDE = whole(8, 8192)
_SECTION = record(
    {}, {"depth": whole(1, 1000), "width": whole(1, 8192), "kernel": whole(1, 99), "stride": whole(1, 8)}
)
_SPEC = record(
    {"name": text(100), "width": number(0.01, 100), "depth": number(0.01, 100)},
    {
        "native_resolution": _SIDE,
        "half_resolution": maybe(_SIDE),
        "evaluation_resolution": maybe(_SIDE),
        "num_classes": whole(1, MOST_CLASSES),
        "expand_ratio": number(1, 100),
        "stem_width": whole(1, 8192),
        "top_width": whole(1, 65536),
        "se_ratio": number(0, 10),
        "group_size": whole(1, 65536),
        "proxy_nodes": whole(1, 4096),
        "sections": list_of(_SECTION, 100),
    },
)
MODEL_JSON = record(
    {
        "format": equal(FORMAT),
        "spec": _SPEC,
        "classes": list_of(text(1000), MOST_CLASSES),
        "resolution": _SIDE,
        "normalise": one_of(NORMALISATIONS),
        "whole_images": flag(),
    },
    {"crop": one_of(CROPS), "start": maybe(record({}, {"kind": anything()}))},
)


def read_model_json(path: Path) -> Dict[str, Any]:
    """Return what the file holds, ``spec`` as an EfficientNetSpec; BadFile names what is wrong with it."""
    found: Dict[str, Any] = read_json(path, MODEL_JSON)
    try:
        found["spec"] = EfficientNetSpec.from_dict(found["spec"])
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise BadFile(f"{shown(path)}: spec: {shown(error)}") from None
    if len(found["classes"]) != found["spec"].num_classes:
        classes, numbers = len(found["classes"]), found["spec"].num_classes
        raise BadFile(f"{shown(path)}: classes: {classes} names for a network of {numbers} classes")
    return found
