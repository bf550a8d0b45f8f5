"""The options of ``train`` that are spelling for ``--set``: configuration keys with shorter names."""

from __future__ import annotations

from ipu_app.config.kinds import DEVICES, NORMS, SOURCES, listed

# flag -> (configuration key, type, help); the flags are spelling for --set
FLAGS = (
    ("model", "model.name", str, "b0..b7 or cifar"),
    ("group", "model.group_size", int, "channels per group of the spatial convolutions"),
    ("norm", "model.norm", str, ", ".join(NORMS)),
    ("res", "phases[0].resolution", int, "image resolution of the first phase, or of --phase, in pixels"),
    (
        "data",
        "data.source",
        str,
        f"{listed(SOURCES)} (default: digits)",
    ),
    ("epochs", "phases[0].epochs", int, "epochs of the first phase, or of --phase"),
    ("lr", "phases[0].optimizer.lr", float, "peak learning rate of the first phase, or of --phase"),
    ("trainable", "phases[0].trainable", str, "first block that learns: all, or for instance Top"),
    ("device", "device.kind", str, ", ".join(("auto", *DEVICES))),
    ("poptorch", "device.poptorch", str, "auto, sdk or sim"),
    ("seed", "seed", int, "seed of initial weights, order and augmentation"),
    ("name", "name", str, "name of the run (default: made of model and data)"),
)
SWITCHES = (
    ("ipu_model", "device.ipu_model", "use the SDK's own IPU emulator"),
    ("strict_memory", "device.strict_memory", "refuse a plan that is estimated not to fit"),
    ("wandb", "tracking.wandb", "log to Weights & Biases (offline without a key)"),
    ("tensorboard", "tracking.tensorboard", "log for TensorBoard"),
)
