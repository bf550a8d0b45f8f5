"""What a file of weights (``--init``) brings to a configuration. No torch before there is such a file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, List, Optional, Sequence

if TYPE_CHECKING:
    from ipu_app.settling.weights_file import Needs


def init_overrides(args: argparse.Namespace, given: Sequence[str]) -> List[str]:
    """Return what the weights demand of the model and the user has not said (``given``: what he has)."""
    needs = init_needs(args, given)
    if needs is None:
        return []
    from ipu_app.settling.weights_file import missing_overrides

    return missing_overrides(needs.settings, given)


def init_needs(args: argparse.Namespace, given: Sequence[str]) -> Optional[Needs]:
    """Return what the weights need, if there are any."""
    if not args.init:
        return None
    from ipu_app.settling.weights_file import file_needs

    ema = None if args.ema is None else args.ema == "yes"
    return file_needs(Path(args.init), given, ema=ema)
