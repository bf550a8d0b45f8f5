"""Activations, plain and proxy-normalised (arXiv 2106.03743).

The proxy-normalised activation of a normalised x is, per channel, (act(gamma x + beta) - m) / sqrt(v + eps),
where m and v are mean and variance of act(gamma p + beta) over p ~ N(proxy_beta, (1 + proxy_gamma)^2).
Gradients reach the four parameters also through m and v.

To keep it cheap, the work is handed to the neighbours: gamma and beta go into the norm before (``affine``),
and a ``deferred`` activation leaves its (mean, 1/std) pair, ``moments()``, to what follows: to
squeeze-excite, to the next convolution's weights, or to the global mean.
"""

from __future__ import annotations

import contextlib
import math
from statistics import NormalDist
from typing import Any, Iterator, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import nn

from ipu_app.config.kinds import ACTIVATIONS, load
from ipu_app.models.network_spec import EfficientNetSpec
from ipu_app.models.proxy_gradient import SwishMoments


class Activation(nn.Module):
    """A plain activation: nothing to hand to the norm before it, nothing left to do after it."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name, self.function = name, ACTIVATIONS[name].load()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Elementwise."""
        return self.function(x)

    def affine(self) -> Tuple[torch.Tensor, ...]:
        """Weight and bias for the norm before: none, it has its own."""
        return ()

    def moments(self) -> Tuple[torch.Tensor, ...]:
        """What the next layer has to subtract and to multiply with: nothing."""
        return ()


def gauss_hermite(nodes: int) -> Tuple[np.ndarray, np.ndarray]:
    """Nodes and weights (float64) that integrate a polynomial times the standard normal density exactly."""
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    return points, weights / weights.sum()


def normal_quantiles(nodes: int) -> Tuple[np.ndarray, np.ndarray]:
    """Mid-point quantiles of the standard normal distribution, equally weighted: the original's rule."""
    points = [NormalDist().inv_cdf((i + 0.5) / nodes) for i in range(nodes)]
    return np.array(points), np.full(nodes, 1 / nodes)


