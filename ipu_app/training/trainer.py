"""The run over time: phases, epochs, batches. Knows neither devices nor files: both come in from outside."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Protocol, Sequence

from torch import Tensor

from ipu_app.data.sampling import InstanceSampler
from ipu_app.errors import RunFailed, RunStopped
from ipu_app.runtime.base import Batch, BatchResult, Runtime, StepKnobs
from ipu_app.training.curves import Curve
from ipu_app.training.divergence import are_finite, divergence
from ipu_app.training.metrics import (
    Confusion,
    EvalMeter,
    TrainMeter,
    all_confusion,
    eval_means,
    train_means,
)
from ipu_app.training.pauses import NoNotice, Pauses
from ipu_app.training.phase_average import PhaseAverage
from ipu_app.training.run_clock import RunClock
from ipu_app.training.sinks import CallState, Sink

BAD_WEIGHTS = "weights are no finite numbers any more"
LOADER_S = 0.5  # how long a notice may take to arrive here after it has ended a loading process


class Collective(Protocol):
    """What the trainer asks of the processes that train together."""

    rank: int
    size: int

    def all_sum(self, values: Sequence[float]) -> List[float]:
        """Return the element-wise sums over all instances."""


@dataclass(frozen=True)
class PhaseSession:
    """All that one phase of training needs.

    ``train_order`` is the order of an epoch's images; ``data_notes`` returns what turned out to be wrong with
    them so far (images skipped), a line each; ``spec`` is the model's; ``train_set`` the images themselves.
    Of a progressive phase this is one stage, up to ``end_epoch``; ``next_stage`` makes the one after it
    ready, with this one's weights, optimiser and random numbers.
    """

    name: str
    epochs: int
    resolution: int
    runtime: Runtime
    train_set: Any
    train_loader: Iterable[Batch]
    val_loader: Iterable[Batch]
    train_order: InstanceSampler
    curve: Curve
    loss_scale: float
    averaging: float
    spec: Any
    data_notes: Callable[[], Sequence[str]]
    logs_per_epoch: int = 4
    validate_every: int = 1
    averages_updates: bool = False
    end_epoch: Optional[int] = None
    next_stage: Optional[Callable[[], PhaseSession]] = None

    def at(self, epoch: int) -> PhaseSession:
        """Return the stage that trains this epoch of the phase: this one, or a later one, made ready."""
        session = self
        while session.end_epoch is not None and session.next_stage and epoch >= session.end_epoch:
            session = session.next_stage()
        return session

    def set_epoch(self, epoch: int, calls: int = 0) -> None:
        """Select the order of an epoch of this phase, from 0; ``calls`` of it are done already."""
        self.train_order.set_epoch(epoch, calls)

    @property
    def calls_per_epoch(self) -> int:
        """Runtime calls in one epoch of training.

        By the order of the images: a loader knows only how many images there are, not that other instances
        take some of them.
        """
        return self.train_order.num_batches

    @property
    def updates_per_batch(self) -> int:
        """Weight updates in one runtime call."""
        return self.runtime.geometry.device_iterations


@dataclass(frozen=True)
class Progress:
    """How far a run is: finished phases, finished epochs of the phase and of the run, weight updates.

    ``calls``: runtime calls of the epoch that is running, 0 between two.
    """

    phase: int = 0
    epoch: int = 0
    total_epochs: int = 0
    step: int = 0
    calls: int = 0


@dataclass(frozen=True)
class RunSummary:
    """What a run came to.

    ``images_per_s`` is for each phase that this process trained, over all instances, without its first call,
    which compiles; None where there was no other. ``weights`` are the last ones, averaged if the last phase
    averages; ``confusion`` is the last validation's.
    """

    val: Dict[str, float]
    confusion: Confusion
    weights: Dict[str, Tensor]
    images_per_s: Mapping[str, Optional[float]]
    rate_label: str
    epochs: int
    steps: int
    train_seconds: float


class Trainer:
    """Runs phases one after the other; the weights of one (averaged, if it averages) start the next."""

    def __init__(
        self,
        *,
        session_for: Callable[[str], PhaseSession],
        comm: Collective,
        sink: Sink,
        save: Callable[[Progress, Dict[str, Any]], None],
        clock: Callable[[], float],
        pauses: Optional[Pauses] = None,
    ) -> None:
        self._session_for, self._comm, self._sink = session_for, comm, sink
        self._save, self._time = save, RunClock(clock)
        self._pauses = pauses or Pauses(comm, clock, every_s=0, notice=NoNotice())
        self._val: Dict[str, float] = {}
        self._confusion: Confusion = {}
        self._rate_label, self._num_classes = "", 0
        self._open: PhaseSession  # the stage that trains

    def fit(
        self,
        phases: Mapping[str, int],
        *,
        resume: Optional[Dict[str, Any]] = None,
        weights: Optional[Dict[str, Tensor]] = None,
    ) -> RunSummary:
        """Train phases (name -> epochs) in order; return the run's summary.

        ``resume`` is what ``save`` was given, and continues there, be it inside an epoch; with ``validated``
        False it was not yet known how good that epoch is, which is found out first. ``weights`` start the
        first phase. RunFailed where the loss or the weights are no finite numbers any more; RunStopped, with
        all that was done saved, where a signal asks for the end.
        """
        progress = Progress(**resume["progress"]) if resume else Progress()
        self._time.load_state_dict(resume or {})
        for index, (name, epochs) in enumerate(phases.items()):
            if index < progress.phase:
                continue
            if resume and progress.epoch >= epochs and resume.get("validated", True):
                progress, resume = replace(progress, phase=index + 1, epoch=0), None
                continue
            session = self._open = self._session_for(name)
            try:
                progress, weights = self._run_phase(session, replace(progress, phase=index), weights, resume)
            finally:
                self._open.runtime.close()
            resume = None
        return self._summary(progress, weights or {})

    def _run_phase(self, session: PhaseSession, progress: Progress, carried: Any, resume: Any) -> Any:
        average = PhaseAverage(session.averaging, per_update=session.averages_updates)
        if resume and (progress.epoch > 0 or progress.calls > 0):
            session.runtime.load_state_dict(resume["runtime"])
            average.resume(session.runtime, resume, carried)
        elif carried is not None:
            session.runtime.load_state_dict({"model": carried})
        self._rate_label = session.runtime.info.rate_label
        self._time.begin(session.name)
        weights = average.now(session.runtime, session.runtime.weights())
        if resume and not resume.get("validated", True) and _is_validated(session, progress):
            self._validate(session, progress, weights)
        meter = TrainMeter()
        if resume and progress.calls and self._comm.rank == 0:  # the sums of all instances: one takes them
            meter.restore(resume["meter"])
        for epoch in range(progress.epoch, session.epochs):
            session = self._enter_stage(session, epoch)
            progress = _placed(progress, session, resume)
            session.set_epoch(epoch, progress.calls)
            with self._pauses.notice.deferred():
                progress = self._run_epoch(session, progress, meter, average)
                weights = self._finish_epoch(session, progress, average)
                self._stop_if_asked(progress)
            if _is_validated(session, progress):
                self._validate(session, progress, weights)
            meter = TrainMeter()
        return replace(progress, phase=progress.phase + 1, epoch=0), weights

    def _enter_stage(self, session: PhaseSession, epoch: int) -> PhaseSession:
        self._open = session.at(epoch)
        if self._open is not session:
            self._time.next_stage(session.name)
        return self._open

    def _run_epoch(
        self, session: PhaseSession, progress: Progress, meter: TrainMeter, average: PhaseAverage
    ) -> Progress:
        total = session.calls_per_epoch
        log_points = _log_points(total, session.logs_per_epoch)
        started = self._time.now()
        for done, batch in enumerate(self._batches(session), start=progress.calls + 1):
            epoch = progress.epoch + (done - 1) / total
            knobs = StepKnobs(session.curve.lr(epoch), session.loss_scale)
            result = self._call(session, progress, batch, knobs)
            meter.add(result)
            progress = replace(progress, step=progress.step + session.updates_per_batch, calls=done)
            now = self._time.now()
            started, seconds = now, now - started
            state = self._call_state(session, progress, result, seconds)
            if done in log_points:
                self._report_train(session, progress, meter, epoch + 1 / total, knobs)
            self._sink.step(state)
            self._pause(session, progress, meter, average)
        if progress.calls < total:  # the loader ended with a notice
            self._pause(session, progress, meter, average)
        return replace(progress, epoch=progress.epoch + 1, total_epochs=progress.total_epochs + 1, calls=0)

    def _batches(self, session: PhaseSession) -> Iterator[Batch]:
        """Yield the epoch's batches. A notice may reach the loading processes, too, and end them first."""
        try:
            yield from session.train_loader
        except Exception:
            if not self._pauses.notice.wait(LOADER_S):
                raise

    def _call(self, session: PhaseSession, progress: Progress, batch: Batch, knobs: StepKnobs) -> BatchResult:
        try:
            return session.runtime.train_batch(batch, knobs)
        except ArithmeticError as error:  # an update that is no finite number
            raise _failed(session, progress, str(error)) from error

    def _call_state(
        self, session: PhaseSession, progress: Progress, result: BatchResult, seconds: float
    ) -> CallState:
        """Count a call and return what the sinks are told of it."""
        total, done = session.calls_per_epoch, progress.calls
        images = session.runtime.geometry.samples_per_batch * self._comm.size
        counted = self._time.count(session.name, images, seconds)
        return CallState(
            phase=session.name,
            epoch=progress.total_epochs + 1,
            done=done,
            total=total,
            time_s=self._time.elapsed_s(),
            result=result,
            images=images,
            seconds=counted,
            left_s=self._time.left_s(session.name, (session.epochs - progress.epoch) * total - done),
        )

    def _pause(
        self, session: PhaseSession, progress: Progress, meter: TrainMeter, average: PhaseAverage
    ) -> None:
        """Write the state inside an epoch, if it is time or the run is to end; not after its last call."""
        pause = self._pauses.after_call()
        if not (pause.save or pause.signal) or progress.calls == session.calls_per_epoch:
            return
        state = session.runtime.state_dict()
        if not are_finite(state["model"]):
            raise _failed(session, progress, BAD_WEIGHTS)
        averaged = average.now(session.runtime, state["model"])
        sums = self._comm.all_sum(meter.state())
        self._checkpoint(
            progress, state, averaged, average, {"meter": sums, "of_calls": session.calls_per_epoch}
        )
        self._stop_if_asked(progress)

    def _checkpoint(
        self,
        progress: Progress,
        state: Dict[str, Any],
        averaged: Dict[str, Tensor],
        average: PhaseAverage,
        inside: Mapping[str, Any],
    ) -> None:
        """Hand out all that resuming takes; ``inside`` is what only a state inside an epoch has."""
        self._pauses.notice.saving()
        kept = {"weights": state["model"], "averaged": averaged, "average": average.state_dict()}
        self._save(progress, {**kept, "runtime": state, **self._time.state_dict(), **inside})
        self._pauses.saved()

    def _stop_if_asked(self, progress: Progress) -> None:
        if self._pauses.signal:
            words = f"all {progress.step} steps are saved; go on with --resume"
            raise RunStopped(self._pauses.signal, words, is_agreed=True)

    def _report_train(
        self, session: PhaseSession, progress: Progress, meter: TrainMeter, epoch: float, knobs: StepKnobs
    ) -> None:
        sums = self._comm.all_sum(meter.drain())
        if sums[-1] > 0:
            raise _failed(session, progress, "the loss is no finite number any more")
        row = self._row("train", session, progress, epoch, train_means(sums))
        row.update(lr=knobs.lr, images_per_s=self._time.rates[session.name].drain())
        self._sink.row(row)

    def _finish_epoch(
        self, session: PhaseSession, progress: Progress, average: PhaseAverage
    ) -> Dict[str, Tensor]:
        """Sample the weights and save; return the weights for validation and for the next phase.

        Validation comes after, as it may fail: it compiles another graph, and needs memory for it.
        """
        state = session.runtime.state_dict()
        weights = state["model"]
        if not are_finite(weights):
            before = replace(progress, total_epochs=progress.total_epochs - 1)
            raise _failed(session, before, BAD_WEIGHTS)
        updates = session.calls_per_epoch * session.updates_per_batch
        weights = average.end_epoch(session.runtime, weights, epoch=progress.epoch - 1, updates=updates)
        self._checkpoint(progress, state, weights, average, {})
        return weights

    def _validate(self, session: PhaseSession, progress: Progress, weights: Dict[str, Tensor]) -> None:
        session.runtime.load_eval_weights(weights)
        meter = EvalMeter()
        self._val = evaluate(session.runtime, session.val_loader, self._comm, meter)
        self._confusion, self._num_classes = meter.confusion, session.spec.num_classes
        row = self._row("val", session, progress, progress.epoch, self._val)
        row.update(resolution=session.resolution, averaged=session.averaging > 0)
        self._sink.row(row)

    def _row(
        self, kind: str, session: PhaseSession, progress: Progress, epoch: float, means: Dict[str, float]
    ) -> Dict[str, Any]:
        run_epoch = progress.total_epochs + epoch - progress.epoch
        return {
            "kind": kind,
            "phase": session.name,
            "epoch": round(run_epoch, 4),
            "step": progress.step,
            "time_s": round(self._time.elapsed_s(), 3),
            **means,
        }

    def _summary(self, progress: Progress, weights: Dict[str, Tensor]) -> RunSummary:
        comm = self._comm
        return RunSummary(
            val=self._val,
            confusion=all_confusion(self._confusion, self._num_classes, comm.all_sum, comm.size),
            weights=weights,
            images_per_s={name: rate.per_s() for name, rate in self._time.rates.items()},
            rate_label=self._rate_label,
            epochs=progress.total_epochs,
            steps=progress.step,
            train_seconds=self._time.elapsed_s(),
        )


