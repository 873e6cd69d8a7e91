"""The steps of the run on a graphics card: what fails or has no time is named, the rest runs."""

import json

import pytest
from rich.console import Console

from engine.core.errors import InputError
from experiments.latency import gpu_session, obstacles
from experiments.latency.gpu_session import Steps, last_json


def test_a_step_without_enough_time_is_left_out_and_named() -> None:
    now_s = 0.0
    steps = Steps(1.0, Console(quiet=True), lambda: now_s)
    assert steps.run("first", 50, lambda: {"a": 1}) == {"a": 1}
    now_s = 30.0
    assert steps.run("second", 50, lambda: {"b": 1}) == {}
    assert steps.run("third", 20, lambda: {"c": 1}) == {"c": 1}
    assert steps.left_out == {"second": "needs 50 s, 30 s are left"}


def test_a_step_that_fails_is_named_and_the_others_run() -> None:
    def fail() -> dict[str, object]:
        raise InputError("no such card")

    steps = Steps(1.0, Console(quiet=True), lambda: 0.0)
    assert steps.run("first", 1, fail) == {}
    assert steps.run("second", 1, lambda: {"a": 1}) == {"a": 1}
    assert steps.left_out == {"first": "no such card"}


def test_the_last_line_of_a_command_is_taken() -> None:
    def works(words: list[str]) -> int:
        print("a table")
        print(json.dumps({"words": words}))
        return 0

    def fails(words: list[str]) -> int:
        print("a table")
        return 2

    assert last_json(works, ["--alerts", "1"]) == {"words": ["--alerts", "1"]}
    with pytest.raises(InputError, match="ended with 2"):
        last_json(fails, [])


def test_every_figure_is_shown_by_image_size(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    alerts = {"p50_ms": 31.0, "p99_ms": 45.0}
    monkeypatch.setattr(gpu_session, "everyday", lambda *_: {"ready_s": 4.5, "peak_gpu_mb": None})
    monkeypatch.setattr(
        gpu_session,
        "last_json",
        lambda main, words: alerts if main is obstacles.main else {"full": alerts},
    )
    options = ["--device", "cpu", "--checkpoint", "here", "--sizes", "512", "1024"]
    assert gpu_session.main(options) == 0
    *shown, last = capsys.readouterr().out.splitlines()
    result = json.loads(last)
    assert result["left_out"] == {}
    for side in ("512", "1024"):
        assert result[side]["alerts"] == alerts
        assert result[side]["session"]["ready_s"] == 4.5
    assert sum("31" in line for line in shown) == 2