class ProxyActivation(nn.Module):
    """An activation whose mean and scale are normalised by a Gaussian proxy of its input, by a sum over
    nodes.

    Parameters, shape (C,): beta, gamma, proxy_beta, proxy_gamma (offset from 1). The statistics are float32
    at least, also in a half-precision model. ``deferred``: the output is the bare activation, ``moments()``
    are left to the next layer.
    """

    def __init__(self, channels: int, *, name: str, nodes: Tuple[np.ndarray, np.ndarray], eps: float) -> None:
        super().__init__()
        self.name, self.function = name, ACTIVATIONS[name].load()
        self.eps = eps
        self.deferred = False
        self.given: Optional[Tuple[torch.Tensor, torch.Tensor]] = None
        self.beta = nn.Parameter(torch.zeros(channels))
        self.gamma = nn.Parameter(torch.ones(channels))
        self.proxy_beta = nn.Parameter(torch.zeros(channels))
        self.proxy_gamma = nn.Parameter(torch.zeros(channels))
        self._rule = nodes
        # Buffers, because PopTorch leaves plain tensor attributes on the CPU; fixed by the spec, so not saved
        self.register_buffer("nodes", torch.empty(0), persistent=False)
        self.register_buffer("weights", torch.empty(0), persistent=False)
        self._set_nodes(torch.device("cpu"), torch.float32)

    def _set_nodes(self, device: torch.device, dtype: torch.dtype) -> None:
        self.nodes, self.weights = (torch.tensor(values, dtype=dtype, device=device) for values in self._rule)

    def _apply(self, fn: Any, *args: Any, **kwargs: Any) -> ProxyActivation:
        """Module-wide casts: the nodes stay in float32 under ``half()`` and are exact under ``double()``.

        Where no cast changes them they stay the tensors that ``fn`` gave: PopTorch knows those by name.
        """
        before = self.nodes.dtype
        super()._apply(fn, *args, **kwargs)
        if self.nodes.dtype != before:
            self._set_nodes(self.nodes.device, torch.promote_types(self.nodes.dtype, torch.float32))
        return self

    def affine(self) -> Tuple[torch.Tensor, torch.Tensor]:
        """Weight and bias for the norm before the activation."""
        return self.gamma, self.beta

    def statistics(self, *params: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        """Mean and variance of the activation over the proxy, shape (C,), float32 at least.

        ``params`` (beta, gamma, proxy_beta, proxy_gamma) take the place of the module's own.
        """
        beta, gamma, proxy_beta, proxy_gamma = (p.to(self.nodes.dtype) for p in params or self.proxy_params)
        centre = torch.addcmul(beta, gamma, proxy_beta).unsqueeze(1)
        spread = torch.addcmul(gamma, gamma, proxy_gamma).unsqueeze(1)
        values = self.function(torch.addcmul(centre, spread, self.nodes))
        mean = (values * self.weights).sum(1, keepdim=True)
        centred = values - mean
        var = (centred * centred * self.weights).sum(1)
        return mean.squeeze(1), var

    def moments(self) -> Tuple[torch.Tensor, torch.Tensor]:
        """The mean to subtract and then 1/std to multiply with, shape (1, C, 1, 1)."""
        if self.given is not None:
            return self.given
        return self.moments_of(*self.statistics())

    def moments_of(self, mean: torch.Tensor, var: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        """From statistics, shape (C,), to ``moments``."""
        return mean.reshape(1, -1, 1, 1), (var + self.eps).rsqrt().reshape(1, -1, 1, 1)

    @property
    def proxy_params(self) -> Tuple[torch.Tensor, ...]:
        """What the statistics depend on."""
        return self.beta, self.gamma, self.proxy_beta, self.proxy_gamma

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of an x to which gamma and beta have been applied."""
        y = self.function(x)
        if self.deferred:
            return y
        mean, scale = self.moments()
        return torch.addcmul((-mean * scale).to(y.dtype), y, scale.to(y.dtype))


class ProxyRelu(ProxyActivation):
    """ReLU with the closed form of its Gaussian moments: quadrature converges only as 1/nodes at the kink."""

    def statistics(self, *params: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        """As of any proxy activation."""
        beta, gamma, proxy_beta, proxy_gamma = (p.to(self.nodes.dtype) for p in params or self.proxy_params)
        centre = gamma * proxy_beta + beta
        spread = (gamma * (1 + proxy_gamma)).abs().clamp_min(1e-6)
        ratio = centre / spread
        above = 0.5 * (1 + torch.erf(ratio * math.sqrt(0.5)))
        density = torch.exp(-0.5 * ratio.square()) * (spread / math.sqrt(2 * math.pi))
        mean = centre * above + density
        square = (centre.square() + spread.square()) * above + centre * density
        return mean, (square - mean.square()).clamp_min(0.0)


@contextlib.contextmanager
def shared_moments(activations: Sequence[ProxyActivation]) -> Iterator[None]:
    """Give all activations of one network their moments, worked out at once: a few operations on long vectors
    in the place of many on short ones, with the same result. Only where no pipeline parts them.
    """
    if not activations:
        yield
        return
    first = activations[0]
    joined = [torch.cat(params) for params in zip(*(each.proxy_params for each in activations))]
    sizes = [each.beta.numel() for each in activations]
    if first.name == "swish":
        joined = [params.to(first.nodes.dtype) for params in joined]
        mean, scale = SwishMoments.apply(*joined, first.nodes, first.weights, first.eps)
    else:
        mean, scale = first.moments_of(*first.statistics(*joined))
    for each, *given in zip(activations, mean.split(sizes, 1), scale.split(sizes, 1)):
        each.given = tuple(given)
    try:
        yield
    finally:
        for each in activations:
            each.given = None


def make_activation(spec: EfficientNetSpec, channels: int) -> nn.Module:
    """The spec's activation for ``channels``."""
    if not spec.has_proxy_norm:
        return Activation(spec.activation)
    quadrature = spec.proxy_rule == "quadrature"
    nodes = gauss_hermite(spec.proxy_nodes) if quadrature else normal_quantiles(200)
    closed = ACTIVATIONS[spec.activation].proxy if quadrature else ""
    kind = load(closed) if closed else ProxyActivation
    made: nn.Module = kind(channels, name=spec.activation, nodes=nodes, eps=spec.proxy_eps)
    return made
