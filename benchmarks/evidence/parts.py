"""The table of parts, in the order in which they are shown."""

from __future__ import annotations

from types import ModuleType
from typing import Dict

from benchmarks.evidence import (
    part_group_size,
    part_half_resolution,
    part_micro_batch,
    part_power,
    part_progressive,
)

_MODULES = (part_power, part_micro_batch, part_group_size, part_half_resolution, part_progressive)
PARTS: Dict[str, ModuleType] = {module.NAME: module for module in _MODULES}
