"""The study: no network twice, none lost, whatever process is killed; what it leaves trains."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, List

import pytest

from ipu_app.__main__ import main
from ipu_app.cli.search import train_in_process
from ipu_app.search.accuracy import FittedAccuracy
from ipu_app.search.reward import reward
from ipu_app.search.space import Limits, Space, network_key
from ipu_app.search.step_time import NotTrainable, Timed
from ipu_app.search.study import Budget, Evaluator, Search, open_study

pytest.importorskip("optuna")
pytestmark = pytest.mark.filterwarnings("ignore::Warning:optuna.*", "ignore:.*constant_liar.*")
ROOT = Path(__file__).resolve().parents[3]
SPACE = Space("v2-b0", Limits(sections=(2, 3), repeats=(0,), norms=("gn",)))  # 144 networks
FITTED = FittedAccuracy()


class ByWork:
    """A step time that is its multiply-adds: quick, and the same everywhere."""

    label = "estimated: by multiply-adds"

    def time(self, spec: Any) -> Timed:
        from ipu_app.models.counts import count_multiply_adds

        return Timed(sum(count_multiply_adds(spec).values()) * 1e-14, 10.0)


class NoPlan(ByWork):
    def time(self, spec: Any) -> Timed:
        raise NotTrainable("fits nowhere")


def evaluator(**changes: Any) -> Evaluator:
    return Evaluator(**{"space": SPACE, "step_time": ByWork(), "accuracy": FITTED, **changes})


def search(
    folder: Path, *, candidates: int, sampler: str = "random", seed: int = 0, **changes: Any
) -> Search:
    study = open_study("s", str(folder / "journal.log"), sampler=sampler, seed=seed, halving=False)
    return Search(study, evaluator(**changes), candidates=candidates)


@pytest.mark.parametrize("sampler", ["random", "tpe", "evolutionary"])
def test_a_search_evaluates_each_network_once(sampler: str, tmp_path: Path) -> None:
    told: List[int] = []
    work = search(tmp_path, candidates=25, sampler=sampler)
    work.run(lambda count, found: told.append(count))
    keys = [found.key for found in work.found()]
    assert told == list(range(1, 26)) and len(set(keys)) == len(keys) == 25


def test_a_small_space_is_searched_to_its_end(tmp_path: Path) -> None:
    small = Space("v2-b0", Limits(sections=(2,), repeats=(0,), norms=("gn",)))
    work = search(tmp_path, candidates=100, sampler="tpe", space=small)
    work.run(lambda count, found: None)
    assert len(work.found()) == small.size == 12


def test_sixty_samples_find_one_of_the_ten_best_of_a_space_of_144(tmp_path: Path) -> None:
    """Exhaustively scored beside it; by chance alone 60 of 144 would miss all ten in 0.4 % of seeds."""
    everything = {}
    for point in SPACE.points():
        found = evaluator().evaluate(point, lambda value, rung: False)
        everything[found.key] = found.reward or 0.0
    ten = sorted(everything, key=lambda key: -everything[key])[:10]
    work = search(tmp_path, candidates=60)
    work.run(lambda count, found: None)
    assert {found.key for found in work.found()} & set(ten)


def test_without_exponents_the_most_accurate_one_wins(tmp_path: Path) -> None:
    work = search(tmp_path, candidates=20, time_exponent=0.0, size_exponent=0.0)
    work.run(lambda count, found: None)
    found = work.found()
    best = max(found, key=lambda each: each.reward or 0.0)
    assert best.accuracy == max(each.accuracy or 0.0 for each in found)


def test_what_the_machine_cannot_train_is_out_with_the_reason(tmp_path: Path) -> None:
    work = search(tmp_path, candidates=3, step_time=NoPlan())
    work.run(lambda count, found: None)
    assert [found.reason for found in work.found()] == ["fits nowhere"] * 3
    heavy = evaluator(budget=Budget(multiply_adds=1e6)).evaluate(SPACE.own_point(), lambda value, rung: False)
    assert heavy.reward is None and "over the budget of 1e+06" in heavy.reason


WORKER = """
import sys, time
sys.path[:0] = [{root!r}, {here!r}]
import test_search_study as t
class Slow(t.ByWork):
    def time(self, spec):
        time.sleep(0.05)
        return super().time(spec)
work = t.Search(t.open_study("s", sys.argv[1], sampler="random", seed=0, halving=False),
                t.evaluator(step_time=Slow()), candidates=int(sys.argv[2]))
