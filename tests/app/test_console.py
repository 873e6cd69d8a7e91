"""The terminal output: its loss does not affect the session, and it prints text as it is."""

import errno
import io
from pathlib import Path

import pytest

from engine.app.console import Screen, Terminal


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
    monkeypatch.setattr("os.dup2", lambda *_: None)  # keep pytest's own standard output
    file = LostTerminal(error)
    screen = Screen(Terminal(file=file))
    for _ in range(3):
        screen.line("a line")
    assert file.writes == 1


def test_a_path_is_printed_without_markup() -> None:
    file = io.StringIO()
    Screen(Terminal(file=file, emoji=False)).line("/tmp/:bus:/session.jsonl")
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
    Screen(Terminal(file=file, width=120)).last(summary, tmp_path, [])
    assert expected in file.getvalue()
