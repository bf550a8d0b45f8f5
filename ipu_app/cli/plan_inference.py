"""``plan --inference``: images per second, latency and micro-batch of inference on one IPU to a POD."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, Dict, List, Mapping

from ipu_app.cli.plan_view import print_table
from ipu_app.cli.planning import PlanRequest, case_spec, model_title, planned_model
from ipu_app.models.layer_table import load_layer_table
from pipelines.inference import InferenceEstimate, InferenceWishes, plan_inference
from pipelines.table_cache import cache_folder

_NOTE = (
    "Batch norm is folded into the convolutions, images arrive as bytes and are normalised on the IPU.\n"
    "latency: from the images' leaving the host to the results; call: with the host's part of a synchronous\n"
    "call. The largest micro-batch is a coarse rule, good to about 25 %. The host has to decode as many\n"
    "images per second as are named."
)


def run(request: PlanRequest) -> int:
    """Estimate every combination that was asked for, and show them."""
    cases = request.cases()
    found = [estimate_case(request, case) for case in cases]
    if request.plot:
        raise ValueError(f"plot={str(request.plot)!r}: has no effect with --inference")
    facts = [inference_facts(estimate, _model(case)) for estimate, case in zip(found, cases)]
    best = max(range(len(found)), key=lambda k: (found[k].fits, found[k].images_per_s))
    if request.as_json:
        more = {"cases": facts} if len(facts) > 1 else {}
        print(json.dumps({**facts[best], **more}, indent=2))
    else:
        _print(request, cases, found, best)
    return 0


def estimate_case(request: PlanRequest, case: Mapping[str, Any]) -> InferenceEstimate:
    """Estimate one combination."""
    layers = load_layer_table(case_spec(case), case["res"], cache=cache_folder(request.environ))
    wishes = InferenceWishes(
        num_ipus=case["ipus"],
        is_latency=case["latency"],
        micro_batch=case["micro"],
        num_stages=case["stages"],
        splits=None if case["splits"] is None else tuple(case["splits"]),
        io_tiles=case["io_tiles"],
        precision=case["precision"],
    )
    return plan_inference(layers, request.target(), wishes)


def inference_facts(estimate: InferenceEstimate, model: Mapping[str, Any]) -> Dict[str, Any]:
    """Return an estimate as plain data for JSON."""
    return {
        "kind": "estimated",
        "phase": "inference",
        "images_per_s": estimate.images_per_s,
        "latency_ms": estimate.latency_ms,
        "call_ms": estimate.call_ms,
        "error_pct": estimate.error_pct,
        "extrapolated": list(estimate.extrapolated),
        "platform": estimate.target.name,
        "sdk": estimate.target.sdk,
        "framework": estimate.target.framework,
        "meaning": estimate.describe(),
        "micro_batch": estimate.micro_batch,
        "micro_batch_max": estimate.micro_batch_max,
        "fits": estimate.fits,
        "accumulation": 1,
        "replicas": estimate.replicas,
        "ipus_per_replica": estimate.plan.num_stages,
        "device_iterations": estimate.device_iterations,
        "io_tiles": estimate.io_tiles,
        "splits": list(estimate.plan.splits),
        "precision": estimate.precision,
        "host_bytes_per_s": estimate.host_bytes_per_s,
        "host_images_per_s": estimate.images_per_s,
        "host_bound": estimate.is_host_bound,
        "model": dict(model),
        "stages": [
            {
                "first": stage.first,
                "ipu": stage.ipu,
                "memory_mb": stage.memory_mb,
                "cycles_forward": round(stage.forward_cycles),
                "compute_ms": 1e3 * stage.compute_s,
                "arriving_ms": 1e3 * stage.arriving_s,
            }
            for stage in estimate.stages
        ],
    }


def _model(case: Mapping[str, Any]) -> Dict[str, Any]:
    return asdict(planned_model(case_spec(case), case["res"], case["precision"]))


def _print(
    request: PlanRequest, cases: List[Dict[str, Any]], found: List[InferenceEstimate], best: int
) -> None:
    case = cases[best]
    model = planned_model(case_spec(case), case["res"], case["precision"])
    print(f"{model_title(model)}\n{found[best].describe()}\n")
    names = [name.replace("_", " ") for name in request.varied if name != "micro"]
    header = [
        "",
        *names,
        "images/s",
        "latency ms",
        "call ms",
        "micro",
        "largest",
        "IPUs",
        "stages",
        "I/O tiles",
    ]
    header += ["host GB/s", "bound by", "MB fullest", "splits"]
    rows = [
        _row([str(case[name]) for name in request.varied if name != "micro"], estimate, index == best)
        for index, (case, estimate) in enumerate(zip(cases, found))
    ]
    print_table("inference, estimated", header, rows)
    if not found[best].fits:
        print(
            f"micro={found[best].micro_batch}: more than the {found[best].micro_batch_max} that should fit\n"
        )
    print(_NOTE)


def _row(varied: List[str], estimate: InferenceEstimate, is_best: bool) -> List[str]:
    return [
        ">" if is_best else "",
        *varied,
        f"{estimate.images_per_s:.0f}",
        f"{estimate.latency_ms:.2f}",
        f"{estimate.call_ms:.2f}",
        str(estimate.micro_batch),
        str(estimate.micro_batch_max),
        str(estimate.replicas * estimate.plan.num_stages),
        str(estimate.plan.num_stages),
        str(estimate.io_tiles),
        f"{estimate.host_bytes_per_s / 1e9:.2f}",
        "host link" if estimate.is_host_bound else "IPU",
        f"{max(stage.memory_mb for stage in estimate.stages):.0f}",
        " ".join(estimate.plan.splits) or "-",
    ]
