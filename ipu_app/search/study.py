"""The search itself, on Optuna: draws candidates, has each evaluated once, keeps what was found.

Any number of processes, on any number of hosts, work on one study by starting the same command on the same
storage. What a killed process was evaluating is drawn again.
"""

from __future__ import annotations

import random
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from ipu_app.models.choices import departures
from ipu_app.models.counts import count_multiply_adds, count_parameters
from ipu_app.models.spec import EfficientNetSpec
from ipu_app.search.accuracy import Accuracy, Pruned, Unknown
from ipu_app.search.claiming import BEAT, DECIDED, KEY, Heartbeat, claim, dead_trials, is_alive, mark_owner
from ipu_app.search.reward import SIZE_EXPONENT, TIME_EXPONENT, reward
from ipu_app.search.space import Point, Space, network_key
from ipu_app.search.step_time import NotTrainable, StepTime

SAMPLERS = ("random", "tpe", "evolutionary")
FACTS = "facts"
_MUTATIONS = 200  # tries to find a network near a repeated one that was not seen before
_ATTEMPTS = 5  # to open a database whose tables another process makes at the same moment
_LISTED = 20_000  # a space of at most so many points is gone through for the last unseen ones


@dataclass(frozen=True)
class Found:
    """One candidate: its point, size and merits; ``reason`` says why it has none.

    ``accuracy`` is what the search's source of A says, in per cent.
    """

    key: str
    point: Point
    parameters: int
    multiply_adds: int
    model: Dict[str, Any] = field(default_factory=dict)
    seconds_per_image: Optional[float] = None
    error_pct: float = 0.0
    plan: Dict[str, Any] = field(default_factory=dict)
    accuracy: Optional[float] = None
    reward: Optional[float] = None
    reason: str = ""
    seeds: List[float] = field(default_factory=list)


@dataclass(frozen=True)
class Budget:
    """What a candidate may cost; None: no limit. ``seconds`` an image."""

    parameters: Optional[float] = None
    multiply_adds: Optional[float] = None
    seconds: Optional[float] = None

    def excess(self, name: str, value: float) -> str:
        """Return in words by how much a cost is over its limit; empty where it is not."""
        limit = getattr(self, name)
        if limit is None or value <= limit:
            return ""
        return f"{name.replace('_', '-')} {value:.4g} over the budget of {limit:.4g}"


@dataclass(frozen=True)
class Evaluator:
    """Gives a point its merits."""

    space: Space
    step_time: StepTime
    accuracy: Accuracy
    budget: Budget = Budget()
    time_exponent: float = TIME_EXPONENT
    size_exponent: float = SIZE_EXPONENT

    def evaluate(self, point: Point, report: Callable[[float, int], bool]) -> Found:
        """Return the candidate with its merits, or with the reason why it is out."""
        spec = self.space.spec(point)
        facts = {**self._facts(spec), "point": dict(point)}
        over = self.budget.excess("parameters", facts["parameters"]) or self.budget.excess(
            "multiply_adds", facts["multiply_adds"]
        )
        if over:
            return Found(**facts, reason=over)
        try:
            timed = self.step_time.time(spec)
            facts.update(
                seconds_per_image=timed.seconds_per_image, error_pct=timed.error_pct, plan=timed.plan
            )
            over = self.budget.excess("seconds", timed.seconds_per_image)
            if over:
                return Found(**facts, reason=over)
            accuracy = self.accuracy.of(spec, report)
        except (NotTrainable, Unknown) as error:
            return Found(**facts, reason=str(error))
        except Pruned as pruned:
            return Found(**facts, accuracy=pruned.value, reason=str(pruned))
        exponents = (self.time_exponent, self.size_exponent)
        value = reward(accuracy, timed.seconds_per_image, facts["parameters"], *exponents)
        return Found(**facts, accuracy=accuracy, reward=value)

    def _facts(self, spec: EfficientNetSpec) -> Dict[str, Any]:
        model = {"name": spec.name, "group_size": spec.group_size, "norm": spec.norm}
        return {
            "key": network_key(spec),
            "parameters": sum(count_parameters(spec).values()),
            "multiply_adds": sum(count_multiply_adds(spec).values()),
            "model": {**model, "expand_ratio": spec.expand_ratio, **departures(spec)},
        }


