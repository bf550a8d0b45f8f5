"""``ipu_app plan``: which splits, micro-batch and replicas, how fast, how full, how sure: before anything
compiles.

With ``--run NAME`` a recipe's own plan is estimated, else the best plans are searched. Nothing is run, and
on a model that was planned before torch is not even imported.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Mapping

from ipu_app.config.kinds import NORMS

if TYPE_CHECKING:
    from ipu_app.cli.planning import PlanReport

HELP = "estimate plans for IPUs: splits, batch factors, images/s and memory, before anything is compiled"
_SEARCH_OPTIONS: Dict[str, Any] = {
    "model": "b0",
    "group": 16,
    "norm": "ln_pn",
    "res": None,
    "ipus": 16,
    "global_batch": 768,
    "precision": "16.32",
    "offload_optimizer": False,
    "top": 5,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    what = parser.add_argument_group("what to plan")
    what.add_argument("--model", help="b0 ... b7 or cifar (default b0)")
    what.add_argument("--group", type=int, help="channels per convolution group (default 16)")
    what.add_argument("--norm", help=f"{', '.join(NORMS)} (default ln_pn)")
    what.add_argument("--res", type=int, help="image resolution in pixels (default: the model's)")
    what.add_argument("--ipus", type=int, help="IPUs of the whole job, a power of two (default 16)")
    what.add_argument("--global-batch", type=int, help="images per weight update (default 768)")
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
    machine = parser.add_argument_group("machine")
    machine.add_argument("--platform", default="mk2", help="mk2 or bow (default mk2)")
    machine.add_argument(
        "--memory-limit", type=float, metavar="MB", help="counted tensors per IPU (a coarse default)"
    )
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="print one JSON object")
    output.add_argument("--plot", type=Path, metavar="FILE.png", help="draw one step of the best plan")
    output.add_argument("--save", type=Path, metavar="FILE", help="write the best plan for train --plan")
    about = parser.add_argument_group("about the model behind the estimates")
    about.add_argument("--fit", action="store_true", help="refit on the published runs, print the errors")
    about.add_argument("--constants", action="store_true", help="print every constant with its source")


def run(args: argparse.Namespace) -> int:
    """Plan, or tell about the cost model."""
    from ipu_app.cli import plan_view
    from ipu_app.environment import read_environ

    if args.constants:
        plan_view.print_constants(as_json=args.json)
        return 0
    environ = read_environ()
    if args.fit:
        from ipu_app.cli.planning import published_fit

        plan_view.print_fit(published_fit(environ), as_json=args.json)
        return 0
    report = _recipe(args, environ) if args.run_name else _search(args, environ)
    _write_files(args, report)
    if args.json:
        print(json.dumps(report.to_dict(), indent=2))
    else:
        plan_view.print_plans(report)
    return 0


def _recipe(args: argparse.Namespace, environ: Mapping[str, str]) -> PlanReport:
    from ipu_app.cli.planning import recipe_report

    for name in _SEARCH_OPTIONS:
        given = getattr(args, name)
        if given is not None:
            raise ValueError(f"{name}={given}: has no effect with --run, which takes it from the recipe")
    return recipe_report(
        args.run_name, platform=args.platform, memory_limit_bytes=_limit_bytes(args), environ=environ
    )


def _search(args: argparse.Namespace, environ: Mapping[str, str]) -> PlanReport:
    from ipu_app.cli.planning import search_report
    from ipu_app.models.spec import make_spec
    from pipelines.planner import PlanLimits

    chosen = {name: getattr(args, name) for name in _SEARCH_OPTIONS}
    chosen = {name: _SEARCH_OPTIONS[name] if given is None else given for name, given in chosen.items()}
    limits = PlanLimits(
        num_ipus=chosen["ipus"],
        global_batch=chosen["global_batch"],
        memory_limit_bytes=_limit_bytes(args),
        precision=chosen["precision"],
        offload_optimizer=chosen["offload_optimizer"],
    )
    return search_report(
        make_spec(chosen["model"], group_size=chosen["group"], norm=chosen["norm"]),
        limits,
        resolution=chosen["res"],
        platform=args.platform,
        top=chosen["top"],
        environ=environ,
    )


def _limit_bytes(args: argparse.Namespace) -> Any:
    return None if args.memory_limit is None else 1e6 * args.memory_limit


def _write_files(args: argparse.Namespace, report: PlanReport) -> None:
    if args.plot:
        from pipelines.timeline import draw_timeline

        draw_timeline(report.best, args.plot, title=report.title, limit_bytes=report.limit_bytes)
    if args.save:
        from pipelines.plan import save_plan

        save_plan(args.save, report.saved)
