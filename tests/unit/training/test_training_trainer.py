"""The loop's book-keeping, on a runtime whose losses and durations the test sets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, Iterator, List, Optional, Sequence

import pytest
import torch

from ipu_app.data.sampling import InstanceSampler
from ipu_app.distributed.comm import SingleComm
from ipu_app.errors import RunFailed
from ipu_app.models.spec import make_spec
from ipu_app.runtime.base import BatchResult, EvalResult, Runtime, RuntimeInfo
from ipu_app.training.curves import Curve
from ipu_app.training.sinks import CallState, Row, Sink
from ipu_app.training.trainer import PhaseSession, Progress, Trainer
from pipelines.geometry import BatchGeometry

BATCH = 10
INF = float("inf")


class Clock:
    """Stands still but where the runtime works."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class OneWeight(Runtime):
    """A runtime of one weight, which counts its updates; ``losses`` and ``seconds`` are its calls'."""

    def __init__(self, clock: Clock, losses: Sequence[float], seconds: Sequence[float]) -> None:
        self.geometry = self.eval_geometry = BatchGeometry(micro_batch=BATCH)
        self.info = RuntimeInfo("cpu", "cpu", "one weight", "measured on nothing")
        self._clock, self._losses, self._seconds = clock, iter(losses), iter(seconds)
        self.weight, self.validated = torch.zeros(1), []  # type: torch.Tensor, List[float]
        self.eval_error: Optional[Exception] = None

    def train_batch(self, batch: Any, knobs: Any) -> BatchResult:
        self._clock.now += next(self._seconds)
        self.weight += 1
        return BatchResult(next(self._losses) * BATCH, 0.0, BATCH)

    def eval_batch(self, batch: Any) -> EvalResult:
        if self.eval_error:
            raise self.eval_error
        self._clock.now += 1000
        return EvalResult(1.0, 1.0, 1.0, 1, (0,), (0,))

    def load_eval_weights(self, weights: Dict[str, Any]) -> None:
        self.validated.append(float(weights["w"]))

    def weights(self) -> Dict[str, Any]:
        return {"w": self.weight.clone()}

    def state_dict(self) -> Dict[str, Any]:
        return {"model": self.weights()}

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        self.weight = state["model"]["w"].clone()


class Loader:
    """Yields an epoch's calls, and says, as PopTorch's does, how many there would be for one instance."""

    def __init__(self, calls: int) -> None:
        self._calls = calls

    def __len__(self) -> int:
        return 2 * self._calls

    def __iter__(self) -> Iterator[Any]:
        return iter(range(self._calls))


class Kept(Sink):
    def __init__(self) -> None:
        self.rows: List[Row] = []
        self.states: List[CallState] = []

    def row(self, row: Row) -> None:
        self.rows.append(row)

    def step(self, state: CallState) -> None:
        self.states.append(state)

    def of(self, kind: str, key: str) -> List[Any]:
        return [row[key] for row in self.rows if row["kind"] == kind]


def make_session(runtime: Runtime, name: str = "train", *, epochs: int = 1, calls: int = 4) -> PhaseSession:
    order = InstanceSampler(calls * BATCH, runtime.geometry)
    return PhaseSession(
        name=name,
        epochs=epochs,
        resolution=32,
        runtime=runtime,
        train_set=None,
        train_loader=Loader(calls),
        val_loader=[0],
        train_order=order,
        curve=Curve(peak=1.0, epochs=epochs, kind="cosine", warmup_epochs=0),
        loss_scale=1.0,
        averaging=0.0,
        spec=make_spec("cifar", num_classes=10),
        data_notes=lambda: (),
        logs_per_epoch=2,
    )


class Run:
    """A trainer over sessions of one weight each, with what it told and saved."""

    def __init__(self, clock: Clock, *sessions: PhaseSession) -> None:
        self.sink, self.saved = Kept(), []  # type: Kept, List[Any]
        self.phases = {session.name: session.epochs for session in sessions}
        by_name = {session.name: session for session in sessions}
        self.trainer = Trainer(
            session_for=by_name.__getitem__,
            comm=SingleComm(),
            sink=self.sink,
            save=lambda progress, state: self.saved.append((progress, state)),
            clock=clock,
        )


def one_phase(losses: Sequence[float], **options: Any) -> Run:
    clock = Clock()
    return Run(clock, make_session(OneWeight(clock, losses, [1.0] * len(losses)), **options))


def test_rates_are_recent_and_by_phase() -> None:
    """The first call of each phase takes 100 s, the others 1, 2 or 5 s; validations 1000 s."""
    clock = Clock()
    slow = OneWeight(clock, [1.0] * 4, [100, 5, 5, 5])
    fast = OneWeight(clock, [1.0] * 8, [100, 1, 1, 1, 2, 2, 2, 2])
    run = Run(clock, make_session(fast, "train", epochs=2), make_session(slow, "finetune"))
    summary = run.trainer.fit(run.phases)
    assert run.sink.of("train", "images_per_s") == [10, 10, 5, 5, 2, 2]
    assert summary.images_per_s == {"train": pytest.approx(70 / 11, abs=0.01), "finetune": 2.0}


def test_a_phase_of_one_call_has_no_rate() -> None:
    run = one_phase([1.0], calls=1)
    assert run.trainer.fit(run.phases).images_per_s == {"train": None}
    assert run.sink.of("train", "images_per_s") == [None]


