"""``ipu_app scale``: larger and smaller networks by one exponent, and the grid of its coefficients."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Sequence, Tuple

if TYPE_CHECKING:
    from ipu_app.models.scaling import Coefficients
    from ipu_app.models.spec import EfficientNetSpec
    from ipu_app.search.step_time import StepTime

HELP = "scale networks by phi, or search the coefficients of scaling for a budget"
BY = ("law", "macs", "params", "seconds")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``scale``."""
    parser.add_argument("--base", default="b0", help="the network to scale (b0)")
    what = parser.add_argument_group("by phi")
    what.add_argument("--phi", type=float, nargs="+", metavar="X", help="exponents (0 to 7)")
    for name, default in (("alpha", 1.2), ("beta", 1.1), ("gamma", 1.15)):
        what.add_argument(f"--{name}", type=float, default=default, help=f"({default})")
    what.add_argument("--group", type=int, default=1, help="channels per convolution group (1)")
    what.add_argument("--norm", default="bn", help="bn, gn, ln, ln_pn or gn_pn (bn)")
    what.add_argument("--save", type=Path, metavar="FILE", help="write the last network as a configuration")
    grid = parser.add_argument_group("coefficients: the grid of step 1")
    grid.add_argument(
        "--search", action="store_true", help="list what scales the base by the budget at phi 1"
    )
    grid.add_argument("--budget", default="2x", help="factor over the base (2x)")
    grid.add_argument("--by", choices=BY, default="law", help="what the budget is of (law)")
    grid.add_argument("--within", type=float, default=5.0, metavar="PCT", help="tolerance, but for law (5)")
    grid.add_argument("--ipus", type=int, default=16, help="seconds by the best plan on so many IPUs (16)")
    grid.add_argument("--platform", default="mk2", help="mk2 or bow (mk2)")
    grid.add_argument("--device", choices=("cpu", "cuda"), help="seconds measured here instead")
    grid.add_argument("--batch", type=int, default=16, help="images of a measured step (16)")


def run(args: argparse.Namespace) -> int:
    """Print a table over phi, or over the grid."""
    from ipu_app.models.spec import make_spec

    base = make_spec(args.base, group_size=args.group, norm=args.norm)
    if args.search:
        return _search(args, base)
    return _by_phi(args, base)


def _by_phi(args: argparse.Namespace, base: EfficientNetSpec) -> int:
    from ipu_app.models.scaling import Coefficients, scaled_spec

    coefficients = Coefficients(args.alpha, args.beta, args.gamma)
    phis = [float(phi) for phi in (args.phi or range(8))]
    rows = [_row(f"{phi:g}", base, scaled_spec(base, phi, coefficients), phi) for phi in phis]
    law = coefficients.product
    _print_table(
        f"{args.base} scaled by phi: depth {args.alpha:g}^phi, width {args.beta:g}^phi, resolution "
        f"{args.gamma:g}^phi (law: work x {law:.4g}^phi; exact multiply-adds beside it)",
        ("phi", "depth", "width", "px", "M parameters", "G MACs", "x base", "2^phi"),
        rows,
    )
    if args.base == "b0":
        print("The published b1 to b7 are rows of a table of their own, at no phi: --model b1 ... b7.")
    if args.save:
        _save(args, base, scaled_spec(base, phis[-1], coefficients))
    return 0


def _row(name: str, base: EfficientNetSpec, spec: EfficientNetSpec, phi: float) -> List[str]:
    macs, parameters = _costs(spec)
    return [
        name,
        f"{spec.depth:.3f}",
        f"{spec.width:.3f}",
        str(spec.native_resolution),
        f"{parameters / 1e6:.2f}",
        f"{macs / 1e9:.3f}",
        f"{macs / _costs(base)[0]:.2f}",
        f"{2**phi:.2f}",
    ]


def _costs(spec: EfficientNetSpec) -> Tuple[int, int]:
    from ipu_app.models.counts import count_multiply_adds, count_parameters

    return sum(count_multiply_adds(spec).values()), sum(count_parameters(spec).values())


def _save(args: argparse.Namespace, base: EfficientNetSpec, spec: EfficientNetSpec) -> None:
    from ipu_app.config.load import CONFIGS, load_config, save_config

    values = {
        "model.name": args.base.lower(),
        "model.group_size": args.group,
        "model.norm": args.norm,
        "model.depth_scale": spec.depth / base.depth,
        "model.width_scale": spec.width / base.width,
        "phases.train.resolution": spec.native_resolution,
    }
    words = [f"{key}={value}" for key, value in values.items()]
    save_config(load_config(CONFIGS / "bases" / "published.yaml", words), args.save)
    print(f"written: {args.save}; train it: python -m ipu_app train --config {args.save} --data DIR")


