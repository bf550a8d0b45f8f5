"""The results as a page of Markdown: what was done, what is seen, the tables."""

from __future__ import annotations

from typing import Any, List, Mapping

from benchmarks.evidence.parts import PARTS
from benchmarks.evidence.settings import Settings

TITLES = {
    "power": "Power in channel-wise constants over depth (proxy norm)",
    "micro_batch": "Accuracy over the micro-batch (batch-independent norms)",
    "group_size": "Group size at equal multiply-adds (group convolutions)",
    "progressive": "Sizes and regularisation that grow (progressive learning)",
    "half_resolution": "Half resolution, fine-tuning and the rule of remainders",
}
HEAD = """# Do the methods do what they say?

Small experiments, all *measured* on {cpu} ({cores} cores, one thread per process), seeds {seeds};
values are mean ± standard deviation over the seeds. *Clearly* means: the means are farther apart than
their two standard deviations together; *seed by seed*: the mean of the differences is more than twice their
standard deviation. Data: {data}.
What is seen there in minutes need not hold on ImageNet, nor the other way round.

The sentences are made from the numbers. `{command}` repeats it ({minutes:.1f} minutes here with
{workers} worker process(es)); every single value is in `evidence.json`.
"""


def to_markdown(record: Mapping[str, Any], settings: Settings) -> str:
    """Return the page for a record as ``evidence.json`` has it."""
    machine = record["machine"]
    lines = [
        HEAD.format(
            cpu=machine["cpu"],
            cores=machine["cores"],
            seeds=", ".join(map(str, settings.seeds)),
            command=record["command"],
            data=record["data"]["kind"],
            workers=record["workers"],
            minutes=record["wall_s"] / 60,
        )
    ]
    for name, part in record["parts"].items():
        lines += _section(name, part, settings)
    return "\n".join(lines) + "\n"


def _section(name: str, part: Mapping[str, Any], settings: Settings) -> List[str]:
    lines = [f"## {TITLES[name]}", "", f"![{TITLES[name]}](evidence_{name}.png)", ""]
    lines += [f"**Seen:** {part['sentences'][0]}", ""]
    lines += [f"* {sentence}" for sentence in part["sentences"][1:]]
    lines += ["", *PARTS[name].about(settings)]
    return [*lines, *PARTS[name].tables(part["rows"], part["timing"], settings), ""]
