"""The contract fixture: the same test bodies run on the simulator and, where it is installed, on PopTorch."""

from __future__ import annotations

from typing import Any

import pytest

from ipu_app.runtime.poptorch_api import PopTorchApi, load_poptorch


@pytest.fixture(params=["sim", "sdk"])
def api(request: pytest.FixtureRequest) -> PopTorchApi:
    if request.param == "sdk":
        pytest.importorskip("poptorch")
    return load_poptorch(request.param)


@pytest.fixture
def poptorch(api: PopTorchApi) -> Any:
    """The module itself, for tests that read like programs."""
    return api.poptorch


@pytest.fixture(autouse=True)
def _no_poptorch_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "POPTORCH_IPU_MODEL",
        "POPTORCH_SMALL_IPU_MODEL",
        "POPTORCH_CACHE_DIR",
        "POPTORCH_DEFAULT_OPTIONS",
    ):
        monkeypatch.delenv(name, raising=False)
    for name in ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"):
        monkeypatch.delenv(name, raising=False)
