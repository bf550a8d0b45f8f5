"""Shards behind URLs, over HTTP on loopback: with an index and without, replaced, cut off, and offline."""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import shutil
import threading

import pytest
import torch
from data_images import jpeg, photograph, png, write_tree

from ipu_app.build import make_dataset, run_name
from ipu_app.config.load import load_config
from ipu_app.data import remote
from ipu_app.data.access import Access
from ipu_app.data.datasets import open_dataset, open_source
from ipu_app.data.remote import Expected, copy_url, expand
from ipu_app.data.shard_lists import list_shards, split_of
from ipu_app.data.shard_writer import write_shards
from ipu_app.data.shards import ShardSource, is_shards
from ipu_app.data.transforms import Preprocess

EVAL = Preprocess(32)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files of a folder; the server's ``asked`` counts requests, ``failures`` are answered first."""

    def do_GET(self):  # noqa: N802 (http.server's name)
        self.server.asked.append(self.path.lstrip("/"))
        if self.server.failures:
            kind = self.server.failures.pop()
            if kind == "cut":
                self.send_response(200)
                self.send_header("Content-Length", "100000")
                self.end_headers()
                self.wfile.write(b"x" * 100)
            else:
                self.send_error(kind)
            return
        super().do_GET()

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def serving(folder):
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))
    ) as server:
        server.asked, server.failures = [], []
        server.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def web(tmp_path):
    (tmp_path / "web").mkdir()
    with serving(tmp_path / "web") as server:
        yield server


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(remote.time, "sleep", lambda seconds: None)


def publish(tmp_path, **counts):
    """Write an indexed set to the folder that is served, replacing what is there."""
    shutil.rmtree(tmp_path / "tree", ignore_errors=True)
    tree = write_tree(tmp_path / "tree", **counts)
    sources = {split: open_source(str(tree), split, 32) for split in ("train", "val")}
    shutil.rmtree(tmp_path / "new", ignore_errors=True)
    write_shards(sources, tmp_path / "new", samples_per_shard=5, report=lambda line: None)
    for path in (tmp_path / "new").iterdir():
        shutil.copy(path, tmp_path / "web" / path.name)


def images(data):
    return torch.stack([data[index][0] for index in range(len(data))])


def test_replaced_shards_are_copied_again(tmp_path, web):
    publish(tmp_path)
    first = open_dataset(web.url, "train", EVAL, access=Access(tmp_path / "c"))
    before = images(first)
    publish(tmp_path, train=3)  # the same names at the same URL, other images
    second = open_dataset(web.url, "train", EVAL, access=Access(tmp_path / "c"))
    assert len(second) == 9
    assert second.manifest_hash != first.manifest_hash
    local = open_dataset(str(tmp_path / "web"), "train", EVAL)
    assert torch.equal(images(second), images(local))
    assert len(before) == 12
    third = open_dataset(web.url, "train", EVAL, access=Access(tmp_path / "c"))
    assert "3 copies" in third.source.problems[0] and "replaced since" in third.source.problems[0]


def test_unchanged_shards_are_copied_once(tmp_path, web):
    publish(tmp_path)
    for _ in range(2):
        images(open_dataset(web.url, "train", EVAL, access=Access(tmp_path / "c")))
    assert sorted(web.asked) == ["index.json"] * 2 + [f"train-00000{number}.tar" for number in range(3)]


def test_a_known_set_can_be_used_offline(tmp_path):
    (tmp_path / "web").mkdir()
    publish(tmp_path)
    with serving(tmp_path / "web") as server:
        online = images(open_dataset(server.url, "train", EVAL, access=Access(tmp_path / "c")))
    offline = open_dataset(server.url, "train", EVAL, access=Access(tmp_path / "c"))
    (note,) = offline.source.problems
    assert "index.json: can not be read" in note and "the copy of 2" in note
    assert torch.equal(images(offline), online)
    with pytest.raises(ValueError, match="index.json: can not be read"):
        open_dataset(server.url, "train", EVAL, access=Access(tmp_path / "elsewhere"))


@pytest.mark.parametrize("failure", [503, 429, "cut"])
def test_failures_that_pass_are_waited_for(tmp_path, web, failure):
    (tmp_path / "web" / "a.tar").write_bytes(b"content")
    web.failures += [failure, failure]
    copy_url(f"{web.url}/a.tar", tmp_path / "a.tar")
    assert (tmp_path / "a.tar").read_bytes() == b"content"
    assert len(web.asked) == 3


