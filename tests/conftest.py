"""The order in which files of tests are given out to processes: those that take long come first.

By itself pytest-xdist gives out files with many tests first, and so ends with one process waiting for the
other's few long ones.
"""

from __future__ import annotations

from typing import List

import pytest

# the longest first, by the processor time that they take
LONG = (
    "test_integration_distributed",
    "test_integration_chain",
    "test_integration_recipes",
    "test_integration_recipes_v2",
    "test_integration_package",
    "test_distributed_faults",
    "test_integration_settings",
    "test_integration_tracking",
    "test_integration_resume",
    "test_integration_phases",
    "test_integration_records",
    "test_evidence_run",
)


def pytest_configure(config: pytest.Config) -> None:
    config.option.loadscopereorder = False  # of pytest-xdist from 3.7 on; older ones keep to their own order


def pytest_collection_modifyitems(items: List[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONG)))
