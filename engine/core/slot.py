"""A Slot holds one value, the newest, and hands it to any number of readers.

It joins the loops: putting never waits, so a camera is never held up by a detector, nor a detector
by a describer. It knows nothing of what it holds, and nothing of the engine's clock: a reader's
timeout is real time.
"""

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Slot(Generic[T]):
    """One value, overwritten by the next. `version` counts the values put so far.

    Any thread may put; each thread that reads makes its own `reader()`, so that none takes a value
    away from another.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._value: T | None = None
        self._version = 0
        self._closed = False

    def put(self, value: T) -> None:
        """Replace the value and wake whoever waits. After `close` it does nothing, since a producer
        may well be in the middle of its last value when the engine stops."""
        with self._changed:
            if self._closed:
                return
            self._value = value
            self._version += 1
            self._changed.notify_all()

    def newest(self) -> T | None:
        """The value as it is, without waiting; None before the first."""
        with self._changed:
            return self._value

    @property
    def version(self) -> int:
        with self._changed:
            return self._version

    @property
    def closed(self) -> bool:
        with self._changed:
            return self._closed

    def newer_than(self, version: int, timeout_s: float | None = None) -> tuple[int, T] | None:
        """Wait for a value put after `version`; return (its version, the value).

        A value that is already there comes at once, even after `close`, so that the last one is not
        lost. None means that `timeout_s` seconds passed, or that the slot is `closed`; with
        `timeout_s=None` only the latter.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._version > version or self._closed, timeout_s)
            if self._version <= version or self._value is None:
                return None
            return self._version, self._value

    def reader(self) -> "SlotReader[T]":
        """A consumer with its own position; a value that is in the slot already is new to it."""
        return SlotReader(self)

    def close(self) -> None:
        """No more values: wake all waiters. May be called again."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class SlotReader(Generic[T]):
    """One thread's way through a slot. `dropped` counts the values that were overwritten before
    this reader came back for them; a newest value that still waits to be read is not among them."""

    def __init__(self, slot: Slot[T]) -> None:
        self._slot = slot
        self._position = 0
        self.dropped = 0

    def next(self, timeout_s: float | None = None) -> T | None:
        """The newest value that this reader has not had; see `Slot.newer_than`."""
        found = self._slot.newer_than(self._position, timeout_s)
        if found is None:
            return None
        version, value = found
        self.dropped += version - self._position - 1
        self._position = version
        return value
