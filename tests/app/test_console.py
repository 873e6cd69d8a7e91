"""The terminal output: its loss does not affect the session, and it prints text as it is."""

import errno
import io
import threading
from pathlib import Path

import pytest
from rich.console import Console

from engine.app.console import MAX_WAITING, Screen


class LostTerminal(io.StringIO):
    """A terminal whose every write fails."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error
        self.writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        raise self.error


@pytest.mark.parametrize(
    "error", [BrokenPipeError(errno.EPIPE, "gone"), OSError(errno.ENOSPC, "full"), OSError("odd")]
)
def test_a_lost_terminal_is_written_to_once_and_then_ignored(
    error: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = LostTerminal(error)
    monkeypatch.setattr("sys.stdout", file)
    screen = Screen()
    for _ in range(3):
        screen.line("a line")
    screen.close()
    assert file.writes == 1


def test_a_stalled_terminal_delays_nobody_and_its_lost_lines_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resumed = threading.Event()

    class Stalled(io.StringIO):
        def write(self, text: str) -> int:
            resumed.wait(30.0)
            return super().write(text)

    monkeypatch.setattr("sys.stdout", Stalled())
    screen = Screen()
    for number in range(MAX_WAITING + 10):
        screen.line(f"line {number}")  # returns at once, or the test would take hours
    assert screen.outlet.lost in (9, 10)  # one line may be in the terminal's hands
    resumed.set()
    screen.close()
    assert screen.outlet.lost in (9, 10)


def test_a_path_is_printed_without_markup() -> None:
    file = io.StringIO()
    Screen(Console(file=file, emoji=False)).line("/tmp/:bus:/session.jsonl")
    assert "/tmp/:bus:/session.jsonl" in file.getvalue()


@pytest.mark.parametrize(
    ("quality", "expected"),
    [
        ({"n": 2, "answer_quality": 0.5}, "quality: answer_quality 0.500"),
        ({"n": 2}, "quality: not judged, as no picture has labels to judge by"),
    ],
)
def test_the_last_screen_gives_the_quality_or_says_why_there_is_none(
    quality: dict[str, float], expected: str, tmp_path: Path
) -> None:
    file = io.StringIO()
    summary = {
        "latency_ms": {}, "frames": {"processed": 2, "seen": 2, "dropped": 0},
        "utterances": {"spoken": 0, "dropped": 0}, "obstacle_fps": 1.0, "peak_memory_mb": 1.0,
        "errors": 0, "quality": quality,
    }  # fmt: skip
    Screen(Console(file=file, width=120)).last(summary, tmp_path, [])
    assert expected in file.getvalue()
