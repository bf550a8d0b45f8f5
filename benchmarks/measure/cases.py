"""What is measured, as data: networks, settings and the groups that take turns with each other. No torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Dict, Mapping, Optional, Tuple

CHANNELS_LAST, CONTIGUOUS = "channels_last", "contiguous"
LIBRARIES = ("ours", "timm", "torchvision")
_TORCHVISION_V2 = ("v2-s", "v2-m", "v2-l")
# what a figure is of; batch, layout and compilation are how it was got
CELL = (
    "library", "model", "group_size", "norm", "expand_ratio", "proxy_rule", "resolution", "precision", "mode"
)  # fmt: skip
Cell = Tuple[Any, ...]


@dataclass(frozen=True)
class Case:
    """One network under one setting. ``batch`` in images, ``resolution`` in pixels; ``compile`` is a
    ``torch.compile`` mode or empty for eager; ``layout`` is channels_last or contiguous; ``mode`` is train,
    infer, or recipe: trained by the application's own runtime, as the published recipe has it.
    """

    model: str = "b0"
    resolution: int = 128
    batch: int = 16
    group_size: int = 1
    norm: str = "bn"
    expand_ratio: float = 6.0
    library: str = "ours"
    precision: str = "fp32"
    mode: str = "train"
    compile: str = ""
    proxy_rule: str = "quadrature"
    layout: str = CHANNELS_LAST

    @property
    def name(self) -> str:
        """Unique within a run, and readable."""
        network = f"{self.model} g{self.group_size} {self.norm}"
        if self.proxy_rule != "quadrature":
            network += f" {self.proxy_rule}"
        setting = f"{self.resolution} px, batch {self.batch}, {self.precision}"
        how = "" if self.layout == CHANNELS_LAST else f", {self.layout}"
        how += f", compiled ({self.compile})" if self.compile else ""
        return f"{self.library} {network}, {self.mode}, {setting}{how}"

    def to_dict(self) -> Dict[str, Any]:
        """Return plain data for JSON."""
        return {**self.__dict__, "case": self.name}


def ours(model: str, group_size: int, norm: str, resolution: int, **setting: Any) -> Case:
    """Return a case of this project's network, with the expand ratio that ``make_spec`` would take."""
    from ipu_app.models.spec import make_spec

    ratio = make_spec(model, group_size=group_size).expand_ratio
    return Case(model, resolution, group_size=group_size, norm=norm, expand_ratio=ratio, **setting)


def cell_of(group: str, settings: Mapping[str, Any]) -> Cell:
    """Return which figure of a group a case (as ``to_dict`` has it) or a row gives."""
    return (group, *(settings[name] for name in CELL))


def others(case: Case) -> Tuple[Case, ...]:
    """Return the same case in timm and in torchvision, which have groups of 1 and batch norm only.

    Without torchvision's where it does not have the network.
    """
    plain = replace(case, group_size=1, norm="bn", expand_ratio=6.0)
    lacks = ("torchvision",) if case.model.startswith("v2-") and case.model not in _TORCHVISION_V2 else ()
    return tuple(replace(plain, library=library) for library in LIBRARIES[1:] if library not in lacks)


@dataclass(frozen=True)
class Group:
    """Cases that take turns in the same rounds, so that their ratios mean something.

    ``rounds`` are those of each of ``starts`` of the processes, after the first step and ``warm_up`` rounds;
    ``budget_s`` ends a start early.
    """

    name: str
    cases: Tuple[Case, ...]
    rounds: int = 5
    starts: int = 1
    budget_s: Optional[float] = None
    warm_up: int = 1


CPU_BATCHES = {  # a step takes about a second or less
    "b0": 8, "b1": 4, "b2": 4, "b3": 2, "b4": 1, "b5": 1, "v2-b0": 8, "v2-s": 1
}  # fmt: skip
NORMS, GROUP_SIZES = ("bn", "gn", "ln", "ln_pn"), (1, 4, 16, 64)


