"""Every setting with what it means, as YAML that ``--config`` reads: what ``train --print-config`` prints."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Dict, List

from ipu_app.config.convert import to_plain
from ipu_app.config.kinds import DECODERS, NORMS, SCHEDULES, SOURCES, listed
from ipu_app.config.optimizer_options import OptimizerConfig
from ipu_app.config.schema import DEVICES, PRECISIONS, RunConfig

# dotted key, phases without their name -> meaning, unit, what is allowed
MEANINGS: Dict[str, str] = {
    "name": "name of the run's folder; '' makes one of model and data",
    "seed": "of initial weights, order and augmentation",
    "runs_dir": "folder in which runs are made",
    "keep_checkpoints": "how many of the newest checkpoints stay",
    "checkpoint_minutes": "checkpoints inside an epoch, so often; 0: only after epochs",
    "model.name": "b0 to b7, v2-b0 to v2-b3, v2-s, v2-m, v2-l, v2-xl, or cifar",
    "model.group_size": "channels per group of the spatial convolutions; 1 is depthwise",
    "model.expand_ratio": "null: b0 to b7 6 for groups of 1, 4 for 16; else by equal multiply-adds",
    "model.norm": ", ".join(NORMS),
    "model.norm_grouping": "contiguous (PyTorch's) or strided (the IPU's fast group norm)",
    "model.norm_eps": "added to the variance",
    "model.padding": "same (TensorFlow's) or symmetric (PyTorch's)",
    "model.proxy_rule": "quadrature, or quantile200 as the original",
    "model.dropout": "before the classifier; null: the size's own",
    "model.drop_connect": "share of blocks left out in training, for the last block",
    "model.depth_scale": "factor of the number of blocks",
    "model.width_scale": "factor of the number of channels",
    "model.sections": "block, kernel, ratio and repeats of every section; []: the model's own",
    "data.source": f"null: digits; else {listed(SOURCES)}",
    "data.workers": "loader processes; null: by the cores where files are decoded, else none",
    "data.decoder": ", ".join(["auto", *DECODERS]),
    "data.normalise": "published (mean only), torchvision (mean and deviation), released_v2, half (to -1..1)",
    "data.crop": "to evaluate: published (87.5 % of a side), or v2 (whole images from 320 px on)",
    "data.cache_dir": "folder for lists of files and copies of remote shards; null: the user's own cache",
    "data.image_key": "suffix of a sample's image in shards, like jpg or input.jpg; null: its only image",
    "data.max_pixels": "images with more are left out as unreadable",
    "data.retry_minutes": "how long a shard behind a broken line is asked for again",
    "data.limit_train": "use only so many training images; null: all",
    "data.limit_val": "use only so many validation images; null: all",
    "device.kind": ", ".join(DEVICES),
    "device.poptorch": "auto, sdk or sim (the simulated IPU); for IPUs",
    "device.ipu_model": "the SDK's own emulator; for IPUs",
    "device.strict_memory": "refuse plans that are estimated not to fit; for IPUs",
    "device.platform": "mk2 or bow: what estimates are for; for IPUs",
    "device.executable_cache": "folder of compiled executables; for IPUs",
    "device.autocast": "auto (bfloat16 on GPUs that have it, else off), off, bfloat16, float16",
    "device.channels_last": "memory layout; for CUDA and CPU",
    "device.compile": "torch.compile; for CUDA and CPU",
    "device.threads": "torch's CPU threads; null: torch's own number",
    "ipu.io_tiles": "tiles that move data beside computing (0, or even, 32 to 192); for IPUs, as all of ipu",
    "ipu.prefetch_depth": "batches that wait on the IPU; null: PopART's",
    "ipu.recompute": "auto (pipelines recompute), off, or standard (one IPU recomputes, too)",
    "ipu.checkpoints": "sub-blocks whose outputs are kept where others are computed again",
    "ipu.optimizer_sharding": "optimiser state in parts over the replicas",
    "ipu.exchange_target": "what convolutions' exchange saves: cycles, balanced, memory; null: default",
    "ipu.fast_group_norm": "the device's fast group norm; needs model.norm_grouping=strided",
    "ipu.pad_input": "pad images to four channels, which may make the first convolution faster",
    "ipu.auto_loss_scale": "let PopART choose the loss scale",
    "ipu.stable_norm": "norms by the stable formula; null: default",
    "ipu.float_exceptions": "stop on an invalid or overflowing number",
    "ipu.merge_collectives": "reduce all gradients in one exchange between replicas",
    "ipu.engine": "Poplar's engine options, key=value each",
    "ipu.popart": "PopART's options, key=value each",
    "ipu.loader_buffers": "batches that the asynchronous loader holds ready; null: PopTorch's",
    "ipu.rebatch": "images that a loader process hands over at once; null: 256 at most",
    "ipu.attach_timeout_s": "how long to wait for IPUs that are in use, in seconds",
    "ipu.separate_validation": "validate on IPUs of its own, instead of the same ones in turn",
    "ipu.profile": "folder for PopVision's reports",
    "ipu.offline_version": "compile only, for 2 (Mk2) or 21 (Bow), with no IPU attached",
    "evaluate.every_epochs": "validate after so many epochs",
    "evaluate.resolutions": "validate at these, in pixels, after the last epoch",
    "tracking.logs_per_epoch": "lines of metrics in an epoch",
    "tracking.wandb": "log to Weights & Biases",
    "tracking.wandb_project": "its project",
    "tracking.tensorboard": "log for TensorBoard",
    "phases.epochs": "length of the phase",
    "phases.resolution": "pixels; null: the model's native one",
    "phases.trainable": "first block that learns: all, or for instance block7a or Top",
    "phases.averaging": "decay of the average of weights, a sample an epoch; 0: none",
    "phases.averaging_per": "epoch, or update: each update's weights (on IPUs an epoch's at once)",
    "phases.batch.micro": "images of one pass through the model on one replica",
    "phases.batch.accumulation": "micro-batches of a replica in one weight update",
    "phases.batch.replicas": "copies of the model; global batch = micro x accumulation x replicas",
    "phases.batch.device_iterations": "weight updates in one call of the device",
    "phases.batch.torch_micro": "largest micro-batch on CUDA and CPU, fitted to the memory; null: micro",
    "phases.batch.eval_micro": "micro-batch of validation; null: micro",
    **{f"phases.optimizer.{each.name}": each.metadata["meaning"] for each in fields(OptimizerConfig)},
    "phases.schedule.kind": ", ".join(SCHEDULES),
    "phases.schedule.warmup_epochs": "linear from 0 to the peak",
    "phases.schedule.decay": "factor of each drop; exponential",
    "phases.schedule.epochs_per_drop": "epochs between drops; exponential",
    "phases.augment.preprocessing": "train (random crop and flip) or eval (centre crop)",
    "phases.augment.mixup_alpha": "0: no mixup",
    "phases.augment.cutmix_strength": "published_v1's cutmix: 0.62 to 1; 1: none",
    "phases.augment.label_smoothing": "0 to 0.99",
    "phases.augment.mixing": "law of mixup and cutmix: published_v1, or v2 (EfficientNetV2's)",
    "phases.augment.cutmix_alpha": "v2's cutmix; 0: none",
    "phases.augment.randaugment.magnitude": "0 to 30; null: no RandAugment",
    "phases.augment.randaugment.operations": "of the 16, for each image",
    "phases.augment.autoaugment": "off, or v0 (the policy of version 1's and V2-B0 to B3's trainings)",
    "phases.progressive.rule": "off, paper or released: size and regularisation grow (EfficientNetV2)",
    "phases.progressive.stages": "equal parts of the phase, in whole epochs",
    "phases.progressive.align": "sizes' remainder modulo 32: none (the law's), eval, or that of a size",
    "phases.progressive.resolution": "[first, last] in pixels; []: the law's, up to the phase's",
    "phases.progressive.randaugment": "[first, last] magnitude; []: the law's",
    "phases.progressive.mixup_alpha": "[first, last]; []: the law's",
    "phases.progressive.cutmix_alpha": "[first, last], with augment.mixing v2; []: the law's",
    "phases.progressive.dropout": "[first, last]; []: the law's",
    "phases.progressive.micro": "micro-batch of each stage; []: the phase's; the global batch stays",
    "phases.progressive.torch_micro": "the same on CUDA and CPU, fitted to the memory",
    "phases.progressive.replicas": "replicas of each stage; []: the phase's",
    "phases.progressive.splits": "splits of each stage, a list of lists; []: the phase's",
    "phases.pipeline.splits": "sub-blocks that start the next IPU; for IPUs, as all of pipeline",
    "phases.pipeline.schedule": "grouped, interleaved or sequential",
    "phases.pipeline.recompute": "compute activations again instead of keeping them",
    "phases.pipeline.precision": "of activations and weights: " + ", ".join(PRECISIONS),
    "phases.pipeline.available_memory_proportion": "one for all IPUs, or one for each; []: default",
    "phases.pipeline.half_partials": "partial sums of convolutions in half precision",
    "phases.pipeline.dithering": "uneven memory layout over an IPU's tiles",
    "phases.pipeline.offload_optimizer": "optimiser state in the host's memory",
    "phases.pipeline.stochastic_rounding": "round weights and activations at random",
}


def described_yaml(config: RunConfig) -> str:
    """Return the whole configuration as YAML, each value with its meaning as a comment behind it."""
    plain = to_plain(config)
    for phase in plain["phases"].values():
        del phase["name"]
    return "\n".join(_lines(plain, (), 0)) + "\n"


def _lines(section: Dict[str, Any], path: Any, depth: int) -> List[str]:
    import yaml

    lines = []
    for key, value in section.items():
        here = (*path, key)
        if isinstance(value, dict):
            lines += [f"{'  ' * depth}{key}:", *_lines(value, here, depth + 1)]
            continue
        flow = yaml.safe_dump(value, default_flow_style=True, width=10**6)
        text = f"{'  ' * depth}{key}: {flow.splitlines()[0]}"
        lines.append(f"{text:<44}  # {MEANINGS.get(meaning_key(here), '')}".rstrip(" #"))
    return lines


def meaning_key(path: Any) -> str:
    """Return the key of ``MEANINGS`` for a path of keys: phases have names of their own."""
    named = path[:1] + path[2:] if path[0] == "phases" else path
    return ".".join(named)
