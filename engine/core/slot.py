"""A slot holds only the newest value and gives it to any number of readers.

Slots connect the loops. Putting never waits, so a detector never delays the camera, and a describer
never delays the detector. A slot knows nothing of its values or of the engine's clock: a reader's
timeout is real time.
"""

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Slot(Generic[T]):
    """One value, which the next one overwrites. `version` counts the values put so far.

    Any thread may put. Each reading thread has its own `reader()`, so that no thread takes a value
    from another.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._value: T | None = None
        self._version = 0
        self._closed = False

    def put(self, value: T) -> None:
        """Replace the value and wake all waiting readers. After `close` it does nothing, since a
        producer may still finish its last value while the engine stops."""
        with self._changed:
            if self._closed:
                return
            self._value = value
            self._version += 1
            self._changed.notify_all()

    def newest(self) -> T | None:
        """The current value without waiting, None before the first."""
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

        A value that is already there is returned at once, even after `close`, so that the last one
        is not lost. None means that `timeout_s` passed or the slot is closed; with
        `timeout_s=None`, only the latter.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._version > version or self._closed, timeout_s)
            if self._version <= version or self._value is None:
                return None
            return self._version, self._value

    def reader(self) -> "SlotReader[T]":
        """A consumer with its own position. It has not yet read the current value."""
        return SlotReader(self)

    def close(self) -> None:
        """Accept no more values and wake all readers. Further calls do nothing."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class SlotReader(Generic[T]):
    """Reads a slot from one thread. `dropped` counts the values that were overwritten before this
    reader read them. The current value, if unread, is not counted."""

    def __init__(self, slot: Slot[T]) -> None:
        self._slot = slot
        self._position = 0
        self.dropped = 0

    def next(self, timeout_s: float | None = None) -> T | None:
        """The newest value, if this reader has not read it; see `Slot.newer_than`."""
        found = self._slot.newer_than(self._position, timeout_s)
        if found is None:
            return None
        version, value = found
        self.dropped += version - self._position - 1
        self._position = version
        return value
