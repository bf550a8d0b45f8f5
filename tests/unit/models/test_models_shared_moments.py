"""All proxy statistics at once are the same as one activation after the other, gradients included."""

from __future__ import annotations

import copy
from typing import Dict, Tuple

import pytest
import torch

from ipu_app import compat
from ipu_app.models.efficientnet import EfficientNet
from ipu_app.models.proxy import ProxyActivation, gauss_hermite, shared_moments
from ipu_app.models.spec import make_spec


def logits_and_grads(
    model: EfficientNet, images: torch.Tensor
) -> Tuple[torch.Tensor, Dict[str, torch.Tensor]]:
    torch.manual_seed(3)  # dropout and drop connect
    logits = model(images)
    logits.square().sum().backward()
    return logits.detach(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    "activation, rule", [("swish", "quadrature"), ("swish", "quantile200"), ("relu", "quadrature")]
)
def test_same_outputs_and_gradients(activation: str, rule: str) -> None:
    torch.manual_seed(0)
    spec = make_spec("cifar", group_size=16, norm="ln_pn", activation=activation, proxy_rule=rule)
    one_by_one = EfficientNet(spec).double()
    for activation_module in one_by_one.modules():
        if isinstance(activation_module, ProxyActivation):
            for parameter in activation_module.parameters():
                torch.nn.init.normal_(parameter, 0.5, 0.2)
    at_once = copy.deepcopy(one_by_one)
    at_once.shares_moments = True
    images = torch.randn(2, 3, 32, 32, dtype=torch.double)
    expected, expected_grads = logits_and_grads(one_by_one, images)
    found, grads = logits_and_grads(at_once, images)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    assert grads.keys() == expected_grads.keys() and len(grads) > 100
    for name, grad in expected_grads.items():
        torch.testing.assert_close(grads[name], grad, rtol=1e-7, atol=1e-10, msg=name)


def test_nothing_is_kept_and_no_proxy_is_no_matter() -> None:
    model = EfficientNet(make_spec("cifar", group_size=16, norm="gn_pn"))
    model.shares_moments = True
    model(torch.randn(1, 3, 32, 32))
    assert all(each.given is None for each in model.modules() if isinstance(each, ProxyActivation))
    plain = EfficientNet(make_spec("cifar", group_size=1, norm="bn"))
    plain.shares_moments = True
    assert plain(torch.randn(2, 3, 32, 32)).shape == (2, 10)


def test_autocast_leaves_the_moments_in_float32() -> None:
    torch.manual_seed(0)
    activations = [ProxyActivation(40, name="swish", nodes=gauss_hermite(32), eps=0.03) for _ in range(3)]
    for parameter in (each for activation in activations for each in activation.parameters()):
        torch.nn.init.normal_(parameter, 0.5, 0.2)
    expected = [activation.moments() for activation in activations]
    with compat.autocast("cpu", torch.bfloat16, True), shared_moments(activations):
        for activation, moments in zip(activations, expected):
            for found, plain in zip(activation.moments(), moments):
                assert found.dtype == torch.float32
                torch.testing.assert_close(found, plain, rtol=1e-5, atol=1e-6)
