"""``plan`` with several values of a setting: one table and one picture of all combinations.

Beside each stands the accuracy that was published for it, where there is one, so that speed is not read
alone. What cannot be made or does not fit stays in the table, with its reason.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ipu_app.cli.plan_view import print_table, software_note
from ipu_app.cli.planning import (
    PlanRequest,
    case_limits,
    case_spec,
    estimate_facts,
    find_plans,
    model_title,
    planned_model,
)
from ipu_app.models.layer_table import load_layer_table
from pipelines.estimate import StepEstimate, memory_rejections
from pipelines.published import published_accuracy
from pipelines.table_cache import cache_folder


@dataclass(frozen=True)
class Case:
    """One combination: its settings, and its estimate or why there is none.

    ``top1_pct``: the published validation accuracy, where the same network and resolution was published.
    """

    settings: Mapping[str, Any]
    estimate: Optional[StepEstimate]
    fits: bool
    reason: str
    multiply_adds: Optional[int]
    params: Optional[int]
    top1_pct: Optional[float]

    def to_dict(self) -> Dict[str, Any]:
        """Return plain data for JSON."""
        facts = None if self.estimate is None else estimate_facts(self.estimate)
        return {
            "settings": dict(self.settings),
            "reason": self.reason,
            "fits": self.fits,
            "multiply_adds": self.multiply_adds,
            "params": self.params,
            "published_top1_pct": self.top1_pct,
            "estimate": facts,
        }


def run(request: PlanRequest) -> int:
    """Estimate every combination, show them, draw them; save the fastest that fits."""
    cases = [_case(request, settings) for settings in request.cases()]
    best = fastest(cases)
    if best is None:
        raise ValueError(cases[0].reason)
    assert best.estimate is not None
    if request.plot:
        from pipelines.comparison import draw_comparison

        rows = [(_label(request, case), case.estimate) for case in cases if case.estimate is not None]
        draw_comparison(rows, request.plot, title=_title(request, cases))
    if request.save:
        raise ValueError(f"save={str(request.save)!r}: give one value of each setting to save its plan")
    if request.as_json:
        top = {**estimate_facts(best.estimate), "fits": best.fits}
        print(json.dumps({**top, "cases": [case.to_dict() for case in cases]}, indent=2))
    else:
        _print(request, cases, best)
    return 0


def fastest(cases: Sequence[Case]) -> Optional[Case]:
    """Return the fastest combination, of those that fit if any does; None if none can be made."""
    made = [case for case in cases if case.estimate is not None]
    fitting = [case for case in made if case.fits] or made
    return max(fitting, key=lambda case: case.estimate.images_per_s if case.estimate else 0.0, default=None)


def _case(request: PlanRequest, settings: Mapping[str, Any]) -> Case:
    shown = {name: settings[name] for name in request.varied}
    try:
        spec = case_spec(settings)
        layers = load_layer_table(spec, settings["res"], cache=cache_folder(request.environ))
    except ValueError as error:
        return Case(shown, None, False, str(error), None, None, None)
    work = sum(layer.conv.multiply_adds for layer in layers if layer.conv is not None)
    params = sum(layer.params for layer in layers)
    size = settings["res"] or spec.native_resolution
    top1 = published_accuracy(spec.name, spec.group_size, spec.norm, size)
    target = request.target()
    limits = case_limits(request, settings).on(target)
    try:
        found = find_plans(layers, target, limits, settings, top=1).best
    except ValueError as error:
        return Case(shown, None, False, str(error), work, params, top1)
    fits = not memory_rejections(found, limits.limit_bytes)
    reason = "" if fits else f"counts more than {limits.limit_bytes / 1e6:.0f} MB"
    return Case(shown, found, fits, reason, work, params, top1)


def _label(request: PlanRequest, case: Case) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {case.settings[name]}" for name in request.varied)


def _title(request: PlanRequest, cases: Sequence[Case]) -> str:
    first = request.cases()[0]
    model = planned_model(case_spec(first), first["res"], first["precision"])
    name = (
        model_title(model) if not {"group", "norm", "res"} & set(request.varied) else first["model"].upper()
    )
    return f"{name} side by side, {request.target().describe()}: {len(cases)} combinations"


def _print(request: PlanRequest, cases: Sequence[Case], best: Case) -> None:
    target = request.target()
    print(f"{_title(request, cases)}\nestimated training; {software_note(target)}\n")
    names = [name.replace("_", " ") for name in request.varied]
    header = ["", *names, "images/s", "up to +-", "IPUs/replica", "replicas", "micro", "accum."]
    header += ["fullest MB", "MMACs", "params M", "top-1 published", "what"]
    print_table("what if, estimated", header, [_row(request, case, case is best) for case in cases])
    for sentence in _sentences(request, cases, best):
        print(sentence)
    print(
        "> marks the fastest that fits. up to +-: the error to expect of one figure; figures of one table\n"
        "share most of it. top-1 published: arXiv 2106.03640, ImageNet, of the same network and resolution;\n"
        "- where nobody published one. One value of each setting shows its plans in full: stages, what is\n"
        "rejected, --save."
    )


def _row(request: PlanRequest, case: Case, is_best: bool) -> List[str]:
    settings = ["-" if case.settings[name] is None else str(case.settings[name]) for name in request.varied]
    network = [
        "-" if case.multiply_adds is None else f"{case.multiply_adds / 1e6:.0f}",
        "-" if case.params is None else f"{case.params / 1e6:.1f}",
        "-" if case.top1_pct is None else f"{case.top1_pct:.2f} %",
        case.reason,
    ]
    found = case.estimate
    if found is None:
        return ["", *settings, *["-"] * 7, *network]
    figures = [
        f"{found.images_per_s:.0f}",
        f"{found.error_pct:.0f} %",
        str(found.plan.num_stages),
        str(found.geometry.total_replicas),
        str(found.geometry.micro_batch),
        str(found.geometry.accumulation),
        f"{max(found.memory_mb):.0f}",
    ]
    return [">" if is_best else "", *settings, *figures, *network]


def _sentences(request: PlanRequest, cases: Sequence[Case], best: Case) -> List[str]:
    """What the table says, where it is easily missed: more IPUs that are slower."""
    if request.varied != ("ipus",):
        return []
    rates: List[Tuple[int, float]] = [
        (case.settings["ipus"], case.estimate.images_per_s) for case in cases if case.estimate is not None
    ]
    slower = [ipus for ipus, _ in rates if ipus > best.settings["ipus"]]
    if not slower:
        return []
    many = ", ".join(map(str, slower))
    return [f"{best.settings['ipus']} IPUs do better than {many} at this global batch.\n"]
