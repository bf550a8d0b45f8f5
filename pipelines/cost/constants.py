"""Every number of the cost model, once: name, value, unit, mark and source.

Marks: ``source`` is read from a data sheet or from open compiler and library code, ``assumed`` is a round
figure that was chosen and never tuned, ``fitted`` comes from a least-squares fit on published throughputs
(``pipelines.fit``). Only two constants are fitted on throughput. ``calibrated`` is one ratio against one
published row, and predicts nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Dict, List, Tuple

MARKS = ("source", "assumed", "fitted", "calibrated")

_DATA_SHEET = "Graphcore IPU-M2000 and Bow-2000 data sheets"
_POPLIBS = "instruction counts of the vertices in poplibs (open source), per half element and worker"
_PLANNER = (
    "closed form of the plans of poplibs' convolution planner (poplin, open source); not tuned to throughput"
)
_DENSE = (
    "dense KxK, as one group: started from the group-16 row, whose units it shares; ResNet-50's published "
    "training on IPUs is met to about 10 %"
)
_SETS = "counted in the programs that poplibs and Graphcore's TensorFlow build (open source)"


@dataclass(frozen=True)
class Constant:
    """One number of the cost model. ``mark`` is one of ``MARKS``."""

    name: str
    value: float
    unit: str
    mark: str
    source: str

    def __post_init__(self) -> None:
        if self.mark not in MARKS:
            raise ValueError(f"constant {self.name}: mark={self.mark!r}: choose one of {list(MARKS)}")


_HARDWARE: Tuple[Tuple[str, float, str, str, str], ...] = (
    ("tiles", 1472, "tiles/IPU", "source", _DATA_SHEET),
    ("tile_bytes", 624 * 1024, "B/tile", "source", _DATA_SHEET),
    ("clock_hz.mk2", 1.325e9, "Hz", "source", _DATA_SHEET),
    ("clock_hz.bow", 1.85e9, "Hz", "source", _DATA_SHEET),
    (
        "half_macs_per_cycle",
        64,
        "MAC/cycle/tile",
        "source",
        "250 TFLOP/s of half precision at 1.325 GHz, data sheet",
    ),
    (
        "sdk_factor.3",
        1.401,
        "x",
        "calibrated",
        "SDK 2.4 and newer over 2.0, beyond clock and fused swish: 8936 images/s of B4-G16 in TensorFlow 1 "
        "on a Bow Pod16 (Graphcore's results page, SDK 2.5 preview)",
    ),
    (
        "framework_factor.poptorch",
        0.88,
        "x",
        "calibrated",
        "PopTorch over TensorFlow 1 in training: middle of 0.84 (ResNet-50) and 0.92 (EfficientNet-B4, by "
        "another plan) in Graphcore's tables of one SDK and machine",
    ),
    ("float_mac_slowdown", 4, "x", "source", "62.5 against 250 TFLOP/s, data sheet"),
    ("float_elementwise_slowdown", 2, "x", "source", "vector width of the tile: 4 half or 2 float, ISA"),
    (
        "machine_host_bytes_per_s",
        25e9,
        "B/s/IPU-Machine",
        "assumed",
        "two 100 GbE ports of an IPU-Machine, shared by the replicas on its four IPUs; not tuned",
    ),
    (
        "conv_slowdown_per_halving",
        0.06,
        "share",
        "assumed",
        "of convolutions, for each halving of availableMemoryProportion below 0.6; a round figure",
    ),
    ("link_bytes_per_s", 40e9, "B/s", "assumed", "IPU to IPU, of 64 GB/s on the data sheet; not tuned"),
    ("allreduce_bytes_per_s", 25e9, "B/s", "assumed", "ring over IPU-Links inside a POD64; not tuned"),
    (
        "allreduce_gateway_share",
        0.5,
        "x",
        "calibrated",
        "beyond 64 IPUs the ring crosses gateways: published rows of 256 IPUs imply 10 to 20 GB/s of 25",
    ),
    (
        "host_call_s",
        1.25e-3,
        "s/call",
        "assumed",
        "host's part of a synchronous call: 1.0 to 1.5 ms by published latencies of small networks",
    ),
    ("streaming_bytes_per_s", 5e9, "B/s/IPU", "assumed", "streaming memory of an IPU-Machine; not tuned"),
    ("update_cycles_per_parameter", 60, "cycles", "source", "RMSProp with momentum, poplibs vertices"),
    (
        "update_cycles_per_tensor",
        5000,
        "cycles",
        "source",
        "compute sets and copies of one variable's update",
    ),
)

# worker-cycles per half element, forward and backward; all 1472 tiles share the elements
_ELEMENTWISE: Tuple[Tuple[str, float, float], ...] = (
    ("norm", 5.1, 10.0),
    ("swish", 2.0, 3.5),
    ("swish_fused", 1.25, 2.25),
    ("squeeze", 1.0, 0.0),
    ("scale", 0.75, 3.25),
    ("drop_connect", 2.0, 1.25),
    ("add", 0.75, 0.75),
    ("input", 7.5, 0.0),
    ("pool", 1.0, 1.0),
    ("proxy", 1.5, 9.75),
    ("proxy_delayed", 1.0, 8.25),
    ("weight_cast", 0.75, 0.0),
    ("gradient_accumulation", 0.0, 2.0),
)
_ELEMENTWISE_ASSUMED: Tuple[Tuple[str, float, float], ...] = (("relu", 0.75, 1.25), ("loss", 0.0, 0.0))

# compute sets (one sync and its control each), forward and backward
_COMPUTE_SETS: Tuple[Tuple[str, float, float], ...] = (
    ("norm", 11, 17),
    ("swish", 3, 3),
    ("relu", 1, 1),
    ("squeeze", 0, 0),
    ("scale", 14, 27),
    ("drop_connect", 4, 3),
    ("add", 1, 1),
    ("proxy", 4, 14),
    ("proxy_delayed", 4, 14),
    ("input", 20, 0),
    ("pool", 0, 0),
    ("loss", 15, 15),
    ("conv", 3, 9),
    ("stem", 3, 6),
)

# a*MAC/(tiles*64) + (b*in + c*out + d*weights)/tiles + e cycles, for the passes forward, to input, to weights
_CONVOLUTIONS: Tuple[Tuple[str, Tuple[Tuple[float, ...], ...]], ...] = (
    ("pointwise", ((3.19, 0, 0, 0.46, 1529), (2.87, 0, 0, 2.55, 1683), (2.80, 2.10, 1.93, 1.28, 2239))),
    ("group16", ((2.18, 0, 0, 5.99, 2828), (1.90, 0.77, 0, 5.99, 3400), (3.26, 1.99, 8.80, 3.33, 1938))),
    ("dense", ((2.18, 0, 0, 5.99, 2828), (1.90, 0.77, 0, 5.99, 3400), (3.26, 1.99, 8.80, 3.33, 1938))),
    ("depthwise", ((20.6, 0.30, 0, 123, 1301), (9.61, 2.89, 0, 201, 278), (0, 1.97, 34.8, 0, 484))),
    ("vector", ((0, 76, 6.7, 2.0, 500), (0, 4.0, 74, 2.5, 499), (3.6, 6.7, 6.5, 2.5, 415))),
    ("stem", ((0, 2.08, 1.92, 0, 1057), (0, 0, 0, 0, 0), (0, 2.32, 4.01, 0, 1762))),
)
CONV_PASSES = ("forward", "to_input", "to_weights")
CONV_TERMS = ("mac", "in", "out", "weights", "fixed")

_MEMORY: Tuple[Tuple[str, float, str, str, str], ...] = (
    (
        "copies_per_conv",
        3,
        "x",
        "source",
        "convolution, norm and activation outputs are kept for the backward pass",
    ),
    ("temporaries", 4, "x widest tensor", "assumed", "rearranged inputs and partial sums; coarse"),
    (
        "default_limit_bytes",
        775e6,
        "B",
        "assumed",
        "SDK 2.4 and newer: just above the fullest configuration known to run (known_runs); coarse",
    ),
    (
        "default_limit_bytes_2.0",
        550e6,
        "B",
        "assumed",
        "SDK 2.0: just above the fullest stage of the 30 published runs; coarse",
    ),
    ("coarse_share", 0.02, "x", "assumed", "a plan that needs the last 2 % of a coarse limit is flagged"),
    (
        "inference_widest_bytes",
        145e6,
        "B",
        "calibrated",
        "widest tensor times micro-batch: 118 and 180 MB at the largest micro-batches that Graphcore ships "
        "for one IPU (B0 G1 BN 49, B4 G16 GN 26)",
    ),
    (
        "inference_weight_share",
        0.5,
        "x",
        "assumed",
        "of an IPU for weights in inference; programs and buffers take the rest",
    ),
)

# what the fit may move (pipelines.fit prints the errors); they trade against each other and are no hardware
# facts
FITTED_ELEMENTWISE_FACTOR = 1.45
FITTED_COMPUTE_SET_CYCLES = 756.0
_FIT_SOURCE = (
    "least squares on the twelve published POD16 throughputs of arXiv 2106.03640; `ipu_app plan --fit`"
)

# what `error_pct` is made of, in per cent: bounds, not means; parts add up as squares (``confidence``)
_ERRORS: Tuple[Tuple[str, float, str, str], ...] = (
    (
        "published_family",
        11.0,
        "fitted",
        "holds all twelve fitted rows: their worst is 10.4, their mean 3.1 (left out: mean 4.0)",
    ),
    (
        "sdk",
        8.0,
        "assumed",
        "SDK 2.4 and newer: calibrated on one plan of one model, B4 G16 16.16 on Bow; depthwise "
        "and group vertices may have gained differently",
    ),
    (
        "platform",
        6.0,
        "assumed",
        "this generation was published on the other platform only: carried over by the clock alone, which "
        "leaves out that links do not speed up with it",
    ),
    (
        "framework",
        10.0,
        "assumed",
        "PopTorch is 0.84 to 0.92 of TensorFlow 1 in two published pairs, one by another plan",
    ),
    (
        "group_size",
        12.0,
        "assumed",
        "group sizes other than 1 and 16: interpolated between two rows of the table, or used beyond it",
    ),
    (
        "dense_conv",
        15.0,
        "assumed",
        "dense KxK: 10 % on ResNet-50's training totals, half as much again in the wide first blocks",
    ),
    ("norm", 10.0, "assumed", "batch norm, and proxy norm over four groups: nobody published them on IPUs"),
    ("model_size", 5.0, "assumed", "outside of the multiply-adds of B0 (half size) to B5"),
    ("precision", 20.0, "assumed", "32.32: no published row in float"),
    ("schedule", 15.0, "assumed", "all published rows are grouped with recomputation"),
    (
        "stages",
        6.0,
        "assumed",
        "per doubling away from 2 to 4 stages: fitted on the rows of 4 stages, those of 2, one doubling off, "
        "are missed by 4.7 on average, and the other way round by 5.3",
    ),
    (
        "num_ipus",
        2.0,
        "assumed",
        "per doubling away from the nearest published number of IPUs: the Bow rows of 64 and 256 differ by "
        "0.2 and 1.7 from the one of 16, two and four doublings away",
    ),
    (
        "allreduce",
        50.0,
        "assumed",
        "of the all-reduce's time, where it takes more than in published runs: its bandwidth is a guess",
    ),
    (
        "inference",
        40.0,
        "assumed",
        "three printed points of inference differ by -30 to +37 from such an estimate",
    ),
)


def value(name: str) -> float:
    """Return the value of the constant ``name``; KeyError for an unknown one."""
    return table()[name].value


@lru_cache(maxsize=None)
def table() -> Dict[str, Constant]:
    """Return every constant by name, in the order in which they are explained."""
    return {constant.name: constant for constant in _all()}


def _all() -> List[Constant]:
    rows = [Constant(*row) for row in _HARDWARE]
    rows += _sided("elementwise", _ELEMENTWISE, "cycles/element", "source", _POPLIBS)
    rows += _sided("elementwise", _ELEMENTWISE_ASSUMED, "cycles/element", "assumed", "by analogy with add")
    rows += _sided("sets", _COMPUTE_SETS, "compute sets", "source", _SETS)
    for kind, passes in _CONVOLUTIONS:
        for name, terms in zip(CONV_PASSES, passes):
            for term, number in zip(CONV_TERMS, terms):
                unit = "cycles" if term == "fixed" else f"cycles/{term}"
                mark, why = ("assumed", _DENSE) if kind == "dense" else ("source", _PLANNER)
                rows.append(Constant(f"conv.{kind}.{name}.{term}", number, unit, mark, why))
    rows += [Constant(f"memory.{row[0]}", *row[1:]) for row in _MEMORY]
    rows.append(Constant("elementwise_factor", FITTED_ELEMENTWISE_FACTOR, "x", "fitted", _FIT_SOURCE))
    rows.append(Constant("compute_set_cycles", FITTED_COMPUTE_SET_CYCLES, "cycles", "fitted", _FIT_SOURCE))
    rows += [Constant(f"error_pct.{name}", number, "%", mark, why) for name, number, mark, why in _ERRORS]
    return rows


def _sided(
    prefix: str, rows: Tuple[Tuple[str, float, float], ...], unit: str, mark: str, why: str
) -> List[Constant]:
    return [
        Constant(f"{prefix}.{name}.{side}", number, unit, mark, why)
        for name, forward, backward in rows
        for side, number in (("forward", forward), ("backward", backward))
    ]
