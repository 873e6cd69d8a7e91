"""Keyboard input: single key presses from a terminal, or lines from a pipe.

Knows which key was pressed, not what it does.
"""

import os
import select
import sys
import threading
from collections.abc import Callable
from typing import Any

from engine.core.errors import MissingPart


def standard_input() -> int:
    """The file descriptor of standard input. Raises MissingPart if it is closed."""
    try:
        return sys.stdin.fileno()
    except (OSError, ValueError, AttributeError) as error:
        raise MissingPart(
            "trigger=keyboard: expected a terminal or a pipe on standard input, got none; "
            "use trigger=interval or trigger=once"
        ) from error


class Keyboard:
    """Calls `on_key` from its thread with the character of each key press ('\\n' for Enter).

    A line from a pipe is passed whole, an empty one as Enter. The thread ends at the end of the
    input. `close` restores the terminal.
    """

    def __init__(self, on_key: Callable[[str], None]) -> None:
        self._fd = standard_input()
        self._on_key = on_key
        self._stop = threading.Event()
        self._tty = os.isatty(self._fd)
        self._saved = self._cbreak() if self._tty else None
        self._thread = threading.Thread(target=self._run, name="keyboard", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(timeout=1.0)
        if self._saved is not None:
            import termios

            # not TCSADRAIN, which waits for a terminal stopped by Ctrl-S
            termios.tcsetattr(self._fd, termios.TCSANOW, self._saved)
            self._saved = None

    def _cbreak(self) -> list[Any]:
        import termios
        import tty

        saved: list[Any] = termios.tcgetattr(self._fd)
        # No line buffering; Ctrl-C still interrupts. Keys pressed while models loaded are kept. Not
        # TCSADRAIN, which waits for a terminal stopped by Ctrl-S.
        tty.setcbreak(self._fd, termios.TCSANOW)
        return saved

    def _run(self) -> None:
        partial_line = b""
        while not self._stop.is_set():
            ready, _, _ = select.select([self._fd], [], [], 0.2)
            if not ready:
                continue
            data = os.read(self._fd, 1024)
            if not data:
                return
            if self._tty:
                for key in data.decode(errors="ignore"):
                    self._on_key("\n" if key == "\r" else key)
                continue
            *lines, partial_line = (partial_line + data).split(b"\n")
            for line in lines:
                self._on_key(line.decode(errors="ignore").strip() or "\n")
