"""Files of weights and pickles from elsewhere: the same tensors as ``torch.load``'s, and never a program."""

from __future__ import annotations

import argparse
import io
import os
import pickle
from pathlib import Path
from typing import Any, Dict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ipu_app import compat
from ipu_app.files.pickles import PlainUnpickler, load_pickle
from ipu_app.files.tensors import read_tensors
from ipu_app.settling.state_dicts import read_state_dict
from ipu_app.settling.weights_family import describe_file
from pipelines.door import BadFile

few = settings(max_examples=60, deadline=None)


def some_state() -> Dict[str, Any]:
    torch.manual_seed(0)
    shared = torch.randn(4, 3)
    return {
        "conv_stem.weight": torch.randn(2, 3, 3, 3),
        "turned": shared.t(),
        "part": shared[1:3, 1:],
        "half": torch.randn(5).half(),
        "number": torch.tensor(7),
        "nothing": torch.empty(0, 3),
        "learned": torch.nn.Parameter(torch.ones(2)),
    }


@pytest.mark.parametrize("is_zip", [True, False])
def test_the_same_tensors_as_torch_load(tmp_path: Path, is_zip: bool) -> None:
    file = tmp_path / "a.pth"
    content = {"epoch": 3, "state_dict": some_state(), "args": argparse.Namespace(lr=1)}
    torch.save(content, str(file), _use_new_zipfile_serialization=is_zip)
    found = read_tensors(file)
    assert found.strangers == ("argparse.Namespace",)
    assert found.value["epoch"] == 3
    for name, value in some_state().items():
        assert torch.equal(found.value["state_dict"][name], value), name


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("is_zip", [True, False])
def test_no_code_runs(tmp_path: Path, is_zip: bool) -> None:
    file, mark = tmp_path / "a.pth", tmp_path / "mark"
    content = {"state_dict": {"conv_stem.weight": torch.ones(1)}, "x": Evil(mark)}
    torch.save(content, str(file), _use_new_zipfile_serialization=is_zip)
    found = read_state_dict(file)
    assert not mark.exists()
    assert any("posix.mkdir" in note for note in found.notes)


def test_torchscript_is_refused_by_its_content(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    compat.trace_module(torch.nn.Linear(2, 2), torch.ones(1, 2)).save(str(file))
    with pytest.raises(BadFile, match="TorchScript archive"):
        read_tensors(file)


@pytest.mark.parametrize("is_zip", [True, False])
def test_damage_is_one_line(tmp_path: Path, is_zip: bool) -> None:
    file = tmp_path / "a.pth"
    torch.save(some_state(), str(file), _use_new_zipfile_serialization=is_zip)
    whole = file.read_bytes()
    for cut in (0, 1, 20, 200, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:cut])
        with pytest.raises(BadFile):
            read_tensors(file)


@few
@given(data=st.data(), is_zip=st.booleans())
def test_any_change_is_read_or_refused(data: Any, is_zip: bool, tmp_path_factory: Any) -> None:
    buffer = io.BytesIO()
    torch.save({"a": torch.ones(3), "b": [1, "x"]}, buffer, _use_new_zipfile_serialization=is_zip)
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file = tmp_path_factory.mktemp("f") / "a.pth"
    file.write_bytes(bytes(content))
    try:
        read_tensors(file)
    except BadFile as error:
        assert "\n" not in str(error)


@few
@given(st.binary(max_size=100))
def test_any_pickle_is_read_or_refused(content: bytes) -> None:
    try:
        load_pickle(PlainUnpickler(io.BytesIO(content), {}), "file")
    except BadFile as error:
        assert str(error).startswith("file: ")


def test_pickles_take_no_memory_by_a_number() -> None:
    huge = (1 << 40).to_bytes(8, "little")
    for content in (b"\x80\x05\x96" + huge, b"\x80\x04\x8e" + huge, b"\x80\x02Nr\xff\xff\xff\x7f."):
        try:
            load_pickle(PlainUnpickler(io.BytesIO(content), {}), "file")
        except BadFile:
            continue
    deep = b"\x80\x02}" + b")" + b"\x85" * 100_000 + b"Ns."
    with pytest.raises(BadFile, match="key that is no text"):
        load_pickle(PlainUnpickler(io.BytesIO(deep), {}), "file")


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.module.", "model."])
def test_wrappers_are_taken_off(tmp_path: Path, prefix: str) -> None:
    file = tmp_path / "a.pth"
    torch.save({f"{prefix}{name}": value for name, value in some_state().items()}, str(file))
    found = read_state_dict(file)
    assert set(found.weights) == set(some_state())
    assert bool(found.notes) == bool(prefix)


def test_averaged_weights_are_taken_and_it_is_said(tmp_path: Path) -> None:
    raw, averaged = ({"conv_stem.weight": torch.full((1,), float(value))} for value in (1, 2))
    file = tmp_path / "a.pth"
    torch.save({"state_dict": raw, "state_dict_ema": averaged, "arch": "tf_efficientnet_b0"}, str(file))
    for ema, value in ((None, 2.0), (True, 2.0), (False, 1.0)):
        found = read_state_dict(file, ema=ema)
        assert float(found.weights["conv_stem.weight"]) == value
        assert "taken" in found.notes[0] and "--ema" in found.notes[0]
    assert found.arch == "tf_efficientnet_b0"
    torch.save(
        {"model": {**{f"module.{k}": v for k, v in raw.items()}, "n_averaged": torch.ones(1)}}, str(file)
    )
    assert "n_averaged" in " ".join(read_state_dict(file).notes)
    with pytest.raises(BadFile, match="no averaged"):
        torch.save(raw, str(file))
        read_state_dict(file, ema=True)


def test_the_hub_tells_family_input_and_classes(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    assert describe_file(file, "").name == ""
    assert describe_file(tmp_path / "tf_efficientnet_b0_ap-f262efe1.pth", "").normalise == "half"
    assert describe_file(tmp_path / "x.pth", "tf_efficientnet_b1").is_tf
    config = tmp_path / "config.json"
    config.write_text(
        '{"architecture": "tf_efficientnet_b0", "label_names": ["a", "b"],'
        ' "pretrained_cfg": {"tag": "ap_in1k", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}}'
    )
    found = describe_file(file, "")
    assert (found.is_tf, found.normalise, found.classes) == (True, "half", ("a", "b"))
    config.write_text('{"pretrained_cfg": {"mean": [0.1, 0.2, 0.3], "std": [1, 1, 1]}}')
    with pytest.raises(BadFile, match="none of data.normalise"):
        describe_file(file, "")


def test_cifar_pickles_know_no_other_classes() -> None:
    unpickler = PlainUnpickler(io.BytesIO(pickle.dumps(Evil(Path("/nowhere/at/all")), protocol=2)), {})
    load_pickle(unpickler, "file")
    assert unpickler.strangers == {"posix.mkdir"}
