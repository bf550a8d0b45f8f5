"""One training job from start to end: first lines, run folder, trainer, summary."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, Mapping, Optional

from ipu_app import build
from ipu_app.config.load import save_config
from ipu_app.config.schema import RunConfig
from ipu_app.distributed.comm import Comm, make_comm
from ipu_app.distributed.world import detect_world
from ipu_app.environment import read_environ
from ipu_app.opening import closing_lines, opening_lines, run_record
from ipu_app.runtime.choose import choose_device
from ipu_app.training import checkpoint as checkpoints
from ipu_app.training.console import console_sink
from ipu_app.training.plots import plot_curves
from ipu_app.training.rundir import RunDir, existing_run_dir, new_run_dir, write_json
from ipu_app.training.sinks import JsonlSink, Sink, Sinks, keep_rows_up_to, read_rows
from ipu_app.training.trainer import PhaseSession, Progress, RunSummary, Trainer


def train(config: RunConfig, *, resume: Optional[Path] = None) -> int:
    """Train as configured, or continue the run in the folder ``resume``; returns the exit code."""
    environ = read_environ()
    build.apply_threads(config.device)
    choice = choose_device(config.device.kind, config.device.poptorch)
    with make_comm(detect_world(environ), choice.kind) as comm:
        state = _load_resume(resume, config)
        sessions = _Sessions(config, choice.kind, environ, comm)
        first = sessions.open(_first_phase(config, state))
        say = print if comm.is_root else _silent
        for line in opening_lines(config, first, choice.reason):
            say(line)
        run_dir = _open_run_dir(config, first, comm, resume)
        say(f"run: {run_dir.path}")
        sink = _make_sink(run_dir, comm, state)
        trainer = Trainer(
            session_for=sessions,
            comm=comm,
            sink=sink,
            save=_Saver(run_dir, config, comm),
            clock=time.perf_counter,
        )
        phases = {phase.name: phase.epochs for phase in config.phases.values()}
        record = run_record(config, first)
        summary = trainer.fit(phases, resume=state, weights=state.get("weights") if state else None)
        _finish(run_dir, record, summary, sink, comm)
        for line in first.data_notes():
            say(f"data: {line}")
        for line in closing_lines(record, summary, run_dir.path):
            say(line)
    return 0


class _Sessions:
    """Makes phases ready; the first is opened early, so that what is wrong with it is said at once."""

    def __init__(self, config: RunConfig, device: str, environ: Mapping[str, str], comm: Comm) -> None:
        self._config, self._device, self._environ, self._comm = config, device, environ, comm
        self._opened: Dict[str, PhaseSession] = {}

    def open(self, name: str) -> PhaseSession:
        """Make a phase ready and keep it until it is asked for."""
        self._opened[name] = self(name)
        return self._opened[name]

    def __call__(self, name: str) -> PhaseSession:
        """Hand out the phase of this name, once."""
        if name in self._opened:
            return self._opened.pop(name)
        phase = self._config.phases[name]
        return build.make_session(self._config, phase, self._device, environ=self._environ, comm=self._comm)


class _Saver:
    """Writes a checkpoint per epoch on the root, and removes the oldest."""

    def __init__(self, run_dir: RunDir, config: RunConfig, comm: Comm) -> None:
        self._folder, self._keep, self._is_root = run_dir.checkpoints, config.keep_checkpoints, comm.is_root

    def __call__(self, progress: Progress, state: Dict[str, Any]) -> None:
        if not self._is_root:
            return
        checkpoints.save_checkpoint(
            self._folder,
            progress.total_epochs,
            weights=state["weights"],
            averaged=state["averaged"],
            state={
                "progress": asdict(progress),
                "runtime": {k: v for k, v in state["runtime"].items() if k != "model"},
                "average": state["average"],
            },
        )
        checkpoints.prune(self._folder, self._keep)


def _silent(_: str) -> None:
    """Say nothing: only the root speaks."""


def _load_resume(resume: Optional[Path], config: RunConfig) -> Optional[Dict[str, Any]]:
    """Return the state of the newest checkpoint, None for a new run; refuse a run with nothing left to do."""
    if resume is None:
        return None
    folder = existing_run_dir(resume).checkpoints
    newest = checkpoints.newest_checkpoint(folder)
    if newest is None:
        raise ValueError(f"resume={resume}: the run has no checkpoint yet; start it anew")
    state = checkpoints.load_state(newest)
    state["runtime"]["model"] = checkpoints.load_weights(newest, averaged=False)
    state["weights"] = checkpoints.load_weights(newest, averaged=True)
    _first_phase(config, state)
    return state


def _first_phase(config: RunConfig, state: Optional[Dict[str, Any]]) -> str:
    """Return the name of the first phase that is not finished."""
    phases = list(config.phases.values())
    progress = Progress(**state["progress"]) if state else Progress()
    for index, phase in enumerate(phases):
        if index > progress.phase or (index == progress.phase and progress.epoch < phase.epochs):
            return phase.name
    raise ValueError(
        f"resume: all {progress.total_epochs} epochs are done; raise phases.{phases[-1].name}.epochs "
        "to train on"
    )


def _open_run_dir(config: RunConfig, first: PhaseSession, comm: Comm, resume: Optional[Path]) -> RunDir:
    """Return the run's folder: the given one, or a new one that the root makes and names to the others."""
    if resume is not None:
        return existing_run_dir(resume)
    path = ""
    if comm.is_root:
        run_dir = new_run_dir(build.runs_dir(config), build.run_name(config))
        save_config(config, run_dir.config)
        path = str(run_dir.path)
    return RunDir(Path(str(comm.broadcast_state({"path": path})["path"])))


def _make_sink(run_dir: RunDir, comm: Comm, state: Optional[Dict[str, Any]]) -> Sink:
    if not comm.is_root:
        return Sink()
    if state:
        keep_rows_up_to(run_dir.metrics, state["progress"]["step"])
    return Sinks([JsonlSink(run_dir.metrics), console_sink()])


def _finish(run_dir: RunDir, record: Dict[str, Any], summary: RunSummary, sink: Sink, comm: Comm) -> None:
    record.update(
        epochs=summary.epochs,
        steps=summary.steps,
        val_top1=summary.val.get("top1"),
        val_top5=summary.val.get("top5"),
        val_loss=summary.val.get("loss"),
        val_images=summary.val.get("samples"),
        images_per_s=round(summary.images_per_s, 2),
        images_per_s_is=summary.rate_label,
        train_seconds=round(summary.train_seconds, 2),
    )
    sink.close(record)
    if comm.is_root:
        write_json(run_dir.summary, record)
        plot_curves(read_rows(run_dir.metrics), run_dir.curves, title=run_dir.path.name)
