"""EfficientNet on IPUs: the training application (models, data, runtimes, trainer, command line).

For scripts and notebooks: ``from ipu_app import make_spec, EfficientNet, load_run, predict, train``.
"""

from __future__ import annotations

from typing import Any

__all__ = ["EfficientNet", "load_run", "make_spec", "predict", "train"]


def __getattr__(name: str) -> Any:
    """Import what is asked for, not before: the command line starts without torch."""
    if name not in __all__:
        raise AttributeError(f"module 'ipu_app' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module("ipu_app.api"), name)
