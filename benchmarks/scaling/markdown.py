"""The scaling estimates as Markdown: what was assumed, a table for each model, and the check against Bow."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Sequence, Tuple

from pipelines.cost.hardware import GATEWAY_IPUS, allreduce_bytes_per_s

Row = Mapping[str, Any]
KINDS = ("weak", "strong, same plan", "strong, planned anew")
LINEAR_ABOVE = 0.99  # what keeps this efficiency is called limited by compute alone
PLATFORM_NAMES = {"mk2": "Mk2", "bow": "Bow"}
INTRODUCTION = """\
# Scaling from a POD16 to a POD256, on paper

EfficientNet B0, B4 and B7 with groups of 16, layer norm and proxy norm at their own resolution, precision
16.32. Every figure is *estimated* by the cost model, but for the *published* Bow rows at the end; nothing
here is measured. ± is the mean absolute error that is expected; the worst is several times that.

![curves](scaling.png)

* **Weak**: the best POD16 plan for a global batch of {batch} on more replicas; the accumulation stays, the
  global batch grows with the IPUs. Only the all-reduce grows. (Training with such batches is another matter.)
* **Strong, same plan**: the global batch stays {batch}, so the accumulation shrinks as replicas are added,
  down to the 2S - 1 micro-batches that a pipeline of S stages must have. Beyond that it *cannot be made*.
* **Strong, planned anew**: what the planner does then, and earlier where it is faster: smaller micro-batches,
  other cuts, another number of stages; in the end one IPU per replica without accumulation. Where that
  does not pay either, only a larger global batch makes use of more IPUs.

*Efficiency* is images/s per IPU over that on 16 IPUs. *Limited by* is the part whose IPU-time per image grew
most since 16 IPUs; "compute" where {linear:.0f} % of the efficiency is kept. *Parts* of a step: compute
(forward, recomputation, backward, exchange between stages), waits (of the mean stage for the slowest), bubble
(ramps of the pipeline), all-reduce, weight update, host link (images to the first stage). Decoding the images
on the hosts is not part of the model: they must deliver the images/s shown.

The bandwidth of the all-reduce is assumed: {inside:.0f} GB/s, and {beyond:.1f} GB/s where it crosses gateways
(more than 64 IPUs), hence the drop from 64 to 128. The *range* is for half and for twice that bandwidth.
"""
CHECK = """\
## Held against what was published

B4 G16 GN on Bow, two IPUs per replica, global batch 6144, 16.16: the only scaling that was published
(strong). The first row is calibrated, so only the others say something.

| IPUs | published images/s | estimated | error | published efficiency | estimated |
|---:|---:|---:|---:|---:|---:|
"""


def to_markdown(rows: Sequence[Row], check: Sequence[Row], global_batch: int) -> str:
    """Return the report of rows as ``scaling.json`` has them."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    parts = [_introduction(global_batch), *_findings(rows)]
    for model in models:
        own = [row for row in rows if row["model"] == model]
        parts.append(f"\n## {model.upper()}, weak scaling (estimated)\n")
        parts += _weak_table([row for row in own if row["scaling"] == "weak"])
        parts.append(f"\n## {model.upper()}, strong scaling at global batch {global_batch} (estimated)\n")
        parts += _strong_table(own)
    parts += ["", CHECK + "\n".join(_check_row(row, check[0]) for row in check)]
    return "\n".join(parts) + "\n"


def _introduction(global_batch: int) -> str:
    return INTRODUCTION.format(
        batch=global_batch,
        linear=100 * LINEAR_ABOVE,
        inside=allreduce_bytes_per_s(GATEWAY_IPUS) / 1e9,
        beyond=allreduce_bytes_per_s(2 * GATEWAY_IPUS) / 1e9,
    )


