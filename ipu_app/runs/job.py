"""One training job from start to end: first lines, run folder, trainer, summary."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional

from ipu_app import build
from ipu_app.config.asked import Asked, refuse_without_effect
from ipu_app.config.convert import to_plain
from ipu_app.config.load import save_config
from ipu_app.config.schema import RunConfig
from ipu_app.distributed.comm import Comm, make_comm
from ipu_app.distributed.fleet import check_same
from ipu_app.distributed.world import detect_world
from ipu_app.environment import read_environ, share_of_cores
from ipu_app.inference.trained import describe_model_file
from ipu_app.runs.host_rate import host_lines, images_per_s_of_one_worker
from ipu_app.runs.lines import (
    closing_lines,
    opening_lines,
    plan_lines,
    resolution_lines,
    run_record,
    start_lines,
)
from ipu_app.runs.records import (
    Place,
    estimate_record,
    evaluate_resolutions,
    report_evaluations,
    results,
    write_results,
)
from ipu_app.runs.sessions import Sessions, estimate_of, open_sessions
from ipu_app.runs.weights_check import check_weights, class_notes
from ipu_app.runtime.base import Weights
from ipu_app.runtime.choose import choose_device
from ipu_app.settling.origin import Start, load_resume, start_record, start_weights, unfinished_phase
from ipu_app.training import checkpoint as checkpoints
from ipu_app.training.console import console_sink
from ipu_app.training.rundir import RunDir, existing_run_dir, new_run_dir, write_json
from ipu_app.training.sinks import JsonlSink, Sink, Sinks, keep_rows_up_to
from ipu_app.training.tracking import TensorboardSink, WandbSink, check_packages
from ipu_app.training.trainer import PhaseSession, Progress, Trainer
from pipelines.estimate import StepEstimate

__all__ = ["Start", "train"]


def train(config: RunConfig, start: Optional[Start] = None, asked: Optional[Asked] = None) -> int:
    """Train as configured, from scratch or from where ``start`` says; returns the exit code.

    ``asked`` are the settings that are the user's own: they are not changed to fit, and must have an effect.
    """
    start, asked, environ = start or Start(), asked or Asked(batch=True), read_environ()
    build.apply_threads(config.device)
    choice = choose_device(config.device.kind, config.device.poptorch)
    refuse_without_effect(asked, choice.kind, config.device.kind)
    check_packages(wandb=config.tracking.wandb, tensorboard=config.tracking.tensorboard)
    with make_comm(detect_world(environ), choice.kind) as comm:
        place = Place(choice.kind, comm, environ)
        say: Callable[[str], None] = print if comm.is_root else _silent
        state = load_resume(start.resume)
        sessions, fit_lines = open_sessions(config, place, unfinished_phase(config, state), start, asked)
        config, first = sessions.config, sessions.first
        estimate = estimate_of(config, config.phases[first.name], place)
        plan = plan_lines(config, estimate) if estimate else []
        check_same(comm, build.facts_that_must_agree(config, first))
        weights = start_weights(start, first)
        if start.resume or start.from_run:
            check_weights(start, weights or {}, first.runtime.weights())
        for line in opening_lines(config, first, choice.reason):
            say(line)
        notes = class_notes(start, first.train_set.classes)
        for line in [*fit_lines, *start_lines(start), *notes, *plan, *resolution_lines(config, start)]:
            say(line)
        for line in _host_lines(config, first, estimate, place):
            say(line)
        run_dir = _open_run_dir(config, comm, start.resume)
        say(f"run: {run_dir.path}")
        job = _Job(config, run_dir, place, say, estimate)
        job.run(sessions, state, weights=weights, origin=start_record(start) if comm.is_root else {})
    return 0


def _host_lines(
    config: RunConfig, session: PhaseSession, estimate: Optional[StepEstimate], place: Place
) -> List[str]:
    """Measure the host for a moment where it makes images for IPUs."""
    if estimate is None or not place.comm.is_root or build.is_in_memory(config.data):
        return []
    return host_lines(
        images_per_s_of_one_worker(session.train_set, time.perf_counter),
        workers=session.runtime.num_workers(train=True),
        cores=share_of_cores(detect_world(place.environ).local_size),
        demand_images_per_s=estimate.images_per_s / place.comm.size,
    )


@dataclass(frozen=True)
class _Job:
    """A run's folder and the trainer's companions; only the root writes."""

    config: RunConfig
    run_dir: RunDir
    place: Place
    say: Callable[[str], None]
    estimate: Optional[StepEstimate]

    def run(
        self,
        sessions: Sessions,
        state: Optional[Dict[str, Any]],
        *,
        weights: Optional[Weights],
        origin: Mapping[str, Any],
    ) -> None:
        """Train all phases that are left, evaluate, write the summary, say the last lines.

        ``origin`` says where ``weights`` came from, for the records.
        """
        first, comm = sessions.first, self.place.comm
        file = describe_model_file(self.config, first)
        record = {**run_record(self.config, first, origin), "estimate": estimate_record(self.estimate)}
        sink = self._make_sink(state)
        if comm.is_root:
            write_json(self.run_dir.model, {**file.to_dict(), "start": origin})
            self._introduce(sink, record, first)
        trainer = Trainer(
            session_for=sessions, comm=comm, sink=sink, save=self._save, clock=time.perf_counter
        )
        phases = {phase.name: phase.epochs for phase in self.config.phases.values()}
        try:
            summary = trainer.fit(phases, resume=state, weights=weights)
        except BaseException:  # also where the user stops it
            sink.stop()
            raise
        found = evaluate_resolutions(self.config, file, summary, self.place)
        rows = report_evaluations(sink, found, summary, self.config)
        record.update(results(summary, rows, file.classes))
        sink.close(record)
        if comm.is_root:
            write_results(self.run_dir, record, self.estimate)
        for line in [*first.data_notes(), *closing_lines(record, summary, self.run_dir.path)]:
            self.say(line)

    def _introduce(self, sink: Sink, record: Dict[str, Any], session: PhaseSession) -> None:
        """Tell trackers what will run, and show them images as the model sees them."""
        sink.start({"run": record, "config": to_plain(self.config)})
        if self.config.tracking.wandb or self.config.tracking.tensorboard:
            phase = self.config.phases[session.name]
            sink.images("images after mixing", build.mixed_samples(session, phase))

    def _save(self, progress: Progress, state: Dict[str, Any]) -> None:
        """Write the epoch's checkpoint and remove the oldest."""
        if not self.place.comm.is_root:
            return
        checkpoints.save_checkpoint(
            self.run_dir.checkpoints,
            progress.total_epochs,
            weights=state["weights"],
            averaged=state["averaged"],
            state={
                "progress": asdict(progress),
                "runtime": {key: value for key, value in state["runtime"].items() if key != "model"},
                "average": state["average"],
            },
        )
        checkpoints.prune(self.run_dir.checkpoints, self.config.keep_checkpoints)

    def _make_sink(self, state: Optional[Dict[str, Any]]) -> Sink:
        if not self.place.comm.is_root:
            return Sink()
        tracking, run_dir = self.config.tracking, self.run_dir
        if state:
            keep_rows_up_to(run_dir.metrics, state["progress"]["step"])
        epochs = sum(phase.epochs for phase in self.config.phases.values())
        console = console_sink(epochs=epochs, clock=time.perf_counter)
        sinks: List[Sink] = [JsonlSink(run_dir.metrics), console]
        if tracking.tensorboard:
            sinks.append(TensorboardSink(run_dir))
        if tracking.wandb:
            wandb = WandbSink(run_dir, project=tracking.wandb_project, environ=self.place.environ)
            sinks.append(wandb)
            for note in wandb.notes:
                self.say(note)
        return Sinks(sinks)


def _silent(_: str) -> None:
    """Say nothing: only the root speaks."""


def _open_run_dir(config: RunConfig, comm: Comm, resume: Optional[Path]) -> RunDir:
    """Return the run's folder: the given one, or a new one that the root makes and names to the others."""
    if resume is not None:
        return existing_run_dir(resume)
    path = ""
    if comm.is_root:
        run_dir = new_run_dir(build.runs_dir(config), build.run_name(config))
        save_config(config, run_dir.config)
        path = str(run_dir.path)
    return RunDir(Path(str(comm.broadcast_state({"path": path})["path"])))
