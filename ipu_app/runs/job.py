"""One training job from start to end: first lines, run folder, trainer, summary."""

from __future__ import annotations

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
from ipu_app.runs.here import open_machine, settle_with_images, with_earlier_run
from ipu_app.runs.host_rate import host_lines, images_per_s_of_one_worker
from ipu_app.runs.place import Place
from ipu_app.runs.records import closing_lines, estimate_record, results, run_record, write_results
from ipu_app.runs.sessions import Sessions
from ipu_app.runtime.base import Weights
from ipu_app.settling.first_lines import first_lines, phase_lines
from ipu_app.settling.origin import origin_record
from ipu_app.settling.settle import Request, SettledRun
from ipu_app.training import checkpoint as checkpoints
from ipu_app.training.console import console_sink
from ipu_app.training.rundir import RunDir, existing_run_dir, new_run_dir, write_json
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
    with open_machine(request, environ) as (machine, comm):
        say: Callable[[str], None] = print if comm.is_root else _silent
        request = with_earlier_run(request)
        run, images = settle_with_images(request, machine)
        check_same(comm, build.facts_that_must_agree(run))
        if dry_run:
            for line in [*first_lines(run), *phase_lines(run), DRY_RUN]:
                say(line)
            return 0
        sessions = Sessions(run, comm, images)
        weights = first_weights(run.origin, sessions.first)
        for line in [*first_lines(run), *_host_lines(run, sessions.first, comm)]:
            say(line)
        run_dir = _open_run_dir(run.config, comm, run.origin.resume)
        say(f"run: {run_dir.path}")
        job = _Job(run, run_dir, Place(machine.device, comm, environ), say)
        origin = origin_record(run.origin) if comm.is_root else {}
        job.run(sessions, request.progress, weights=weights, origin=origin)
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

    def _make_sink(self, state: Optional[Mapping[str, Any]]) -> Sink:
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