def _findings(rows: Sequence[Row]) -> List[str]:
    """One line for each curve that is planned anew: how far more IPUs help."""
    lines = ["How far more IPUs help at the same global batch:", ""]
    for key, curve in group_curves(rows).items():
        model, platform, kind = key
        if kind != KINDS[2]:
            continue
        best = max(curve, key=lambda row: float(row["estimate"]["images_per_s"]))
        useful = [row for row in curve if row["efficiency"] >= 0.5][-1]
        gain = best["estimate"]["images_per_s"] / curve[0]["estimate"]["images_per_s"]
        lines.append(
            f"* {model.upper()} {PLATFORM_NAMES[platform]}: half of each IPU's speed or more is kept up to "
            f"{useful['ipus']} IPUs; fastest on {best['ipus']} IPUs, an estimated {gain:.1f} times the "
            f"images/s of {curve[0]['ipus']}, limited by {best['limit']}."
        )
    return lines


def group_curves(rows: Sequence[Row]) -> Dict[Tuple[str, str, str], List[Row]]:
    """Return the rows by model, platform and kind of scaling, in order."""
    curves: Dict[Tuple[str, str, str], List[Row]] = {}
    for row in rows:
        curves.setdefault((row["model"], row["platform"], row["scaling"]), []).append(row)
    return curves


def _weak_table(rows: Sequence[Row]) -> List[str]:
    lines = [
        "| | IPUs | global batch | plan | images/s | range | efficiency | all-reduce | limited by |",
        "|---|---:|---:|---|---:|---:|---:|---:|---|",
    ]
    for row in rows:
        cells = [
            PLATFORM_NAMES[row["platform"]],
            str(row["ipus"]),
            str(row["estimate"]["global_batch"]),
            _plan(row),
            _speed(row),
            _range(row),
            f"{100 * row['efficiency']:.0f} %",
            f"{_share(row, 'all-reduce'):.0f} %",
            row["limit"],
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _strong_table(rows: Sequence[Row]) -> List[str]:
    lines = [
        "| | IPUs | same plan: accumulation | images/s | efficiency | limited by | planned anew | images/s "
        "| range | efficiency | % compute, waits, bubble, all-reduce, update, host | limited by |",
        "|---|---:|---|---:|---:|---|---|---:|---:|---:|---|---|",
    ]
    same = {(row["platform"], row["ipus"]): row for row in rows if row["scaling"] == KINDS[1]}
    for row in rows:
        if row["scaling"] == KINDS[2]:
            cells = [PLATFORM_NAMES[row["platform"]], str(row["ipus"])]
            cells += _same_plan_cells(same[row["platform"], row["ipus"]])
            shares = " ".join(f"{_share(row, name):.0f}" for name in row["parts_s"])
            efficiency = f"{100 * row['efficiency']:.0f} %"
            cells += [_plan(row), _speed(row), _range(row), efficiency, shares, row["limit"]]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def _same_plan_cells(row: Row) -> List[str]:
    if row["estimate"] is None:
        return ["-", "-", "-", row["limit"]]
    accumulation = f"{row['estimate']['accumulation']} (min {row['min_accumulation']})"
    return [accumulation, _speed(row), f"{100 * row['efficiency']:.0f} %", row["limit"]]


def _plan(row: Row) -> str:
    found = row["estimate"]
    return (
        f"{found['replicas']} replicas of {found['ipus_per_replica']}, "
        f"micro-batch {found['micro_batch']}, accumulation {found['accumulation']}"
    )


def _speed(row: Row) -> str:
    return f"{row['estimate']['images_per_s']:,.0f} ±{row['estimate']['error_pct']:.0f} %"


def _range(row: Row) -> str:
    low, high = row["range_images_per_s"]
    return f"{low:,.0f} to {high:,.0f}"


def _share(row: Row, part: str) -> float:
    return float(100 * row["parts_s"][part] / sum(row["parts_s"].values()))


def _check_row(row: Row, first: Row) -> str:
    published, estimated = row["published_images_per_s"], row["estimated_images_per_s"]
    grown = row["ipus"] / first["ipus"]
    efficiencies = [
        100 * row[name] / first[name] / grown for name in ("published_images_per_s", "estimated_images_per_s")
    ]
    return (
        f"| {row['ipus']} | {published:,.0f} | {estimated:,.0f} | {100 * (estimated / published - 1):+.1f} % "
        f"| {efficiencies[0]:.0f} % | {efficiencies[1]:.0f} % |"
    )
