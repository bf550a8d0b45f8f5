"""The one place that reads the process environment; everyone else is handed the mapping."""

from __future__ import annotations

import os
from typing import Mapping


def read_environ() -> Mapping[str, str]:
    """Return a snapshot of the environment variables of this process."""
    return dict(os.environ)
