"""Do the weights of an earlier run fit the network and the data that are to go on with them?"""

from __future__ import annotations

from pathlib import Path
from typing import List, Mapping, Sequence

from torch import Tensor

from ipu_app.inference.trained import load_model_file
from ipu_app.settling.origin import Start, run_dir_of
from ipu_app.settling.weights_file import HEAD


def check_weights(start: Start, weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Refuse weights of another network than ``own``, in words for the option that named them."""
    names = sorted(set(weights) | set(own))
    wrong = [n for n in names if n not in weights or n not in own or weights[n].shape != own[n].shape]
    if not wrong:
        return
    option = f"resume={start.resume}" if start.resume else f"from={start.from_run}"
    if all(name.startswith(HEAD) for name in wrong):
        theirs, ours = (len(found[f"{HEAD}bias"]) for found in (weights, own))
        raise ValueError(
            f"{option}: trained on {theirs} classes, but this data has {ours}; to start with its other "
            "weights, export it and use --init FILE --reset-head"
        )
    raise ValueError(
        f"{option}: made with another network ({wrong[0]} does not fit); leave model.* as it was"
    )


def class_notes(start: Start, classes: Sequence[str]) -> List[str]:
    """Return a warning where the classes of the earlier run had other names: labels may mean others."""
    source = start.resume or start.from_run
    if source is None:
        return []
    file = run_dir_of(Path(source)).model
    theirs = load_model_file(file).classes if file.is_file() else tuple(classes)
    differing = [(old, new) for old, new in zip(theirs, classes) if old != new]
    if not differing:
        return []
    old, new = differing[0]
    return [
        f"warning: {source} was trained on classes of other names: what it knows as {old!r} is now {new!r}, "
        f"and {len(differing) - 1} more"
    ]
