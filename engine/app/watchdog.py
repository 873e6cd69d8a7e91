"""Runs each loop in a thread, and restarts one that died or gives no more signs of life.

A thread cannot be killed. One that hangs is abandoned: another thread runs the loop anew, with new
devices and models, and the old one ends at its next beat (`engine.core.pulse`). Must not know what
a loop does.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from engine.app.loops.loop import Loop
from engine.core.errors import RunError, in_one_line
from engine.core.ports import Clock
from engine.core.pulse import Abandoned, Pulse
from engine.core.threads import start_thread

BACKOFF_S = (0.0, 1.0, 2.0, 4.0, 8.0)  # before each restart; the last one repeats
WINDOW_S = 300.0  # in which a loop may be restarted `restarts` times
# The watchdog itself did not run for this long (a stopped process, a starved machine): the loops
# did not either, and their silence means nothing.
STOPPED_S = 1.0

OnFault = Callable[[Loop, RunError, bool], None]


class Run:
    """One run of a loop in its own thread. `outcome` is set at its end."""

    def __init__(self, loop: Loop, clock: Clock) -> None:
        self.pulse = Pulse(clock, loop.patience_s)
        self.outcome: RunError | Literal["ended"] | None = None
        self._loop = loop
        start_thread(loop.name, self._run)

    def _run(self) -> None:
        try:
            self._loop.run(self.pulse)
            self.outcome = "ended"
        except Abandoned:
            return
        except RunError as error:
            self.outcome = error
        except BaseException as error:  # a library's SystemExit too ends only this thread
            failure = RunError(f"the {self._loop.name} loop failed: {in_one_line(error)}")
            failure.__cause__ = error
            self.outcome = failure


class Watched:
    """A loop and its thread. `start`, `check` and `stop` belong to the watchdog's thread."""

    def __init__(self, loop: Loop, clock: Clock, on_fault: OnFault) -> None:
        self.loop = loop
        self._clock = clock
        self._on_fault = on_fault
        self._current: Run | None = None
        self._due_s: float | None = None  # when to restart
        self._restarted_s: list[float] = []
        self._stopping = False
        self.over = False  # the loop will not run again

    def start(self) -> None:
        self._due_s = None
        self._current = Run(self.loop, self._clock)

    def check(self, now_s: float) -> None:
        """Note how the run has ended or that it hangs, and restart the loop when that is due."""
        run = self._current
        if self.over or run is None:
            return
        if self._due_s is not None:
            if now_s >= self._due_s:
                self._restarted_s.append(now_s)
                self.start()
        elif run.outcome == "ended":
            self._finish()
        elif run.outcome is not None:
            self._fail(run.outcome, now_s)
        elif run.pulse.is_silent(now_s) and not self._stopping:
            run.pulse.abandon()
            detail = (
                f"the {self.loop.name} loop gave no sign of life for {run.pulse.patience_s:g} s"
            )
            self._fail(RunError(detail), now_s)

    def excuse(self, seconds: float) -> None:
        if self._current is not None:
            self._current.pulse.excuse(seconds)

    def stop(self) -> None:
        """Ask the loop to end; it is not restarted any more."""
        self._stopping = True
        if self._current is not None:
            self._current.pulse.stop.set()
        self.loop.wake()
        if self._due_s is not None:
            self._due_s = None
            self._finish()

    def give_up(self) -> None:
        """Leave a thread that has not ended to itself."""
        if self._current is not None:
            self._current.pulse.abandon()

    def _fail(self, error: RunError, now_s: float) -> None:
        recent = [time_s for time_s in self._restarted_s if now_s - time_s < WINDOW_S]
        final = self._stopping or len(recent) >= self.loop.restarts
        if not final:
            self._due_s = now_s + BACKOFF_S[min(len(recent), len(BACKOFF_S) - 1)]
        self._on_fault(self.loop, error, final)
        if final:
            self._finish()

    def _finish(self) -> None:
        self.over = True
        self.loop.close()


class Watchdog:
    """Looks after all loops of a session. `check` is to be called several times a second."""

    def __init__(self, loops: Sequence[Loop], clock: Clock, on_fault: OnFault) -> None:
        self._clock = clock
        self.watched = {loop.name: Watched(loop, clock, on_fault) for loop in loops}
        self._checked_s = clock.now()

    def start(self) -> None:
        self._checked_s = self._clock.now()
        for watched in self.watched.values():
            watched.start()

    def check(self) -> float:
        """Check every loop; return the time."""
        now_s = self._clock.now()
        gap_s, self._checked_s = now_s - self._checked_s, now_s
        for watched in self.watched.values():
            if gap_s > STOPPED_S:
                watched.excuse(gap_s)
            watched.check(now_s)
        return now_s
