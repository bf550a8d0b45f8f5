"""The run over time: phases, epochs, batches. Knows neither devices nor files: both come in from outside."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Protocol, Sequence, Sized

from torch import Tensor

from ipu_app.runtime.base import Batch, Runtime, StepKnobs
from ipu_app.training.averaging import WeightAverage
from ipu_app.training.curves import Curve
from ipu_app.training.metrics import Confusion, EvalMeter, TrainMeter, all_confusion, eval_means, train_means
from ipu_app.training.sinks import Sink

Clock = Callable[[], float]


class Collective(Protocol):
    """What the trainer asks of the processes that train together."""

    rank: int
    size: int

    def all_sum(self, values: Sequence[float]) -> List[float]:
        """Return the element-wise sums over all instances."""


class BatchLoader(Sized, Iterable[Batch], Protocol):
    """A loader with a known number of batches."""


@dataclass(frozen=True)
class PhaseSession:
    """All that one phase of training needs.

    ``set_epoch`` selects an epoch's order of images; ``data_content`` identifies the images, wherever they
    are; ``data_problems`` is what is wrong with them at first sight, ``data_notes`` returns what turned out
    to be so far (images skipped), a line each; ``spec`` is the model's; ``train_set`` the images themselves.
    """

    name: str
    epochs: int
    resolution: int
    runtime: Runtime
    train_set: Any
    train_loader: BatchLoader
    val_loader: BatchLoader
    set_epoch: Callable[[int], None]
    curve: Curve
    loss_scale: float
    averaging: float
    spec: Any
    model_description: str
    data_description: str
    data_content: str
    data_problems: Sequence[str]
    data_notes: Callable[[], Sequence[str]]
    logs_per_epoch: int = 4
    validate_every: int = 1

    @property
    def updates_per_batch(self) -> int:
        """Weight updates in one runtime call."""
        return self.runtime.geometry.device_iterations


@dataclass(frozen=True)
class Progress:
    """How far a run is: finished phases, finished epochs of the phase and of the run, weight updates."""

    phase: int = 0
    epoch: int = 0
    total_epochs: int = 0
    step: int = 0


@dataclass(frozen=True)
class RunSummary:
    """What a run came to.

    ``images_per_s`` is over all instances and leaves out each phase's first call, which compiles; None where
    there was no other. ``weights`` are the last ones, averaged if the last phase averages; ``confusion`` is
    the last validation's.
    """

    val: Dict[str, float]
    confusion: Confusion
    weights: Dict[str, Tensor]
    images_per_s: Optional[float]
    rate_label: str
    epochs: int
    steps: int
    train_seconds: float


@dataclass
class _Rate:
    """Samples and seconds of training calls; the first call of a phase compiles and is left out."""

    samples: int = 0
    seconds: float = 0.0
    is_warm: bool = False

    def add(self, samples: int, seconds: float) -> None:
        if self.is_warm:
            self.samples += samples
            self.seconds += seconds
        self.is_warm = True

    def per_s(self, size: int) -> Optional[float]:
        return round(self.samples * size / self.seconds, 2) if self.seconds > 0 else None


class Trainer:
    """Runs phases one after the other; the weights of one (averaged, if it averages) start the next."""

    def __init__(
        self,
        *,
        session_for: Callable[[str], PhaseSession],
        comm: Collective,
        sink: Sink,
        save: Callable[[Progress, Dict[str, Any]], None],
        clock: Clock,
    ) -> None:
        self._session_for, self._comm, self._sink = session_for, comm, sink
        self._save, self._clock = save, clock
        self._rate, self._start_s = _Rate(), clock()
        self._val: Dict[str, float] = {}
        self._confusion: Confusion = {}
        self._rate_label, self._num_classes = "", 0

    def fit(
        self,
        phases: Mapping[str, int],
        *,
        resume: Optional[Dict[str, Any]] = None,
        weights: Optional[Dict[str, Tensor]] = None,
    ) -> RunSummary:
        """Train phases (name -> epochs) in order; return the run's summary.

        ``resume`` is what ``save`` was given, and continues there; ``weights`` start the first phase.
        """
        progress = Progress(**resume["progress"]) if resume else Progress()
        for index, (name, epochs) in enumerate(phases.items()):
            if index < progress.phase:
                continue
            if resume and progress.epoch >= epochs:
                progress, resume = replace(progress, phase=index + 1, epoch=0), None
                continue
            session = self._session_for(name)
            try:
                progress, weights = self._run_phase(session, replace(progress, phase=index), weights, resume)
            finally:
                session.runtime.close()
            resume = None
        return self._summary(progress, weights or {})

    def _run_phase(self, session: PhaseSession, progress: Progress, carried: Any, resume: Any) -> Any:
        average = WeightAverage(session.averaging)
        if resume and progress.epoch > 0:
            session.runtime.load_state_dict(resume["runtime"])
            average.load_state_dict(resume["average"], session.runtime.weights())
        elif carried is not None:
            session.runtime.load_state_dict({"model": carried})
        self._rate_label, self._rate.is_warm = session.runtime.info.rate_label, False
        weights = session.runtime.weights()
        for epoch in range(progress.epoch, session.epochs):
            session.set_epoch(epoch)
            progress = self._run_epoch(session, progress)
            weights = self._finish_epoch(session, progress, average)
        return replace(progress, phase=progress.phase + 1, epoch=0), weights

    def _run_epoch(self, session: PhaseSession, progress: Progress) -> Progress:
        meter, total = TrainMeter(), len(session.train_loader)
        log_points = _log_points(total, session.logs_per_epoch)
        row: Dict[str, Any] = {}
        started = self._clock()
        for done, batch in enumerate(session.train_loader, start=1):
            epoch = progress.epoch + (done - 1) / total
            knobs = StepKnobs(session.curve.lr(epoch), session.loss_scale)
            meter.add(session.runtime.train_batch(batch, knobs))
            progress = replace(progress, step=progress.step + session.updates_per_batch)
            self._rate.add(session.runtime.geometry.samples_per_batch, self._clock() - started)
            started = self._clock()
            if done in log_points:
                row = self._report_train(session, progress, meter, epoch + 1 / total, knobs)
            self._sink.step(phase=session.name, epoch=progress.epoch + 1, done=done, total=total, row=row)
        return replace(progress, epoch=progress.epoch + 1, total_epochs=progress.total_epochs + 1)

    def _report_train(
        self, session: PhaseSession, progress: Progress, meter: TrainMeter, epoch: float, knobs: StepKnobs
    ) -> Dict[str, Any]:
        means = train_means(self._comm.all_sum(meter.drain()))
        row = self._row("train", session, progress, epoch, means)
        row.update(lr=knobs.lr, images_per_s=self._rate.per_s(self._comm.size))
        self._sink.row(row)
        return row

    def _finish_epoch(
        self, session: PhaseSession, progress: Progress, average: WeightAverage
    ) -> Dict[str, Tensor]:
        """Sample the weights, validate with the average, save; return the weights for the next phase."""
        state = session.runtime.state_dict()
        weights = state["model"]
        if session.averaging > 0:
            average.add(weights)
            weights = average.weights()
        last = progress.epoch == session.epochs
        if last or progress.epoch % session.validate_every == 0:
            self._validate(session, progress, weights)
        self._save(
            progress,
            {
                "weights": state["model"],
                "averaged": weights,
                "runtime": state,
                "average": average.state_dict(),
            },
        )
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
            "time_s": round(self._clock() - self._start_s, 3),
            **means,
        }

    def _summary(self, progress: Progress, weights: Dict[str, Tensor]) -> RunSummary:
        comm = self._comm
        return RunSummary(
            val=self._val,
            confusion=all_confusion(self._confusion, self._num_classes, comm.all_sum, comm.size),
            weights=weights,
            images_per_s=self._rate.per_s(self._comm.size),
            rate_label=self._rate_label,
            epochs=progress.total_epochs,
            steps=progress.step,
            train_seconds=self._clock() - self._start_s,
        )


def evaluate(
    runtime: Runtime, loader: Iterable[Batch], comm: Collective, meter: Optional[EvalMeter] = None
) -> Dict[str, float]:
    """Classify all images of a loader with the runtime's evaluation weights; means over all instances."""
    meter = meter or EvalMeter()
    for batch in loader:
        meter.add(runtime.eval_batch(batch))
    return eval_means(comm.all_sum(meter.sums()))


def _log_points(total: int, count: int) -> List[int]:
    """Return the batches (from 1) after which to report; the last is always one."""
    return sorted({max(1, round(total * (i + 1) / count)) for i in range(count)} | {total})
