"""Nested state as text plus bytes: how a state dict travels between processes without pickling.

A state is dicts, lists and tuples of tensors, numbers, strings, booleans and None. ``pack`` turns it into a
JSON header (structure, shapes, types, plain values) and one flat uint8 tensor (all tensors' bytes, one
after the other); ``unpack`` turns these back into an equal state, bit for bit, with tensors on the CPU.
"""

from __future__ import annotations

import json
from typing import Any, List, Tuple

import torch

_PLAIN = (bool, int, float, str, type(None))


def pack(state: Any) -> Tuple[str, torch.Tensor]:
    """Return (header, bytes) of a state; refuse (ValueError) other types by their place in the state."""
    parts: List[torch.Tensor] = []
    tree = _encode(state, "state", parts)
    body = torch.cat(parts) if parts else torch.empty(0, dtype=torch.uint8)
    return json.dumps({"tree": tree, "num_bytes": body.numel()}), body


def body_bytes(header: str) -> int:
    """Number of bytes that belong to this header."""
    return int(json.loads(header)["num_bytes"])


def unpack(header: str, body: torch.Tensor) -> Any:
    """Return the state that ``pack`` was given."""
    state, _ = _decode(json.loads(header)["tree"], body, 0)
    return state


def _encode(node: Any, where: str, parts: List[torch.Tensor]) -> Any:
    if isinstance(node, torch.Tensor):
        flat = node.detach().cpu().contiguous().reshape(-1)
        parts.append(flat.view(torch.uint8))
        return ["tensor", str(node.dtype).split(".")[-1], list(node.shape)]
    if isinstance(node, dict):
        return ["dict", [[_key(k, where), _encode(v, f"{where}[{k!r}]", parts)] for k, v in node.items()]]
    if isinstance(node, (list, tuple)):
        kind = "tuple" if isinstance(node, tuple) else "list"
        return [kind, [_encode(v, f"{where}[{i}]", parts) for i, v in enumerate(node)]]
    if isinstance(node, _PLAIN):
        return ["value", node]
    raise ValueError(
        f"{where} is a {type(node).__name__}: only tensors, numbers, strings and None can be sent"
    )


def _key(key: Any, where: str) -> Any:
    # optimiser states have whole numbers as keys
    if isinstance(key, (str, int)):
        return key
    raise ValueError(f"{where} has the key {key!r}: only strings and whole numbers can be keys")


def _decode(tree: Any, body: torch.Tensor, offset: int) -> Tuple[Any, int]:
    kind, content = tree[0], tree[1]
    if kind == "tensor":
        dtype = getattr(torch, content)
        num_bytes = torch.empty(0, dtype=dtype).element_size()
        for length in tree[2]:
            num_bytes *= length
        # clone: a view as a wider type needs an aligned start
        raw = body[offset : offset + num_bytes].clone()
        return raw.view(dtype).reshape(tree[2]), offset + num_bytes
    if kind == "value":
        return content, offset
    if kind == "dict":
        result = {}
        for key, child in content:
            result[key], offset = _decode(child, body, offset)
        return result, offset
    items = []
    for child in content:
        item, offset = _decode(child, body, offset)
        items.append(item)
    return (tuple(items) if kind == "tuple" else items), offset
