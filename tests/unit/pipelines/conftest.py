"""Layer tables are traced once for all test files and processes, into a cache of their own."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def environ(request, tmp_path_factory):
    """An environment whose cache is this session's; written atomically, so that processes may share it."""
    base = tmp_path_factory.getbasetemp()
    is_worker = hasattr(request.config, "workerinput")
    return {"XDG_CACHE_HOME": str((base.parent if is_worker else base) / "pipelines-cache")}


@pytest.fixture(scope="session")
def tables(environ):
    """The folder of the cached tables."""
    from pipelines.table_cache import cache_folder

    return cache_folder(environ)