def open_study(name: str, storage: str, *, sampler: str, seed: int, halving: bool) -> Any:
    """Return the study of this name, made where there is none.

    ``storage`` is a database's URL, or the path of a journal file. Refuses one that can not be reached.
    """
    optuna = _optuna()
    if sampler not in SAMPLERS:
        raise ValueError(f"sampler={sampler!r}: choose one of {', '.join(SAMPLERS)}")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruner = optuna.pruners.SuccessiveHalvingPruner() if halving else optuna.pruners.NopPruner()
    study = optuna.create_study(
        study_name=name,
        storage=_reached(optuna, storage),
        direction="maximize",
        load_if_exists=True,
        pruner=pruner,
    )
    study.sampler = _sampler(optuna, sampler, seed + 1_000_003 * len(study.get_trials(deepcopy=False)))
    return study


def _optuna() -> Any:
    try:
        import optuna
    except ModuleNotFoundError as error:
        if error.name != "optuna":
            raise
        raise ValueError("search: optuna is not installed: pip install -r requirements-search.txt") from error
    return optuna


def _reached(optuna: Any, storage: str) -> Any:
    """Return the storage; where another process makes its tables at the same moment, take those."""
    for attempt in range(_ATTEMPTS):
        try:
            return _storage(optuna, storage)
        except Exception as error:  # each database driver has errors of its own
            if type(error).__name__ in ("IntegrityError", "ProgrammingError") and attempt + 1 < _ATTEMPTS:
                time.sleep(1.0)
                continue
            reason = " ".join(str(error).split())[:160]
            raise ValueError(f"storage={_without_password(storage)}: can not be used ({reason})") from error
    raise AssertionError("the last attempt returns or raises")


def _storage(optuna: Any, storage: str) -> Any:
    if "://" in storage:
        from sqlalchemy.pool import NullPool  # connections are not kept: hours may lie between two uses

        return optuna.storages.RDBStorage(storage, engine_kwargs={"poolclass": NullPool})
    Path(storage).parent.mkdir(parents=True, exist_ok=True)
    backend = optuna.storages.journal.JournalFileBackend(storage)
    return optuna.storages.JournalStorage(backend)


def _without_password(url: str) -> str:
    head, at, tail = url.rpartition("@")
    return f"{head.partition('://')[0]}://...@{tail}" if at else url


def _sampler(optuna: Any, name: str, seed: int) -> Any:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        makers: Dict[str, Callable[[], Any]] = {
            "random": lambda: optuna.samplers.RandomSampler(seed=seed),
            "tpe": lambda: optuna.samplers.TPESampler(seed=seed, constant_liar=True, n_startup_trials=15),
            "evolutionary": lambda: optuna.samplers.NSGAIISampler(seed=seed, population_size=20),
        }
        return makers[name]()


