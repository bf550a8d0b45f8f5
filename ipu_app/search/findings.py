"""What a search leaves in its folder: every candidate as JSON lines, the best as configurations, a page."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, List, Sequence

from ipu_app.search.reward import Merits, pareto_set
from ipu_app.search.study import Found

BEST = 3  # so many configurations are written


def ranked(found: Sequence[Found]) -> List[Found]:
    """Return the candidates that have a reward, the best first."""
    return sorted((each for each in found if each.reward is not None), key=lambda each: -(each.reward or 0.0))


def front(found: Sequence[Found]) -> List[Found]:
    """Return the Pareto set of accuracy, seconds and parameters; times within S's error are ties."""
    able = ranked(found)
    tie_pct = max((each.error_pct for each in able), default=0.0)
    places = pareto_set([merits_of(each) for each in able], tie_pct=tie_pct)
    return [able[place] for place in places]


def merits_of(each: Found) -> Merits:
    """Return what a candidate with a reward is compared by."""
    assert each.accuracy is not None and each.seconds_per_image is not None
    return Merits(each.accuracy, each.seconds_per_image, each.parameters)


def write_candidates(folder: Path, found: Sequence[Found]) -> Path:
    """Write every candidate with its facts, one JSON object a line; whole or not at all."""
    file = folder / "candidates.jsonl"
    draft = folder / f".candidates.{os.getpid()}"
    lines = [json.dumps(asdict(each), allow_nan=False) for each in found]
    draft.write_text("\n".join(lines) + "\n" if lines else "", encoding="utf-8")
    os.replace(str(draft), str(file))
    return file


def write_configs(folder: Path, found: Sequence[Found]) -> List[Path]:
    """Write the best candidates as configurations that ``train --config`` takes as they are."""
    from ipu_app.config.load import CONFIGS, load_config, save_config

    files = []
    for place, each in enumerate(ranked(found)[:BEST], start=1):
        config = load_config(CONFIGS / "bases" / "published.yaml", settings(each))
        file = folder / f"best-{place}.yaml"
        save_config(config, file)
        files.append(file)
    return files


def settings(each: Found) -> List[str]:
    """Return a candidate as ``key=value``: network, resolution, and its plan's splits and batch factors."""
    values: Dict[str, Any] = {f"model.{key}": value for key, value in each.model.items()}
    values["phases.train.resolution"] = each.point["resolution"]
    if each.plan:
        values["phases.train.batch.micro"] = each.plan["micro_batch"]
        for key in ("accumulation", "replicas"):
            values[f"phases.train.batch.{key}"] = each.plan[key]
        values["phases.train.pipeline.splits"] = f"[{', '.join(each.plan['splits'])}]"
    return [f"{key}={value}" for key, value in values.items()]
