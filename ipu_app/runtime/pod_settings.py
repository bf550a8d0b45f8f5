"""The ``ipu`` section's options on ``poptorch.Options``: what each reaches in PopTorch and PopART."""

from __future__ import annotations

from typing import Any, Dict, Mapping

from ipu_app.config.pod_options import IpuConfig
from ipu_app.runtime.poptorch_api import PopTorchApi
from pipelines.plan import PipelinePlan

# popart.RecomputationType and popart.AccumulateOuterFragmentSchedule, by number as PopTorch passes them on
NO_RECOMPUTATION, STANDARD, RECOMPUTE_ALL = 0, 1, 4
OVERLAP_MEMORY_OPTIMIZED = 3
_EXCHANGE = "opt.internalExchangeOptimisationTarget"


def apply_common(api: PopTorchApi, options: Any, pod: IpuConfig, engine: Mapping[str, str]) -> None:
    """Set what training and inference share; ``engine`` are the engine options that are always set."""
    poptorch, popart = api.poptorch, options._Popart
    if pod.io_tiles:
        options.setExecutionStrategy(poptorch.ShardedExecution())
        options.TensorLocations.numIOTiles(pod.io_tiles)
    if pod.prefetch_depth is not None:
        popart.set("defaultPrefetchBufferingDepth", pod.prefetch_depth)
    if pod.fast_group_norm:
        popart.set("groupNormStridedChannelGrouping", True)
    if pod.stable_norm is not None:
        options.enableStableNorm(pod.stable_norm)
    if pod.float_exceptions:
        options.Precision.enableFloatingPointExceptions(True)
    if pod.offline_version is not None:
        options.useOfflineIpuTarget(pod.offline_version)
    chosen: Dict[str, str] = dict(engine)
    if pod.exchange_target is not None:
        chosen[_EXCHANGE] = pod.exchange_target
    chosen.update(pod.engine_options)
    popart.setEngineOptions(chosen)
    if pod.profile is not None:
        options.enableProfiling(pod.profile)
    for key, value in pod.popart_options.items():
        popart.set(key, value)


def apply_training(api: PopTorchApi, options: Any, plan: PipelinePlan, pod: IpuConfig) -> None:
    """Set what only training has: recomputation, loss scaling, the gradients' collectives."""
    popart = options._Popart
    if pod.auto_loss_scale:
        options.Training.setAutomaticLossScaling(True)
    if pod.recompute == "off" or (plan.num_stages > 1 and not plan.recompute):
        popart.set("autoRecomputation", NO_RECOMPUTATION)
    elif plan.num_stages == 1 and (pod.recompute == "standard" or pod.checkpoints):
        popart.set("explicitRecomputation", True)
        popart.set("autoRecomputation", STANDARD if pod.recompute == "standard" else RECOMPUTE_ALL)
    if pod.merge_collectives:
        popart.set("accumulateOuterFragmentSettings.schedule", OVERLAP_MEMORY_OPTIMIZED)
        popart.set("replicatedCollectivesSettings.prepareScheduleForMergingCollectives", True)
        popart.set("replicatedCollectivesSettings.mergeAllReduceCollectives", True)
