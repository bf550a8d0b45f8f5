"""What a phase tells its runtime about the device, and how the device is called before it is made ready."""

from __future__ import annotations

from typing import Optional

from ipu_app.config.kinds import NORMS
from ipu_app.config.schema import PhaseConfig, RunConfig
from ipu_app.runtime.base import RuntimeInfo
from ipu_app.runtime.device_memory import settle_autocast
from ipu_app.runtime.ipu_options import IpuSettings
from ipu_app.runtime.ipu_runtime import describe_ipu
from ipu_app.runtime.poptorch_api import PopTorchApi
from ipu_app.runtime.torch_runtime import TorchSettings, describe_torch
from ipu_app.settling.phase_estimates import phase_plan
from pipelines.geometry import BatchGeometry


def torch_settings(config: RunConfig, phase: PhaseConfig, device: str) -> TorchSettings:
    """Return the settings of a phase's runtime on CPU or CUDA."""
    section = config.device
    return TorchSettings(
        device=device,
        autocast=settle_autocast(section.autocast, device),
        channels_last=section.channels_last,
        compile=section.compile,
        nonfinite=phase.optimizer.nonfinite,
        auto_loss_scale=phase.optimizer.loss_scaling == "auto",
    )


def ipu_settings(config: RunConfig, phase: PhaseConfig, *, instance: int = 0) -> IpuSettings:
    """Return the settings of a phase's runtime on IPUs; ``instance`` is this process's number in the job."""
    section, pipeline = config.device, phase.pipeline
    return IpuSettings(
        precision=pipeline.precision,
        available_memory_proportion=pipeline.available_memory_proportion,
        half_partials=pipeline.half_partials,
        dithering=pipeline.dithering,
        offload_optimizer=pipeline.offload_optimizer,
        stochastic_rounding=pipeline.stochastic_rounding,
        ipu_model=section.ipu_model,
        executable_cache=section.executable_cache,
        pod=config.ipu,
        private_buffers=NORMS[config.model.norm].per_batch,
        instance=instance,
        seed=config.seed,
    )


def describe_device(
    config: RunConfig, phase: PhaseConfig, geometry: BatchGeometry, device: str, api: Optional[PopTorchApi]
) -> RuntimeInfo:
    """Return what the phase's runtime will say it is; ``api`` is PopTorch, for IPUs."""
    if api is None:
        return describe_torch(torch_settings(config, phase, device), geometry)
    return describe_ipu(api, phase_plan(phase), geometry, ipu_settings(config, phase))
