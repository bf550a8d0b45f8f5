"""Batch, group and layer norm with the method's conventions, safe to trace with PopTorch.

Every norm takes ``forward(x, weight=None, bias=None)``: a proxy-normalised activation that follows hands its
own gamma and beta in, so that they cost nothing extra. Shapes: x (N, C, H, W); weight, bias (C,).
"""

from __future__ import annotations

from typing import Optional

import torch
import torch.nn.functional as F
from torch import nn

from ipu_app.config.kinds import NORMS
from ipu_app.models.network_spec import EfficientNetSpec

NUM_GROUPS = 4  # of the paper's group norm; fewer where there are fewer channels


class Norm(nn.Module):
    """Holds the affine: ``full`` (weight, bias), ``scale`` (weight; the bias is a constant 0) or ``none``."""

    def __init__(self, channels: int, *, affine: str, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.register_parameter("weight", None if affine == "none" else nn.Parameter(torch.ones(channels)))
        self.register_parameter("bias", nn.Parameter(torch.zeros(channels)) if affine == "full" else None)

    def forward(
        self, x: torch.Tensor, weight: Optional[torch.Tensor] = None, bias: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """Normalised x times weight plus bias; those given take the place of the module's own."""
        if weight is None:
            weight, bias = self.weight, self.bias
        if weight is not None and bias is None:
            bias = torch.zeros_like(
                weight, device=weight.device
            )  # PopTorch refuses a norm that has one of the two
        return self.normalise(x, weight, bias)

    def normalise(self, x: torch.Tensor, weight: torch.Tensor, bias: Optional[torch.Tensor]) -> torch.Tensor:
        """What each kind of norm defines."""
        raise NotImplementedError


class BatchNorm(Norm):
    """Batch norm whose moving variance takes the biased batch variance, as TensorFlow's does (PyTorch's:
    unbiased).

    ``momentum`` is the weight of one optimiser step in the moving averages. The statistics are those of one
    micro-batch on one replica, so the averages move ``updates_per_step`` times in a step: each of these
    moves is made smaller so that the step's total weight stays ``momentum`` (see
    :func:`set_updates_per_step`). With ``frozen`` it is in training what it is in evaluation (see
    :func:`freeze_statistics`). ``separate`` works the statistics for the moving averages out apart from the
    norm (see :func:`separate_statistics`).
    """

    def __init__(self, channels: int, *, affine: str, eps: float, momentum: float) -> None:
        super().__init__(channels, affine=affine, eps=eps)
        self.momentum = momentum
        self.updates_per_step = 1
        self.frozen = self.separate = False
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def normalise(self, x: torch.Tensor, weight: torch.Tensor, bias: Optional[torch.Tensor]) -> torch.Tensor:
        """Over (N, H, W): with the batch's statistics in training, with the moving averages otherwise."""
        mean, var = self.running_mean, self.running_var
        if self.frozen or not self.training:
            return F.batch_norm(x, mean, var, weight, bias, False, 0.0, self.eps)
        move = 1 - (1 - self.momentum) ** (1 / self.updates_per_step)
        if self.separate:
            self._move_averages(x, move)
            return F.batch_norm(x, None, None, weight, bias, True, 0.0, self.eps)
        count = x.shape[0] * x.shape[2] * x.shape[3]
        # becomes move * var * n / (n - 1): PyTorch's averages take the unbiased variance
        share = torch.zeros_like(var, device=var.device)
        y = F.batch_norm(x, mean, share, weight, bias, True, move, self.eps)
        with torch.no_grad():
            var.mul_(1 - move).add_(share, alpha=(count - 1) / count)
        return y

    def _move_averages(self, x: torch.Tensor, move: float) -> None:
        with torch.no_grad():
            wide = x.to(self.running_mean.dtype)
            mean = wide.mean((0, 2, 3))
            var = (wide * wide).mean((0, 2, 3)) - mean * mean
            self.running_mean.mul_(1 - move).add_(mean, alpha=move)
            self.running_var.mul_(1 - move).add_(var, alpha=move)


class GroupNorm(Norm):
    """Group norm over contiguous runs of channels; with one group it is layer norm over (C, H, W).

    ``written_out`` computes it by plain operations (see :func:`write_norms_out`).
    """

    def __init__(self, channels: int, *, groups: int, affine: str, eps: float) -> None:
        super().__init__(channels, affine=affine, eps=eps)
        self.groups = min(channels, groups)
        self.written_out = False
        self.strided_by_device = False

    def normalise(self, x: torch.Tensor, weight: torch.Tensor, bias: Optional[torch.Tensor]) -> torch.Tensor:
        """Statistics per sample and group, biased variance."""
        if self.written_out:
            return self.write_out(x, weight, bias, group_axis=1)
        return F.group_norm(x, self.groups, weight, bias, self.eps)

    def write_out(
        self,
        x: torch.Tensor,
        weight: Optional[torch.Tensor],
        bias: Optional[torch.Tensor],
        *,
        group_axis: int,
    ) -> torch.Tensor:
        """By plain operations, in float32 at least.

        Channels are (groups, C / groups) for a ``group_axis`` of 1 and (C / groups, groups) for one of 2.
        """
        n, c, h, w = x.shape
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        inner = c // self.groups
        sizes = [self.groups, inner] if group_axis == 1 else [inner, self.groups]
        split = wide.reshape(n, *sizes, h * w)
        mean = split.mean((3 - group_axis, 3), keepdim=True)
        var = (split - mean).square().mean((3 - group_axis, 3), keepdim=True)
        scale = (var + self.eps).rsqrt().expand(n, *sizes, 1).reshape(n, c, 1, 1)
        mean = mean.expand(n, *sizes, 1).reshape(n, c, 1, 1)
        if weight is not None:
            scale = scale * weight.to(wide.dtype).reshape(1, c, 1, 1)
        shift = -mean * scale
        if bias is not None:
            shift = shift + bias.to(wide.dtype).reshape(1, c, 1, 1)
        return torch.addcmul(shift, wide, scale).to(x.dtype)


class StridedGroupNorm(GroupNorm):
    """Group norm with channel c in group c % groups, as the IPU's fast group norm has it.

    Written out without permuting channels, so that it is the same function on every device and with every
    PopTorch option.
    """

    def normalise(self, x: torch.Tensor, weight: torch.Tensor, bias: Optional[torch.Tensor]) -> torch.Tensor:
        """Statistics per sample and group, biased variance; some devices make strided groups themselves."""
        if self.strided_by_device:
            return F.group_norm(x, self.groups, weight, bias, self.eps)
        return self.write_out(x, weight, bias, group_axis=2)


def make_norm(spec: EfficientNetSpec, channels: int, *, affine: str) -> Norm:
    """The spec's norm for ``channels``; ``affine`` as in :class:`Norm`."""
    norm: Norm = NORMS[spec.norm].load()(spec, channels, affine)
    return norm


def batch_norm(spec: EfficientNetSpec, channels: int, affine: str) -> Norm:
    """Batch norm with the spec's momentum."""
    return BatchNorm(channels, affine=affine, eps=spec.norm_eps, momentum=spec.bn_momentum)


def group_norm(spec: EfficientNetSpec, channels: int, affine: str) -> Norm:
    """Group norm in the paper's number of groups, which are contiguous or strided."""
    kind = StridedGroupNorm if spec.norm_grouping == "strided" else GroupNorm
    return kind(channels, groups=NUM_GROUPS, affine=affine, eps=spec.norm_eps)


def layer_norm(spec: EfficientNetSpec, channels: int, affine: str) -> Norm:
    """Layer norm, over channels and pixels: a single group."""
    return GroupNorm(channels, groups=1, affine=affine, eps=spec.norm_eps)


def set_updates_per_step(model: nn.Module, updates_per_step: int) -> None:
    """Tell every batch norm how many micro-batches a replica sees between two weight updates (accumulation).

    Call it before training; the moving averages then forget at the same rate per optimiser step whatever the
    accumulation is. No effect on models without batch norm.
    """
    if updates_per_step < 1:
        raise ValueError(f"updates_per_step={updates_per_step}: must be 1 or more")
    for module in model.modules():
        if isinstance(module, BatchNorm):
            module.updates_per_step = updates_per_step


def separate_statistics(module: nn.Module) -> None:
    """Make every batch norm find the statistics for its moving averages by operations of its own.

    For IPUs: PopTorch updates running statistics that are buffers, but a tensor of the graph in their place
    stays what it was, and PyTorch's unbiased variance could not be corrected.
    """
    for norm in module.modules():
        if isinstance(norm, BatchNorm):
            norm.separate = True


def write_norms_out(module: nn.Module) -> None:
    """Have every group and layer norm computed by plain operations, for ``torch.compile`` to fuse.

    What it makes of PyTorch's own operator takes twice as long on CPUs (B0's third stage, torch 2.15).
    """
    for norm in module.modules():
        if isinstance(norm, GroupNorm):
            norm.written_out = True


def freeze_statistics(module: nn.Module) -> None:
    """Make every batch norm in a module that does not learn use its moving averages, and keep them.

    Not by ``eval()``, which the next ``train()`` of the whole network would undo.
    """
    for norm in module.modules():
        if isinstance(norm, BatchNorm):
            norm.frozen = True
