"""The suites that ``make bench`` knows: what each measures, and which run unless asked otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, Dict, Iterable, Iterator, List, Sequence, Tuple

from benchmarks.measure.cases import (
    CPU_BATCHES,
    LIBRARIES,
    Case,
    Group,
    bar_groups,
    cell_of,
    compiled_groups,
    network_groups,
)
from benchmarks.measure.groups import measure_group
from benchmarks.measure.workers import Worker

Row = Dict[str, Any]


class BudgetSpent(Exception):
    """The time that a run may take is over; what was measured by then has been kept."""


@dataclass(frozen=True)
class Bench:
    """Where and how a run of the benchmarks measures.

    ``say`` gets a line per result as it comes, ``keep`` all rows of the suite whenever a group is done.
    ``held`` are rows of an earlier run that need not be measured again. ``is_over`` is asked between cases;
    ``models`` are those that the suite of networks measures, all if none is named.
    """

    device: str
    threads: int
    say: Callable[[str], None]
    keep: Callable[[List[Row]], None] = lambda rows: None
    held: Tuple[Row, ...] = ()
    is_over: Callable[[], bool] = lambda: False
    models: Tuple[str, ...] = ()

    def make_worker(self, case: Case) -> Worker:
        """Start the process of one case."""
        return Worker(case, device=self.device, threads=self.threads)

    def measure_groups(self, groups: Iterable[Group]) -> List[Row]:
        """Measure groups one after the other, but for those that are held; BudgetSpent where time is over.

        The next group is not even asked for then, as a swept one is searched when it is.
        """
        installed = installed_libraries()
        rows = [*self.held]
        for group in self._in_time(groups):
            if all(self.holds(group.name, case) for case in group.cases):
                continue
            self.say(f"{group.name}:")
            cells = {cell_of(group.name, case.to_dict()) for case in group.cases}
            rows = [row for row in rows if cell_of(row["group"], row) not in cells]
            rows += measure_group(group, self.make_worker, installed=installed, say=self._indented)
            self.keep(rows)
        return rows

    def _in_time(self, groups: Iterable[Group]) -> Iterator[Group]:
        rest = iter(groups)
        while True:
            if self.is_over():
                raise BudgetSpent
            try:
                group = next(rest)
            except StopIteration:
                return
            yield group

    def holds(self, group: str, case: Case) -> bool:
        """Whether an earlier run has measured this case of this group, in whatever batch."""
        wanted = cell_of(group, case.to_dict())
        return any(cell_of(row["group"], row) == wanted for row in self.held)

    def _indented(self, line: str) -> None:
        self.say(f"  {line}")


def installed_libraries() -> Tuple[str, ...]:
    """Return the libraries whose networks can be measured here."""
    from benchmarks.measure.networks import is_installed

    return tuple(library for library in LIBRARIES if is_installed(library))


@dataclass(frozen=True)
class Suite:
    """One suite: ``measure`` returns its rows. ``default`` ones run when none is named."""

    name: str
    what: str
    measure: Callable[[Bench], List[Row]]
    devices: Tuple[str, ...] = ("cpu", "cuda")
    default: bool = True


def _bars(bench: Bench) -> List[Row]:
    return bench.measure_groups(bar_groups())


def _compiled(bench: Bench) -> List[Row]:
    return bench.measure_groups(compiled_groups())


def _networks(bench: Bench) -> List[Row]:
    models = bench.models or tuple(CPU_BATCHES)
    if bench.device == "cpu":
        return bench.measure_groups(network_groups(batches={name: CPU_BATCHES[name] for name in models}))
    from benchmarks.measure.sweep import swept_groups

    groups = swept_groups(
        bench.make_worker, bench.say, installed=installed_libraries(), skip=bench.holds, models=models
    )
    return bench.measure_groups(groups)


def _simulator(bench: Bench) -> List[Row]:
    import torch

    from benchmarks.measure import simulator

    torch.set_num_threads(bench.threads)
    return _said(bench, [simulator.measure(name, rounds=7) for name in simulator.CASES])


def _loader(bench: Bench) -> List[Row]:
    from benchmarks.measure import decoders

    return _said(bench, decoders.measure(rounds=16))


def _policies(bench: Bench) -> List[Row]:
    from benchmarks.measure import augment_policies

    return _said(bench, augment_policies.measure(rounds=16))


def _paper(bench: Bench) -> List[Row]:
    from benchmarks.published.paper import paper_rows

    return paper_rows()


def _commands(kind: str, bench: Bench) -> List[Row]:
    from benchmarks.measure import commands

    measure = {"startup": commands.measure_start_up, "planning": commands.measure_planning}[kind]
    return _said(bench, measure(rounds=5))


def _said(bench: Bench, rows: List[Row]) -> List[Row]:
    for row in rows:
        bench.say(f"  {row['case']}: {_headline(row)}")
    return rows


def _headline(row: Row) -> str:
    if "not_measured" in row:
        return f"not measured ({row['not_measured']})"
    if "ratio" in row:
        return f"{row['ratio']['median']:.3f} times the CPU's time"
    if "spread_s" in row:
        return f"{row['spread_s']['median']:.2f} s"
    if "us_per_image" in row:
        share = (
            "" if row["share_of_crop"] is None else f", {row['share_of_crop']['median']:.2f} times the crop"
        )
        return f"{row['us_per_image']['median']:.0f} us an image{share}"
    rate = f"{row['images_per_s_per_core']['median']:.0f} images/s per core"
    ratio = row["times_torchvision"]
    return rate if ratio is None else f"{rate}, {ratio['median']:.2f} times torchvision's"


SUITES = {
    suite.name: suite
    for suite in (
        Suite("startup", "start of the command line", partial(_commands, "startup"), ("cpu",)),
        Suite("bars", "B0 and V2-S: libraries, norms and half resolution, side by side", _bars, ("cpu",)),
        Suite("simulator", "the simulated IPU against the CPU runtime", _simulator, ("cpu",)),
        Suite("loader", "decoding and augmenting JPEGs", _loader, ("cpu",)),
        Suite("policies", "RandAugment and AutoAugment on decoded images", _policies, ("cpu",)),
        Suite("planning", "searching for pipeline plans", partial(_commands, "planning"), ("cpu",)),
        Suite("paper", "the 30 published runs: estimates and counts, nothing measured", _paper, ("cpu",)),
        Suite("networks", "B0 to B5, V2-B0 and V2-S, training and inference", _networks),
        Suite("compiled", "under torch.compile (20 minutes)", _compiled, ("cpu",), default=False),
    )
}


def chosen_models(names: Sequence[str]) -> Tuple[str, ...]:
    """Return the models of these names, none for all; refuse those that are not measured."""
    for name in names:
        if name not in CPU_BATCHES:
            raise ValueError(f"--models={name}: choose from {', '.join(CPU_BATCHES)}")
    return tuple(dict.fromkeys(names))


def chosen_suites(names: Sequence[str], device: str) -> List[Suite]:
    """Return the suites of these names (none: the default ones) that measure on a device; refuse unknown."""
    for name in names:
        if name not in SUITES:
            raise ValueError(f"SUITE={name}: choose from {', '.join(SUITES)}")
        if device not in SUITES[name].devices:
            raise ValueError(
                f"SUITE={name}: measures on {' and '.join(SUITES[name].devices)}, not on {device}"
            )
    wanted = [SUITES[name] for name in names] or [suite for suite in SUITES.values() if suite.default]
    return [suite for suite in wanted if device in suite.devices]
