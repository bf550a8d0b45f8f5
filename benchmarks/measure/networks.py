"""From a case to a step: the network of this project, timm or torchvision under the very same training step.

All get what helps a user of that library: channels_last (unless a case asks otherwise), the same optimiser
(fused on CUDA), the same loss with label smoothing, dropout and stochastic depth at the same rates.
"""

from __future__ import annotations

import importlib
from typing import Any, Callable, Dict

import torch
from torch import nn

from benchmarks.measure.cases import CHANNELS_LAST, CONTIGUOUS, Case
from ipu_app import compat
from ipu_app.models.efficientnet import EfficientNet
from ipu_app.models.norms import write_norms_out
from ipu_app.models.spec import make_spec

NUM_CLASSES, DROP_CONNECT, SMOOTHING = 1000, 0.2, 0.1
LAYOUTS = {CHANNELS_LAST: torch.channels_last, CONTIGUOUS: torch.contiguous_format}
AUTOCAST = {"fp32": None, "bf16": torch.bfloat16}


def make_ours(case: Case) -> nn.Module:
    """Return this project's network."""
    options = {"norm": case.norm, "proxy_rule": case.proxy_rule, "expand_ratio": case.expand_ratio}
    network = EfficientNet(make_spec(case.model, group_size=case.group_size, **options))
    network.shares_moments = not case.compile  # this and the next as TorchRuntime does it
    if case.compile:
        write_norms_out(network)
    return network


def make_timm(case: Case) -> nn.Module:
    """Return timm's network; raises ModuleNotFoundError where timm is not installed."""
    timm = importlib.import_module("timm")
    name = f"efficientnet_{case.model}"
    if case.model.startswith("v2-"):  # those with the original's padding: the others have no weights
        name = f"tf_efficientnetv2_{case.model[3:]}"
    dropout = make_spec(case.model).dropout
    return timm.create_model(name, num_classes=NUM_CLASSES, drop_rate=dropout, drop_path_rate=DROP_CONNECT)


def make_torchvision(case: Case) -> nn.Module:
    """Return torchvision's network, whose own rates of dropout and stochastic depth are the paper's."""
    torchvision = importlib.import_module("torchvision")
    name = f"efficientnet_{case.model.replace('-', '_')}"
    return getattr(torchvision.models, name)(num_classes=NUM_CLASSES)


MAKERS: Dict[str, Callable[[Case], nn.Module]] = {
    "ours": make_ours,
    "timm": make_timm,
    "torchvision": make_torchvision,
}


def is_installed(library: str) -> bool:
    """Tell whether a library's networks can be made here."""
    if library == "ours":
        return True
    try:
        importlib.import_module(library)
    except ModuleNotFoundError:
        return False
    return True


def make_step(case: Case, device: str) -> Callable[[], None]:
    """Return what one step does: update the weights for one batch, or classify it; CUDA is waited for."""
    torch.manual_seed(0)
    if case.mode == "recipe":
        from benchmarks.measure.as_trained import make_recipe_step

        return make_recipe_step(case, device)  # its runtime waits for CUDA by itself
    layout = LAYOUTS[case.layout]
    network = MAKERS[case.library](case).to(device).to(memory_format=layout)
    images = torch.randn(case.batch, 3, case.resolution, case.resolution, device=device)
    images = images.contiguous(memory_format=layout)
    labels = torch.randint(0, NUM_CLASSES, (case.batch,), device=device)
    run = network
    if case.compile:
        run = compat.compile_module(network, **({} if case.compile == "default" else {"mode": case.compile}))
    if case.mode == "train":
        step = _train_step(network.train(), run, images, labels, AUTOCAST[case.precision])
    else:
        network.eval()
        step = _infer_step(run, images, AUTOCAST[case.precision])
    return step if device == "cpu" else _synchronised(step)


def _train_step(network: nn.Module, run: Any, images: Any, labels: Any, dtype: Any) -> Callable[[], None]:
    fused = {"fused": True} if images.is_cuda and compat.has_fused_sgd() else {}
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, **fused)
    loss_of = nn.CrossEntropyLoss(label_smoothing=SMOOTHING)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with compat.autocast(images.device.type, dtype or torch.bfloat16, dtype is not None):
            logits = run(images)
        loss_of(logits.float(), labels).backward()
        optimizer.step()

    return step


def _infer_step(run: Any, images: Any, dtype: Any) -> Callable[[], None]:
    def step() -> None:
        with torch.inference_mode(), compat.autocast(
            images.device.type, dtype or torch.bfloat16, dtype is not None
        ):
            run(images)

    return step


def _synchronised(step: Callable[[], None]) -> Callable[[], None]:
    def waited() -> None:
        step()
        torch.cuda.synchronize()

    return waited
