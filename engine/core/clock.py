"""Two clocks: the host's, and one that a batch moves by hand."""

import time


class MonotonicClock:
    """The host's monotonic clock, in seconds; never set back."""

    def now(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds))


class VirtualClock:
    """Time that passes only when told to: batches and tests run as fast as they can compute."""

    def __init__(self, start_s: float = 0.0) -> None:
        self._now_s = start_s

    def now(self) -> float:
        return self._now_s

    def sleep(self, seconds: float) -> None:
        self.move_to(self._now_s + max(0.0, seconds))

    def move_to(self, time_s: float) -> None:
        """Go forward to `time_s`; a time already past changes nothing."""
        self._now_s = max(self._now_s, time_s)