def test_calls_of_an_epoch_are_those_of_the_order_not_of_the_loader() -> None:
    """Rows at the middle and at the end, and a learning rate that gets through its whole schedule."""
    run = one_phase([1.0] * 4)
    run.trainer.fit(run.phases)
    assert run.sink.of("train", "step") == [2, 4]
    assert run.sink.of("train", "epoch") == [0.5, 1.0]
    curve = Curve(peak=1.0, epochs=1, kind="cosine", warmup_epochs=0)
    assert run.sink.of("train", "lr") == [curve.lr(0.25), curve.lr(0.75)]
    assert [(state.done, state.total) for state in run.sink.states] == [(n, 4) for n in (1, 2, 3, 4)]


def test_what_is_left_of_a_phase_includes_its_validations() -> None:
    run = one_phase([1.0] * 8, epochs=2)
    run.trainer.fit(run.phases)
    left = [state.left_s for state in run.sink.states]
    assert left[:4] == [None, 6, 5, 4]
    assert left[4:] == pytest.approx([(1000 + 4) / 4 * 3, 1005 / 5 * 2, 1006 / 6, 0])
    assert [state.epoch for state in run.sink.states] == [1] * 4 + [2] * 4


def test_a_failing_validation_does_not_lose_the_epoch() -> None:
    clock = Clock()
    runtime = OneWeight(clock, [1.0] * 4, [1.0] * 4)
    runtime.eval_error = MemoryError("the evaluation graph does not fit")
    run = Run(clock, make_session(runtime))
    with pytest.raises(MemoryError):
        run.trainer.fit(run.phases)
    ((progress, state),) = run.saved
    assert (progress.epoch, progress.step) == (1, 4) and float(state["weights"]["w"]) == 4


@pytest.mark.parametrize("validated, validations", [(False, [4.0, 6.0]), (True, [6.0])])
def test_a_resumed_run_validates_what_was_only_saved(validated: bool, validations: List[float]) -> None:
    clock = Clock()
    runtime = OneWeight(clock, [1.0] * 2, [1.0] * 2)
    run = Run(clock, make_session(runtime, epochs=3, calls=2))
    progress = {"phase": 0, "epoch": 2, "total_epochs": 2, "step": 4}
    state = {"progress": progress, "runtime": {"model": {"w": torch.full((1,), 4.0)}}, "average": {}}
    run.trainer.fit(run.phases, resume={**state, "validated": validated})
    assert runtime.validated == validations
    assert run.sink.of("val", "step") == [int(weight) for weight in validations]


def test_a_run_that_lacks_only_its_last_validation_does_that() -> None:
    clock = Clock()
    runtime = OneWeight(clock, [], [])
    run = Run(clock, make_session(runtime, epochs=2))
    progress = {"phase": 0, "epoch": 2, "total_epochs": 2, "step": 8}
    state = {"progress": progress, "runtime": {"model": {"w": torch.full((1,), 8.0)}}, "average": {}}
    summary = run.trainer.fit(run.phases, resume={**state, "validated": False})
    assert summary.val["top1"] == 1.0 and runtime.validated == [8.0] and not run.saved
    assert float(summary.weights["w"]) == 8


def test_one_call_without_a_finite_loss_passes() -> None:
    run = one_phase([1.0, INF, 3.0, 3.0])
    run.trainer.fit(run.phases)
    assert run.sink.of("train", "loss") == [1.0, 3.0]
    assert [row.get("nonfinite_calls") for row in run.sink.rows if row["kind"] == "train"] == [1, None]


@pytest.mark.parametrize("losses", [[1.0, 1.0, INF, float("nan")], [1.0, INF, INF, INF]])
def test_a_run_that_diverged_stops_and_says_where(losses: List[float]) -> None:
    run = one_phase([1.0] * 4 + losses, epochs=2)
    with pytest.raises(RunFailed, match="phases.train: the loss .* in epoch 2, by step 8") as refused:
        run.trainer.fit(run.phases)
    line = str(refused.value)
    assert "\n" not in line and "the checkpoint of epoch 1 is kept" in line
    for lever in ("lower phases.train.optimizer.lr", "loss_scale", "precision=16.32 or 32.32"):
        assert lever in line
    assert len(run.saved) == 1 and run.sink.of("train", "step") == [2, 4, 6]


def test_an_interval_without_any_finite_loss_ends_the_run() -> None:
    run = one_phase([1.0, INF], calls=2)
    with pytest.raises(RunFailed, match="no epoch was finished"):
        run.trainer.fit(run.phases)


def test_spoilt_weights_are_not_saved() -> None:
    clock = Clock()
    runtime = OneWeight(clock, [1.0] * 8, [1.0] * 8)
    run = Run(clock, make_session(runtime, epochs=2))
    save = run.trainer._save

    def save_and_spoil(progress: Progress, state: Dict[str, Any]) -> None:
        save(progress, state)
        runtime.weight += INF

    run.trainer._save = save_and_spoil
    with pytest.raises(RunFailed, match="weights are .* in epoch 2, .* the checkpoint of epoch 1 is kept"):
        run.trainer.fit(run.phases)
    assert [progress for progress, _ in run.saved] == [replace(Progress(), epoch=1, total_epochs=1, step=4)]
