"""How the process ends: by which signals, and beside threads that hang.

Imports next to nothing.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

from engine.core.threads import start_thread, still_running

INTERRUPTED = 130
# A supervisor passes a terminal's Ctrl-C on, which the engine gets from the terminal as well.
SAME_S = 0.3
PRINTING_S = 2.0  # wait for a terminal that takes nothing


class Interrupt:
    """A handler of signals: the first one raises KeyboardInterrupt, the next leaves at once."""

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        leave_at_once: Callable[[int], None] = os._exit,
    ) -> None:
        self._now = now
        self._leave_at_once = leave_at_once
        self._first_s: float | None = None

    def __call__(self, _signal: int, _frame: FrameType | None) -> None:
        if self._first_s is None:
            self._first_s = self._now()
            raise KeyboardInterrupt
        if self._now() - self._first_s > SAME_S:
            self._leave_at_once(INTERRUPTED)


def handle_signals() -> None:
    """End in an orderly way at SIGINT (which a shell makes background processes ignore), SIGTERM,
    and SIGHUP unless it is ignored, as under nohup."""
    interrupt = Interrupt()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        ignored = name == "SIGHUP" and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        if number is not None and not ignored:
            signal.signal(number, interrupt)


def tell(line: str) -> None:
    """Print `line` to the standard error, without waiting for a stalled terminal."""
    start_thread("last line", lambda: print(line, file=sys.stderr, flush=True)).join(PRINTING_S)


def leave(status: int) -> None:
    """End the process with `status` if a thread of the engine still hangs somewhere: the
    interpreter's own cleanup beside it can crash. Otherwise return."""
    hanging = still_running()
    if not hanging:
        return
    if not {"screen", "last line"} & set(hanging):
        for file in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                file.flush()
    os._exit(status)
