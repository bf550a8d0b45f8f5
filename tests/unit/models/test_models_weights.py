"""Weights of torchvision and timm mean the same function here, and come back unchanged."""

from __future__ import annotations

import pytest
import torch

from ipu_app.models.efficientnet import EfficientNet
from ipu_app.models.foreign_weights import export_weights, identify_weights, load_weights, published_spec
from ipu_app.models.spec import make_spec

LARGE = [pytest.param(f"b{size}", marks=pytest.mark.slow) for size in range(2, 8)]
SIZES = ["b0", "b1", *LARGE]
SLOW = pytest.mark.slow
SECOND = [  # version 2: which families have which sizes
    ("v2-s", "torchvision"),
    pytest.param("v2-m", "torchvision", marks=SLOW),
    pytest.param("v2-l", "torchvision", marks=SLOW),
    ("v2-b0", "timm_tf"),
    pytest.param("v2-b1", "timm_tf", marks=SLOW),
    pytest.param("v2-b2", "timm_tf", marks=SLOW),
    ("v2-b3", "timm_tf"),
    pytest.param("v2-s", "timm_tf", marks=SLOW),
    pytest.param("v2-m", "timm_tf", marks=SLOW),
    pytest.param("v2-l", "timm_tf", marks=SLOW),
    pytest.param("v2-xl", "timm_tf", marks=SLOW),
]


def theirs(name, family, **options):
    if name.startswith("v2-"):
        return theirs_v2(name[3:], family, **options)
    if family == "torchvision":
        models = pytest.importorskip("torchvision.models")
        return getattr(models, f"efficientnet_{name}")(weights=None, **options)
    timm = pytest.importorskip("timm")
    prefix = "tf_" if family == "timm_tf" else ""
    return timm.create_model(f"{prefix}efficientnet_{name}", pretrained=False, **options)


def theirs_v2(size, family, **options):
    if family == "torchvision":
        models = pytest.importorskip("torchvision.models")
        if not hasattr(models, "efficientnet_v2_s"):
            pytest.skip("this torchvision has no EfficientNetV2")
        return getattr(models, f"efficientnet_v2_{size}")(weights=None, **options)
    timm = pytest.importorskip("timm")
    return timm.create_model(f"tf_efficientnetv2_{size}", pretrained=False, **options)


def lively(model):
    """Random norms and statistics, so that nothing is hidden by ones and zeros."""
    generator = torch.Generator().manual_seed(1)
    for name, value in model.state_dict().items():
        if value.ndim == 1 and value.is_floating_point():
            noise = torch.rand(value.shape, generator=generator)
            value.copy_(0.75 + 0.5 * noise if name.endswith(("weight", "running_var")) else 0.2 * noise - 0.1)
    return model.eval()


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("family", ["torchvision", "timm", "timm_tf"])
@torch.no_grad()
def test_logits_are_theirs_and_weights_come_back(name, family):
    torch.manual_seed(0)
    reference = lively(theirs(name, family, num_classes=7))
    ours = EfficientNet(published_spec(name, family, num_classes=7)).eval()
    state = reference.state_dict()
    load_weights(ours, state)
    images = torch.randn(2, 3, 70, 64)
    torch.testing.assert_close(ours(images), reference(images), atol=1e-5, rtol=1e-5)
    exported = export_weights(ours, family.split("_")[0])
    assert exported.keys() == state.keys()
    assert all(torch.equal(exported[key], value) for key, value in state.items())
    reference.load_state_dict(exported, strict=True)


def settled(model):
    """Statistics of a batch, so that activations keep their size in a hundred blocks."""
    norms = [each for each in model.modules() if isinstance(each, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    model.train()(torch.randn(4, 3, 96, 96))
    return model.eval()


@pytest.mark.parametrize(("name", "family"), SECOND)
@torch.no_grad()
def test_logits_of_version_2_are_theirs_at_odd_and_oblong_sizes(name, family):
    torch.manual_seed(0)
    reference = settled(lively(theirs(name, family, num_classes=7))).double()
    state = reference.state_dict()
    assert identify_weights(state) == (family.split("_")[0], name)
    ours = EfficientNet(published_spec(name, family, num_classes=7)).eval().double()
    load_weights(ours, state)
    images = torch.randn(1, 3, 65, 54, dtype=torch.float64)
    expected = reference(images)
    torch.testing.assert_close(ours(images), expected, atol=1e-9 * expected.abs().max().item(), rtol=1e-9)
    exported = export_weights(ours, family.split("_")[0])
    assert exported.keys() == state.keys()
    kept = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    assert all(torch.equal(exported[key], value) for key, value in kept.items())
    reference.load_state_dict(exported, strict=True)
    single, theirs_single = ours.float()(images.float()), reference.float()(images.float())
    rounding = 1e-4 if name == "v2-xl" else 1e-5  # a hundred blocks
    torch.testing.assert_close(single, theirs_single, atol=rounding, rtol=rounding)


def test_families_without_weights_of_a_network_are_refused():
    for name, family in (("v2-b0", "torchvision"), ("v2-xl", "torchvision"), ("v2-s", "timm")):
        with pytest.raises(ValueError, match=f"model='{name}': {family} has no weights of it"):
            published_spec(name, family)
    with pytest.raises(ValueError, match="torchvision has no such network"):
        export_weights(EfficientNet(make_spec("v2-b0"), initialise=False), "torchvision")


@pytest.fixture(scope="module")
def tiny_state():
    spec = published_spec("b0", "timm_tf", num_classes=5)
    return export_weights(EfficientNet(spec), "timm")


def test_another_number_of_classes_needs_a_fresh_head(tiny_state):
    model = EfficientNet(published_spec("b0", "timm_tf", num_classes=3))
    head = model.blocks.Top.fc.weight.clone()
    with pytest.raises(ValueError, match="num_classes=3: the weights have 5 classes"):
        load_weights(model, tiny_state)
    load_weights(model, tiny_state, reset_head=True)
    assert torch.equal(model.blocks.Top.fc.weight, head)
    assert torch.equal(model.blocks.Top.conv.weight, tiny_state["conv_head.weight"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group_size": 16}, "group_size=16"),
        ({"norm": "gn"}, "norm='gn'"),
        ({"padding": "symmetric", "norm_eps": 1e-3}, "padding='symmetric', norm_eps=0.001"),
    ],
)
def test_other_networks_are_refused(tiny_state, options, message):
    model = EfficientNet(make_spec("b0", num_classes=5, **options))
    with pytest.raises(ValueError, match=message):
        load_weights(model, tiny_state)
    with pytest.raises(ValueError, match=message):
        export_weights(model, "timm")


def test_wrong_states_are_refused_by_name(tiny_state):
    model = EfficientNet(published_spec("b0", "timm_tf", num_classes=5))
    with pytest.raises(ValueError, match="neither torchvision's nor timm's"):
        load_weights(model, {"a": torch.zeros(1)})
    with pytest.raises(ValueError, match="unknown .*extra"):
        load_weights(model, {**tiny_state, "extra": torch.zeros(1)})
    short = {key: value for key, value in tiny_state.items() if key != "bn1.bias"}
    with pytest.raises(ValueError, match="missing .*bn1.bias"):
        load_weights(model, short)
    with pytest.raises(ValueError, match="family='keras'"):
        published_spec("b0", "keras")
    with pytest.raises(ValueError, match="library='keras'"):
        export_weights(model, "keras")
