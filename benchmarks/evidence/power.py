"""Where the power of normalised activations sits, layer by layer, in networks that nobody has trained.

The measure is the power decomposition of the Proxy Norm paper (arXiv 2106.03743, section 3 and figure 2). Of
a normalised pre-activation y (N, C, H, W), before the norm's own scale and shift, each channel's mean square
is split into four parts:

* ``channel``: the square of its mean over images and pixels. All of it there: each channel is a constant.
* ``instance``: the variance, over images, of the mean over an image's pixels.
* ``spread``: the square of the mean, over images, of an image's standard deviation.
* ``spread_varies``: the variance, over images, of that standard deviation.

The parts are summed over channels and divided by the sum of all mean squares, so that they add up to 1. Batch
and instance norm have a ``channel`` share of 0 by construction, instance norm an ``instance`` share of 0 too.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Tuple

import torch
from torch import Tensor, nn

from ipu_app.data.datasets import open_dataset
from ipu_app.data.transforms import Preprocess
from ipu_app.models.efficientnet import EfficientNet
from ipu_app.models.norms import GroupNorm, Norm, make_norm
from ipu_app.models.proxy import make_activation
from ipu_app.models.spec import EfficientNetSpec, make_spec

NORMS = ("bn", "gn", "ln", "in", "ln_pn")  # "in", instance norm: group norm with one channel in a group
PARTS = ("channel", "instance", "spread", "spread_varies")
AFFINE_STD = 0.2  # of the random scales (around 1) and shifts (around 0) in the paper's figure


@dataclass(frozen=True)
class PowerCase:
    """One network at its start: ``net`` is ``random`` (a plain stack of ``depth`` layers) or a model's name.

    ``images`` of ``resolution`` pixels are one batch; ``width`` channels, of the random network only.
    """

    net: str
    norm: str
    seed: int
    images: int
    resolution: int
    depth: int = 0
    width: int = 0


def power_shares(y: Tensor) -> Dict[str, float]:
    """Return the four shares (see the module) of activations y (N, C, H, W); they add up to 1."""
    wide = y.detach().double()
    means = wide.mean((2, 3))
    stds = (wide - means[:, :, None, None]).square().mean((2, 3)).sqrt()
    powers = (
        means.mean(0).square().sum(),
        means.var(0, unbiased=False).sum(),
        stds.mean(0).square().sum(),
        stds.var(0, unbiased=False).sum(),
    )
    total = float(sum(powers))
    assert total > 0, "activations that are 0 everywhere have no shares"
    return {name: float(power) / total for name, power in zip(PARTS, powers)}


def measure_power(case: PowerCase) -> List[Dict[str, float]]:
    """Return the shares at every norm of the network, in order of execution."""
    images = digits(case.images, case.resolution)
    torch.manual_seed(case.seed)
    with torch.no_grad():
        if case.net == "random":
            return _random_network(case, images)
        return _efficientnet(case, images)


def digits(count: int, resolution: int) -> Tensor:
    """Return a fixed choice of ``count`` training images, standardised: mean 0, standard deviation 1.

    Standardised over this very batch, so that nothing of the first layer's constants comes from the data.
    """
    dataset = open_dataset(None, "train", Preprocess(resolution), limit=count)
    images = torch.stack([dataset[key][0] for key in range(len(dataset))]).float()
    return (images - images.mean()) / images.std()


def _spec(case: PowerCase, **options: Any) -> EfficientNetSpec:
    """The spec whose norms and activations a case uses, with groups of 16 as in the paper's half of runs."""
    name = "b0" if case.net == "random" else case.net
    return make_spec(name, group_size=16, norm="ln" if case.norm == "in" else case.norm, **options)


def make_power_norm(norm: str, spec: EfficientNetSpec, channels: int) -> Norm:
    """Return this project's norm of that name; instance norm as group norm with one channel in a group."""
    if norm == "in":
        return GroupNorm(channels, groups=channels, affine="none", eps=spec.norm_eps)
    return make_norm(spec, channels, affine="none")


def _random_network(case: PowerCase, images: Tensor) -> List[Dict[str, float]]:
    """The paper's random network: convolution, norm, random scale and shift, ReLU, (proxy norm), again.

    3 x 3 convolutions with periodic borders, all of one width; no skips, no strides.
    """
    spec = _spec(case, activation="relu")
    x, shares = images, []
    for _ in range(case.depth):
        conv = nn.Conv2d(x.shape[1], case.width, 3, padding=1, padding_mode="circular", bias=False)
        nn.init.normal_(conv.weight, std=(2 / (9 * x.shape[1])) ** 0.5)
        scale = torch.randn(case.width) * AFFINE_STD + 1
        shift = torch.randn(case.width) * AFFINE_STD
        norm, act = make_power_norm(case.norm, spec, case.width), make_activation(spec, case.width)
        y = norm(conv(x), torch.ones(case.width), torch.zeros(case.width))
        shares.append(power_shares(y))
        if spec.has_proxy_norm:
            act.gamma.copy_(scale)
            act.beta.copy_(shift)
        x = act(y * scale.reshape(1, -1, 1, 1) + shift.reshape(1, -1, 1, 1))
    return shares


def _efficientnet(case: PowerCase, images: Tensor) -> List[Dict[str, float]]:
    """The model as it starts, where all scales are 1 and all shifts 0; drop-connect off."""
    model = EfficientNet(_spec(case, drop_connect=0.0, dropout=0.0)).train()
    if case.norm == "in":
        for module in model.modules():
            if isinstance(module, GroupNorm):
                module.groups = module.weight.shape[0]
    return hooked_shares(model, images)


def hooked_shares(model: nn.Module, images: Tensor) -> List[Dict[str, float]]:
    """Return the shares of what every norm of a model puts out, in order of execution."""
    shares: List[Dict[str, float]] = []

    def record(module: nn.Module, inputs: Tuple[Any, ...], output: Tensor) -> None:
        shares.append(power_shares(output))

    with hooks_on_norms(model, record):
        model(images)
    return shares


@contextmanager
def hooks_on_norms(model: nn.Module, record: Any) -> Iterator[None]:
    """Call ``record`` after each norm inside the context."""
    handles = [m.register_forward_hook(record) for m in model.modules() if isinstance(m, Norm)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