def _search(args: argparse.Namespace, base: EfficientNetSpec) -> int:
    """List the points of the grid that meet the budget, each network once."""
    from ipu_app.models.scaling import grid

    factor = _factor(args.budget)
    wide = {"law": 0.1, "macs": 1.0, "params": 2.0, "seconds": 1.0}[args.by]
    points = grid(tolerance=wide)
    if args.by == "law" and factor != 2:
        raise ValueError(
            f"budget={args.budget}: the law's grid is for 2x; others go with --by macs, params or seconds"
        )
    networks = _distinct(base, points)
    rows = _within(args, base, networks, factor)
    if not rows:
        raise ValueError(
            f"budget={args.budget} by {args.by}: no point of the grid in {args.within:g} %; widen --within"
        )
    head = ["alpha", "beta", "gamma", "law", "px", "M parameters", "MACs x base"]
    title = (
        f"{len(points)} points of the grid make {len(networks)} networks; {len(rows)} of them meet "
        f"{args.budget} by {args.by}"
    )
    if args.by == "seconds":
        head.append("seconds x base")
        title += f" ({_step_time(args).label})"
    _print_table(title, head, rows)
    print(
        "Each network once: all alphas of an interval give the same repeats; no training can tell them apart."
    )
    return 0


def _factor(budget: str) -> float:
    try:
        factor = float(budget[:-1] if budget.endswith("x") else budget)
    except ValueError:
        factor = 0.0
    if not 1 < factor < 100:
        raise ValueError(f"budget={budget!r}: must be a factor of the base above 1, like 2x")
    return factor


Networks = Dict[Tuple[Any, ...], Tuple[List["Coefficients"], "EfficientNetSpec"]]


def _distinct(base: EfficientNetSpec, points: Sequence[Coefficients]) -> Networks:
    """Return the networks of the grid with all coefficients that give each."""
    from ipu_app.models.layout import block_places, block_specs, stem_conv
    from ipu_app.models.scaling import scaled_spec

    found: Networks = {}
    for point in points:
        spec = scaled_spec(base, 1, point)
        convs = tuple(conv for block in block_specs(spec) for conv in block.convs)
        key = (convs, stem_conv(spec), block_places(spec), spec.native_resolution)
        found.setdefault(key, ([], spec))[0].append(point)
    return found


def _within(
    args: argparse.Namespace, base: EfficientNetSpec, networks: Networks, factor: float
) -> List[List[str]]:
    cost = _cost_of(args)
    reference = 1.0 if cost is None else cost(base)
    rows = []
    for points, spec in networks.values():
        share = factor if cost is None else cost(spec) / reference
        if abs(share / factor - 1) > args.within / 100:
            continue
        macs, parameters = _costs(spec)
        row = [_interval([p.alpha for p in points]), _interval([p.beta for p in points])]
        row += [_interval([p.gamma for p in points]), _interval([round(p.product, 2) for p in points])]
        row += [str(spec.native_resolution), f"{parameters / 1e6:.2f}"]
        rows.append(
            [*row, f"{macs / _costs(base)[0]:.2f}", *([f"{share:.2f}"] if args.by == "seconds" else [])]
        )
    return rows


def _interval(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _cost_of(args: argparse.Namespace) -> Any:
    """Return what a network costs by what the budget is of; None: the law, which the grid keeps already."""
    if args.by == "seconds":
        timer = _step_time(args)
        return lambda spec: timer.time(spec).seconds_per_image
    places = {"macs": 0, "params": 1}
    if args.by not in places:
        return None
    return lambda spec: _costs(spec)[places[args.by]]


def _step_time(args: argparse.Namespace) -> StepTime:
    from ipu_app.environment import read_environ
    from ipu_app.search.step_time import MeasuredTime, PlannedTime
    from pipelines.table_cache import cache_folder

    if args.device:
        return MeasuredTime(device=args.device, batch=args.batch)
    cache = cache_folder(read_environ())
    return PlannedTime(ipus=args.ipus, platform=args.platform, global_batch=768, cache=cache)


def _print_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(cell) for cell in column) for column in zip(head, *rows)]
    print(title)
    for row in (head, *rows):
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths)))
