"""The answer thread: answers the newest request from the newest glance."""

import threading
from functools import partial

from engine.app.answer_step import AnswerStep
from engine.app.loops.loop import POLL_S, STALLED_S
from engine.app.notifier import Notifier
from engine.app.subsystems import Clocks, Speech
from engine.app.user_input import Spoken
from engine.core.answer import Request, Wish
from engine.core.errors import in_one_line
from engine.core.glance import Glance
from engine.core.priority import Priority
from engine.core.pulse import Abandoned, Pulse
from engine.core.report import Health
from engine.core.slot import Slot

# Alerts that are not critical wait at most this long for a requested answer.
EXPECT_S = 1.5
# A glance prefetched at the wake hint is reused if it is at most this old when the wake word fires.
# A hint comes up to 0.45 s earlier.
PREFETCH_FRESH_S = 0.6


class AnswerLoop:
    """Answers requests from `glances`. A new request ends the current answer. One that fails is
    said to have failed, and the next one is answered.

    `ask`, `repeat`, `stop_answer` and `hint` may be called from any thread. `live` says whether the
    source is a live camera, whose glances can be too old.
    """

    name = "answer"
    patience_s = 10.0  # every model has a deadline of its own
    vital = False
    restarts = 5

    def __init__(
        self,
        step: AnswerStep,
        glances: Slot[Glance],
        speech: Speech,
        clocks: Clocks,
        notifier: Notifier,
        live: bool,
    ) -> None:
        self._step = step
        self._glances = glances
        self._audio = speech.audio
        self._next_id = speech.next_id
        self._clocks = clocks
        self._notifier = notifier
        self._live = live
        self._requests: Slot[Request] = Slot()
        self._reader = self._requests.reader()
        self._taken = 0  # the version of the newest request that was begun
        self._answered = 0  # and of the newest one that was handled
        self._called = threading.Event()  # there is something to do
        self._hinted = threading.Event()  # the wearer may be about to ask
        self._stopped = threading.Event()  # the wearer has stopped the current answer
        self._prefetched: Glance | None = None

    @property
    def idle(self) -> bool:
        """Whether every request has been handled."""
        return self._answered >= self._requests.version

    def ask(
        self,
        trigger: str,
        wish: Wish = "describe",
        target: str | None = None,
        spoken: Spoken | None = None,
    ) -> None:
        """Submit a request. `spoken` is (asked_s, heard_s) of a spoken one; None means now."""
        asked_s, heard_s = spoken or (self._clocks.wall.now(), None)
        self._requests.put(Request(self._next_id(), trigger, asked_s, wish, target, heard_s))
        self._called.set()
        self._audio.expect_answer(self._clocks.timeline.now() + EXPECT_S)

    def repeat(self) -> None:
        """Say the last answer again."""
        if not self._step.repeat(self._next_id):
            self._notifier.announce("nothing_to_repeat")

    def stop_answer(self) -> None:
        """End the current answer."""
        self._stopped.set()

    def hint(self) -> None:
        """The wearer may be about to ask: prefetch an answer from the newest glance."""
        self._hinted.set()
        self._called.set()

    def run(self, pulse: Pulse) -> None:
        if self._taken > self._answered:  # an abandoned thread has begun an answer
            self._answered = self._taken
            self._audio.supersede_answers(self._next_id())
            self._notifier.announce("answer_failed", Priority.REASON)
        while not pulse.stop.is_set():
            pulse.beat()
            self._called.wait(POLL_S)
            self._called.clear()
            request = self._reader.next(timeout_s=0.0)
            try:
                if request is None:
                    self.prefetch()
                else:
                    self._answer(request, pulse)
            except Abandoned:
                raise
            except BaseException as error:
                pulse.beat()
                health = Health("answer", in_one_line(error), "said so")
                self._notifier.fault(health, "answer_failed", Priority.REASON)

    def _answer(self, request: Request, pulse: Pulse) -> None:
        self._taken = number = self._requests.version
        self._stopped.clear()
        try:
            glance = self.glance_for(request, pulse.stop)
            pulse.beat()
            if glance is not None:
                self._step.answer(request, glance, partial(self._is_overtaken, number, pulse))
                pulse.beat()
        finally:
            self._answered = max(self._answered, number)
            self._hinted.clear()  # a hint that came before this answer

    def wake(self) -> None:
        self._requests.close()
        self._called.set()

    def close(self) -> None:
        """Nothing to close: no other loop waits for an answer."""

    def _is_overtaken(self, number: int, pulse: Pulse) -> bool:
        pulse.beat()  # an answer asks this while it waits for a model
        return pulse.stop.is_set() or self._stopped.is_set() or self._requests.version > number

    def prefetch(self) -> None:
        """Prefetch an answer if there was a hint. There may be several hints during one wake
        phrase: a prefetched glance is kept while it is fresh."""
        glance, known = self._glances.newest(), self._prefetched
        hinted = self._hinted.is_set()
        if hinted and glance is not None and not _is_fresh(known, glance.frame.time_s):
            self._prefetched = glance
            self._step.prefetch(glance)
        self._hinted.clear()

    def glance_for(self, request: Request, stop: threading.Event) -> Glance | None:
        """The glance to answer from: the prefetched one if it is fresh, else the newest.

        If there is none, or only an old one of a live camera, that is announced, unless the session
        is being stopped.
        """
        found = self._glances.newer_than(0, STALLED_S)
        glance = self._glances.newest() if found else None
        prefetched, self._prefetched = self._prefetched, None
        if request.heard_s is not None and _is_fresh(prefetched, request.heard_s):
            glance = prefetched
        if glance is None or (self._live and self._is_stale(glance)):
            if stop.is_set():  # the camera is not lost, it has been closed
                return None
            health = Health("answer", "no fresh picture to describe", "said so")
            late = {"watch_slow", "watch_lost"}.intersection(self._notifier.alarms())
            self._notifier.fault(health, "watch_lost" if late else "camera_lost")
            return None
        return glance

    def _is_stale(self, glance: Glance) -> bool:
        return self._clocks.timeline.now() - glance.frame.time_s > STALLED_S


def _is_fresh(glance: Glance | None, now_s: float) -> bool:
    return glance is not None and now_s - glance.frame.time_s <= PREFETCH_FRESH_S
