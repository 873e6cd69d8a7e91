"""Runs a session live: one thread for each loop, looked after by a watchdog.

    camera ─▶ Slot[Frame] ─▶ watch ─▶ Slot[Glance] ─▶ answer ─▶ Audio ─▶ speak ─▶ sink
        ear, keyboard, trigger ─▶ Slot[Request] ──┘

Each device and each model is used from one thread. The bodies of the threads are in
`engine.app.loops`; the objects are created in `engine.app.builders`.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.app.loading import Loading
from engine.app.loops.answer import AnswerLoop
from engine.app.loops.camera import CameraLoop
from engine.app.loops.ear import EarLoop
from engine.app.loops.loop import POLL_S, STALLED_S, Loop
from engine.app.loops.speak import SpeakLoop
from engine.app.loops.watch import WatchLoop
from engine.app.notifier import Notifier
from engine.app.user_input import UserInput
from engine.app.watchdog import Watchdog
from engine.core.errors import RunError, SourceLost, in_one_line
from engine.core.outlet import Outlet
from engine.core.ports import Clock
from engine.core.report import Health
from engine.language.wording import StatusKey

JOIN_S = 3.0  # a thread that does not end within this time is abandoned
FAREWELL_S = 4.0  # for the last words
LATE_S, LOST_S = 1.0, 2.0  # a look that takes longer is late; longer still, obstacles are not seen
# An alarm about looks ends once none was late for this long: a detector at the limit would
# otherwise fill the ears with its coming and going.
STEADY_S = 5.0
STUCK_S = 3.0  # a disk or terminal that takes nothing for this long is reported


@dataclass(frozen=True)
class Loops:
    """The loops of a session; `ear` is None if there is no wake word."""

    camera: CameraLoop
    watch: WatchLoop
    answer: AnswerLoop
    speak: SpeakLoop
    ear: EarLoop | None = None

    def all(self) -> list[Loop]:
        found: list[Loop] = [self.speak, self.camera, self.watch, self.answer]
        return found if self.ear is None else [*found, self.ear]


class Live:
    """Runs the loops of a session in real time.

    `run` returns when the source has ended and everything has been said, or when the wearer quits.
    Otherwise it raises the error that ended the session: RunError or KeyboardInterrupt. `clock` is
    the watchdog's; `outlets` write the log and the terminal. `watches`: whether the wearer may rely
    on being warned, and not of a still picture. Until `loading` is ready, which "Ready." tells, a
    look may take up to LOST_S.
    """

    def __init__(
        self,
        loops: Loops,
        user_input: UserInput,
        notifier: Notifier,
        outlets: Sequence[Outlet],
        clock: Clock,
        watches: bool = True,
        loading: Loading | None = None,
    ) -> None:
        self._loops = loops
        self._user_input = user_input
        self._notifier = notifier
        self._outlets = outlets
        self._stuck: set[str] = set()  # the outlets that are known to be stuck
        self._clock = clock
        self._watchdog = Watchdog(loops.all(), clock, self._on_fault)
        self._speaking = self._watchdog.watched[loops.speak.name]
        self._failure: RunError | None = None
        self._watches = watches
        self._loading = loading or Loading()
        self._gone_s = self._late_s = -math.inf  # when the camera was last lost, a look last late
        self._broken = False  # a vital loop is lost: the session ends at once

    def run(self) -> None:
        self._user_input.open()
        self._loops.camera.fresh_s = self._clock.now()
        self._watchdog.start()
        try:
            while not self._is_finished():
                self._clock.sleep(POLL_S)
                self._check()
        except KeyboardInterrupt:
            self._user_input.quit.set()
            raise
        finally:
            self._end()
        if self._failure is not None:
            raise self._failure

    def _is_finished(self) -> bool:
        if self._user_input.quit.is_set() or self._broken:
            return True
        ended = self._loops.watch.ended.is_set() and self._loops.answer.idle
        return ended and self._loops.speak.idle

    # Looking after the loops.

    def _check(self) -> None:
        now_s = self._watchdog.check()
        self._judge_camera(now_s)
        if self._watches:
            self._judge_looks(now_s)
        self._judge_outlets()
        self._loading.check(now_s)
        self._notifier.repeat_alarms(now_s)

    def _judge_camera(self, now_s: float) -> None:
        """A live camera must give frames; glasses say themselves that they are lost."""
        camera = self._loops.camera
        if not camera.live or camera.frames.closed or camera.fresh_s is None:
            return
        if now_s - camera.fresh_s <= STALLED_S:
            if now_s - self._gone_s > STALLED_S:
                self._notifier.relieve("camera_lost", say="camera_back")
            return
        self._gone_s = now_s
        if "glasses_lost" not in self._notifier.alarms():
            health = Health("camera", f"no frame for {STALLED_S:g} s", "said so")
            self._notifier.alarm(health, "camera_lost")

    def _judge_looks(self, now_s: float) -> None:
        """A look must not take long; an alarm lasts until one has been quick enough again."""
        watch = self._loops.watch
        since_s = watch.look_since_s
        look_s = max(0.0 if since_s is None else now_s - since_s, watch.look_s or 0.0)
        if look_s > LATE_S:
            self._late_s = now_s
        if look_s > LOST_S:
            self._notifier.relieve("watch_slow")
            health = Health("watch", f"a look took over {LOST_S:g} s", "said so")
            self._notifier.alarm(health, "watch_lost")
        elif look_s > LATE_S:
            if self._loading.ready and "watch_lost" not in self._notifier.alarms():
                health = Health("watch", f"a look took over {LATE_S:g} s", "said so")
                self._notifier.alarm(health, "watch_slow")
        elif watch.look_s is None or watch.failing:
            return
        elif now_s - self._late_s > STEADY_S:
            self._notifier.relieve("watch_slow", "watch_lost", say="watch_back")

    def _judge_outlets(self) -> None:
        """Report a disk or a terminal that hangs; what waits for it is bounded and counted."""
        for outlet in self._outlets:
            if outlet.stuck_s() <= STUCK_S:
                self._stuck.discard(outlet.name)
            elif outlet.name not in self._stuck:
                self._stuck.add(outlet.name)
                detail = f"nothing was written for {STUCK_S:g} s"
                self._notifier.report(Health(outlet.name, detail, "went on without waiting"))
                if outlet.name == "log":
                    self._notifier.announce("not_recorded")

    def _on_fault(self, loop: Loop, error: RunError, final: bool) -> None:
        """A loop has died or hangs. If this is `final`, it does not run again."""
        loops = self._loops
        action = "said so and stopped" if final and loop.vital else "said so, and starts it again"
        if final and not loop.vital:
            action = "said so, and goes on without it"
        health = Health(loop.name, in_one_line(error), action)
        if loop is loops.camera:
            self._gone_s = self._clock.now()  # its newest frame says nothing any more
        alarms: dict[str, StatusKey] = {
            loops.camera.name: "camera_lost",
            loops.watch.name: "watch_lost",
            loops.speak.name: "sound_lost",
        }
        if loop is loops.watch:
            loops.watch.look_s = loops.watch.look_since_s = None  # until the next look
        if loops.ear is not None and loop is loops.ear and loops.ear.lose():
            self._notifier.fault(health, "wake_failed")
        elif loop.name not in alarms or not self._notifier.alarm(health, alarms[loop.name]):
            self._notifier.report(health)
        if final and loop.vital:
            self._failure = self._failure or error
            self._broken = not isinstance(error, SourceLost)  # earlier frames are still answered

    # The end.

    def _end(self) -> None:
        """Say that the session ends, stop every loop in its own thread, and wait for them."""
        self._user_input.close()  # first: a second Ctrl-C leaves the terminal as it is
        speaking = self._speaking
        self._notifier.end()
        if self._broken or self._user_input.quit.is_set():
            self._loops.speak.hush()
        if self._broken and speaking.over:
            self._notifier.last_resort("failed")
        elif self._broken:
            self._notifier.last_words("failed")
        elif self._watches or self._user_input.quit.is_set():
            self._notifier.last_words("stopped")
        others = [w for w in self._watchdog.watched.values() if w is not speaking]
        for watched in others:
            watched.stop()
        self._wait(JOIN_S, lambda: all(watched.over for watched in others))
        self._wait(FAREWELL_S, lambda: self._loops.speak.idle or speaking.over)
        speaking.stop()
        self._wait(JOIN_S, lambda: speaking.over)
        for watched in self._watchdog.watched.values():
            if not watched.over:
                watched.give_up()
                detail = f"its thread did not end within {JOIN_S:g} s"
                self._notifier.report(Health(watched.loop.name, detail, "left it as it was"))

    def _wait(self, seconds: float, done: Callable[[], bool]) -> None:
        """Wait in real time, since nothing may keep the session from ending."""
        until_s = time.monotonic() + seconds
        while not done() and time.monotonic() < until_s:
            self._clock.sleep(POLL_S / 5)
            self._watchdog.check()
