"""From a geometry and the pipeline's settings to ``poptorch.Options``, for training and for inference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple

from ipu_app.config.pod_options import IpuConfig
from ipu_app.runtime.pod_settings import apply_common, apply_training
from ipu_app.runtime.poptorch_api import PopTorchApi
from pipelines.geometry import BatchGeometry
from pipelines.plan import PipelinePlan

# Keeps replicas bit-equal, so that their weights do not drift apart.
ENGINE_OPTIONS = {"target.deterministicWorkers": "portable"}


@dataclass(frozen=True)
class IpuSettings:
    """What the IPU options need besides plan and geometry; proportions are one for all IPUs or one each.

    ``private_buffers``: the model updates buffers (batch norm), so each replica keeps its own.
    """

    precision: str = "16.32"
    available_memory_proportion: Tuple[float, ...] = ()
    half_partials: bool = True
    dithering: bool = False
    offload_optimizer: bool = False
    stochastic_rounding: bool = False
    ipu_model: bool = False
    executable_cache: Optional[str] = None
    private_buffers: bool = False
    pod: IpuConfig = IpuConfig()
    instance: int = 0
    seed: int = 0


def training_options(
    api: PopTorchApi, plan: PipelinePlan, geometry: BatchGeometry, settings: IpuSettings
) -> Any:
    """Return options for training: outputs are summed, gradients are means over all micro-batches."""
    options = _common_options(api, plan, geometry, settings)
    poptorch = api.poptorch
    options.deviceIterations(geometry.device_iterations)
    options.Training.gradientAccumulation(geometry.accumulation)
    options.Training.accumulationAndReplicationReductionType(poptorch.ReductionType.Mean)
    options.outputMode(poptorch.OutputMode.Sum)
    if settings.offload_optimizer or settings.pod.optimizer_sharding:
        location = poptorch.TensorLocationSettings().useOnChipStorage(not settings.offload_optimizer)
        location.useReplicatedTensorSharding(settings.pod.optimizer_sharding)
        options.TensorLocations.setOptimizerLocation(location)
    apply_training(api, options, plan, settings.pod)
    return options


def inference_options(
    api: PopTorchApi, plan: PipelinePlan, geometry: BatchGeometry, settings: IpuSettings
) -> Any:
    """Return options for inference: every image's outputs come back."""
    options = _common_options(api, plan, geometry, settings)
    options.deviceIterations(geometry.device_iterations)
    options.outputMode(api.poptorch.OutputMode.All)
    return options


def _common_options(
    api: PopTorchApi, plan: PipelinePlan, geometry: BatchGeometry, settings: IpuSettings
) -> Any:
    options = _replicated(api, plan, geometry, settings)
    options.randomSeed(settings.seed)
    if settings.private_buffers:
        options.broadcastBuffers(False)
    if plan.schedule == "sequential":
        options.setExecutionStrategy(api.poptorch.ShardedExecution(api.poptorch.AutoStage.SameAsIpu))
    if settings.available_memory_proportion:
        options.setAvailableMemoryProportion(
            _proportions(settings.available_memory_proportion, plan.num_stages)
        )
    if settings.stochastic_rounding:
        options.Precision.enableStochasticRounding(True)
    if settings.precision != "32.32" and settings.half_partials:
        options._Popart.set("partialsTypeMatMuls", "half")
    convolution = _convolution_options(settings)
    if convolution:
        options._Popart.set("convolutionOptions", convolution)
    apply_common(api, options, settings.pod, ENGINE_OPTIONS)
    if settings.executable_cache:
        options.enableExecutableCaching(settings.executable_cache)
    if settings.ipu_model:
        options.useIpuModel(True)
    return options


def _replicated(api: PopTorchApi, plan: PipelinePlan, geometry: BatchGeometry, settings: IpuSettings) -> Any:
    """PopDist's options take the replicas from the launcher's environment and refuse to be told."""
    if api.popdist is not None and api.popdist.isPopdistEnvSet():
        import importlib

        popdist_poptorch = importlib.import_module("popdist.poptorch")
        return popdist_poptorch.Options(ipus_per_replica=plan.num_stages)
    options = api.poptorch.Options()
    options.replicationFactor(geometry.replicas)
    if geometry.instances > 1:
        options.Distributed.configureProcessId(settings.instance, geometry.instances)
    return options


def _proportions(values: Tuple[float, ...], num_ipus: int) -> Dict[str, float]:
    each = values if len(values) == num_ipus else values[:1] * num_ipus
    return {f"IPU{ipu}": value for ipu, value in enumerate(each)}


def _convolution_options(settings: IpuSettings) -> Dict[str, str]:
    """Partials and dithering share one dictionary: PopTorch's two setters would overwrite each other."""
    options = {}
    if settings.precision != "32.32" and settings.half_partials:
        options["partialsType"] = "half"
    if settings.dithering:
        options["enableConvDithering"] = "true"
    return options