def bar_groups() -> Tuple[Group, ...]:
    """What the bars compare: B0 at 128 pixels in both precisions, native against half resolution, V2-S."""
    plain, grouped = ours("b0", 1, "bn", 128), ours("b0", 16, "gn", 128)
    proxy = ours("b0", 16, "ln_pn", 128)
    half = replace(plain, precision="bf16")
    return (
        Group(
            "B0 at 128 px, float32",
            (plain, *others(plain), grouped, proxy, replace(proxy, proxy_rule="quantile200")),
            rounds=7,
            starts=4,
        ),
        Group("B0 at 128 px, bfloat16 autocast", (half, *others(half)), rounds=5, starts=2),
        Group(
            "B0: native and half resolution",
            (ours("b0", 1, "bn", 224), ours("b0", 16, "gn", 160), ours("b0", 16, "ln_pn", 160)),
            rounds=5,
        ),
        *_v2_bar_groups(),
    )


def _v2_bar_groups() -> Tuple[Group, ...]:
    setting = {"batch": 8}
    plain = ours("v2-s", 1, "bn", 128, **setting)
    grouped = tuple(ours("v2-s", 16, norm, 128, **setting) for norm in ("gn", "ln_pn"))
    answering = replace(plain, mode="infer")
    return (
        Group("V2-S at 128 px: training", (plain, *others(plain), *grouped), rounds=5, starts=2),
        Group("V2-S at 128 px: inference", (answering, *others(answering)), rounds=9, starts=2),
    )


def compiled_groups() -> Tuple[Group, ...]:
    """The same under ``torch.compile``, which takes minutes for each network on a CPU."""
    grouped, proxy = ours("b0", 16, "gn", 128), ours("b0", 16, "ln_pn", 128)
    plain = ours("b0", 1, "bn", 128)
    groups = {
        "B0 compiled: norms": (grouped, proxy, replace(proxy, proxy_rule="quantile200")),
        "B0 compiled: libraries": (plain, *others(plain)),
    }
    return tuple(
        Group(name, tuple(replace(case, compile="default") for case in cases), rounds=11, budget_s=60)
        for name, cases in groups.items()
    )


def network_groups(*, batches: Dict[str, int], precision: str = "fp32") -> Tuple[Group, ...]:
    """B0 to B5, V2-B0 and V2-S at native and half resolution beside the other libraries.

    For B0 every G and norm, too; for version 2 groups of 16 with group norm. ``batches``: images by model; a
    model that is not in it is left out.
    """
    groups = []
    for model, batch in batches.items():
        setting = {"batch": batch, "precision": precision}
        groups += [_training_group(model, setting), _inference_group(model, setting)]
    return tuple(groups)


def _training_group(model: str, setting: Dict[str, Any]) -> Group:
    """A model's training; on CPUs the second step of a process is as fast as later ones."""
    native, half = _resolutions(model)
    plain = ours(model, 1, "bn", native, **setting)
    proxy = [ours(model, 16, "ln_pn", resolution, **setting) for resolution in (native, half)]
    cases = [plain, *others(plain), *proxy]
    if model.startswith("v2-"):
        cases.append(ours(model, 16, "gn", native, **setting))
    if model == "b0":
        cases.append(replace(proxy[0], mode="recipe"))
        cases += [ours(model, size, norm, native, **setting) for size in GROUP_SIZES for norm in NORMS]
    once = tuple(dict.fromkeys(cases))
    return Group(f"{model.upper()}: training", once, rounds=2, starts=2, warm_up=0)


def _inference_group(model: str, setting: Dict[str, Any]) -> Group:
    native, _ = _resolutions(model)
    plain = ours(model, 1, "bn", native, mode="infer", **setting)
    proxy = ours(model, 16, "ln_pn", native, mode="infer", **setting)
    cases = (plain, *others(plain), proxy)
    return Group(f"{model.upper()}: inference", cases, rounds=5, warm_up=0)


def _resolutions(model: str) -> Tuple[int, int]:
    from ipu_app.models.spec import SIZES

    size = SIZES[model]
    return size.native, size.half or size.native
