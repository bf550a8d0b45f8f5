"""How data are opened: where lists and copies are kept, and what of them is used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

PATIENCE_S = 600.0


@dataclass(frozen=True)
class Access:
    """``cache_dir`` keeps lists of files, and copies of remote shards; sets of shards larger than
    ``most_copied_bytes`` are not copied there but refused. ``image_key``: the suffix of the member of a
    shard's sample that is its image, where it has several. ``patience_s``: how long a broken line is waited
    for.
    """

    cache_dir: Optional[Path] = None
    most_copied_bytes: Optional[int] = None
    image_key: Optional[str] = None
    patience_s: float = PATIENCE_S
