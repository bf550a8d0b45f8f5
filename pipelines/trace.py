"""Layer table of a real ``nn.Module``: run it once on meta tensors and write down what it does.

The table is not a second description of the network. Operations are recognised from what the module
dispatches (convolutions, activations, means, products and sums, with their shapes), norms and
proxy-normalised activations from the modules that compute them, parameters from the modules that own them.
No arithmetic is done and no memory taken.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from pipelines.cost.layers import ConvShape, LayerSpec, LayerTable

SAMPLES = 7  # the batch of the traced call: a size that no channel count and no kernel has
_NORM_CLASSES = ("GroupNorm", "_BatchNorm", "BatchNorm", "LayerNorm")
_POINTWISE = {
    **dict.fromkeys(("add", "sub", "mul", "div", "addcmul", "neg", "rsqrt"), None),
    **dict.fromkeys(("eq", "ne", "ge", "gt", "le", "lt"), torch.bool),
}
_ACTIVATIONS = {"silu": "swish", "relu": "relu"}


def trace_layers(module: nn.Module, inputs: Sequence[Tensor], *, sub_blocks: Sequence[str]) -> LayerTable:
    """Return the layer table of one forward call.

    ``module`` and ``inputs`` are on the meta device, the first input the images (``SAMPLES``, C, H, W),
    every input ``SAMPLES`` long. ``sub_blocks`` are the legal stage starts, dotted below the module's
    ``blocks``. Refuses a module that is not on meta, and one that leaves a parameter or a sub-block out.
    """
    if any(parameter.device.type != "meta" for parameter in module.parameters()):
        raise ValueError("trace: move the module to the meta device first: module.to('meta')")
    recorder = _Recorder(sub_blocks, inputs[0])
    hooks = recorder.attach(module)
    try:
        with torch.no_grad(), recorder:
            module(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    table = recorder.table()
    _check_complete(table, module, sub_blocks)
    return table


def _check_complete(table: LayerTable, module: nn.Module, sub_blocks: Sequence[str]) -> None:
    seen = list(dict.fromkeys(layer.sub_block for layer in table))
    if seen != list(sub_blocks):
        raise ValueError(
            f"trace: the module ran through sub-blocks {seen}, but {list(sub_blocks)} were named"
        )
    owned = sum(parameter.numel() for parameter in module.parameters())
    counted = sum(layer.params for layer in table)
    if owned != counted:
        raise ValueError(
            f"trace: the table holds {counted} parameters of {owned}: a layer was not recognised"
        )


class _Recorder(TorchDispatchMode):  # type: ignore[misc]
    """Listens to modules (where we are, who owns parameters) and to operations (what is done, what is
    alive).
    """

    def __init__(self, sub_blocks: Sequence[str], images: Tensor) -> None:
        super().__init__()
        self.sub_blocks = frozenset(sub_blocks)
        self.sub_block = sub_blocks[0]
        self.scopes: List[Tuple[str, nn.Module]] = []
        self.claimed = 0
        self.layers: List[LayerSpec] = []
        self.positions: List[Optional[int]] = []
        self.entered: Optional[int] = (
            None  # the operation at which the current sub-block began, until its first layer
        )
        self.life = _Life()
        size = images.numel() // images.shape[0]
        self.emit("input", size, size, live=size)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Newer torch would else import its compiler, for a second, to keep it away from this class."""
        return False

    def attach(self, module: nn.Module) -> List[Any]:
        """Hook every submodule; return the hooks' handles."""
        handles: List[Any] = []
        for name, child in module.named_modules():
            handles.append(child.register_forward_pre_hook(self._entering(name)))
            handles.append(child.register_forward_hook(self._leaving()))
        return handles

    def _entering(self, name: str) -> Callable[..., None]:
        below = name.split("blocks.", 1)[-1]

        def enter(module: nn.Module, args: Any) -> None:
            if below in self.sub_blocks and name.endswith("blocks." + below):
                self.sub_block = below
                self.entered = self.life.clock + 1
            self.scopes.append((name, module))
            self.claimed += _is_norm(module)

        return enter

    def _leaving(self) -> Callable[..., None]:
        def leave(module: nn.Module, args: Any, output: Any) -> None:
            if _is_norm(module):
                groups = getattr(module, "groups", getattr(module, "num_groups", 0))
                self.emit("norm", _per_sample(output), _per_sample(output), norm_groups=int(groups))
                self.claimed -= 1
            elif _is_proxy(module):
                kind = "proxy_delayed" if module.deferred else "proxy"
                self.emit(kind, _per_sample(output), _per_sample(output))
            self.scopes.pop()

        return leave

    def emit(self, kind: str, in_elements: int, out_elements: int, *, live: int = 0, **extra: Any) -> None:
        """Append a layer; the parameters of the innermost module go to its first layer."""
        name, module = self.scopes[-1] if self.scopes else ("", None)
        params, tensors = _own_parameters(module)
        if not _owns_row(kind, module) or any(
            layer.name == name and layer.params for layer in self.layers[-3:]
        ):
            params, tensors = 0, 0
        self.layers.append(
            LayerSpec(
                name=name or kind,
                sub_block=self.sub_block,
                kind=kind,
                in_elements=in_elements,
                out_elements=out_elements,
                live_elements=live,
                params=params,
                param_tensors=tensors,
                **extra,
            )
        )
        self.positions.append(self.entered)
        self.entered = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = _shapes_only(func.__name__.split(".")[0], args)
        if output is None:
            output = func(*args, **(kwargs or {}))
        tensors = [argument for argument in args if isinstance(argument, Tensor)]
        self.life.record(tensors, output if isinstance(output, Tensor) else None)
        if not self.claimed:
            self._recognise(func.__name__.split(".")[0], tensors, args, output)
        elif isinstance(output, tuple):
            self.life.record([], output[0])
        return output

    def _recognise(self, name: str, tensors: List[Tensor], args: Any, output: Any) -> None:
        if name == "convolution":
            self._emit_convolution(tensors[0], tensors[1], int(args[8]), output)
        elif name in ("addmm", "mm"):
            self._emit_linear(tensors[-2], tensors[-1])
        elif name in _ACTIVATIONS and _is_map(tensors[0]):
            self.emit(_ACTIVATIONS[name], _per_sample(output), _per_sample(output))
        elif name in ("mean", "sum") and _is_map(tensors[0]) and not _is_map(output):
            self.emit("squeeze", _per_sample(tensors[0]), _per_sample(output))
        elif name in ("mul", "addcmul", "add"):
            self._emit_arithmetic(name, tensors, output)
        elif name == "_log_softmax":
            self.emit("loss", _per_sample(output), _per_sample(output))

    def _emit_convolution(self, source: Tensor, weight: Tensor, groups: int, output: Tensor) -> None:
        pixels = output.shape[2] * output.shape[3]
        shape = ConvShape(source.shape[1], output.shape[1], groups, weight.shape[-1], pixels)
        self.emit("conv", _per_sample(source), _per_sample(output), conv=shape)

    def _emit_linear(self, source: Tensor, weight: Tensor) -> None:
        if source.shape[0] == SAMPLES:
            shape = ConvShape(weight.shape[0], weight.shape[1], 1, 1, 1)
            self.emit("conv", weight.shape[0], weight.shape[1], conv=shape)

    def _emit_arithmetic(self, name: str, tensors: List[Tensor], output: Any) -> None:
        """A gate times a map is a scale; a map plus a map is a residual; with a factor per sample,
        drop-connect.
        """
        maps = [tensor for tensor in tensors if _is_map(tensor)]
        factors = [
            t for t in tensors if t.dim() == 4 and t.shape[0] == SAMPLES and t.shape[2] * t.shape[3] == 1
        ]
        size = _per_sample(output)
        is_per_sample = any(factor.shape[1] == 1 for factor in factors)
        if len(maps) == 1 and factors:
            self.emit("drop_connect" if is_per_sample else "scale", size, size)
        elif len(maps) == 2 and name != "mul":
            if is_per_sample:
                self.emit("drop_connect", size, size)
            self.emit("add", size, size)

    def table(self) -> LayerTable:
        """Return the layers, with what is alive where a stage may start."""
        layers = [
            layer if position is None else replace(layer, live_elements=self.life.before(position))
            for layer, position in zip(self.layers, self.positions)
        ]
        return tuple(_name_pools(layers))


