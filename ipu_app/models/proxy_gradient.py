"""Moments of swish over a Gaussian proxy with the gradient written out by hand.

With c and s the proxy's centre and spread, y_k = swish(c + s x_k), m = sum_k w_k y_k and v = sum_k w_k (y_k -
m)^2, the derivatives of m and v in c and s are four sums over the nodes, found on the way; backward is left
with a few operations on vectors. Shapes: C channels, K nodes.
"""

from __future__ import annotations

from typing import Any, Tuple

import torch
from torch import Tensor

from ipu_app import compat


class SwishMoments(torch.autograd.Function):
    """(beta, gamma, proxy_beta, proxy_gamma (C,), nodes, weights (K,), eps) -> mean, 1/std (1, C, 1, 1)."""

    @staticmethod
    def forward(  # noqa: PLR0913 (an autograd function takes tensors one by one)
        ctx: Any,
        beta: Tensor,
        gamma: Tensor,
        proxy_beta: Tensor,
        proxy_gamma: Tensor,
        nodes: Tensor,
        weights: Tensor,
        eps: float,
    ) -> Tuple[Tensor, Tensor]:
        """Keep the derivatives (C, 2) in centre and spread of m, and half of those of v."""
        with compat.autocast(beta.device.type, torch.bfloat16, False):  # the sums need float32
            centre = torch.addcmul(beta, gamma, proxy_beta).unsqueeze(1)
            spread = torch.addcmul(gamma, gamma, proxy_gamma).unsqueeze(1)
            proxy = torch.addcmul(centre, spread, nodes)
            gate = torch.sigmoid(proxy)
            values = proxy * gate
            slope = torch.addcmul(gate, gate, proxy.sub_(values))  # of swish: g (1 + x (1 - g))
            mean = values.mv(weights)
            values.sub_(mean.unsqueeze(1))
            scale = (values * values).mv(weights).add_(eps).rsqrt_()
            columns = torch.stack((weights, weights * nodes), 1)
            mean_slopes, half_var_slopes = slope @ columns, slope.mul_(values) @ columns
        ctx.save_for_backward(gamma, proxy_beta, proxy_gamma, mean_slopes, half_var_slopes, scale)
        return mean.view(1, -1, 1, 1), scale.view(1, -1, 1, 1)

    @staticmethod
    def backward(ctx: Any, mean_grad: Tensor, scale_grad: Tensor) -> Tuple[Any, ...]:
        """d(v + eps)^-1/2 = -1/2 (v + eps)^-3/2 dv."""
        gamma, proxy_beta, proxy_gamma, mean_slopes, half_var_slopes, scale = ctx.saved_tensors
        var_grad = scale_grad.view(-1, 1) * scale.pow(3).unsqueeze(1)  # times -2, which the half takes up
        grads = torch.addcmul(mean_slopes * mean_grad.view(-1, 1), half_var_slopes, var_grad, value=-1)
        centre, spread = grads.unbind(1)
        gamma_grad = torch.addcmul(centre * proxy_beta, spread, 1 + proxy_gamma)
        return centre, gamma_grad, centre * gamma, spread * gamma, None, None, None
