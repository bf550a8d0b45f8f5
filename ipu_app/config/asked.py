"""What the user asked for himself, in contrast to what a recipe says: it is kept, and must have an effect."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Dict, Iterable, Sequence, Tuple

from ipu_app.config.kinds import DEVICES

# settings that only some devices take notice of
EFFECTS: Dict[str, Tuple[str, ...]] = {
    r"device\.(ipu_model|strict_memory|platform|executable_cache|poptorch)": ("ipu",),
    r"phases\.[^.]+\.pipeline\..*": ("ipu",),
    r"device\.(autocast|compile|channels_last)": ("cuda", "cpu"),
    r"phases\.[^.]+\.batch\.torch_micro": ("cuda", "cpu"),
    r"phases\.[^.]+\.optimizer\.(loss_scaling|nonfinite)": ("cuda", "cpu"),
}
BATCH_KEY = r"phases\.[^.]+\.batch(\.(micro|accumulation|replicas|device_iterations))?"
FLAGS = {"device.ipu_model": "--ipu-model", "device.strict_memory": "--strict-memory"}
FLAGS["device.poptorch"] = "--poptorch"


@dataclass(frozen=True)
class Asked:
    """The keys that were typed, with phases by name; ``batch``: the batch factors are the user's own."""

    keys: Tuple[str, ...] = ()
    batch: bool = False

    def has(self, key: str) -> bool:
        """Tell whether this value, or the whole section that it is in, was typed."""
        return any(key == typed or key.startswith(f"{typed}.") for typed in self.keys)


def asked_keys(overrides: Iterable[str], phases: Sequence[str]) -> Tuple[str, ...]:
    """Return the keys of ``key=value`` words; a phase given by its place (``phases[0]``) gets its name."""
    return tuple(_named(item.partition("=")[0].strip(), phases) for item in overrides)


def sets_batch(keys: Iterable[str]) -> bool:
    """Tell whether one of the keys is a factor of the global batch."""
    return any(re.fullmatch(BATCH_KEY, key) for key in keys)


def refuse_without_effect(asked: Asked, device: str, requested: str) -> None:
    """Refuse typed settings that nothing reads on this kind of device; all of them are named.

    ``requested`` is what was asked for: under ``auto`` the choice of PopTorch decides about the device.
    """
    idle = [key for key in asked.keys if device not in _readers(key)]
    if requested == "auto":
        idle = [key for key in idle if key != "device.poptorch"]
    if idle:
        named = ", ".join(FLAGS.get(key, key) for key in idle)
        where = " and ".join(dict.fromkeys(name for key in idle for name in _readers(key)))
        raise ValueError(f"{named}: no effect on device {device} (only on {where}); leave it out")


def _readers(key: str) -> Tuple[str, ...]:
    for pattern, devices in EFFECTS.items():
        if re.fullmatch(pattern, key):
            return devices
    return tuple(DEVICES)


def _named(key: str, phases: Sequence[str]) -> str:
    match = re.match(r"phases\[(\d+)\]", key)
    if not match or int(match.group(1)) >= len(phases):
        return key
    return f"phases.{phases[int(match.group(1))]}{key[match.end() :]}"
