"""One training job from start to end: first lines, run folder, trainer, summary."""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional

from ipu_app import build
from ipu_app.config.convert import to_plain
from ipu_app.config.load import save_config
from ipu_app.config.schema import RunConfig
from ipu_app.distributed.comm import Comm
from ipu_app.distributed.fleet import check_same
from ipu_app.environment import read_environ, share_of_cores
from ipu_app.inference.trained import describe_model_file
from ipu_app.runs.evaluation import evaluate_resolutions, report_evaluations
from ipu_app.runs.first_weights import first_weights
from ipu_app.runs.here import open_machine, settle_with_images
from ipu_app.runs.host_rate import host_lines, images_per_s_of_one_worker
from ipu_app.runs.lock import locked
from ipu_app.runs.place import Place
from ipu_app.runs.records import closing_lines, estimate_record, results, run_record, write_results
from ipu_app.runs.resumed import held, take_along, with_earlier_run
from ipu_app.runs.resuming import keep_config
from ipu_app.runs.sessions import Sessions
from ipu_app.runs.signals import Signals
from ipu_app.runtime.base import Weights
from ipu_app.runtime.torch_loader import explained_loading
from ipu_app.settling.first_lines import first_lines, phase_lines
from ipu_app.settling.origin import origin_record, run_dir_of
from ipu_app.settling.settle import Request, SettledRun
from ipu_app.training import checkpoint as checkpoints
from ipu_app.training.console import console_sink
from ipu_app.training.durable import explained_writing, sync_file
from ipu_app.training.pauses import Pauses
from ipu_app.training.rundir import RunDir, new_run_dir, write_json
from ipu_app.training.sinks import JsonlSink, Sink, Sinks, keep_rows_up_to
from ipu_app.training.tracking import TensorboardSink, WandbSink, check_packages
from ipu_app.training.trainer import PhaseSession, Progress, Trainer
from pipelines.estimate import StepEstimate

DRY_RUN = "dry run: nothing was computed or written; the same command without --dry-run trains"


def train(request: Request, *, dry_run: bool = False) -> int:
    """Train as asked, from scratch or from where the request's origin says; returns the exit code.

    ``dry_run``: settle the run and say what it would be; nothing is computed or written.
    """
    environ, tracking = read_environ(), request.config.tracking
    build.apply_threads(request.config.device)
    check_packages(wandb=tracking.wandb, tensorboard=tracking.tensorboard)
    with contextlib.ExitStack() as stack:
        machine, comm = stack.enter_context(open_machine(request, environ))
        say: Callable[[str], None] = print if comm.is_root else _silent
        if not dry_run:
            stack.enter_context(held(request.origin, comm, say))
        signals = stack.enter_context(Signals())
        request = with_earlier_run(request, comm)
        run, images = settle_with_images(request, machine)
        check_same(comm, build.facts_that_must_agree(run))
        if dry_run:
            for line in [*first_lines(run), *phase_lines(run), DRY_RUN]:
                say(line)
            return 0
        sessions = Sessions(run, comm, images)
        weights = first_weights(run.origin, sessions.first)
        state, left = take_along(request.progress, sessions.first, fresh=run.origin.fresh_optimizer)
        for line in [*first_lines(run), *left, *_host_lines(run, sessions.first, comm)]:
            say(line)
        run_dir = _open_run_dir(run.config, comm, run.origin.resume)
        if comm.is_root and not run.origin.is_resumed:
            stack.enter_context(locked(run_dir.path, say))
        say(f"run: {run_dir.path}")
        job = _Job(run, run_dir, Place(machine.device, comm, environ), say, signals)
        origin = origin_record(run.origin) if comm.is_root else {}
        job.run(sessions, state, weights=weights, origin=origin)
    return 0


def _host_lines(run: SettledRun, session: PhaseSession, comm: Comm) -> List[str]:
    """Measure the host for a moment where it makes images for IPUs."""
    estimate = run.first.estimate
    if estimate is None or not comm.is_root or build.is_in_memory(run.config.data):
        return []
    return host_lines(
        images_per_s_of_one_worker(session.train_set, time.perf_counter),
        workers=session.runtime.num_workers(train=True),
        cores=share_of_cores(run.machine.world.local_size),
        demand_images_per_s=estimate.images_per_s / comm.size,
    )


