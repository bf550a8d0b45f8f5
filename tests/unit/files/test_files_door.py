"""The door for files from elsewhere: whatever is in them, one error that names the file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipu_app.config.load import load_config
from ipu_app.files.yaml_file import MOST_VALUES, Word, parse_yaml
from ipu_app.training.model_json import MODEL_JSON
from pipelines.door import (
    BadFile,
    list_of,
    number,
    parse_json,
    read_bytes,
    read_json,
    read_text,
    record,
    shown,
    text,
    to_json,
    whole,
)
from pipelines.plan import PLAN_FILE

SHAPE = record({"name": text(9), "sizes": list_of(whole(1, 9))}, {"rate": number()}, closed=True)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | FINITE | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
few = settings(max_examples=40, deadline=None)


@pytest.mark.parametrize(
    "content, said",
    [
        (b'{"name": "a"}', "sizes: is missing"),
        (b'{"name": 3, "sizes": []}', "name: must be text"),
        (b'{"name": "a", "sizes": [1, 0]}', "sizes[1]: must be a whole number from 1 to 9, and is 0"),
        (b'{"name": "a", "sizes": [true]}', "sizes[0]: must be a whole number"),
        (b'{"name": "a", "sizes": [], "x": 1}', "x: unknown key"),
        (b'{"name": "a", "name": "b", "sizes": []}', "name: there twice"),
        (b'{"name": "a", "sizes": [], "rate": NaN}', "NaN is no number"),
        (b'{"name": "a", "sizes": [], "rate": 1e999}', "too large"),
        (b'{"name": "a", "sizes": [' + b"9" * 5000 + b"]}", "5000 digits"),
        (b"[" * 100_000, "inside each other"),
        (b"[" * 60 + b"]" * 60, "inside each other"),
        (b'{"name": "\xe9"}', "not UTF-8 (line 1)"),
        ('{"name": 1}'.encode("utf-16"), "seems to be UTF-16"),
        (b"", "no JSON"),
    ],
)
def test_what_is_wrong_with_json_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "some.json"
    path.write_bytes(content)
    with pytest.raises(BadFile) as refusal:
        read_json(path, SHAPE)
    assert str(path) in str(refusal.value) and said in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_only_files_are_opened_and_only_up_to_a_limit(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadFile, match="is a named pipe"):
        read_text(tmp_path / "pipe")
    with pytest.raises(BadFile, match="is a device"):
        read_bytes("/dev/zero", limit=10)
    with pytest.raises(BadFile, match="is a folder"):
        read_bytes(tmp_path, limit=10)
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(BadFile, match="1099511627776 bytes; allowed are 10"):
        read_bytes(tmp_path / "sparse", limit=10)
    with pytest.raises(FileNotFoundError):
        read_bytes(tmp_path / "nothing", limit=10)


@few
@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    for check in (None, SHAPE, MODEL_JSON, PLAN_FILE):
        try:
            parse_json(content, "file", check)
        except BadFile as error:
            assert str(error).startswith("file: ") and "\n" not in str(error)


@few
@given(st.text(max_size=120) | st.text("[]{}:,&*a -\n!|>'\"#%@?", max_size=80))
def test_any_yaml_is_read_or_refused(content: str) -> None:
    try:
        parse_yaml(content, "file")
    except BadFile as error:
        assert "file: " in str(error) and "\n" not in str(error)


@few
@given(JSON)
def test_what_is_written_is_strict(value: Any) -> None:
    assert parse_json(to_json(value), "file") == value
    assert parse_json(to_json([value, float("nan"), float("-inf")]), "file") == [value, None, None]


def test_yaml_words_stay_words() -> None:
    found = parse_yaml("a: off\nb: 'off'\nc: 007\nd: ~\ne: [12:30, 1e3]\nf: !!str no\n", "file")
    assert found == {"a": "off", "b": "off", "c": "007", "d": None, "e": ["12:30", "1e3"], "f": "no"}
    kinds = [isinstance(found[key], Word) for key in "abcf"]  # type: ignore[index, call-overload]
    assert kinds == [True, False, True, False]
    merged = parse_yaml("x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\n", "file")
    assert merged["y"] == {"a": "1", "b": "3"}  # type: ignore[index, call-overload]


def bomb() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 8)}]" for i in range(1, 12)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "content, said",
    [
        (bomb(), f"more than {MOST_VALUES} values"),
        ("a: " + "[" * 500, "inside each other"),
        ("a: !!python/object/apply:os.system [ls]", "tags are not taken"),
        ("a: 1\n---\nb: 2\n", "second document"),
        ("a: *b", "nothing of that name"),
        ("[a]: 1", "a key must be a word"),
    ],
)
def test_yaml_bombs_and_tags_are_refused(content: str, said: str) -> None:
    with pytest.raises(BadFile) as refusal:
        parse_yaml(content, "file")
    assert said in str(refusal.value)


@pytest.mark.parametrize(
    "content, said",
    [
        ("data: {source: 'pipe:touch x'}", "a file can not start commands"),
        ("data: {source: 'a.tar::PIPE:touch x'}", "a file can not start commands"),
        ("data: {source: '${oc.env:HOME}'}", "for the command line only"),
        ("name: ../../out", "must be a name without slashes"),
        ("name: .hidden", "not beginning with a dot"),
        ("phases: {train: {optimizer: {lr: .inf}}}", "must be a finite number"),
        ("extends: /dev/zero", "is a device"),
    ],
)
def test_what_a_file_may_not_say(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(content)
    with pytest.raises(ValueError) as refusal:
        load_config(path)
    assert said in str(refusal.value)


def test_what_the_user_types_he_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGES", "/data/images")
    path = tmp_path / "config.yaml"
    path.write_text("data: {source: 'pipe:touch x'}\ndevice: {autocast: off}\nname: 007")
    typed = load_config(path, ["data.source='pipe:cat {}'"])
    assert (typed.data.source, typed.device.autocast, typed.name) == ("pipe:cat {}", "off", "007")
    assert load_config(None, ["data.source=${oc.env:IMAGES}"]).data.source == "/data/images"
    assert load_config(None, ["device.compile=on"]).device.compile is True


def test_names_are_shown_as_one_line() -> None:
    assert shown(b"caf\xe9\n") == "caf\\xe9\\n"
    assert shown("größe") == "größe"
    assert len(shown("x" * 5000)) < 400
