"""An error of any library as one line."""

import pytest

from engine.core.errors import RunError, in_one_line, message_of


@pytest.mark.parametrize(
    ("error", "message", "line"),
    [
        (
            OSError("device  busy\n  (code 5)\n"),
            "device busy (code 5)",
            "OSError: device busy (code 5)",
        ),
        (ValueError(), "ValueError", "ValueError"),
        (RuntimeError(" \n"), "RuntimeError", "RuntimeError"),
        (RunError("lost;\nplug it in"), "lost; plug it in", "lost; plug it in"),
    ],
)
def test_an_error_becomes_one_line(error: Exception, message: str, line: str) -> None:
    assert message_of(error) == message
    assert in_one_line(error) == line


def test_a_library_cannot_flood_the_line_but_the_engine_says_it_all() -> None:
    assert message_of(RuntimeError("x" * 1000), 120) == "x" * 120
    assert in_one_line(RuntimeError("x" * 1000)) == "RuntimeError: " + "x" * 300
    assert in_one_line(RunError("x" * 1000)) == "x" * 1000
