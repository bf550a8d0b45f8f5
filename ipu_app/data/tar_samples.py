"""From the members of a tar shard to samples, in WebDataset's form: ``key.jpg`` beside ``key.cls``.

A key ends at the first dot of a file's name. Members that follow each other under one key are a sample; what
is no whole sample is counted, by reason, with an example.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from pipelines.door import BadFile, parse_json, shown

from .litter import is_hidden
from .suffixes import IMAGE_SUFFIXES
from .tar_walk import Member

LABEL_KEYS = ("cls", "label", "class")  # looked for in key.json
LABEL_SUFFIXES = ("cls", "cls.txt", "class", "json")
MOST_LABEL_BYTES = 1 << 20
MOST_CLASSES = 100_000
EXPECTED = (
    "expected KEY.jpg beside KEY.cls, which holds a number from 0, or KEY.json with one as "
    + " or ".join(LABEL_KEYS)
)
# reason -> in words, behind a number of images
REASONS = {
    "no label": "without a label",
    "two labels": "with two labels that differ",
    "repeated": "of a key that is repeated",
    "empty": "of no bytes",
    "no image": "samples without an image",
    "hidden": "hidden files",
    "linked": "links and sparse files",
}
Row = Tuple[int, int, int]  # offset and size in bytes, label
ReadMember = Callable[[int, int], bytes]  # offset, size -> content


class _Sample:
    """Members of one key that follow each other."""

    __slots__ = ("images", "key", "labels", "others")

    def __init__(self, key: str) -> None:
        self.key = key
        self.images: Dict[str, Member] = {}
        self.labels: Dict[str, Optional[int]] = {}
        self.others: List[str] = []

    @property
    def known_labels(self) -> List[int]:
        return sorted({label for label in self.labels.values() if label is not None})


class Found(NamedTuple):
    """A shard's samples; ``left_out``: reason -> number; ``examples``: reason -> one; ``repeated``: keys that
    are there several times, each a sample of its own.
    """

    rows: List[Row]
    left_out: Dict[str, int]
    examples: Dict[str, str]
    repeated: int


class Samples:
    """Collects samples from members, in the order of the archive.

    ``image_key``: suffix of the member that is a sample's image; several by ``;``: the first that is there.
    """

    def __init__(self, read: ReadMember, image_key: Optional[str]) -> None:
        self._read = read
        self._keys = [key.strip().lower() for key in image_key.split(";")] if image_key else []
        self._samples: List[_Sample] = []
        self._left_out: Counter[str] = Counter()
        self._examples: Dict[str, str] = {}
        self._rows: List[Row] = []
        self.suffixes: Counter[str] = Counter()
        self.json_names: Counter[str] = Counter()

    def add(self, member: Member) -> None:
        """Take a member."""
        folder, _, file = member.name.rpartition("/")
        if member.kind == "folder":
            return
        if is_hidden(member.name):
            self._leave_out("hidden", member.name)
        elif member.kind != "file":
            self._leave_out("linked", member.name)
        else:
            stem, _, suffix = file.partition(".")
            self._put(f"{folder}/{stem}" if folder else stem, suffix.lower(), member)

    def _put(self, key: str, suffix: str, member: Member) -> None:
        self.suffixes[suffix] += 1
        sample = self._samples[-1] if self._samples else None
        if sample is None or sample.key != key or suffix in sample.images or suffix in sample.labels:
            sample = _Sample(key)
            self._samples.append(sample)
        if self._is_image(suffix):
            sample.images[suffix] = member
        elif suffix in LABEL_SUFFIXES:
            sample.labels[suffix] = self._label(suffix, member)
        else:
            sample.others.append(suffix)

    def _is_image(self, suffix: str) -> bool:
        if self._keys:
            return suffix in self._keys
        return f".{suffix.rpartition('.')[2]}" in IMAGE_SUFFIXES

    def _label(self, suffix: str, member: Member) -> Optional[int]:
        if member.size > MOST_LABEL_BYTES:
            raise BadFile(f"{shown(member.name)} has {member.size} bytes, which is no label; {EXPECTED}")
        content = self._read(member.offset, member.size)
        if suffix != "json":
            return _number(content.decode("utf-8", "replace").strip(), member.name)
        try:
            record = parse_json(content, member.name)
        except BadFile:
            return None
        if not isinstance(record, dict):
            return None
        key = next((key for key in LABEL_KEYS if record.get(key) is not None), None)
        if key is None:
            self.json_names.update(shown(name, 40) for name in list(record)[:20])
            return None
        return _number(record[key], f"{member.name}: {key}")

    def found(self) -> Found:
        """The samples; BadFile where one has several images and none is named."""
        by_key: Dict[str, List[_Sample]] = {}
        for sample in self._samples:
            by_key.setdefault(sample.key, []).append(sample)
        repeated = 0
        for samples in by_key.values():
            whole = [sample for sample in samples if sample.images and sample.known_labels]
            repeated += max(len(whole) - 1, 0)
            if not whole and len(samples) > 1:
                whole = _joined(samples)
            for sample in whole:
                self._take(sample)
            self._leave_out_parts([sample for sample in samples if sample not in whole], bool(whole))
        return Found(sorted(self._rows), dict(self._left_out), self._examples, repeated)

    def _leave_out_parts(self, parts: Sequence[_Sample], has_whole: bool) -> None:
        """Count what is no whole sample; beside whole ones of the same key, only images matter."""
        for sample in parts:
            if len(parts) == 1 and not has_whole:
                self._leave_out(self._lack(sample), self._describe(sample))
            elif sample.images:
                self._leave_out("repeated", self._describe(sample))

    def _take(self, sample: _Sample) -> None:
        labels, image = sample.known_labels, self._image(sample)
        if len(labels) > 1:
            self._leave_out("two labels", self._describe(sample))
        elif image.size == 0:
            self._leave_out("empty", image.name)
        else:
            self._rows.append((image.offset, image.size, labels[0]))

    def _image(self, sample: _Sample) -> Member:
        if len(sample.images) > 1 and not self._keys:
            names = list(sample.images)
            listed = ", ".join(shown(name, 40) for name in names[:3]) + (", ..." if len(names) > 3 else "")
            raise BadFile(
                f"the sample {shown(sample.key, 80)!r} has {len(names)} images ({listed}); a key ends at the "
                f"first dot of a name; name the one to use: --set data.image_key={shown(names[0], 40)}"
            )
        order = self._keys or list(sample.images)
        return sample.images[min(sample.images, key=order.index)]

    def _lack(self, sample: _Sample) -> str:
        if not sample.images:
            return "no image"
        self._image(sample)
        return "no label"

    def _describe(self, sample: _Sample) -> str:
        suffixes = [*sample.images, *sample.labels, *sample.others]
        return f"{sample.key} ({', '.join(suffixes[:4])})"

    def _leave_out(self, reason: str, example: str) -> None:
        self._left_out[reason] += 1
        self._examples.setdefault(reason, shown(example, 100))


def _joined(parts: Sequence[_Sample]) -> List[_Sample]:
    """One sample of parts that lie apart, where there is only one way to join them; else none."""
    images = [sample for sample in parts if sample.images]
    labels = [sample for sample in parts if sample.known_labels]
    if len(images) != 1 or len(labels) != 1:
        return []
    images[0].labels.update(labels[0].labels)
    return images


def _number(value: object, where: str) -> Optional[int]:
    """A label; None for an empty or a negative one, BadFile for what is no whole number."""
    if value == "":
        return None
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,40}", value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadFile(f"{shown(where)} holds {shown(repr(value), 60)}: a label must be a whole number from 0")
    if value >= MOST_CLASSES:
        raise BadFile(f"{shown(where)} holds label {value}: labels must be below {MOST_CLASSES}")
    return value if value >= 0 else None
