"""poptorch.MultiConv: the convolutions of a block of code are planned together."""

from __future__ import annotations

from typing import Any, Optional, Tuple

import torch

from ._errors import cpp_error
from .enums import MultiConvPlanType
from .trace import context


def _per_convolution(name: str, value: Any, kind: Any) -> Optional[Tuple[Any, ...]]:
    """One value for all convolutions, or one each; AssertionError for other types."""
    if value is None:
        return None
    values = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    assert values and all(isinstance(item, kind) for item in values), f"Invalid {name}! {value!r}"
    return values


class MultiConv:
    """Context manager around convolutions that do not depend on each other. Setters return the object."""

    def __init__(self) -> None:
        self._available_memory_proportions: Optional[Tuple[float, ...]] = None
        self._partials_types: Optional[Tuple[int, ...]] = None
        self._enable_conv_ditherings: Optional[Tuple[bool, ...]] = None
        self._plan_type: Optional[MultiConvPlanType] = None
        self._per_conv_reserved_tiles: Optional[int] = None
        self._cycle_back_off: Optional[float] = None

    def availableMemoryProportions(self, value: Any) -> MultiConv:
        """Share of memory: a float, or one per convolution."""
        self._available_memory_proportions = _per_convolution("available memory proportion", value, float)
        return self

    def partialsTypes(self, value: Any) -> MultiConv:
        """Type of the partials, torch.float or torch.half (ValueError for others), or one per convolution."""
        values = value if isinstance(value, (list, tuple)) else (value,)
        if not all(item in (torch.float32, torch.float16) for item in values):
            raise ValueError(f"Invalid partials types {value!r}. Expecting torch.float or torch.half")
        self._partials_types = tuple(int(item == torch.float16) for item in values)
        return self

    def enableConvDithering(self, value: Any) -> MultiConv:
        """Whether to spread convolutions over tiles: a bool (ValueError for others), or one each."""
        values = value if isinstance(value, (list, tuple)) or value is None else (value,)
        if values is not None and not all(isinstance(item, bool) for item in values):
            raise ValueError("value must be bool or list of bools")
        self._enable_conv_ditherings = None if values is None else tuple(values)
        return self

    def planType(self, value: Optional[MultiConvPlanType]) -> MultiConv:
        """Parallel or serial; AssertionError for what is no poptorch.MultiConvPlanType."""
        assert value is None or isinstance(value, MultiConvPlanType), f"Invalid plan type! {value!r}"
        self._plan_type = value
        return self

    def perConvReservedTiles(self, value: int) -> MultiConv:
        """Tiles reserved for each convolution."""
        assert isinstance(value, int), f"perConvReservedTiles={value!r}: a whole number"
        self._per_conv_reserved_tiles = value
        return self

    def cycleBackOff(self, value: float) -> MultiConv:
        """Cycle back-off, between 0 and 1."""
        assert isinstance(value, float), f"cycleBackOff={value!r}: a float"
        self._cycle_back_off = value
        return self

    def __enter__(self) -> None:
        tracer = context.current()
        if tracer is not None:
            if tracer.convolutions_together is not None:
                raise cpp_error("Nested poptorch.MultiConv is not supported.", "poptorch_cpp_error")
            tracer.convolutions_together = 0

    def __exit__(self, type: Any, value: Any, traceback: Any) -> None:  # the vendor's names
        tracer = context.current()
        if tracer is None:
            return
        count, tracer.convolutions_together = tracer.convolutions_together, None
        if not count and type is None:
            raise cpp_error(
                "Unexpected end_multi_conv, is the IR malformed? A poptorch.MultiConv block in "
                f"'{tracer.paths.current}' holds no convolution.",
                "poptorch_cpp_error",
            )
        for given in (self._available_memory_proportions, self._partials_types, self._enable_conv_ditherings):
            if type is None and given is not None and len(given) not in (1, count):
                raise cpp_error(
                    f"poptorch.MultiConv holds {count} convolutions, but {len(given)} values were given.",
                    "poptorch_cpp_error",
                )
