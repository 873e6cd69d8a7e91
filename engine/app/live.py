"""Runs a session live: starts one thread for each loop, watches them, and stops them.

    camera ─▶ Slot[Frame] ─▶ watch ─▶ Slot[Glance] ─▶ answer ─▶ Audio ─▶ speak ─▶ sink
        ear, keyboard, trigger ─▶ Slot[Request] ──┘

Each device and each model is used from one thread. The bodies of the threads are in
`engine.app.loops`; the objects are created in `engine.app.builders`.
"""

import threading

from engine.app.loops.answer import AnswerLoop
from engine.app.loops.camera import CameraLoop
from engine.app.loops.ear import EarLoop
from engine.app.loops.loop import POLL_S, Loop
from engine.app.loops.speak import SpeakLoop
from engine.app.loops.watch import WatchLoop
from engine.app.notifier import Notifier
from engine.app.user_input import UserInput
from engine.core.errors import RunError, SourceLost, in_one_line
from engine.core.report import Health
from engine.language.wording import StatusKey

JOIN_S = 3.0  # a thread that does not end within this time is abandoned


class Live:
    """Runs the loops of a session in real time.

    `run` returns when the source has ended and everything has been said, or when the wearer quits.
    Otherwise it raises the error that ended the session: RunError or KeyboardInterrupt.
    """

    def __init__(
        self,
        camera: CameraLoop,
        watch: WatchLoop,
        answer: AnswerLoop,
        speak: SpeakLoop,
        ear: EarLoop | None,
        user_input: UserInput,
        notifier: Notifier,
    ) -> None:
        self._loops: list[Loop] = [camera, watch, answer]
        if ear is not None:
            self._loops.append(ear)
        self._watch = watch
        self._answer = answer
        self._speak = speak
        self._user_input = user_input
        self._notifier = notifier
        self._stop = threading.Event()
        self._stop_speaking = threading.Event()
        # a loop has failed: only waiting utterances are still said
        self._broken = threading.Event()
        self._silenced = threading.Event()  # the speak loop has failed: no more speech is possible
        self._failure: RunError | None = None

    def run(self) -> None:
        threads = [self._thread(loop, self._stop) for loop in self._loops]
        speaking = self._thread(self._speak, self._stop_speaking)
        self._user_input.open()
        speaking.start()
        try:
            for thread in threads:
                thread.start()
            while not self._is_finished():
                self._user_input.quit.wait(POLL_S)
        finally:
            self._stop.set()
            for loop in self._loops:
                loop.wake()
            self._user_input.close()
            for thread in threads:
                thread.join(timeout=JOIN_S)
            self._stop_speaking.set()
            speaking.join(timeout=JOIN_S)
        if self._failure is not None:
            raise self._failure

    def _is_finished(self) -> bool:
        if self._user_input.quit.is_set():
            return True
        ended = self._broken.is_set() or (self._watch.ended.is_set() and self._answer.idle)
        return ended and (self._speak.idle or self._silenced.is_set())

    # Threads.

    def _thread(self, loop: Loop, stop: threading.Event) -> threading.Thread:
        return threading.Thread(
            target=self._supervise, args=(loop, stop), name=loop.name, daemon=True
        )

    def _supervise(self, loop: Loop, stop: threading.Event) -> None:
        """The target of each thread. An error is logged and announced, and ends the session."""
        try:
            loop.run(stop)
        except SourceLost as error:  # the earlier frames are still processed
            self._fail(error, loop, str(error))
        except Exception as error:
            detail = in_one_line(error)
            failure = RunError(f"the {loop.name} loop failed: {detail}")
            failure.__cause__ = error
            self._fail(failure, loop, detail)
            self._broken.set()
        finally:
            loop.close()

    def _fail(self, error: RunError, loop: Loop, detail: str) -> None:
        self._failure = self._failure or error
        health = Health(loop.name, detail, "said so and stopped")
        if loop is self._speak:
            self._notifier.report(health)
            self._silenced.set()
            return
        key: StatusKey = "camera_lost" if isinstance(error, SourceLost) else "failed"
        self._notifier.fault(health, key)
