"""The signs of life of a thread that does one part of the session's work."""

import threading

from engine.core.ports import Clock


class Abandoned(BaseException):
    """Raised in a thread that has been given up, at its next beat: it must touch nothing more. Not
    an Exception, so that no handler of errors keeps the thread going."""


class Pulse:
    """One run of a loop in one thread. Its thread calls `beat`; the watchdog calls the rest.

    `stop` asks the loop to end. `patience_s` is the longest time without a beat; the loop may raise
    it while it opens a device or loads a model.
    """

    def __init__(self, clock: Clock, patience_s: float) -> None:
        self.stop = threading.Event()
        self.patience_s = patience_s
        self._clock = clock
        self._beaten_s = clock.now()
        self._abandoned = False

    def beat(self) -> float:
        """Give a sign of life; return the time. Raises Abandoned.

        Call it after everything that can hang, before its result is used: a thread that was given
        up, and wakes when another has taken its place, then changes nothing.
        """
        if self._abandoned:
            raise Abandoned
        self._beaten_s = now_s = self._clock.now()
        return now_s

    def is_silent(self, now_s: float) -> bool:
        """Whether the last beat is longer ago than `patience_s`."""
        return now_s - self._beaten_s > self.patience_s

    def excuse(self, seconds: float) -> None:
        """Nothing ran for `seconds`, the watchdog included: this says nothing about the thread."""
        self._beaten_s += seconds

    def abandon(self) -> None:
        """Give the thread up: its next beat raises Abandoned."""
        self._abandoned = True
        self.stop.set()
