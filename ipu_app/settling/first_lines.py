"""What a run says of itself before it begins, from what was settled alone: lines for a person."""

from __future__ import annotations

from typing import List

from ipu_app.config.progressive import aligned
from ipu_app.models.parity import parity_modulus, parity_warnings
from ipu_app.settling.origin import run_dir_of
from ipu_app.settling.phase_estimates import configured_spec, memory_problem
from ipu_app.settling.phases import SettledPhase
from ipu_app.settling.settle import SettledRun
from pipelines.words import counted


def first_lines(run: SettledRun) -> List[str]:
    """Return the first lines of a run: device, data, model, what was made to fit, weights, plan, warnings."""
    return [
        *_device_lines(run),
        *_data_lines(run),
        f"model: {run.first.model_description}",
        *_stage_lines(run.first),
        *run.notes,
        *_origin_lines(run),
        *_class_lines(run),
        *_plan_lines(run),
        *_resolution_lines(run),
    ]


def phase_lines(run: SettledRun) -> List[str]:
    """Return a line on each phase that is left to train, with its estimate where it runs on IPUs."""
    return [
        line for phase in run.phases.values() for settled in phase.stages for line in _phase_lines(settled)
    ]


def _device_lines(run: SettledRun) -> List[str]:
    info, reason = run.first.info, run.machine.choice.reason
    why = "" if reason == "asked for" else f" ({reason})"
    return [f"device: {info.description}{why}", *(f"note: {note}" for note in info.notes)]


def _data_lines(run: SettledRun) -> List[str]:
    if run.data is None:
        return []
    lines = [f"data: {run.data.description}", *(f"note: {problem}" for problem in run.data.problems)]
    if run.config.data.source is None:
        lines.append(
            "      your own images: DATA=dir (--data dir) with train/<class>/ and val/<class>/, like ImageNet"
        )
    return lines


def _origin_lines(run: SettledRun) -> List[str]:
    """Return whose weights the run starts with, and what a file of weights brought with it."""
    origin = run.origin
    lines = [f"init: {origin.init} sets {' '.join(origin.settings)}"] if origin.settings else []
    lines += [f"init: {note}" for note in origin.notes]
    if origin.from_run:
        lines.append(f"start: {origin.earlier.weights} of {run_dir_of(origin.from_run).path}")
    return [*lines, *origin.earlier.notes]


def _class_lines(run: SettledRun) -> List[str]:
    """Return a warning where the classes of the earlier run had other names: labels may mean others."""
    classes = run.data.classes if run.data else ()
    differing = [(old, new) for old, new in zip(run.origin.earlier.classes, classes) if old != new]
    if not differing:
        return []
    old, new = differing[0]
    source = run.origin.run or run.origin.init
    return [
        f"warning: {source} was trained on classes of other names: what it knows as {old!r} is now {new!r}, "
        f"and {len(differing) - 1} more"
    ]


def _stage_lines(phase: SettledPhase) -> List[str]:
    """Return a line on each stage of a progressive phase, and a warning where their sizes pad differently."""
    if len(phase.stages) == 1:
        return []
    lines = [f"phase {phase.name}, {settled.stage.describe()}" for settled in phase.stages]
    spec = phase.spec
    evaluation = spec.evaluation_resolution or spec.native_resolution
    modulus, sizes = parity_modulus(spec), [settled.resolution for settled in phase.stages]
    if spec.padding != "same" or all((size - evaluation) % modulus == 0 for size in sizes):
        return lines
    near = ", ".join(str(aligned(size, evaluation)) for size in sizes)
    listed = ", ".join(map(str, sizes))
    return [
        *lines,
        f"warning: sizes {listed} of the stages do not all leave {evaluation} % {modulus} = "
        f"{evaluation % modulus}, as the evaluation size does, so stride-2 layers pad elsewhere; "
        f"phases.{phase.name}.progressive.align=eval takes {near}",
    ]


def _plan_lines(run: SettledRun) -> List[str]:
    """Return what the cost model says of the first phase's plan."""
    estimate = run.first.estimate
    if estimate is None:
        return []
    lines = [f"plan: {estimate.describe()}; by the cost model, for {run.config.device.platform} IPUs"]
    problem = memory_problem(estimate)
    return [*lines, *([f"warning: the plan may not fit: {problem}"] if problem else [])]


def _resolution_lines(run: SettledRun) -> List[str]:
    """Return a warning for each resolution that does not go with the one the network is trained at."""
    config = run.config
    resolutions = [
        run.phases[name].stages[-1].resolution if name in run.phases else phase.resolution
        for name, phase in config.phases.items()
    ]
    trained_at, others = resolutions[0], resolutions[1:]
    if run.origin.from_run:
        trained_at, others = run.origin.earlier.trained_at, resolutions
    spec = configured_spec(config.model)
    native = spec.native_resolution
    tests = [resolution or native for resolution in others]
    return parity_warnings(spec, trained_at or native, [*tests, *config.evaluate.resolutions])


def _phase_lines(phase: SettledPhase) -> List[str]:
    batch = phase.geometry
    factors = f"micro-batch {batch.micro_batch} x accumulation {batch.accumulation}"
    stage = phase.stage
    name = f"{phase.name}, stage {stage.number}/{stage.count}" if stage.count > 1 else phase.name
    lines = [
        f"phase {name}: {counted(stage.num_epochs, 'epoch')} at {phase.resolution} px in steps of "
        f"{batch.samples_per_step} images ({factors} x replicas {batch.total_replicas}), "
        f"{phase.optimizer.kind} with a peak learning rate of {phase.optimizer.lr:g}"
    ]
    if phase.estimate is not None:
        problem = memory_problem(phase.estimate)
        doubt = f"; may not fit: {problem}" if problem else ""
        lines.append(f"  plan: {phase.estimate.describe()}{doubt}")
    return lines
