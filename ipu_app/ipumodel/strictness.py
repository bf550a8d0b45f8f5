"""Whether the simulator says more than PopTorch does.

``strict`` (the default, and what this application trains with) refuses some things that PopTorch takes
silently and that then go wrong: arithmetic after a loss that is never differentiated, forms that PopTorch
accepts but that were never tried below it. ``faithful`` does what PopTorch does. The environment variable
POPTORCH_SIMULATOR_MODE chooses one of the two.
"""

from __future__ import annotations

from .variables import simulator_mode


def is_strict() -> bool:
    """Whether silent traps are refused."""
    return simulator_mode() == "strict"