def _name_pools(layers: Sequence[LayerSpec]) -> List[LayerSpec]:
    """A mean over pixels that no gate follows is no squeeze-excite's but the network's global pooling."""
    named: List[LayerSpec] = []
    is_gated = False
    for layer in reversed(layers):
        if layer.kind == "squeeze":
            named.append(layer if is_gated else replace(layer, kind="pool"))
            is_gated = False
        else:
            named.append(layer)
            is_gated = is_gated or layer.kind == "scale"
    return named[::-1]


class _Life:
    """Which per-sample tensors are alive when: from the operation that makes them to the last that reads
    them.
    """

    def __init__(self) -> None:
        self.clock = 0
        self.kept: List[Tensor] = []  # keeps storages, and so their identities, alive during the trace
        self.made: Dict[int, int] = {}
        self.read: Dict[int, int] = {}
        self.elements: Dict[int, int] = {}

    def record(self, sources: Sequence[Tensor], output: Optional[Tensor]) -> None:
        """Take note of one operation."""
        self.clock += 1
        for source in sources:
            self.read[_storage(source)] = self.clock
        if output is not None and output.dim() > 0 and output.shape[0] == SAMPLES:
            key = _storage(output)
            self.kept.append(output)
            self.made.setdefault(key, self.clock)
            self.elements[key] = max(self.elements.get(key, 0), output.numel() // SAMPLES)

    def before(self, position: int) -> int:
        """Elements of one sample that were made before operation ``position`` and are read in it or later."""
        return sum(
            self.elements[key]
            for key, made in self.made.items()
            if made < position and self.read.get(key, 0) >= position
        )


def _shapes_only(name: str, args: Any) -> Any:
    """Return the output of an operation whose shape is plain; None for all others.

    torch would give the same, but newer ones do these on meta tensors in Python, and import their compiler
    first.
    """
    tensors = [argument for argument in args if isinstance(argument, Tensor)]
    if name in _POINTWISE:
        shape = torch.broadcast_shapes(*(tensor.shape for tensor in tensors))
        return torch.empty(shape, dtype=_POINTWISE[name] or tensors[0].dtype, device="meta")
    if name == "mean" and len(args) == 1:
        return torch.empty((), dtype=tensors[0].dtype, device="meta")
    if name == "addmm":
        return torch.empty((tensors[1].shape[0], tensors[2].shape[1]), dtype=tensors[1].dtype, device="meta")
    if name in ("native_group_norm", "native_dropout", "_log_softmax"):
        same = torch.empty_like(tensors[0])
        if name == "native_group_norm":
            groups = torch.empty((same.shape[0], int(args[6])), device="meta")
            return same, groups, groups
        return (same, torch.empty_like(same, dtype=torch.bool)) if name == "native_dropout" else same
    return None


def _storage(tensor: Tensor) -> int:
    storage = tensor.untyped_storage() if hasattr(tensor, "untyped_storage") else tensor.storage()
    return int(storage._cdata)


def _per_sample(tensor: Tensor) -> int:
    return int(tensor.numel()) // SAMPLES


def _is_map(tensor: Tensor) -> bool:
    return bool(tensor.dim() == 4 and tensor.shape[0] == SAMPLES and tensor.shape[2] * tensor.shape[3] > 1)


def _is_norm(module: nn.Module) -> bool:
    return any(parent.__name__ in _NORM_CLASSES for parent in type(module).__mro__)


def _is_proxy(module: nn.Module) -> bool:
    """A proxy-normalised activation has statistics of its own and may leave their use to what follows."""
    return hasattr(module, "statistics") and hasattr(module, "deferred")


def _owns_row(kind: str, module: Optional[nn.Module]) -> bool:
    """A proxy's parameters belong to its proxy row, not to the activation inside of it."""
    return module is not None and (kind.startswith("proxy") or not _is_proxy(module))


def _own_parameters(module: Optional[nn.Module]) -> Tuple[int, int]:
    own = [] if module is None else [p for p in module._parameters.values() if p is not None]
    return sum(parameter.numel() for parameter in own), len(own)
