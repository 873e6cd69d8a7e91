"""Does slow output in a thread of its own, so that a stalled disk or terminal stops nobody else.

Must not know what is written, or where.
"""

import threading
from collections import deque
from collections.abc import Callable

from engine.core.ports import Clock
from engine.core.threads import start_thread

Job = Callable[[], object]


class Outlet:
    """Runs jobs one after another in a thread called `name`, which starts with the first job.

    At most `limit` jobs wait. `put` may be called from any thread; with a full queue it waits for
    `patience_s` at most, 0 when live, and then drops the job and counts it. A job must handle its
    own errors: whatever else it raises is dropped, and the next job runs.
    """

    def __init__(self, name: str, clock: Clock, limit: int, patience_s: float = 0.0) -> None:
        self.name = name
        self._clock = clock
        self._limit = limit
        self._patience_s = patience_s
        self._changed = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._busy_since_s: float | None = None
        self._closed = False
        self._thread: threading.Thread | None = None
        self.lost = 0  # jobs that found no room, or were left at the end

    def put(self, job: Job) -> bool:
        """Queue `job`; return whether there was room. After `close`, there is none."""
        with self._changed:
            room = self._changed.wait_for(
                lambda: self._closed or len(self._waiting) < self._limit, self._patience_s
            )
            if not room or self._closed:
                self.lost += 1
                return False
            if self._thread is None:
                self._thread = start_thread(self.name, self._run)
            self._waiting.append(job)
            self._changed.notify_all()
            return True

    def stuck_s(self) -> float:
        """How long the current job has been running, 0 if none is."""
        with self._changed:
            since_s = self._busy_since_s
        return 0.0 if since_s is None else self._clock.now() - since_s

    def flush(self, patience_s: float) -> bool:
        """Wait until all jobs are done, for `patience_s` at most; return whether they are."""
        with self._changed:
            return self._changed.wait_for(self._is_done, patience_s)

    def close(self, patience_s: float) -> bool:
        """Take no more jobs and finish the waiting ones, within `patience_s`. Return whether all
        are done; the others count as lost, and a hung thread is abandoned."""
        done = self.flush(patience_s)
        with self._changed:
            self._closed = True
            self.lost += len(self._waiting) + (self._busy_since_s is not None)
            self._waiting.clear()
            self._changed.notify_all()
        if done and self._thread is not None:
            self._thread.join(timeout=patience_s)
        return done

    def _is_done(self) -> bool:
        return not self._waiting and self._busy_since_s is None

    def _run(self) -> None:
        while (job := self._next()) is not None:
            try:
                job()
            except Exception:
                self.lost += 1
            finally:
                with self._changed:
                    self._busy_since_s = None
                    self._changed.notify_all()

    def _next(self) -> Job | None:
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting) or self._closed)
            if not self._waiting:
                return None
            self._busy_since_s = self._clock.now()
            job = self._waiting.popleft()
            self._changed.notify_all()
            return job
