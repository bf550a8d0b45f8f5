"""One training job from start to end: first lines, run folder, trainer, summary."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional

from ipu_app import build
from ipu_app.config.load import save_config
from ipu_app.config.schema import RunConfig
from ipu_app.distributed.comm import Comm, make_comm
from ipu_app.distributed.fleet import check_same
from ipu_app.distributed.world import detect_world
from ipu_app.environment import read_environ
from ipu_app.model_file import describe_model_file
from ipu_app.opening import closing_lines, estimate_lines, opening_lines, run_record
from ipu_app.runtime.base import Weights
from ipu_app.runtime.choose import choose_device
from ipu_app.start import Start, load_resume, start_weights, unfinished_phase
from ipu_app.training import checkpoint as checkpoints
from ipu_app.training.console import console_sink
from ipu_app.training.plots import plot_curves
from ipu_app.training.rundir import RunDir, existing_run_dir, new_run_dir, write_json
from ipu_app.training.sinks import JsonlSink, Sink, Sinks, keep_rows_up_to, read_rows
from ipu_app.training.trainer import PhaseSession, Progress, RunSummary, Trainer

__all__ = ["Start", "train"]


def train(config: RunConfig, start: Optional[Start] = None) -> int:
    """Train as configured, from scratch or from where ``start`` says; returns the exit code."""
    start, environ = start or Start(), read_environ()
    build.apply_threads(config.device)
    choice = choose_device(config.device.kind, config.device.poptorch)
    with make_comm(detect_world(environ), choice.kind) as comm:
        state = load_resume(start.resume)
        phase = unfinished_phase(config, state)
        say: Callable[[str], None] = print if comm.is_root else _silent
        if choice.kind == "ipu":
            lines = estimate_lines(config, config.phases[phase], environ=environ, instances=comm.size)
        sessions = _Sessions(config, choice.kind, environ, comm)
        first = sessions.open(phase)
        check_same(comm, build.facts_that_must_agree(config, first))
        for line in opening_lines(config, first, choice.reason):
            say(line)
        if start.settings:
            say(f"init: {start.init} sets {' '.join(start.settings)}")
        for line in lines if choice.kind == "ipu" else ():
            say(line)
        weights = start_weights(start, first)
        run_dir = _open_run_dir(config, comm, start.resume)
        say(f"run: {run_dir.path}")
        if comm.is_root:
            describe_model_file(config, first).save(run_dir.model)
        job = _Job(config, run_dir, comm, say)
        job.run(sessions, state, weights=weights)
    return 0


@dataclass(frozen=True)
class _Job:
    """A run's folder and the trainer's companions; only the root writes."""

    config: RunConfig
    run_dir: RunDir
    comm: Comm
    say: Callable[[str], None]

    def run(self, sessions: _Sessions, state: Optional[Dict[str, Any]], weights: Optional[Weights]) -> None:
        """Train all phases that are left, write the summary, say the last lines."""
        first = sessions.first
        record = run_record(self.config, first)
        sink = self._make_sink(state)
        trainer = Trainer(
            session_for=sessions, comm=self.comm, sink=sink, save=self._save, clock=time.perf_counter
        )
        phases = {phase.name: phase.epochs for phase in self.config.phases.values()}
        summary = trainer.fit(phases, resume=state, weights=weights)
        record.update(_results(summary))
        sink.close(record)
        if self.comm.is_root:
            write_json(self.run_dir.summary, record)
            plot_curves(read_rows(self.run_dir.metrics), self.run_dir.curves, title=self.run_dir.path.name)
        for line in [*first.data_notes(), *closing_lines(record, summary, self.run_dir.path)]:
            self.say(line)

    def _save(self, progress: Progress, state: Dict[str, Any]) -> None:
        """Write the epoch's checkpoint and remove the oldest."""
        if not self.comm.is_root:
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
        if not self.comm.is_root:
            return Sink()
        if state:
            keep_rows_up_to(self.run_dir.metrics, state["progress"]["step"])
        return Sinks([JsonlSink(self.run_dir.metrics), console_sink()])


class _Sessions:
    """Makes phases ready; the first is opened early, so that what is wrong with it is said at once."""

    first: PhaseSession

    def __init__(self, config: RunConfig, device: str, environ: Mapping[str, str], comm: Comm) -> None:
        self._config, self._device, self._environ, self._comm = config, device, environ, comm
        self._opened: Dict[str, PhaseSession] = {}

    def open(self, name: str) -> PhaseSession:
        """Make a phase ready and keep it until it is asked for."""
        self.first = self._opened[name] = self(name)
        return self.first

    def __call__(self, name: str) -> PhaseSession:
        """Hand out the phase of this name, once."""
        if name in self._opened:
            return self._opened.pop(name)
        phase = self._config.phases[name]
        return build.make_session(self._config, phase, self._device, environ=self._environ, comm=self._comm)


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


def _results(summary: RunSummary) -> Dict[str, Any]:
    return {
        "epochs": summary.epochs,
        "steps": summary.steps,
        "val_top1": summary.val.get("top1"),
        "val_top5": summary.val.get("top5"),
        "val_loss": summary.val.get("loss"),
        "val_images": summary.val.get("samples"),
        "images_per_s": summary.images_per_s,
        "images_per_s_is": summary.rate_label,
        "train_seconds": round(summary.train_seconds, 2),
    }
