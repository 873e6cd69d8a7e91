"""The watch thread: runs the frame step on the newest frame and puts the result into a slot."""

import threading
from collections.abc import Callable

from engine.app.frame_step import FrameStep
from engine.app.loops.camera import CameraLoop
from engine.app.loops.loop import POLL_S, STALLED_S
from engine.app.notifier import Notifier
from engine.core.camera import Frame
from engine.core.glance import Glance
from engine.core.report import Health
from engine.core.slot import Slot
from engine.core.triggers import Trigger


class WatchLoop:
    """Processes frames. `glances` holds the newest result; `ended` is set when no more frames will
    be processed.

    `ask` submits a request when the trigger is due and the session is `ready` to answer in full:
    nobody waits for such a request, so it is not answered by half.
    """

    name = "watch"

    def __init__(
        self,
        camera: CameraLoop,
        step: FrameStep,
        glances: Slot[Glance],
        trigger: Trigger,
        ask: Callable[[str], None],
        ready: Callable[[], bool],
        notifier: Notifier,
    ) -> None:
        self.ended = threading.Event()
        self._camera = camera
        self._step = step
        self._glances = glances
        self._trigger = trigger
        self._ask = ask
        self._ready = ready
        self._owed = False  # the trigger was due before the session was ready
        self._notifier = notifier
        self._stalled = False
        self._first_s: float | None = None

    def run(self, stop: threading.Event) -> None:
        reader = self._camera.frames.reader()
        while not stop.is_set():
            frame = reader.next(STALLED_S)
            if frame is not None:
                self._process(frame)
            elif self._camera.frames.closed:
                while self._owed and not stop.wait(POLL_S):
                    self._ask_if_due()
                break
            else:
                self._announce_stall()

    def wake(self) -> None:
        """Nothing to do: the camera loop closes the slot on which this loop waits."""

    def close(self) -> None:
        self._glances.close()
        self.ended.set()

    def _process(self, frame: Frame) -> None:
        if self._stalled:
            self._stalled = False
            self._notifier.announce("camera_back")
        self._glances.put(self._step.process(frame))
        if self._first_s is None:
            self._first_s = frame.time_s
        self._owed = self._trigger.due(frame.time_s - self._first_s) or self._owed
        self._ask_if_due()

    def _ask_if_due(self) -> None:
        if self._owed and self._ready():
            self._owed = False
            self._ask(self._trigger.name)

    def _announce_stall(self) -> None:
        camera = self._camera
        if camera.live and not self._stalled and not camera.loss_announced:
            self._stalled = True
            health = Health("camera", f"no frame for {STALLED_S:g} s", "said so")
            self._notifier.fault(health, "camera_lost")
