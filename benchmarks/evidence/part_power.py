"""Part (a): the share of power in channel-wise constants over depth, in networks at their start."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Sequence

from benchmarks.evidence.jobs import Job, Row
from benchmarks.evidence.names import NORM_NAMES
from benchmarks.evidence.power import NORMS, PARTS, PowerCase
from benchmarks.evidence.settings import Settings
from benchmarks.evidence.spread import Sample
from benchmarks.evidence.timing import Steps

NAME = "power"
COLLAPSED = 0.5  # of the power in constants: more is called a collapse
NEAR = 0.1  # a share that differs by less from batch norm's is said to follow it


def jobs(settings: Settings) -> List[Job]:
    """Return one job for each network, norm and seed."""
    size = settings.power
    random = {"images": size.images, "resolution": size.resolution, "depth": size.depth, "width": size.width}
    model = {"images": size.images, "resolution": size.model_resolution}
    return [
        Job({"part": NAME, "net": net, "norm": norm, "seed": seed}, PowerCase(net, norm, seed, **values))
        for net, values in (("random", random), (size.model, model))
        for norm in NORMS
        for seed in settings.seeds
    ]


def steps(settings: Settings) -> Steps:
    """Nothing is timed here."""
    return {}


def curve(rows: Sequence[Row], net: str, norm: str, part: str = "channel") -> List[Sample]:
    """Return mean and spread over seeds of one share at each norm of a network, in order of depth."""
    found = [row["result"] for row in rows if (row["net"], row["norm"]) == (net, norm)]
    return [Sample.of([layer[part] for layer in layers]) for layers in zip(*found)]


def nets(rows: Sequence[Row]) -> List[str]:
    """Return the networks in the rows."""
    return list(dict.fromkeys(row["net"] for row in rows))


def sentences(rows: Sequence[Row], timing: Mapping[str, Any], settings: Settings) -> List[str]:
    """Return what is seen in each network, then what instance norm and proxy norm do to the instances."""
    return [_seen(rows, net) for net in nets(rows)] + [_instances(rows)]


def net_name(net: str) -> str:
    """Return a network's name for readers."""
    return "the random network" if net == "random" else f"EfficientNet-{net.upper()} at its start"


def _seen(rows: Sequence[Row], net: str) -> str:
    ends = {norm: curve(rows, net, norm)[-1] for norm in NORMS}
    starts = {norm: curve(rows, net, norm)[0] for norm in NORMS}
    depth = len(curve(rows, net, "ln"))
    layer, proxy, batch = ends["ln"].mean, ends["ln_pn"].mean, ends["bn"].mean
    collapses = layer > COLLAPSED
    grows = layer > starts["ln"].mean + NEAR
    follows = proxy - batch < NEAR
    change = (
        "collapses:" if collapses else "does not collapse, but drifts:" if grows else "does not collapse:"
    )
    agrees = "which is not what the paper's random networks show"
    if follows and grows:
        extent = "as" if collapses else "the direction, if not the extent, of what"
        agrees = f"{extent} the paper's random networks show"
    return (
        f"In {net_name(net)} LN {change} its share of power in channel-wise constants goes from "
        f"{starts['ln'].percent()} at the first norm to {ends['ln'].percent()} at norm {depth}, while LN+PN "
        f"{'ends near' if follows else 'does not end near'} BN ({ends['ln_pn'].percent()} against "
        f"{ends['bn'].percent()}, BN's being 0 by construction); GN ends at {ends['gn'].percent()}: "
        f"{agrees}."
    )


def _instances(rows: Sequence[Row]) -> str:
    """What the norms leave of the differences between images, at the last norm of the first network."""
    net = nets(rows)[0]
    between = {norm: _between_images(rows, net, norm) for norm in NORMS}
    listed = ", ".join(f"{NORM_NAMES[norm]} {between[norm].percent()}" for norm in NORMS)
    follows = between["ln_pn"].mean > between["bn"].mean - NEAR
    verb = "follows" if follows else "does not follow"
    return (
        "What differs between images (parts `instance` and `spread_varies`) has these shares at the last "
        f"norm of {net_name(net)}: {listed}; in this respect LN+PN {verb} BN."
    )


def _between_images(rows: Sequence[Row], net: str, norm: str) -> Sample:
    last = [row["result"][-1] for row in rows if (row["net"], row["norm"]) == (net, norm)]
    return Sample.of([layer["instance"] + layer["spread_varies"] for layer in last])


def tables(rows: Sequence[Row], timing: Mapping[str, Any], settings: Settings) -> List[str]:
    """Return, for each network, the share at some depths, and all parts at the last norm."""
    lines: List[str] = []
    for net in nets(rows):
        depth = len(curve(rows, net, "ln"))
        shown = sorted({1, *(max(1, round(depth * part)) for part in (0.05, 0.1, 0.25, 0.5, 0.75, 1.0))})
        lines += [
            "",
            f"{net_name(net)[0].upper()}{net_name(net)[1:]}, share in channel-wise constants, measured:",
            "",
        ]
        lines += ["| norm | " + " | ".join(f"at norm {at}" for at in shown) + " |"]
        lines += ["|---|" + "---:|" * len(shown)]
        for norm in NORMS:
            values = curve(rows, net, norm)
            lines += [
                f"| {NORM_NAMES[norm]} | " + " | ".join(values[at - 1].percent() for at in shown) + " |"
            ]
        lines += _last_parts(rows, net, depth)
    return lines


def _last_parts(rows: Sequence[Row], net: str, depth: int) -> List[str]:
    lines = [
        "",
        f"All parts at norm {depth}, measured:",
        "",
        "| norm | " + " | ".join(f"`{p}`" for p in PARTS) + " |",
    ]
    lines += ["|---|" + "---:|" * len(PARTS)]
    for norm in NORMS:
        values = [curve(rows, net, norm, part)[-1].percent() for part in PARTS]
        lines += [f"| {NORM_NAMES[norm]} | " + " | ".join(values) + " |"]
    return lines


def about(settings: Settings) -> List[str]:
    """Return how it is measured."""
    size = settings.power
    return [
        f"Random network: {size.depth} times (3 x 3 convolution to {size.width} channels with periodic "
        "borders, norm, random scale around 1 and shift around 0 with standard deviation 0.2, ReLU, proxy "
        f"norm if any), without skips or strides, on {size.images} digits of {size.resolution} px; the "
        "form is that of figure 2 of arXiv 2106.03743, where it has 1024 channels. "
        f"EfficientNet-{size.model.upper()}: groups of 16, swish, skips, on {size.images} digits of "
        f"{size.model_resolution} px. Both as initialised, never trained, BN in training mode, images "
        "standardised. The share is that of the paper's P(1): of a norm's output before scale and shift, the "
        "sum over channels of (mean over images and pixels)^2, over the sum of mean squares. A share above "
        f"{100 * COLLAPSED:.0f} % is called a collapse, near means within {100 * NEAR:.0f} points.",
    ]


def summary(rows: Sequence[Row], timing: Mapping[str, Any], settings: Settings) -> Dict[str, Any]:
    """Return the final shares by network and norm."""
    return {net: {norm: vars(curve(rows, net, norm)[-1]) for norm in NORMS} for net in nets(rows)}
