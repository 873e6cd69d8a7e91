"""The output for screen readers: one line an event, and nothing but text."""

import io
import sys
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest

from engine.app.console import Screen
from engine.app.plain_screen import PlainScreen, build_screen
from engine.core.answer import Beat, Decision, Description, Request
from engine.core.report import Health, ModelCard
from engine.core.utterance import Utterance
from tests.fakes.glances import make_scene

ROUTE = Decision("quick", 0.26, 0.5, ("few obstacles",))
BEATS = (Beat("quick", "Bus ahead."), Beat("full", "It is [red]."))
DESCRIPTION = Description(
    Request(1, "once", 0.0), 0, "auto", "full", ROUTE, make_scene(), BEATS, (), picture="a.jpg"
)
CARD = ModelCard("yolo11n", "pocket", "cpu", "openvino", "bf16")
SUMMARY = {
    "latency_ms": {
        "quick": {
            "template": {"p50": 1.0, "p95": 2.0},
            "end_to_end": {"p50": 30.0, "p95": 500.0},
        }
    },
    "frames": {"seen": 2, "processed": 2, "dropped": 0},
    "utterances": {"spoken": 3, "dropped": 0},
    "obstacle_fps": 20.0,
    "peak_memory_mb": 300.0,
    "errors": 0,
}


def show(screen: Screen, folder: Path) -> None:
    """Everything that a screen is told."""
    screen.loading()
    screen.first(
        version="1", mode="auto", router="learned", source="image [a].jpg", speech="silent",
        trigger="once", models={"detector": CARD}, folder=folder, keys=True,
        still_loading=["describer"],
    )  # fmt: skip
    screen.loaded("describer", CARD, 1.0)
    screen.progress(2)
    alert = Utterance(2, "alert", "Person ahead.", 30.0, 0.0, azimuth_deg=-9.4)
    screen.heard(alert, 5.44)
    screen.heard(replace(alert, kind="status", text="Ready."), 5.5)
    screen.description(DESCRIPTION, 7.66)
    screen.description(replace(DESCRIPTION, request=Request(1, "key", 0.0, "where", "bus")), 8.0)
    screen.health(Health("camera", "no frame", "said so"))
    screen.advance()
    screen.stop_progress()
    screen.last(SUMMARY, folder, ["session.jsonl"])
    screen.close()


def shown_by(screen_type: type[Screen], monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[str]:
    monkeypatch.setattr(sys, "stdout", out := io.StringIO())
    show(screen_type(), folder)
    return out.getvalue().splitlines()


def test_every_event_is_one_line_of_text(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lines = shown_by(PlainScreen, monkeypatch, tmp_path)
    for expected in (
        "source: image [a].jpg",
        "detector: yolo11n (pocket pack, openvino bf16 on cpu)",
        "describer: still loading",
        "5.44 s: alert, 9 degrees left: Person ahead.",
        "5.50 s: status: Ready.",
        "7.66 s: answer, quick and full: Bus ahead. It is [red]. [describe, a.jpg: route quick "
        "(score 0.26, threshold 0.50: few obstacles); scene street 0.90]",
        "8.00 s: answer, quick and full: Bus ahead. It is [red]. [where bus, a.jpg]",
        "health: camera: no frame; said so",
        "quick answers, ms from asking to the first sound (p50 / p95): template 1.0 / 2.0, "
        "end_to_end 30.0 / 500.0; budget 420: missed",
    ):
        assert expected in lines
    assert all(line.strip() for line in lines)
    drawn = [
        c for line in lines for c in line if unicodedata.name(c, "").startswith(("BOX", "BLO"))
    ]
    assert not drawn


def test_both_screens_say_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is told by a colour or a box alone: the rich screen has the same words."""
    rich = " ".join(shown_by(Screen, monkeypatch, tmp_path))
    for words in ("Person ahead.", "Ready.", "Bus ahead.", "route quick", "a.jpg", "where bus",
                  "missed", "no frame", "session.jsonl"):  # fmt: skip
        assert words in rich
    assert rich.count(": route ") == 1  # only of the answer that a router chose


@pytest.mark.parametrize(
    ("choice", "terminal", "plain"),
    [("auto", True, False), ("auto", False, True), ("plain", True, True), ("rich", False, False)],
)
def test_a_pipe_is_plain_by_itself(
    monkeypatch: pytest.MonkeyPatch, choice: str, terminal: bool, plain: bool
) -> None:
    out = io.StringIO()
    monkeypatch.setattr(out, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(sys, "stdout", out)
    assert isinstance(build_screen(choice), PlainScreen) == plain
