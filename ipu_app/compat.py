"""The only file that asks which torch this is; everything else is written for torch 1.13 on Python 3.8."""

from __future__ import annotations

import contextlib
import inspect
import io
import warnings
from typing import Any, Callable, ContextManager, Dict

import torch


def compile_module(module: torch.nn.Module, **options: Any) -> torch.nn.Module:
    """Return ``torch.compile(module)``; refuse where this torch has no compiler (before 2.0)."""
    compiler = getattr(torch, "compile", None)
    if compiler is None:
        raise ValueError(f"device.compile=true: needs torch 2.0 or newer, this is {torch.__version__}")
    compiled: torch.nn.Module = compiler(module, **options)
    return compiled


def autocast(device_type: str, dtype: torch.dtype, enabled: bool) -> ContextManager[None]:
    """Return the autocast context of a device type; the constructor is the same from torch 1.10 on."""
    context: ContextManager[None] = torch.autocast(device_type=device_type, dtype=dtype, enabled=enabled)
    return context


def trace_module(module: torch.nn.Module, example: torch.Tensor) -> Any:
    """TorchScript of a module by tracing; newer torch deprecates it, and has nothing else that C++ loads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of sizes that become constants, which is what is wanted
        return torch.jit.trace(module, example)


def load_script(path: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """A TorchScript file as a function, run as it is: optimising it would take longer than a few calls."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        script = torch.jit.load(path)

    def run(images: torch.Tensor) -> torch.Tensor:
        with torch.jit.optimized_execution(False):
            output: torch.Tensor = script(images)
        return output

    return run


def export_onnx(
    module: torch.nn.Module, example: torch.Tensor, path: str, *, input_name: str, output_name: str
) -> None:
    """Write ONNX (opset 16) with a free batch size, by the exporter that every torch since 1.13 has."""
    options: Dict[str, Any] = {}
    if "dynamo" in inspect.signature(torch.onnx.export).parameters:  # since 2.5; the default since 2.9
        options["dynamo"] = False
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):  # torch 2.0 prints a banner
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (example,),
            path,
            input_names=[input_name],
            output_names=[output_name],
            dynamic_axes={input_name: {0: "batch"}, output_name: {0: "batch"}},
            opset_version=16,
            **options,
        )


def has_fused_sgd() -> bool:
    """Tell whether torch's SGD has a fused CUDA kernel (since 2.3)."""
    return "fused" in inspect.signature(torch.optim.SGD.__init__).parameters


def without_buffer_sync() -> Dict[str, bool]:
    """Return the option by which DistributedDataParallel leaves buffers alone; torch 2.13 renamed it."""
    options = inspect.signature(torch.nn.parallel.DistributedDataParallel.__init__).parameters
    return {"forward_sync_buffers" if "forward_sync_buffers" in options else "broadcast_buffers": False}
