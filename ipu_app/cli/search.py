"""``ipu_app search``: which network should I train on my machine?"""

from __future__ import annotations

import argparse
import contextlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Iterator, List, Optional, Sequence

if TYPE_CHECKING:
    from ipu_app.search.study import Budget, Evaluator, Found, Search

HELP = "search for networks by training speed, size and accuracy: for IPUs, by estimate, or for this machine"
PROXIES = ("fitted", "trained")
BY = {"macs": "multiply_adds", "params": "parameters", "seconds": "seconds"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``search``."""
    space = parser.add_argument_group("space")
    space.add_argument("--base", default="v2-b0", help="whose widths and strides stay (v2-b0)")
    space.add_argument("--sections", type=int, nargs="+", default=(), metavar="N", help="only these (all)")
    space.add_argument("--blocks", nargs="+", default=("mbconv", "fused"), help="kinds of block (both)")
    space.add_argument("--kernels", type=int, nargs="+", default=(3, 5), help="(3 5)")
    space.add_argument("--ratios", type=float, nargs="+", default=(1.0, 4.0, 6.0), help="expansion (1 4 6)")
    space.add_argument(
        "--repeats", type=int, nargs="+", default=(-1, 0, 1), help="beside the base's (-1 0 1)"
    )
    space.add_argument("--group", type=int, nargs="+", default=(1, 16), help="group sizes (1 16)")
    space.add_argument("--norm", nargs="+", default=("gn", "ln_pn"), help="norms (gn ln_pn)")
    space.add_argument("--res", type=int, nargs="+", default=(), help="training resolutions (the base's)")
    merit = parser.add_argument_group("merits")
    merit.add_argument("--ipus", type=int, help="S by the best plan on so many IPUs (16)")
    merit.add_argument("--platform", default="mk2", help="mk2 or bow (mk2)")
    merit.add_argument("--global-batch", type=int, default=768, help="images per weight update (768)")
    merit.add_argument("--device", choices=("cpu", "cuda"), help="S measured here instead, on cpu or cuda")
    merit.add_argument("--batch", type=int, default=16, help="images of a measured step (16)")
    merit.add_argument("--proxy", choices=PROXIES, default="fitted", help="A: fitted or trained (fitted)")
    merit.add_argument("--accuracy-from", type=Path, metavar="RUNS", help="A of finished runs in this folder")
    merit.add_argument("--time-exponent", type=float, default=-0.07, help="of S in the reward (-0.07)")
    merit.add_argument("--size-exponent", type=float, default=-0.05, help="of P in the reward (-0.05)")
    merit.add_argument("--budget", metavar="X", help="a candidate's limit, like 2x (the base's) or a number")
    merit.add_argument("--by", choices=tuple(BY), default="macs", help="what the budget is of (macs)")
    trained = parser.add_argument_group("short trainings")
    trained.add_argument("--data", help="images to train on, as for train (the embedded digits)")
    trained.add_argument("--images", type=int, default=400, help="training images of a short training (400)")
    trained.add_argument("--rungs", type=int, nargs="+", default=(2, 6), help="epochs of each rung (2 6)")
    trained.add_argument("--proxy-width", type=float, default=0.25, help="factor of the width (0.25)")
    trained.add_argument("--proxy-res", type=int, default=32, help="pixels for the smallest resolution (32)")
    trained.add_argument("--seeds", type=int, default=3, help="repetitions of the best ones (3)")
    engine = parser.add_argument_group("engine")
    engine.add_argument("--candidates", type=int, default=60, help="networks of the whole search (60)")
    engine.add_argument("--sampler", default="tpe", help="random, tpe or evolutionary (tpe)")
    engine.add_argument("--seed", type=int, default=0, help="of the sampler (0)")
    engine.add_argument("--storage", metavar="URL", help="a database that several hosts work on")
    engine.add_argument("--workers", type=int, default=1, help="processes on this host (1)")
    engine.add_argument("--name", default="search", help="of the search, and of its folder below search/")


def run(args: argparse.Namespace) -> int:
    """Search, and leave candidates, configurations and a page in the folder of the search."""
    _check(args)
    folder = _folder(args)
    search = _open(args)
    evaluator = search.evaluator
    for line in (f"S: {evaluator.step_time.label}", f"A: {evaluator.accuracy.label}"):
        print(line)
    before = len(search.found())
    if before:
        print(f"going on: {before} of {args.candidates} candidates were evaluated before")
    code = 0
    try:
        with _helpers(args), _progress(args.candidates, before) as tell:
            search.run(tell)
    except KeyboardInterrupt:
        print(f"interrupted; the same command goes on with {args.name}")
        code = 130
    _leave(args, folder, evaluator, search, repeat=code == 0)
    return code


def _open(args: argparse.Namespace) -> Search:
    """Return this process's part in the search."""
    from ipu_app.search.study import Search, open_study

    evaluator = _evaluator(args)
    _refuse_hopeless(evaluator)
    folder = _folder(args)
    folder.mkdir(parents=True, exist_ok=True)
    storage = args.storage or str(folder / "journal.log")
    halving = args.proxy == "trained" and args.accuracy_from is None
    study = open_study(args.name, storage, sampler=args.sampler, seed=args.seed, halving=halving)
    return Search(study, evaluator, candidates=args.candidates)


@contextlib.contextmanager
def _helpers(args: argparse.Namespace) -> Iterator[None]:
    """Have other processes work on the same search, and wait for what they have in hand."""
    import multiprocessing

    start = multiprocessing.get_context("spawn").Process
    helpers = [start(target=_help, args=(args,)) for _ in range(args.workers - 1)]
    for helper in helpers:
        helper.start()
    yield
    for helper in helpers:
        helper.join()


def _help(args: argparse.Namespace) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        _open(args).run(lambda count, found: None)


def _check(args: argparse.Namespace) -> None:
    if args.ipus is not None and args.device is not None:
        raise ValueError(f"ipus={args.ipus}: S is either planned for IPUs or measured on --device, not both")
    for name in ("candidates", "batch", "images", "workers"):
        if getattr(args, name) < 1:
            raise ValueError(f"{name}={getattr(args, name)}: must be 1 or more")
    if list(args.rungs) != sorted(set(args.rungs)) or min(args.rungs) < 1:
        raise ValueError(f"rungs={' '.join(map(str, args.rungs))}: must be rising numbers of epochs")
    if Path(args.name).name != args.name or args.name in (".", ".."):
        raise ValueError(f"name={args.name!r}: must be a plain name, without folders")


def _folder(args: argparse.Namespace) -> Path:
    return Path("search") / args.name


def _evaluator(args: argparse.Namespace) -> Evaluator:
    from ipu_app.search.space import Limits, Space
    from ipu_app.search.study import Evaluator

    limits = Limits(
        blocks=tuple(args.blocks),
        kernels=tuple(args.kernels),
        ratios=tuple(args.ratios),
        repeats=tuple(args.repeats),
        sections=tuple(args.sections),
        group_sizes=tuple(args.group),
        norms=tuple(args.norm),
        resolutions=tuple(args.res),
    )
    space = Space(args.base, limits)
    exponents = {"time_exponent": args.time_exponent, "size_exponent": args.size_exponent}
    evaluator = Evaluator(
        space, _step_time(args), _accuracy(args, min(space.options["resolution"])), **exponents
    )
    return replace(evaluator, budget=_budget(args, evaluator))


def _step_time(args: argparse.Namespace) -> Any:
    from ipu_app.environment import read_environ
    from ipu_app.search.step_time import MeasuredTime, PlannedTime
    from pipelines.table_cache import cache_folder

    if args.device is not None:
        return MeasuredTime(device=args.device, batch=args.batch)
    return PlannedTime(
        ipus=args.ipus or 16,
        platform=args.platform,
        global_batch=args.global_batch,
        cache=cache_folder(read_environ()),
    )


def _accuracy(args: argparse.Namespace, smallest: int) -> Any:
    if args.accuracy_from is not None:
        from ipu_app.search.accuracy import AccuracyOfRuns

        return AccuracyOfRuns(args.accuracy_from)
    if args.proxy == "fitted":
        from ipu_app.search.accuracy import FittedAccuracy

        return FittedAccuracy()
    from ipu_app.search.short_training import ShortTrainings

    return ShortTrainings(
        train_verb=train_in_process,
        folder=_folder(args) / "trainings",
        smallest=smallest,
        rungs=tuple(args.rungs),
        width=args.proxy_width,
        resolution=args.proxy_res,
        images=args.images,
        data=args.data,
        device=args.device or "cpu",
    )


def train_in_process(words: Sequence[str]) -> int:
    """Run ``train`` with a command line; returns its exit code and says what went wrong, as it does."""
    from ipu_app.cli import train
    from ipu_app.errors import RunFailed

    parser = argparse.ArgumentParser(prog="train")
    train.add_arguments(parser)
    try:
        return train.run(parser.parse_args(words))
    except (ValueError, OSError, RunFailed) as error:
        print(f"error: {error}")
        return 1 if isinstance(error, RunFailed) else 2


def _budget(args: argparse.Namespace, evaluator: Evaluator) -> Budget:
    """Return the limit that was asked for; ``2x`` is twice what the base has."""
    from ipu_app.models.counts import count_multiply_adds, count_parameters
    from ipu_app.search.study import Budget

    if args.budget is None:
        return Budget()
    text = args.budget[:-1] if args.budget.endswith("x") else args.budget
    try:
        limit = float(text)
    except ValueError:
        limit = 0.0
    if not 0 < limit < float("inf"):
        raise ValueError(f"budget={args.budget!r}: must be a number above 0, or a factor of the base like 2x")
    base = evaluator.space.base
    if args.budget.endswith("x"):
        costs: Any = {
            "macs": lambda: sum(count_multiply_adds(base).values()),
            "params": lambda: sum(count_parameters(base).values()),
            "seconds": lambda: evaluator.step_time.time(base).seconds_per_image,
        }
        limit *= costs[args.by]()
    return Budget(**{BY[args.by]: limit})


def _refuse_hopeless(evaluator: Evaluator) -> None:
    """Refuse a budget that not even the smallest network of the space meets."""
    from ipu_app.models.counts import count_multiply_adds, count_parameters

    options = evaluator.space.options
    spec = evaluator.space.spec({name: min(values) for name, values in options.items()})
    for name, counts in (("multiply_adds", count_multiply_adds), ("parameters", count_parameters)):
        over = evaluator.budget.excess(name, min(_least(evaluator, counts), sum(counts(spec).values())))
        if over:
            raise ValueError(f"budget: no network of this space meets it: the smallest has {over}")


def _least(evaluator: Evaluator, counts: Callable[..., Any]) -> int:
    """Return a count of the smallest network by each section's smallest block kind."""
    found = []
    for kind in evaluator.space.limits.blocks:
        point = {name: min(values) for name, values in evaluator.space.options.items()}
        point.update({name: kind for name in point if name.endswith(".block")})
        found.append(sum(counts(evaluator.space.spec(point)).values()))
    return min(found)


@contextlib.contextmanager
def _progress(total: int, before: int) -> Iterator[Callable[[int, Found], None]]:
    """Show a bar with the time left."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as bar:
        task = bar.add_task("candidates", total=total, completed=before)
        best: List[Optional[float]] = [None]

        def tell(count: int, found: Found) -> None:
            if found.reward is not None and (best[0] is None or found.reward > best[0]):
                best[0] = found.reward
            words = "candidates" if best[0] is None else f"candidates, best reward {best[0]:.3f}"
            bar.update(task, completed=count, description=words)

        yield tell


def _leave(
    args: argparse.Namespace, folder: Path, evaluator: Evaluator, search: Search, *, repeat: bool
) -> None:
    """Write what was found, and say where; ``repeat``: train the best ones again under other seeds."""
    from ipu_app.search.findings import ranked, write_candidates, write_configs
    from ipu_app.search.search_page import plan_words, write_page

    found = search.found()
    if repeat:
        found = _with_seeds(evaluator, found, args.seeds)
    write_candidates(folder, found)
    best = ranked(found)[:1]
    if not best:
        reasons = {each.reason for each in found}
        raise ValueError(
            f"search: none of {len(found)} networks can be ranked: {'; '.join(sorted(reasons)[:3])}"
        )
    files = write_configs(folder, found)
    page = write_page(folder, f"Search {args.name}", evaluator, found)
    print(
        f"best: {best[0].key}, reward {best[0].reward:.3f}, "
        f"{evaluator.accuracy.column} {best[0].accuracy:.2f}"
    )
    print(f"plan: {plan_words(best[0])}")
    print(f"written: {page}, candidates.jsonl, {', '.join(file.name for file in files)}")
    print(f"train it: python -m ipu_app train --config {files[0]} --data DIR")


def _with_seeds(evaluator: Evaluator, found: List[Found], seeds: int) -> List[Found]:
    """Return the candidates, the three best ones with A repeated under other seeds where that has noise."""
    from ipu_app.search.findings import BEST, ranked

    again = {}
    for each in ranked(found)[:BEST]:
        values = evaluator.accuracy.repeat(evaluator.space.spec(each.point), range(1, seeds + 1))
        again[each.key] = values
    return [replace(each, seeds=again.get(each.key, [])) for each in found]