def test_what_can_not_be_copied_leaves_nothing(tmp_path, web):
    (tmp_path / "web" / "a.tar").write_bytes(b"content")
    with pytest.raises(ValueError, match="404") as caught:
        copy_url(f"{web.url}/missing.tar", tmp_path / "c" / "a.tar")
    assert "\n" not in str(caught.value)
    assert web.asked == ["missing.tar"]  # it will not come by asking again
    with pytest.raises(ValueError, match="has 7 bytes, and by the index 8"):
        copy_url(f"{web.url}/a.tar", tmp_path / "c" / "a.tar", expected=Expected(8))
    with pytest.raises(ValueError, match="not what the index tells of"):
        copy_url(f"{web.url}/a.tar", tmp_path / "c" / "a.tar", expected=Expected(7, "0" * 64))
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["a.tar.lock"]
    with pytest.raises(ValueError, match="data.cache_dir: .*a.tar/c can not be written"):
        copy_url(f"{web.url}/a.tar", tmp_path / "web" / "a.tar" / "c" / "b.tar")


def write_foreign(folder, names, per_shard=4):
    """Shards as webdataset itself writes them, labels and images in the forms found in the wild."""
    webdataset = pytest.importorskip("webdataset")
    photo, number = photograph(40, 30), 0
    forms = (
        ("cls", lambda label: label, "jpg", jpeg(photo)),
        ("cls.txt", lambda label: str(label).encode(), "jpeg", jpeg(photo)),
        ("json", lambda label: {"label": label, "caption": "a"}, "png", png(photo)),
    )
    for name in names:
        with webdataset.TarWriter(str(folder / name), encoder=True) as writer:
            for _ in range(per_shard):
                suffix, written, image, encoded = forms[number % len(forms)]
                label = written(number % 6)
                raw = {f"{suffix}": label, image: encoded}
                writer.write({"__key__": f"n01/{number:06d}", **raw})
                number += 1


FOREIGN = [f"imagenet1k-train-00{number}.tar" for number in range(3)]
FOREIGN_VAL = [f"imagenet1k-validation-{number}.tar" for number in range(2)]
LISTS = [
    "{base}/imagenet1k-{{train-{{000..002}},validation-{{0..1}}}}.tar",
    "{base}/imagenet1k-train-{{000..002}}.tar::{base}/imagenet1k-validation-{{0..1}}.tar",
]


@pytest.mark.parametrize("pattern", LISTS)
def test_foreign_shards_need_no_index_on_disk_or_over_http(tmp_path, web, pattern, capsys):
    write_foreign(tmp_path / "web", FOREIGN)
    write_foreign(tmp_path / "web", FOREIGN_VAL, per_shard=2)
    local, url = pattern.format(base=tmp_path / "web"), pattern.format(base=web.url)
    for split, count in (("train", 12), ("val", 4)):
        here = open_dataset(local, split, EVAL, access=Access(tmp_path / "c"))
        there = open_dataset(url, split, EVAL, access=Access(tmp_path / "c"))
        assert len(here) == len(there) == count
        assert [there[index][1] for index in range(count)] == [index % 6 for index in range(count)]
        assert torch.equal(images(here), images(there))
        assert here.classes == there.classes == tuple("012345")
        assert here.manifest_hash == there.manifest_hash
        assert there.num_skipped == 0
    assert sorted(web.asked) == [*FOREIGN, *FOREIGN_VAL]
    assert "copying shard 3 of 3: http" in capsys.readouterr().err
    again = open_dataset(url, "train", EVAL, access=Access(tmp_path / "c"))
    assert len(again) == 12 and len(web.asked) == 5
    assert capsys.readouterr().err == ""


def test_validation_alone_does_not_copy_the_training_images(tmp_path, web):
    write_foreign(tmp_path / "web", FOREIGN)
    write_foreign(tmp_path / "web", FOREIGN_VAL, per_shard=2)
    val = open_dataset(LISTS[0].format(base=web.url), "val", EVAL, access=Access(tmp_path / "c"))
    assert len(val) == 4 and val.classes == tuple("0123")
    assert sorted(web.asked) == FOREIGN_VAL


