"""What was tried, what held, what was lost."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Sequence


@dataclass
class Score:
    """Counts by what was done; ``evidence`` keeps folders of what was lost."""

    evidence: Path
    tried: Dict[str, int] = field(default_factory=dict)
    lost: Dict[str, int] = field(default_factory=dict)
    notes: List[str] = field(default_factory=list)

    def add(self, what: str, number: int, *, lost: int = 0) -> None:
        """Count tries, and those that were lost."""
        self.tried[what] = self.tried.get(what, 0) + number
        self.lost[what] = self.lost.get(what, 0) + lost

    def keep(self, folder: Path, trail: Sequence[str]) -> None:
        """Keep what was lost, and how it came to it."""
        place = self.evidence / f"lost-{len(list(self.evidence.glob('lost-*'))) + 1}"
        shutil.copytree(str(folder / "cut"), str(place)) if (folder / "cut").is_dir() else place.mkdir(
            parents=True
        )
        (place / "trail.txt").write_text("\n".join(trail) + "\n", encoding="utf-8")
        self.notes.append(f"lost: {place}: {trail[-1][:200]}")

    @property
    def total_lost(self) -> int:
        """All that was lost."""
        return sum(self.lost.values())

    def table(self) -> List[str]:
        """Return the rows of a Markdown table."""
        rows = ["| what | tried | held | lost |", "|---|---:|---:|---:|"]
        for what in sorted(self.tried):
            tried, lost = self.tried[what], self.lost[what]
            rows.append(f"| {what} | {tried} | {tried - lost} | {lost} |")
        return rows