@dataclass(frozen=True)
class _Job:
    """A run's folder and the trainer's companions; only the root writes."""

    settled: SettledRun
    run_dir: RunDir
    place: Place
    say: Callable[[str], None]
    signals: Signals

    @property
    def config(self) -> RunConfig:
        """What the run was settled to."""
        return self.settled.config

    @property
    def estimate(self) -> Optional[StepEstimate]:
        """The plan of the phase that begins, by the cost model."""
        return self.settled.first.estimate

    def run(
        self,
        sessions: Sessions,
        state: Optional[Mapping[str, Any]],
        *,
        weights: Optional[Weights],
        origin: Mapping[str, Any],
    ) -> None:
        """Train all phases that are left, evaluate, write the summary, say the last lines.

        ``origin`` says where ``weights`` came from, for the records.
        """
        first, comm = sessions.first, self.place.comm
        file = describe_model_file(self.settled)
        record = {**run_record(self.settled, origin), "estimate": estimate_record(self.estimate)}
        sink = self._make_sink(state)
        if comm.is_root:
            write_json(self.run_dir.model, {**file.to_dict(), "start": origin})
            self._introduce(sink, record, first)
        clock, every_s = time.perf_counter, 60 * self.config.checkpoint_minutes
        trainer = Trainer(
            session_for=sessions,
            comm=comm,
            sink=sink,
            save=self._save,
            clock=clock,
            pauses=Pauses(comm, clock, every_s=every_s, notice=self.signals),
        )
        phases = {phase.name: phase.epochs for phase in self.config.phases.values()}
        try:
            with explained_loading():
                summary = trainer.fit(phases, resume=state, weights=weights)
        except BaseException:  # also where the user stops it
            sink.stop()
            raise
        found = evaluate_resolutions(self.config, file, summary, self.place)
        rows = report_evaluations(sink, found, summary, self.config)
        record.update(results(summary, rows, file.classes))
        notes = list(first.data_notes())  # all processes tell
        record["data_notes"] = [*(self.settled.data.problems if self.settled.data else ()), *notes]
        sink.close(record)
        try:
            if comm.is_root:
                write_results(self.run_dir, record, self.estimate)
        finally:  # what was found is told, whatever can not be written
            for line in [*notes, *closing_lines(record, summary, self.run_dir.path)]:
                self.say(line)

    def _introduce(self, sink: Sink, record: Dict[str, Any], session: PhaseSession) -> None:
        """Tell trackers what will run, and show them images as the model sees them."""
        sink.start({"run": record, "config": to_plain(self.config)})
        if self.config.tracking.wandb or self.config.tracking.tensorboard:
            phase = self.config.phases[session.name]
            sink.images("images after mixing", build.mixed_samples(session, phase))

    def _save(self, progress: Progress, state: Dict[str, Any]) -> None:
        """Write a checkpoint and remove the oldest; what the disk refuses ends the run in one line."""
        if not self.place.comm.is_root:
            return
        folder = self.run_dir.checkpoints
        name = checkpoints.checkpoint_name(progress.total_epochs, progress.calls)
        before = checkpoints.newest_checkpoint(folder)
        kept = f"the checkpoint {before.name} is kept" if before else "there is no older one"
        plain = {key: value for key, value in state["runtime"].items() if key != "model"}
        rest = {key: value for key, value in state.items() if key not in ("weights", "averaged", "runtime")}
        with explained_writing(f"checkpoint {name}", kept):
            if self.run_dir.metrics.is_file():
                sync_file(self.run_dir.metrics)  # no checkpoint without the rows before it
            checkpoints.save_checkpoint(
                folder,
                progress.total_epochs,
                calls=progress.calls,
                weights=state["weights"],
                averaged=state["averaged"],
                state={**rest, "progress": asdict(progress), "runtime": plain},
                config=to_plain(self.config),
            )
        checkpoints.prune(folder, self.config.keep_checkpoints)

    def _make_sink(self, state: Optional[Mapping[str, Any]]) -> Sink:
        if not self.place.comm.is_root:
            return Sink()
        tracking, run_dir = self.config.tracking, self.run_dir
        if state:
            keep_rows_up_to(run_dir.metrics, state["progress"]["step"], validation=state["validated"])
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
        if comm.is_root:
            keep_config(run_dir_of(resume), config, resume.name)
        return run_dir_of(resume)
    path = ""
    if comm.is_root:
        run_dir = new_run_dir(build.runs_dir(config), build.run_name(config))
        save_config(config, run_dir.config)
        path = str(run_dir.path)
    return RunDir(Path(str(comm.broadcast_state({"path": path})["path"])))
