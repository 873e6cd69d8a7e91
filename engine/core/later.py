"""A value that is made in the background, for whoever needs it before it is there."""

import threading
from typing import Generic, TypeVar

from engine.core.errors import EngineError, StillLoading

T = TypeVar("T")


class Later(Generic[T]):
    """A value to come, called `what` in messages. Set with `put` or `fail` by the thread that makes
    it; read from any thread. A value counts more than an error, whichever came first."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._value: T | None = None
        self._error: EngineError | None = None
        self._settled = threading.Event()

    @property
    def settled(self) -> bool:
        """Whether there is a value, or the reason why there will be none."""
        return self._settled.is_set()

    def put(self, value: T) -> None:
        """Here is the value."""
        self._value = value
        self._settled.set()

    def fail(self, error: EngineError) -> None:
        """There will be no value."""
        self._error = error
        self._settled.set()

    def overdue(self, error: EngineError) -> None:
        """Nobody should count on the value any more: `get` raises `error`. It may still come, so
        whoever waits goes on waiting."""
        self._error = error

    def get(self) -> T:
        """The value. Raises StillLoading while there is none, and the error if it is overdue or has
        failed."""
        if self._value is not None:
            return self._value
        if self._error is not None:
            raise self._error
        raise StillLoading(f"{self._what} is still loading")

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it is settled, at most `timeout_s` seconds; return whether it is."""
        return self._settled.wait(timeout_s)
