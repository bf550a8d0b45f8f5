"""How many processes load images: cores are shared by the instances of a host, and by the two loaders."""

from __future__ import annotations

import os

import pytest

from ipu_app import build
from ipu_app.config.schema import DataConfig

FILES = DataConfig(source="images")


def set_host(monkeypatch, *, cores, allowed):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(allowed)), raising=False)


@pytest.mark.parametrize(
    "cores,allowed,instances,expected",
    [
        (96, 96, 1, 96),
        (96, 96, 8, 12),  # bound to nothing: the eight share
        (96, 12, 8, 12),  # each is bound to cores of its own
        (96, 16, 8, 2),  # the job as a whole is bound: 8 times 16 are more than there are
        (4, 4, 8, 1),
    ],
)
def test_instances_share_the_cores_of_their_host(monkeypatch, cores, allowed, instances, expected):
    set_host(monkeypatch, cores=cores, allowed=allowed)
    assert build.make_workers(FILES, instances) == expected
    assert build.make_workers(DataConfig(), instances) == 0
    assert build.make_workers(DataConfig(source="images", workers=5), instances) == 5
