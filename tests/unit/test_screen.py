"""The terminal is for bystanders: what becomes of it must not matter to the wearer."""

import errno
import io

import pytest

from engine.screen import Screen, Terminal


class Gone(io.StringIO):
    """A terminal behind which nobody is left, or no space."""

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
def test_a_terminal_that_is_lost_ends_nothing(
    error: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.dup2", lambda *_: None)  # pytest's own standard output stays
    file = Gone(error)
    screen = Screen(Terminal(file=file))
    for _ in range(3):
        screen.line("what nobody reads")
    assert file.writes == 1


def test_a_path_is_shown_as_it_is() -> None:
    file = io.StringIO()
    Screen(Terminal(file=file, emoji=False)).line("/tmp/:bus:/session.jsonl")
    assert "/tmp/:bus:/session.jsonl" in file.getvalue()
