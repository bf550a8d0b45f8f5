"""What PopTorch checks of options and graph together when a model is wrapped or compiled."""

from __future__ import annotations

from typing import Any, Set

from .._errors import cpp_error, py_error
from .._logging import logger
from ..device.devices import MAX_IPUS_PER_PROCESS
from ..enums import ConnectionType, OutputMode
from ..machine_queries import check_target, uses_ipu_model
from ..trace.tracer import Tracer


def check_wrapping(options: Any, *, training: bool) -> None:
    """Refuse options that can never work for this kind of model."""
    if not training and options.Training.gradient_accumulation != 1:
        advice = ""
        if options._execution_strategy.is_pipelined:
            advice = (
                " Use poptorch.Options().deviceIterations to process a sufficient number of batches each run "
                "for pipelined execution instead."
            )
        raise py_error(
            "You must set poptorch.Options().Training.gradientAccumulation to 1 or leave it as its default "
            f"value (1) when running a poptorch.inferenceModel().{advice}"
        )


def check_batching(options: Any) -> None:
    """Refuse factors below 1, and a target that can not be compiled for."""
    check_target(options)
    factors = {
        "deviceIterations": options.device_iterations,
        "Training.gradientAccumulation": options.Training.gradient_accumulation,
        "replicationFactor": options.replication_factor,
    }
    for name, value in factors.items():
        if value < 1:
            raise py_error(f"poptorch.Options().{name} must be 1 or more, got {value}")


def check_graph(tracer: Tracer, options: Any, mutated_buffers: Set[str]) -> int:
    """Refuse what cannot be compiled; return the number of IPUs the executor needs."""
    _check_pipeline(tracer, options)
    _check_overlapped_io(tracer, options)
    _check_output_mode(tracer, options)
    if mutated_buffers and options.replication_factor > 1 and options.broadcast_buffers:
        raise cpp_error(
            "PopTorch does not support broadcasting buffers. If your model is able to tolerate buffers "
            "becoming out of sync between replicas, you can disable buffer broadcasting using "
            "poptorch.Options.broadcastBuffers(False). The forward writes into "
            f"{', '.join(sorted(mutated_buffers))} under replicationFactor {options.replication_factor}.",
            "poptorch_cpp_error",
        )
    _check_named_buffers(tracer, options)
    return _num_ipus(tracer.blocks.num_ipus * options.replication_factor, options)


def _check_named_buffers(tracer: Tracer, options: Any) -> None:
    for name in options._Popart.options.get("updatableNamedBuffers", ()):
        if name not in tracer.graph.state:
            raise cpp_error(f"updatableNamedBuffers: the model has no buffer {name} that its graph reads")


def _is_pipelined(tracer: Tracer, options: Any) -> bool:
    return bool(options._execution_strategy.is_pipelined) and tracer.blocks.num_stages > 1


def _check_pipeline(tracer: Tracer, options: Any) -> None:
    if not _is_pipelined(tracer, options):
        return
    stages = tracer.blocks.num_stages
    if tracer.training:
        needed, given = 2 * stages - 1, options.Training.gradient_accumulation
        name = "poptorch.Options().Training.gradientAccumulation"
        note = (
            f"Please note that a model with {stages} pipeline stages in PopTorch will have an additional "
            f"{stages - 1} stages when training. "
        )
    else:
        note = ""
        needed, given = stages, options.device_iterations
        name = "poptorch.Options().deviceIterations"
    if given < needed:
        raise cpp_error(
            f"{name} must be greater than or equal to the number of pipeline stages ({needed}) when using "
            f"poptorch.PipelinedExecution. {note}It is {given}.",
            "poptorch_cpp_error",
        )


def _check_overlapped_io(tracer: Tracer, options: Any) -> None:
    if not tracer.uses_overlapped_io:
        return
    if options._execution_strategy.is_pipelined:
        raise cpp_error(
            "Overlapped IO is not supported with poptorch.PipelinedExecution: use "
            "poptorch.ShardedExecution(), or remove set_overlap_for_input/output.",
            "poptorch_cpp_error",
        )
    if options.output_mode not in (OutputMode.All, OutputMode.Sum):
        raise cpp_error(
            "Overlapped IO needs output mode All or Sum: set poptorch.Options().outputMode.",
            "poptorch_cpp_error",
        )
    if not options.TensorLocations.exists("numIOTiles"):
        raise cpp_error(
            "No IO tiles allocated: overlapped IO needs poptorch.Options().TensorLocations.numIOTiles(n).",
            "poptorch_cpp_error",
        )


def _check_output_mode(tracer: Tracer, options: Any) -> None:
    if options.output_mode != OutputMode.EveryN:
        return
    period = options.output_return_period
    per_step = options.device_iterations * options.Training.gradient_accumulation
    if _is_pipelined(tracer, options):
        raise cpp_error(
            "EveryN output mode is not supported with PipelinedExecution: use OutputMode.All, Sum or Final."
        )
    if per_step % period:
        raise cpp_error(
            f"The output return period ({period}) must divide the number of batches per step ({per_step}): "
            "change the second argument of poptorch.Options().outputMode."
        )


def _num_ipus(needed: int, options: Any) -> int:
    rounded = 1 << (needed - 1).bit_length()
    if needed > MAX_IPUS_PER_PROCESS:
        raise cpp_error(
            f"Too many IPUs requested ({needed}): a process can use {MAX_IPUS_PER_PROCESS}. Use fewer "
            "replicas, or more processes.",
            "poptorch_cpp_error",
        )
    is_emulated = options.connection_type == ConnectionType.Never or uses_ipu_model(options)
    if rounded == needed or is_emulated:
        return needed  # only attaching to hardware asks for a power of two
    if not options.auto_round_num_ipus:
        raise cpp_error(
            f"The model specifies the use of {needed} IPUs, however PopTorch must reserve a minimum of "
            f"{rounded} in order to allow the model to run, because PopTorch must reserve a power of 2 or "
            "maximum of 64 IPUs per process. Please reconfigure your model to use a different number of IPUs "
            "or set poptorch.Options().autoRoundNumIPUs(True).",
            "poptorch_cpp_error",
        )
    logger.warning("%d IPUs needed: rounded up to %d", needed, rounded)
    return rounded