class Search:
    """One process's part in a study of ``candidates`` networks."""

    def __init__(self, study: Any, evaluator: Evaluator, *, candidates: int) -> None:
        self.study, self.evaluator, self.candidates = study, evaluator, candidates
        self._optuna = _optuna()

    def found(self) -> List[Found]:
        """Return all candidates of the study that were evaluated, by whom ever, in order."""
        trials = self.study.get_trials(deepcopy=False)
        return [Found(**t.user_attrs[FACTS]) for t in trials if FACTS in t.user_attrs and _is_evaluated(t)]

    def run(self, tell: Callable[[int, Found], None]) -> None:
        """Evaluate until the study has its candidates; ``tell`` hears how many there are, and of each."""
        if not self.study.get_trials(deepcopy=False):
            self._enqueue_base()
        while self._count() < self.candidates:
            self._take_up_dead()
            found = self._one()
            if found is not None:
                tell(self._count(), found)
            elif self._count() < self.candidates and not self._enqueue_unseen():
                return  # every network of the space was evaluated

    def _count(self) -> int:
        """Candidates that are evaluated or being evaluated."""
        return sum(_is_evaluated(t) for t in self.study.get_trials(deepcopy=False))

    def _enqueue_base(self) -> None:
        own = self.evaluator.space.own_point()
        if all(own[name] in values for name, values in self.evaluator.space.options.items()):
            self.study.enqueue_trial(own, skip_if_exists=True)

    def _take_up_dead(self) -> None:
        """Have others' unfinished candidates drawn again."""
        for trial in dead_trials(self.study):
            self.study.tell(trial.number, state=self._optuna.trial.TrialState.FAIL, skip_if_finished=True)
            if trial.user_attrs.get(DECIDED) and trial.params:
                self.study.enqueue_trial(trial.params)

    def _enqueue_unseen(self) -> bool:
        """Have an unseen network drawn next: near the repeated one, else any; False: none is left."""
        space, trials = self.evaluator.space, self.study.get_trials(deepcopy=False)
        seen = {t.user_attrs.get(KEY) for t in trials if _is_evaluated(t)}
        state = random.Random(len(trials))
        drawn = [t.params for t in trials if set(t.params) == set(space.options)]
        point = dict(drawn[-1]) if drawn else space.draw(state)
        for _ in range(_MUTATIONS):
            name = state.choice(list(space.options))
            point = {**point, name: state.choice(space.options[name])}
            if network_key(space.spec(point)) not in seen:
                self.study.enqueue_trial(point)
                return True
        for point in space.points() if space.size <= _LISTED else ():
            if network_key(space.spec(point)) not in seen:
                self.study.enqueue_trial(point)
                return True
        return space.size > _LISTED

    def _one(self) -> Optional[Found]:
        """Draw a candidate and evaluate it; None where it has been, or is, evaluated by another trial."""
        states = self._optuna.trial.TrialState
        trial = self.study.ask()
        try:
            mark_owner(trial)
            point = {
                name: trial.suggest_categorical(name, values)
                for name, values in self.evaluator.space.options.items()
            }
            key = network_key(self.evaluator.space.spec(point))
            if not claim(self.study, trial, key) or self._is_surplus(trial):
                trial.set_user_attr(DECIDED, False)
                self.study.tell(trial, state=states.FAIL)
                return None
            with Heartbeat(lambda now: trial.set_user_attr(BEAT, now)):
                found = self.evaluator.evaluate(point, self._reporter(trial))
        except BaseException:  # also where the user stops it: the candidate is drawn again by whoever goes on
            self.study.tell(trial, state=states.FAIL, skip_if_finished=True)
            raise
        trial.set_user_attr(FACTS, asdict(found))
        if found.reward is None:
            self.study.tell(trial, state=states.PRUNED)
        else:
            self.study.tell(trial, found.reward)
        return found

    def _is_surplus(self, trial: Any) -> bool:
        """Tell whether enough lower trials evaluate: two processes may draw the last one at once."""
        others = [t for t in self.study.get_trials(deepcopy=False) if t.number < trial.number]
        return sum(map(_is_evaluated, others)) >= self.candidates

    def _reporter(self, trial: Any) -> Callable[[float, int], bool]:
        def report(value: float, rung: int) -> bool:
            trial.report(value, rung)
            return bool(trial.should_prune())

        return report


def _is_evaluated(trial: Any) -> bool:
    """Tell whether a trial's network is done, or in the hands of a process that lives."""
    if trial.state.name in ("COMPLETE", "PRUNED"):
        return True
    return bool(trial.user_attrs.get(DECIDED) is True and is_alive(trial))
