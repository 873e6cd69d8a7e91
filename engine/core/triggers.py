"""Triggers that request descriptions by time: once, at an interval, for every frame, or never."""

from typing import Protocol


class Trigger(Protocol):
    """Says, once per frame, whether a description is due."""

    name: str

    def due(self, elapsed_s: float) -> bool:
        """Whether a description is due now. `elapsed_s` is the time since the first frame."""
        ...


class Once:
    """One description, at the first frame at least `at_s` after the start."""

    name = "once"

    def __init__(self, at_s: float) -> None:
        self._at_s = at_s
        self._fired = False

    def due(self, elapsed_s: float) -> bool:
        fires = not self._fired and elapsed_s >= self._at_s
        self._fired = self._fired or fires
        return fires


class Interval:
    """A description at the start and then every `interval_s`. Missed ones are skipped."""

    name = "interval"

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._next_s = 0.0

    def due(self, elapsed_s: float) -> bool:
        if elapsed_s < self._next_s:
            return False
        passed = int((elapsed_s - self._next_s) // self._interval_s)
        self._next_s += (passed + 1) * self._interval_s
        return True


class Every:
    """A description for every frame."""

    name = "every"

    def due(self, elapsed_s: float) -> bool:
        return True


class OnDemand:
    """Never due: the keyboard or the ear requests descriptions."""

    def __init__(self, name: str) -> None:
        self.name = name

    def due(self, elapsed_s: float) -> bool:
        return False
