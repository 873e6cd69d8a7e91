"""Runs a model in its own thread, so that a slow or hung model never blocks the caller.

Knows nothing about the work. Results arrive one by one. The caller can limit its wait for the next
one, and can abandon the thread.
"""

import contextlib
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Generic, TypeVar

from engine.core.errors import EngineError, OutOfMemory, RunError, in_one_line
from engine.core.ports import Clock
from engine.core.threads import start_thread

T = TypeVar("T")

POLL_S = 0.02  # how often a waiting caller checks whether to give up
HUNG_S = 1.0  # work that has not ended this long after its cancellation is hung
NICE = 10  # niceness of low-priority threads


@dataclass(frozen=True, slots=True)
class End:
    """The end of the work, without (`error` is None) or with an error."""

    error: EngineError | None = None


class Task(Generic[T]):
    """One piece of work in progress: its results, then an End."""

    def __init__(self, work: "Work[T]") -> None:
        self.work = work
        self.events: queue.SimpleQueue[T | End] = queue.SimpleQueue()
        self.cancelled_s: float | None = None
        self.begun_s: float | None = None  # set by the work at its first output
        self.ended_s: float | None = None

    def next(
        self, clock: Clock, until_s: float | None, given_up: Callable[[], bool]
    ) -> T | End | None:
        """The next result or the end. None if `until_s` passed or `given_up` returned True first.
        With `until_s` None, there is no time limit."""
        while True:
            left_s = POLL_S if until_s is None else min(POLL_S, until_s - clock.now())
            try:
                return self.events.get(timeout=max(0.0, left_s))
            except queue.Empty:
                if given_up() or (until_s is not None and clock.now() >= until_s):
                    return None


Work = Callable[[Task[T]], Iterator[T]]


def lower_thread_priority() -> None:
    """Lower the scheduling priority of the calling thread and of those that it starts, since
    obstacle detection comes first. On Linux only: elsewhere this would affect the whole process."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


class Worker(Generic[T]):
    """Runs one piece of work after another. Starting one cancels the previous one.

    If the work raises anything but an EngineError, it becomes `failure` or OutOfMemory. With
    `low_priority`, the thread calls `lower_thread_priority`.
    """

    def __init__(
        self,
        name: str,
        failure: type[RunError],
        clock: Clock,
        hung_s: float = HUNG_S,
        low_priority: bool = False,
    ) -> None:
        self._low_priority = low_priority
        self._hung_s = hung_s
        self._failure = failure
        self._clock = clock
        self._tasks: queue.SimpleQueue[Task[T] | None] = queue.SimpleQueue()
        self._current: Task[T] | None = None
        self._busy = False
        self._name = name
        self._thread = start_thread(name, self._run)

    def start(self, work: Work[T]) -> Task[T]:
        """Begin `work` as soon as the earlier work ends; never waits. Raises `failure` if the
        thread hangs in earlier work."""
        before = self._current
        if before is not None:
            self.cancel(before)
            since_s = before.cancelled_s
            if self._busy and since_s is not None and self._clock.now() - since_s > self._hung_s:
                raise self._failure(f"the {self._name} is still busy with an earlier picture")
        self._current = Task(work)
        self._tasks.put(self._current)
        return self._current

    def cancel(self, task: Task[T]) -> None:
        """End the work after its next result, without waiting for it."""
        if task.cancelled_s is None:
            task.cancelled_s = self._clock.now()

    def close(self, patience_s: float = 2.0) -> None:
        """Stop the thread. A hung one is abandoned after `patience_s`; it is a daemon."""
        if self._current is not None:
            self.cancel(self._current)
        self._tasks.put(None)
        self._thread.join(timeout=patience_s)

    def _run(self) -> None:
        if self._low_priority:
            lower_thread_priority()
        while (task := self._tasks.get()) is not None:
            if task.cancelled_s is not None:
                task.events.put(End())
                continue
            self._busy = True
            error = self._do(task)
            self._busy = False
            task.ended_s = self._clock.now()
            task.events.put(End(error))

    def _do(self, task: Task[T]) -> EngineError | None:
        try:
            results = task.work(task)
            with closing(results):  # type: ignore[type-var]
                for result in results:
                    if task.cancelled_s is not None:
                        return None
                    task.events.put(result)
        except EngineError as error:
            return error
        except MemoryError:
            return OutOfMemory(f"the {self._name} found no memory")
        except Exception as error:  # an adapter's bug must reach the wearer, not kill the thread
            return self._failure(in_one_line(error))
        return None
