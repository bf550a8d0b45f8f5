"""Which types may meet in an operation: torch 2.0.1's own checks, and what PopTorch makes of the rest.

Every version of torch is held to these, because PopTorch 3.4 runs on 2.0.1. The checks are those of
``aten/src/ATen/native`` (Convolution.cpp: the bias of conv2d; LinearAlgebra.cpp: addmm; Activation.cpp:
prelu); other products take the type of one operand, to which PopTorch casts the others. Convolutions and
norms cast weights and biases to the input's type (popart_canonicalization/ConvolutionOps.cpp,
NormalizationOps.cpp), and element-wise operations promote as torch does (ImplicitCasting.cpp).
"""

from __future__ import annotations

from typing import Any, Dict, Tuple

import torch
from torch import Tensor

from .tracer import Tracer, short_name

#: the position of the operand whose type a product has
RESULT_TYPE_OF: Dict[str, int] = {"mm": 0, "bmm": 1, "mv": 1, "dot": 0, "vdot": 0, "addmv": 2, "baddbmm": 2}
_CPP_NAMES = {torch.float16: "c10::Half", torch.float32: "float", torch.bfloat16: "c10::BFloat16"}


def mixed_types(tracer: Tracer, message: str, remedy: str) -> RuntimeError:
    """torch's own exception, with the module and what to do."""
    return RuntimeError(f"{message} (in '{tracer.paths.current or 'the model'}'): {remedy}")


def check_conv2d(tracer: Tracer, source: Tensor, bias: Any) -> None:
    """A two-dimensional convolution wants its bias in the type of its input."""
    if isinstance(bias, Tensor) and bias.dtype != source.dtype:
        raise mixed_types(
            tracer,
            f"Input type ({_cpp_name(source.dtype)}) and bias type ({_cpp_name(bias.dtype)}) should be the "
            "same",
            "cast the bias to the input's type, F.conv2d(x, weight, bias.to(x.dtype)), or make the whole "
            "model half",
        )


def check_addmm(tracer: Tracer, args: Tuple[Any, ...]) -> None:
    """What a product with an addend (a Linear with bias on rows) wants of its operands."""
    added, rows, matrix = args[:3]
    remedy = "cast the rows to the weight's type, linear(x.to(linear.weight.dtype)), or the model to half"
    if added.dtype != matrix.dtype:
        raise mixed_types(tracer, "self and mat2 must have the same dtype", remedy)
    if rows.dtype != matrix.dtype:
        raise mixed_types(tracer, "mat1 and mat2 must have the same dtype", remedy)


def check_prelu(tracer: Tracer, source: Tensor, weight: Tensor) -> None:
    """A PReLU promotes no types."""
    if source.dtype != weight.dtype:
        raise mixed_types(
            tracer,
            "prelu: Type promoting not supported. Got "
            f"{short_name(source.dtype)} and {short_name(weight.dtype)}",
            "cast the weight to the input's type",
        )


def _cpp_name(dtype: torch.dtype) -> str:
    return _CPP_NAMES.get(dtype, str(dtype).replace("torch.", ""))
