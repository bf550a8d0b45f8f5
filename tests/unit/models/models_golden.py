"""Reads the golden arrays, and makes the parameters that the original network was executed with."""

from __future__ import annotations

import json
import re
import zlib
from pathlib import Path
from typing import Any, Dict

import numpy as np
import torch

GOLDEN = Path(__file__).parents[2] / "golden" / "models"
PARTS = {"a": "expand", "b": "spatial", "c": "project"}  # as the first version's original named them
PARTS.update({part: part for part in ("fused", "expand", "spatial", "project")})  # and the second's
PROXY_ROWS = {0: "beta", 1: "gamma", 4: "proxy_beta", 5: "proxy_gamma"}
LEAVES = {
    "conv/conv2d/kernel": "conv.weight",
    "GroupNorm/gamma": "norm.weight",
    "GroupNorm/beta": "norm.bias",
    "batch_norm/gamma": "norm.weight",
    "batch_norm/beta": "norm.bias",
    "batch_norm/moving_mean": "norm.running_mean",
    "batch_norm/moving_variance": "norm.running_var",
    "proxy": "act",
    "logits/dense/kernel": "fc.weight",
    "logits/dense/bias": "fc.bias",
}


def arrays(name: str) -> Dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


def document(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text())


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float64))


def _normal(seed: int, name: str, shape: Any) -> np.ndarray:
    """Values that depend on the name and not on the order in which parameters are made."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())]).standard_normal(tuple(shape))


def _value(name: str, shape: Any, seed: int) -> np.ndarray:
    """Parameter ``name``, made in the original's layout (HWIO, [in, out]); proxies are handled apart."""
    z = _normal(seed, name, shape)
    if name.endswith("/kernel"):
        z = z * np.sqrt(2 / np.prod(shape[:-1]))
        return z.transpose(3, 2, 0, 1) if z.ndim == 4 else z.T
    if name.endswith("/gamma"):
        return 1 + 0.2 * z
    if name.endswith("/moving_variance"):
        return np.exp(0.2 * z)
    return (0.1 if name.endswith(("/bias", "/moving_mean")) else 0.2) * z


def our_name(original: str) -> str:
    """``all/block2a/b/conv/conv2d/kernel`` -> ``blocks.block2a.spatial.conv.weight``."""
    block, rest = original.split("/", 2)[1:]
    gate = re.search(r"(?:/SE/.*/|^se/)(1|2|reduce|expand)/conv2d/(kernel|bias)$", rest)
    if gate:
        part = {"1": "reduce", "2": "expand"}.get(gate[1], gate[1])
        return f"blocks.{block}.se.{part}.{'weight' if gate[2] == 'kernel' else 'bias'}"
    first, _, leaf = rest.partition("/")
    if first in PARTS:
        return f"blocks.{block}.{PARTS[first]}.{LEAVES[leaf]}"
    return f"blocks.{block}.{LEAVES[rest]}"


def recipe_state(shapes: Dict[str, Any], seed: int) -> Dict[str, torch.Tensor]:
    """State dict of the network whose original parameters have ``shapes``."""
    state = {}
    for name, shape in shapes.items():
        ours = our_name(name)
        if not name.endswith("/proxy"):
            state[ours] = tensor(_value(name, shape, seed))
            continue
        z = _normal(seed, name, (4, shape[-1]))
        for row, values in zip(PROXY_ROWS.values(), (0.3 * z[0], 1 + 0.3 * z[1], 0.2 * z[2], 0.2 * z[3])):
            state[f"{ours}.{row}"] = tensor(values)
    return state


def recipe_input(shape: Any, seed: int) -> torch.Tensor:
    return tensor(np.random.default_rng([seed, 777]).standard_normal(shape))
