"""A network by choices: one per section of a base network, whose widths and strides stay. No torch.

This is the space of the search that EfficientNetV2 came from (arXiv 2104.00298, section 3.2): block kind,
kernel, expand ratio and number of layers of every section. An MBConv has squeeze-excite, a fused block none.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Dict, Sequence

from ipu_app.config.kinds import BLOCKS
from ipu_app.models.families import OWN_RATIO
from ipu_app.models.layout import check_group_size
from ipu_app.models.spec import EfficientNetSpec, make_spec

KERNELS = (1, 3, 5, 7)


@dataclass(frozen=True)
class Choice:
    """What a section consists of.

    ``ratio`` is counted as the tables do: in a network whose expand ratio is 6 it is the section's own; in
    one of another ratio (group convolutions) that of an ``mbconv`` moves in proportion. ``repeats`` are
    those of the table, which the base's depth multiplies. Refuses other kinds and kernels, ratios below 1 and
    sections without a block.
    """

    block: str
    kernel: int
    ratio: float
    repeats: int

    def __post_init__(self) -> None:
        if self.block not in BLOCKS:
            raise ValueError(f"block={self.block!r}: choose one of {', '.join(BLOCKS)}")
        if self.kernel not in KERNELS:
            raise ValueError(f"kernel={self.kernel!r}: choose one of {', '.join(map(str, KERNELS))}")
        if not 1 <= self.ratio <= 4 * OWN_RATIO:
            raise ValueError(f"ratio={self.ratio!r}: must be from 1 to {4 * OWN_RATIO:g}")
        if isinstance(self.repeats, bool) or not isinstance(self.repeats, int) or self.repeats < 1:
            raise ValueError(f"repeats={self.repeats!r}: must be a whole number, 1 or more")


def candidate(base: EfficientNetSpec, choices: Sequence[Choice]) -> EfficientNetSpec:
    """Return the base network with each section's block, kernel, ratio and repeats as chosen.

    Refuses another number of choices than the base has sections, and a group size that does not go with the
    widths.
    """
    if len(choices) != len(base.sections):
        raise ValueError(
            f"choices: {len(choices)} given, but {base.name} has {len(base.sections)} sections: one each"
        )
    sections = tuple(
        replace(
            section,
            block=choice.block,
            kernel=choice.kernel,
            repeats=choice.repeats,
            expands=choice.ratio != 1,
            ratio=OWN_RATIO if choice.ratio == 1 else float(choice.ratio),
        )
        for section, choice in zip(base.sections, choices)
    )
    spec = replace(base, sections=sections)
    check_group_size(spec)
    return spec


def own_choices(base: EfficientNetSpec) -> Sequence[Choice]:
    """Return the choices that the base itself is made of."""
    return tuple(
        Choice(each.block, each.kernel, each.ratio if each.expands else 1.0, each.repeats)
        for each in base.sections
    )


def departures(spec: EfficientNetSpec) -> Dict[str, Any]:
    """Return the settings of ``model`` in which a network departs from the one that it is named after.

    These are ``depth_scale``, ``width_scale`` and ``sections`` (a list of plain choices), each only where it
    is not the default; together with the name they make the network again.
    """
    named = make_spec(spec.name)
    found: Dict[str, Any] = {}
    for key in ("depth", "width"):
        factor = getattr(spec, key) / getattr(named, key)
        if factor != 1:
            found[f"{key}_scale"] = factor
    if spec.sections != named.sections:
        found["sections"] = [asdict(choice) for choice in own_choices(spec)]
    return found
