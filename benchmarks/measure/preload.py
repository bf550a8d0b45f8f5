"""Imported by the server that all measuring processes are forked from: no case pays for imports."""

from __future__ import annotations

import contextlib
import importlib

import torch

import benchmarks.measure.as_trained  # noqa: F401
import benchmarks.measure.networks  # noqa: F401
from benchmarks.measure.cases import LIBRARIES

for _library in LIBRARIES[1:]:
    with contextlib.suppress(ModuleNotFoundError):
        importlib.import_module(_library)
# the first optimiser of a process imports torch's compiler, which takes seconds
torch.optim.SGD([torch.zeros(1)], lr=1.0).zero_grad()