work.run(lambda count, found: print(found.key, flush=True))
"""


def start_worker(storage: str, candidates: int) -> "subprocess.Popen[str]":
    program = WORKER.format(root=str(ROOT), here=str(Path(__file__).parent))
    words = [sys.executable, "-W", "ignore", "-c", program, storage, str(candidates)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=str(ROOT))


def check_two_workers(storage: str, candidates: int) -> None:
    """Two processes on one storage, one of them killed in the middle: each network once, none lost."""
    doomed, other = start_worker(storage, candidates), start_worker(storage, candidates)
    assert doomed.stdout is not None
    for _ in range(5):
        doomed.stdout.readline()
    time.sleep(0.02)
    doomed.send_signal(signal.SIGKILL)
    doomed.communicate(timeout=60)
    assert other.communicate(timeout=240) and other.returncode == 0
    study = open_study("s", storage, sampler="random", seed=0, halving=False)
    finished = Search(study, evaluator(), candidates=candidates)
    finished.run(lambda count, found: None)  # what the killed one had in hand
    keys = [found.key for found in finished.found()]
    assert len(keys) == candidates and len(set(keys)) == candidates


@pytest.mark.processes
def test_two_processes_share_a_search_and_one_may_be_killed(tmp_path: Path) -> None:
    check_two_workers(str(tmp_path / "journal.log"), 40)


@pytest.mark.processes
@pytest.mark.skipif("SEARCH_DB_URL" not in os.environ, reason="needs a database: make test-search-db")
def test_two_processes_share_a_search_in_a_database() -> None:
    check_two_workers(os.environ["SEARCH_DB_URL"], 40)


def words(*more: str) -> List[str]:
    small = ["--sections", "2", "3", "--repeats", "0", "--norm", "gn", "--group", "1"]
    return ["search", *small, "--candidates", "5", *more]


def test_the_verb_goes_on_where_it_was_and_leaves_what_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert main(words("--name", "first")) == 0
    assert "estimated: best plan on 16 mk2 IPUs" in capsys.readouterr().out
    folder = tmp_path / "search" / "first"
    assert main([*words("--name", "first"), "--candidates", "6"]) == 0
    assert "going on: 5 of 6" in capsys.readouterr().out
    rows = [json.loads(line) for line in (folder / "candidates.jsonl").read_text().splitlines()]
    assert len({row["key"] for row in rows}) == 6
    for row in rows:
        assert row["reward"] == pytest.approx(
            reward(row["accuracy"], row["seconds_per_image"], row["parameters"])
        )
    assert "blind to block kinds" in (folder / "report.html").read_text(encoding="utf-8")
    assert main(["train", "--config", str(folder / "best-1.yaml"), "--smoke", "--device", "cpu"]) == 0


@pytest.mark.parametrize(
    "more, message",
    [
        (["--sections", "9"], "sections=9: v2-b0 has sections 1 to 6"),
        (["--base", "resnet"], "model='resnet': choose one of"),
        (["--budget", "0.01x"], "no network of this space meets it"),
        (["--budget", "many"], "budget='many': must be a number above 0"),
        (["--sampler", "best"], "sampler='best': choose one of random, tpe, evolutionary"),
        (["--storage", "sqlite:////nowhere/at/all.db"], "sqlite:////nowhere/at/all.db: can not be used"),
        (["--accuracy-from", "."], "accuracy-from=.: no finished run there"),
        (["--ipus", "4", "--device", "cpu"], "not both"),
        (["--name", "../x"], "name='../x': must be a plain name"),
        (["--kernels", "4"], "kernel=4: choose one of"),
    ],
)
def test_bad_input_is_one_line(
    more: List[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert main(words(*more)) == 2
    said = capsys.readouterr().err
    assert message in said and len(said.strip().splitlines()) == 1


def test_a_short_training_ranks_by_what_it_learned(tmp_path: Path) -> None:
    from ipu_app.search.accuracy import Pruned
    from ipu_app.search.short_training import ShortTrainings

    proxy = ShortTrainings(
        tmp_path, smallest=192, train_verb=train_in_process, rungs=(1, 2), images=100, width=0.125
    )
    spec = SPACE.spec(SPACE.own_point())
    assert 0 <= proxy.of(spec, lambda value, rung: False) <= 100
    with pytest.raises(Pruned):
        proxy.of(spec, lambda value, rung: True)
    assert not list(tmp_path.glob(f"{network_key(spec)}*"))
