"""``ipu_app plan``: which splits, micro-batch and replicas, how fast, how full, how sure: before anything
compiles.

With ``--run NAME`` a recipe's own plan is estimated, with ``--splits`` a given one, else the best plans are
searched; with several values of a setting they are set side by side. ``--inference`` estimates inference.
Nothing is run, and on a model that was planned before torch is not even imported.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Mapping

from ipu_app.config.kinds import NORMS

if TYPE_CHECKING:
    from ipu_app.cli.planning import PlanRequest

HELP = "estimate plans for IPUs: splits, batch factors, images/s and memory, before anything is compiled"
DEFAULTS: Dict[str, Any] = {
    "model": "b0",
    "group": [16],
    "norm": ["ln_pn"],
    "res": [None],
    "ipus": [16],
    "global_batch": [768],
    "stages": [None],
    "micro": [None],
    "splits": None,
    "precision": "16.32",
    "offload_optimizer": False,
    "top": 5,
    "latency": False,
    "io_tiles": None,
}
_INFERENCE_DEFAULTS: Dict[str, Any] = {"ipus": [1], "precision": "16.16"}
_TRAINING_ONLY = ("global_batch", "offload_optimizer", "top")
_INFERENCE_ONLY = ("latency", "io_tiles")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    what = parser.add_argument_group("what to plan (options with ... take several values, set side by side)")
    what.add_argument("--model", help="a network's name: b0 ... b7, cifar, ... (default b0)")
    what.add_argument("--group", type=int, nargs="+", help="channels per convolution group (default 16)")
    what.add_argument("--norm", nargs="+", help=f"{', '.join(NORMS)} (default ln_pn)")
    what.add_argument("--res", type=int, nargs="+", help="image resolution in pixels (default: the model's)")
    what.add_argument(
        "--ipus", type=int, nargs="+", help="IPUs of the whole job, a power of two (default 16)"
    )
    what.add_argument("--global-batch", type=int, nargs="+", help="images per weight update (default 768)")
    what.add_argument("--precision", help="activations.weights: 16.16, 16.32 or 32.32 (default 16.32)")
    what.add_argument(
        "--offload-optimizer",
        action="store_const",
        const=True,
        help="keep the optimiser state in streaming memory: slower, more room",
    )
    what.add_argument("--top", type=int, help="how many plans to show (default 5)")
    what.add_argument(
        "--run", dest="run_name", metavar="NAME", help="estimate the plan of a recipe instead of searching"
    )
    fixed = parser.add_argument_group("what to keep fixed (else it is searched)")
    fixed.add_argument("--splits", nargs="+", metavar="BLOCK", help="sub-blocks that start the later stages")
    fixed.add_argument("--stages", type=int, nargs="+", help="pipeline stages, the IPUs of one replica")
    fixed.add_argument("--micro", type=int, nargs="+", help="images of one micro-batch")
    growing = parser.add_argument_group("progressive learning: hours of each stage, and what it saves")
    growing.add_argument("--progressive", metavar="RULE", help="paper or released (a recipe's own: implied)")
    growing.add_argument("--epochs", type=int, help="length of the training (default 350, or the recipe's)")
    growing.add_argument("--images", type=int, help="training images (default: ImageNet-1k's 1281167)")
    _add_inference(parser)
    _add_machine(parser)
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="print one JSON object")
    output.add_argument(
        "--plot",
        type=Path,
        metavar="FILE.png",
        help="draw one step of the best plan, or what is side by side",
    )
    output.add_argument("--save", type=Path, metavar="FILE", help="write the best plan for train --plan")
    about = parser.add_argument_group("about the model behind the estimates")
    about.add_argument("--fit", action="store_true", help="refit on the published runs, print the errors")
    about.add_argument("--constants", action="store_true", help="print every constant with its source")
    about.add_argument("--known-runs", action="store_true", help="print the configurations known to run")


def _add_inference(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("inference (16.16, one IPU unless --ipus says otherwise)")
    group.add_argument("--inference", action="store_true", help="estimate inference, for throughput")
    group.add_argument(
        "--latency", action="store_const", const=True, help="for a short answer: one image, no I/O tiles"
    )
    group.add_argument("--io-tiles", type=int, help="tiles that move data beside computing: 0, or 32 to 192")


def _add_machine(parser: argparse.ArgumentParser) -> None:
    machine = parser.add_argument_group("machine and software")
    machine.add_argument("--platform", default="mk2", help="the clock: mk2 or bow (default mk2)")
    machine.add_argument(
        "--sdk",
        help="software generation: 2.0, or 3 for 2.4 and newer (default 3; 2.0 for --run of a published run)",
    )
    machine.add_argument(
        "--framework", help="poptorch or tf1 (default poptorch; tf1 for --run of a published run)"
    )
    machine.add_argument(
        "--memory-limit", type=float, metavar="MB", help="counted tensors per IPU (default: known to run)"
    )


def run(args: argparse.Namespace) -> int:
    """Plan, or tell about the cost model."""
    from ipu_app.environment import read_environ

    environ = read_environ()
    if args.constants or args.fit or args.known_runs:
        return _about(args, environ)
    request = _request(args, environ)
    if args.inference:
        from ipu_app.cli import plan_inference

        return plan_inference.run(request)
    if request.run_name is None and len(request.cases()) > 1:
        from ipu_app.cli import what_if

        return what_if.run(request)
    return _plans(request)


def _about(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from ipu_app.cli import plan_about

    if args.constants:
        plan_about.print_constants(as_json=args.json)
    elif args.known_runs:
        plan_about.print_known_runs(as_json=args.json)
    else:
        from ipu_app.cli.planning import published_fit

        plan_about.print_fit(published_fit(environ), as_json=args.json)
    return 0


def _plans(request: PlanRequest) -> int:
    from ipu_app.cli import plan_view
    from ipu_app.cli.cost_sheet import cost_sheet_of, print_cost_sheet
    from ipu_app.cli.planning import recipe_report, search_report

    report = recipe_report(request) if request.run_name else search_report(request, request.cases()[0])
    sheet = cost_sheet_of(request, report)
    if request.plot:
        from pipelines.timeline import draw_timeline

        draw_timeline(report.best, request.plot, title=report.title, limit_bytes=report.limit_bytes)
    if request.save:
        from pipelines.plan import save_plan

        save_plan(request.save, report.saved)
    if request.as_json:
        progressive = {"progressive": sheet.to_dict()} if sheet else {}
        print(json.dumps({**report.to_dict(), **progressive}, indent=2))
        return 0
    plan_view.print_plans(report, save=request.save)
    if sheet:
        print_cost_sheet(sheet)
    return 0


def _request(args: argparse.Namespace, environ: Mapping[str, str]) -> PlanRequest:
    """Fill in what was not given; refuse what has no effect beside what was."""
    from ipu_app.cli.planning import PlanRequest

    _refuse_idle(args)
    defaults = {**DEFAULTS, **(_INFERENCE_DEFAULTS if args.inference else {})}
    given = {name: getattr(args, name) for name in defaults}
    chosen = {name: defaults[name] if value is None else value for name, value in given.items()}
    return PlanRequest(
        chosen=chosen,
        given=tuple(name for name, value in given.items() if value is not None),
        run_name=args.run_name,
        platform=args.platform,
        sdk=args.sdk,
        framework=args.framework,
        memory_limit_bytes=None if args.memory_limit is None else 1e6 * args.memory_limit,
        plot=args.plot,
        save=args.save,
        as_json=args.json,
        environ=environ,
        progressive=args.progressive,
        epochs=args.epochs,
        images=args.images,
    )


def _refuse_idle(args: argparse.Namespace) -> None:
    """Refuse settings that nothing would read."""
    names, beside = list(DEFAULTS), "--run, which takes it from the recipe"
    if not args.run_name:
        names, beside = list(_INFERENCE_ONLY), "training; add --inference"
        if args.inference:
            names, beside = [*_TRAINING_ONLY, "save", "memory_limit"], "--inference"
    elif args.inference:
        raise ValueError(f"run={args.run_name}: has no effect with --inference; give --model, --group, ...")
    for name in names:
        value = getattr(args, name)
        if value is not None:
            shown = " ".join(map(str, value)) if isinstance(value, list) else value
            raise ValueError(f"{name}={shown}: has no effect with {beside}")
