"""Clocks: the host's monotonic one, and a virtual one for batches and tests."""

import time


class MonotonicClock:
    """The host's monotonic clock, in seconds."""

    def now(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds))


class VirtualClock:
    """A clock that advances only on request, so that batches and tests run as fast as they can."""

    def __init__(self, start_s: float = 0.0) -> None:
        self._now_s = start_s

    def now(self) -> float:
        return self._now_s

    def sleep(self, seconds: float) -> None:
        self.move_to(self._now_s + max(0.0, seconds))

    def move_to(self, time_s: float) -> None:
        """Advance to `time_s`. A time in the past changes nothing."""
        self._now_s = max(self._now_s, time_s)
