"""What people see of a run: lines and a bar that move by time and fit a terminal."""

from __future__ import annotations

import io
import re
from typing import Any, Dict, List, Optional

import pytest

from ipu_app.runtime.base import BatchResult
from ipu_app.training.console import LiveSink, PlainSink, duration, rate
from ipu_app.training.sinks import CallState

WIDTH = 80
VAL: Dict[str, Any] = {
    "kind": "val",
    "phase": "finetune",
    "epoch": 352,
    "step": 437850,
    "time_s": 36123.4,
    "loss": 0.98765,
    "top1": 0.77123,
    "top5": 0.93456,
    "samples": 50000.0,
    "resolution": 224,
    "averaged": True,
}
TRAIN: Dict[str, Any] = {**VAL, "kind": "train", "epoch": 350.2502, "phase": "train", "accuracy": 0.5123}
TRAIN.update(lr=0.04687512345, images_per_s=12345.6)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def call(
    done: int, *, loss: float = 2.0, seconds: Optional[float] = 4.0, left_s: Any = 255900.0
) -> CallState:
    result = BatchResult(loss_sum=loss * 100, correct=50, samples=100)
    return CallState("train", 101, done, 1251, 4.0 * done, result, 400, seconds, left_s)


def plain(clock: Clock) -> "tuple[PlainSink, io.StringIO]":
    stream = io.StringIO()
    return PlainSink(stream, epochs=350, clock=clock), stream


def test_plain_lines_come_by_time() -> None:
    clock = Clock()
    sink, stream = plain(clock)
    for done in range(1, 11):
        clock.now += 4
        sink.step(call(done, loss=float(done), seconds=None if done == 1 else 4.0))
    lines = stream.getvalue().splitlines()
    assert [re.search(r"loss \S+", line)[0] for line in lines] == ["loss 2.000", "loss 5.000", "loss 8.000"]
    assert lines[1] == "[0:00:24] train epoch 100.0/350 loss 5.000 acc 50.0% 100.0 images/s 71h left"
    assert max(map(len, lines)) <= WIDTH


def test_rows_of_the_log_put_the_next_line_off() -> None:
    clock = Clock()
    sink, stream = plain(clock)
    clock.now = 9
    sink.row(TRAIN)
    clock.now = 18
    sink.step(call(1))
    assert len(stream.getvalue().splitlines()) == 1


def test_a_line_without_a_finite_loss_says_so() -> None:
    clock = Clock()
    sink, stream = plain(clock)
    clock.now = 11
    sink.step(call(1, loss=float("nan")))
    assert "no finite loss" in stream.getvalue()


@pytest.mark.parametrize("row", [VAL, TRAIN, {**VAL, "kind": "evaluate", "phase": "evaluate"}])
def test_rows_fit_the_terminal(row: Dict[str, Any]) -> None:
    stream = io.StringIO()
    PlainSink(stream, epochs=352, clock=Clock()).row(row)
    (line,) = stream.getvalue().splitlines()
    assert len(line) <= WIDTH and f"epoch {'352' if row is not TRAIN else '350.3'}/352" in line


def test_the_bar_moves_by_time_and_fits_the_terminal() -> None:
    console = pytest.importorskip("rich.console")
    clock, stream = Clock(), io.StringIO()
    terminal = console.Console(file=stream, width=WIDTH, force_terminal=True, color_system=None)
    sink = LiveSink(epochs=350, clock=clock, console=terminal)
    shown: List[str] = []
    for done in range(1, 9):
        clock.now += 4
        sink.step(call(done, loss=float(done), seconds=None if done == 1 else 4.0))
        sink._bar.refresh()
        shown.append(re.split(r"[\r\n]", stream.getvalue().rstrip())[-1])
    sink.row(VAL)
    sink.stop()
    assert "loss 1.000" in shown[0] and "first step" in shown[0]
    assert "loss 2.000" in shown[1] and "100.0 images/s" in shown[1]
    assert "loss 2.000" in shown[3] and "loss 4.000" in shown[4]
    assert "train epoch 101/350" in shown[7] and "8/1251" in shown[7] and "71h left" in shown[7]
    assert max(len(re.sub("\x1b\\[[^A-Za-z]*[A-Za-z]", "", line)) for line in shown) <= WIDTH
    assert "top-1 77.12% top-5 93.46% loss 0.99" in stream.getvalue()


def test_rates_and_durations_in_words() -> None:
    assert [rate(value) for value in (None, 12.34, 12345.6)] == [
        "first step",
        "12.3 images/s",
        "12346 images/s",
    ]
    assert [duration(value) for value in (0, 61.5, 3660, 255900)] == ["0m00s", "1m01s", "1h01m", "71h"]