def test_other_openers_of_webdataset_are_used(tmp_path):
    write_foreign(tmp_path, FOREIGN)
    write_foreign(tmp_path, FOREIGN_VAL)
    data = f"pipe:cat {tmp_path}/{{{','.join([*FOREIGN, *FOREIGN_VAL])}}}"
    assert is_shards(data)
    assert len(open_dataset(data, "train", EVAL, access=Access(tmp_path / "c"))) == 12
    assert len(open_dataset(data, "val", EVAL, access=Access(tmp_path / "c"))) == 8


def test_labels_that_training_does_not_know_are_refused(tmp_path):
    write_foreign(tmp_path, ["train-0.tar"], per_shard=2)
    write_foreign(tmp_path, ["val-0.tar"], per_shard=6)
    with pytest.raises(ValueError, match="val has label 5; train goes to 1 only"):
        ShardSource(str(tmp_path), "val")


def test_lists_in_webdatasets_notation(tmp_path):
    for name in ("train-0.tar", "train-1.tar", "val-0.tar", "other.tar"):
        (tmp_path / name).write_bytes(b"")
    train = [f"{tmp_path}/train-0.tar", f"{tmp_path}/train-1.tar"]
    assert list_shards(f"{tmp_path}/train-{{0..1}}.tar", "train") == train
    assert list_shards(f"{tmp_path}/{{split}}-{{0..0}}.tar", "val") == [f"{tmp_path}/val-0.tar"]
    assert list_shards(f"{tmp_path}/[tv]*-*.tar", "train") == train
    for data, message in (
        (f"{tmp_path}/train-{{0..1}}.tar", "no val shards; expected names that hold train and val"),
        (f"{tmp_path}/val-{{0..1}}.tar", "val-1.tar: no such shard"),
        (f"{tmp_path}/*.tar", "other.tar: for training or validation"),
        (f"{tmp_path}/val-{{0..1.tar", "data.source="),
    ):
        with pytest.raises(ValueError, match=message):
            list_shards(data, "val")
    assert expand("a-{08..10}.tar::b.tar") == ["a-08.tar", "a-09.tar", "a-10.tar", "b.tar"]


@pytest.mark.parametrize(
    "location,split",
    [
        ("https://h/imagenet1k-validation-00.tar?token=train/x", "val"),
        ("s3://training-data/imagenet/val/0001.tar", "val"),
        ("/data/TRAIN/interval-1.tar", "train"),
        ("pipe:aws s3 cp s3://b/valid-0.tar -", "val"),
        ("/data/interval-1.tar", None),
    ],
)
def test_names_tell_the_split(location, split):
    assert split_of(location) == split


def test_large_sets_are_not_copied_to_a_folder_that_nobody_chose(tmp_path, web):
    publish(tmp_path)
    index = json.loads((tmp_path / "web" / "index.json").read_text())
    index["splits"]["train"]["shards"][0]["bytes"] = 150 * 10**9
    (tmp_path / "web" / "index.json").write_text(json.dumps(index))
    environ = {"XDG_CACHE_HOME": str(tmp_path / "home")}
    config = load_config(None, [f"data.source={web.url}"])
    with pytest.raises(ValueError, match="data.cache_dir: not set; .* about 150 GB"):
        make_dataset(config, config.phases["train"], "train", 32, environ=environ)
    chosen = load_config(None, [f"data.source={web.url}", f"data.cache_dir={tmp_path / 'big'}"])
    dataset = make_dataset(chosen, chosen.phases["train"], "train", 32, environ=environ)
    assert len(dataset) == 12
    assert (tmp_path / "big").is_dir() and not list((tmp_path / "home").rglob("*.tar"))


def test_large_sets_without_an_index_are_known_by_their_first_shard(tmp_path, web):
    write_foreign(tmp_path / "web", FOREIGN)
    size = (tmp_path / "web" / FOREIGN[0]).stat().st_size
    with pytest.raises(ValueError, match="data.cache_dir: not set"):
        ShardSource(
            f"{web.url}/imagenet1k-train-{{000..002}}.tar",
            "train",
            Access(tmp_path / "c", 2 * size),
        )
    assert web.asked == FOREIGN[:1]


def test_runs_on_lists_of_shards_get_plain_names():
    config = load_config(None, ["data.source=/data/in-{train-{0..3},val-{0..1}}.tar::/data/more*.tar"])
    assert run_name(config).endswith("-more-.tar")
    config = load_config(None, ["data.source=/data/in-{train-{0..3},val-{0..1}}.tar"])
    assert run_name(config).endswith("-in-train-0..3-val-0..1-.tar")
