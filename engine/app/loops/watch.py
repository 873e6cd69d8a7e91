"""The watch thread: runs the frame step on the newest frame and puts the result into a slot."""

import threading
from collections.abc import Callable

from engine.app.frame_step import FrameStep
from engine.app.loops.camera import CameraLoop
from engine.app.loops.loop import OPENING_S, POLL_S
from engine.app.notifier import Notifier
from engine.core.camera import Frame
from engine.core.errors import RunError, in_one_line
from engine.core.glance import Glance
from engine.core.pulse import Pulse
from engine.core.report import Health
from engine.core.slot import Slot
from engine.core.triggers import Trigger

FAILURES = 5  # looks that fail one after another until the detector is loaded anew


class WatchLoop:
    """Processes frames. `glances` holds the newest result; `ended` is set when no more frames will
    be processed. `make_step` makes the step of each run: the first over the session's models, a
    further one over a detector loaded anew.

    `ask` submits a request when the trigger is due and the session is `ready` to answer in full:
    nobody waits for such a request, so it is not answered by half.
    """

    name = "watch"
    patience_s = 5.0
    vital = True

    def __init__(
        self,
        camera: CameraLoop,
        make_step: Callable[[bool], FrameStep],
        glances: Slot[Glance],
        trigger: Trigger,
        ask: Callable[[str], None],
        ready: Callable[[], bool],
        notifier: Notifier,
    ) -> None:
        self.ended = threading.Event()
        self.look_since_s: float | None = None  # when the look in progress began
        self.look_s: float | None = None  # how long the last look took, on the watchdog's clock
        self._camera = camera
        self._make_step = make_step
        self._runs = 0
        self._reader = camera.frames.reader()
        self._glances = glances
        self._trigger = trigger
        self._ask = ask
        self._ready = ready
        self._owed = False  # the trigger was due before the session was ready
        self._notifier = notifier
        self._failure: Exception | None = None  # of the last look
        self._failures = 0  # one after another
        self._failed = 0  # all of them
        self._report_at = 1
        self._first_s: float | None = None

    def run(self, pulse: Pulse) -> None:
        """Raises RunError if looks keep failing, or the last one did."""
        self._runs += 1
        self._failures = 0
        self.look_since_s = None
        pulse.patience_s = OPENING_S
        step = self._make_step(self._runs == 1)
        pulse.beat()
        pulse.patience_s = self.patience_s
        while not pulse.stop.is_set():
            pulse.beat()
            frame = self._reader.next(POLL_S)
            if frame is not None:
                self._look(frame, step, pulse)
            elif self._camera.frames.closed:
                while self._owed and not pulse.stop.wait(POLL_S):
                    pulse.beat()
                    self._ask_if_due()
                break
        if self._failure is not None and not pulse.stop.is_set():
            raise _failed(self._failure)

    @property
    def restarts(self) -> int:
        """None when no more frames will come."""
        return 0 if self._camera.frames.closed else 3

    @property
    def failing(self) -> bool:
        """Whether the last look failed."""
        return self._failures > 0

    def wake(self) -> None:
        """Nothing to do: this loop waits for a frame only a fraction of a second."""

    def close(self) -> None:
        self._glances.close()
        self.ended.set()

    def _look(self, frame: Frame, step: FrameStep, pulse: Pulse) -> None:
        self.look_since_s = began_s = pulse.beat()
        try:
            glance = step.process(frame, beat=pulse.beat)
        except Exception as error:
            pulse.beat()
            self.look_since_s = None
            self._note_failure(error)
            return
        self.look_s = pulse.beat() - began_s
        self.look_since_s = None
        self._failure, self._failures = None, 0
        self._glances.put(glance)
        if self._first_s is None:
            self._first_s = frame.time_s
        self._owed = self._trigger.due(frame.time_s - self._first_s) or self._owed
        self._ask_if_due()

    def _ask_if_due(self) -> None:
        if self._owed and self._ready():
            self._owed = False
            self._ask(self._trigger.name)

    def _note_failure(self, error: Exception) -> None:
        self._failure = error
        self._failures += 1
        self._failed += 1
        if self._failed >= self._report_at:  # the first, the tenth, the hundredth ...
            self._report_at = 10 * self._failed
            many = f" ({self._failed} so far)" if self._failed > 1 else ""
            health = Health("watch", f"{in_one_line(error)}{many}", "went on with the next picture")
            self._notifier.report(health)
        if self._failures >= FAILURES:
            raise _failed(error)


def _failed(error: Exception) -> RunError:
    failure = RunError(f"the watch loop failed: {in_one_line(error)}")
    failure.__cause__ = error
    return failure