def evaluate(
    runtime: Runtime, loader: Iterable[Batch], comm: Collective, meter: Optional[EvalMeter] = None
) -> Dict[str, float]:
    """Classify all images of a loader with the runtime's evaluation weights; means over all instances."""
    meter = meter or EvalMeter()
    for batch in loader:
        meter.add(runtime.eval_batch(batch))
    means = eval_means(comm.all_sum(meter.sums()))
    if not means["samples"]:
        raise RunFailed("validation: none of its images can be read; see data.source")
    return means


def _is_validated(session: PhaseSession, progress: Progress) -> bool:
    """Tell whether the epoch that ended is one to validate after; a phase's last one always is."""
    return progress.epoch >= session.epochs or progress.epoch % session.validate_every == 0


def _placed(progress: Progress, session: PhaseSession, resume: Optional[Mapping[str, Any]]) -> Progress:
    """Return the place in an epoch of other batches or images than it was saved in: the same share of it."""
    was = (resume or {}).get("of_calls") if progress.calls else None
    return replace(progress, calls=progress.calls * session.calls_per_epoch // was) if was else progress


def _failed(session: PhaseSession, progress: Progress, what: str) -> RunFailed:
    return RunFailed(divergence(session.name, progress.total_epochs, progress.step, what))


def _log_points(total: int, count: int) -> List[int]:
    """Return the batches (from 1) after which to report; the last is always one."""
    return sorted({max(1, round(total * (i + 1) / count)) for i in range(count)} | {total})
