"""Live: threads over the pure steps, joined by slots.

    camera ─▶ Slot[Frame] ─▶ watch ─▶ Slot[Glance] ─▶ answer ─▶ Audio ─▶ speak ─▶ sink
        ear, keyboard, trigger ─▶ Slot[Request] ──┘

Each device and model lives in one thread. Nothing here chooses anything: `build.py` did.
"""

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from engine.app.context import Parts
from engine.app.user_input import Loops, Spoken, UserInput
from engine.audio.scheduler import speak
from engine.core.answer import Description, Request, Wish
from engine.core.camera import Frame
from engine.core.errors import (
    EngineError,
    FrameSkipped,
    RunError,
    SourceLost,
    SourceSays,
    in_one_line,
)
from engine.core.glance import Glance
from engine.core.priority import Priority
from engine.core.report import Health
from engine.core.slot import Slot
from engine.evaluation.scoring import Scorer
from engine.language.wording import StatusKey
from engine.perception.perceive import perceive, stages_ms

STALLED_S = 2.0  # a live camera silent for this long is said to be lost
EXPECT_S = 1.5  # how long callouts that are not critical make way for an answer asked for
# A picture no older when the wake phrase is heard is that of its end: a hint comes up to 0.45 s before.
PREFETCH_FRESH_S = 0.6
POLL_S = 0.05


class Live:
    """Runs a session in real time. `run` returns when the source has ended and all is said, when the
    wearer quits, or raises what ended it: RunError, KeyboardInterrupt."""

    def __init__(self, parts: Parts, scorer: Scorer | None = None) -> None:
        self._parts = parts
        self._scorer = scorer
        self._frames: Slot[Frame] = Slot()
        self._glances: Slot[Glance] = Slot()
        self._requests: Slot[Request] = Slot()
        self._stop = threading.Event()  # leave at once
        self._hush = threading.Event()  # the speaking thread may end
        self._hushed = threading.Event()  # the wearer wants no more of the answer under way
        self._watched = threading.Event()  # the last frame has been looked at
        self._answered = 0  # how many requests have been dealt with or overtaken
        self._last: Description | None = None
        self._failure: RunError | None = None
        self._seen = 0
        self._source_told = False  # that it is lost, so that it is not said twice
        self._wearer = UserInput(
            parts,
            Loops(self.ask, self._repeat, self._hushed.set, self._stop.set, self._have_hunch),
        )
        self._called = threading.Event()  # the answering thread has something to do
        self._hunch = threading.Event()  # the wearer may be about to ask
        self._prefetched: Glance | None = None

    def run(self) -> None:
        parts = self._parts
        threads = [
            self._thread("camera", self._capture),
            self._thread("watch", self._watch),
            self._thread("answer", self._answer),
        ]
        if parts.ear is not None:
            threads.append(self._thread("ear", partial(self._wearer.listen, self._stop)))
        speaking = self._thread("speak", self._speak)
        self._wearer.open()
        speaking.start()
        try:
            for thread in threads:
                thread.start()
            while not (self._stop.is_set() or self._finished()):
                self._stop.wait(POLL_S)
        finally:
            self._stop.set()
            for slot in (self._frames, self._requests):
                slot.close()
            self._wearer.close()
            for thread in threads:
                thread.join(timeout=3.0)
            self._hush.set()
            speaking.join(timeout=3.0)
        if self._failure is not None:
            raise self._failure

    def ask(
        self,
        trigger: str,
        wish: Wish = "describe",
        target: str | None = None,
        spoken: Spoken | None = None,
    ) -> None:
        """The wearer asks: now, or when it was `spoken` (asked_s, heard_s)."""
        parts = self._parts
        asked_s, heard_s = spoken or (parts.wall.now(), None)
        self._requests.put(Request(parts.next_id(), trigger, asked_s, wish, target, heard_s))
        self._called.set()
        parts.audio.expect_answer(parts.timeline.now() + EXPECT_S)

    def _finished(self) -> bool:
        return (
            self._watched.is_set()
            and self._answered >= self._requests.version
            and self._parts.audio.idle
        )

    def _thread(self, name: str, work: Callable[[], None]) -> threading.Thread:
        return threading.Thread(target=self._supervised, args=(name, work), name=name, daemon=True)

    def _supervised(self, name: str, work: Callable[[], None]) -> None:
        """Nothing dies in silence: what a loop did not expect is logged, said, and ends the run."""
        try:
            work()
        except Exception as error:
            detail = str(error) if isinstance(error, EngineError) else in_one_line(error)
            failure = RunError(f"the {name} loop failed: {detail}")
            failure.__cause__ = error
            self._fail(failure, name, detail)
            self._watched.set()
            self._answered = self._requests.version + 1

    def _fail(self, error: RunError, what: str, detail: str) -> None:
        self._failure = self._failure or error
        self._parts.report(Health(what, detail, "said so and stopped"))
        if what != "speak":
            key: StatusKey = "camera_lost" if isinstance(error, SourceLost) else "failed"
            self._parts.status(key, Priority.ALARM)

    # camera

    def _capture(self) -> None:
        try:
            while not self._stop.is_set():
                frame = self._read()
                if frame is None:
                    break
                self._seen += 1
                self._parts.trace.seen(self._seen)
                self._frames.put(frame)
                if self._seen == self._parts.max_frames:
                    break
        except SourceLost as error:
            self._fail(error, "camera", str(error))
        finally:
            self._frames.close()
            self._parts.source.close()

    def _read(self) -> Frame | None:
        """The next frame, no earlier than its time; a broken picture is said and passed over."""
        source, clock = self._parts.source, self._parts.timeline
        while not self._stop.is_set():
            try:
                frame = source.read()
            except FrameSkipped as error:
                self._parts.report(Health("frame", str(error), "skipped it"))
                self._parts.status("frame_skipped")
                continue
            except SourceSays as said:
                self._parts.report(Health("glasses", said.detail, said.action))
                self._parts.status(said.word, Priority.ALARM)
                self._source_told = said.word == "glasses_lost"
                continue
            if frame is None or source.live:
                return frame
            if self._seen == 0:
                self._start_s = clock.now() - frame.time_s
            due_s = self._start_s + frame.time_s
            self._stop.wait(max(0.0, due_s - clock.now()))
            return replace(frame, time_s=due_s)
        return None

    # watch

    def _watch(self) -> None:
        parts = self._parts
        reader = self._frames.reader()
        first_s: float | None = None
        stalled = False
        while not self._stop.is_set():
            frame = reader.next(STALLED_S)
            if frame is None:
                if self._frames.closed:
                    break
                if parts.source.live and not stalled and not self._source_told:
                    stalled = True
                    parts.report(Health("camera", f"no frame for {STALLED_S:g} s", "said so"))
                    parts.status("camera_lost", Priority.ALARM)
                continue
            if stalled:
                stalled = False
                parts.status("camera_back")
            glance = perceive(parts.detector, parts.locator, frame, parts.wall, parts.around)
            now_s = parts.timeline.now()
            parts.warn(glance, now_s)
            seen = (*glance.obstacles, *glance.side_obstacles)
            parts.trace.frame(frame.seq, seen, stages_ms(glance.marks))
            self._glances.put(glance)
            parts.view.show(glance, frame.time_s)
            parts.deepen(frame)
            first_s = frame.time_s if first_s is None else first_s
            if parts.trigger.due(frame.time_s - first_s):
                self.ask(parts.trigger.name)
        self._glances.close()
        self._watched.set()

    # answer

    def _answer(self) -> None:
        reader = self._requests.reader()
        while not self._stop.is_set():
            self._called.wait(POLL_S * 4)
            self._called.clear()
            request = reader.next(timeout_s=0.0)
            if request is None:
                self._prefetch()
                continue
            asked = self._requests.version
            self._hushed.clear()
            glance = self._glance(request)
            if glance is not None:
                self._parts.audio.supersede_answers()
                description = self._parts.answerer.answer(
                    request,
                    glance,
                    partial(self._overtaken, asked),
                    partial(self._alarmed, self._parts.audio.alarms),
                )
                self._last = description
                self._parts.trace.description(description)
                if self._scorer is not None:
                    truth = self._parts.source.truth(glance.frame.seq)
                    self._scorer.add(truth, glance, description)
                self._parts.screen.description(description, self._parts.trace.elapsed_s())
            self._answered = asked
            self._hunch.clear()  # of long ago

    def _overtaken(self, asked: int) -> bool:
        return self._hushed.is_set() or self._requests.version > asked

    def _alarmed(self, before: int) -> bool:
        return self._parts.audio.alarms > before

    def _have_hunch(self) -> None:
        self._hunch.set()
        self._called.set()

    def _prefetch(self) -> None:
        """Begin with the picture in hand while the wake phrase is still being said. Its hint may come and
        go: what has been begun is not begun anew while it is still good."""
        glance, known = self._glances.newest(), self._prefetched
        if self._hunch.is_set() and glance is not None and not _holds(known, glance.frame.time_s):
            self._prefetched = glance
            self._parts.answerer.prefetch(glance)
        self._hunch.clear()

    def _glance(self, request: Request) -> Glance | None:
        """The glance in hand when the wearer asked; where the camera gives none, that is said instead
        of an old picture."""
        found = self._glances.newer_than(0, STALLED_S)
        glance = self._glances.newest() if found else None
        foreseen, self._prefetched = self._prefetched, None
        if request.heard_s is not None and _holds(foreseen, request.heard_s):
            glance = foreseen
        live = self._parts.source.live
        if glance is None or (
            live and self._parts.timeline.now() - glance.frame.time_s > STALLED_S
        ):
            self._parts.report(Health("answer", "no fresh picture to describe", "said so"))
            self._parts.status("camera_lost", Priority.ALARM)
            return None
        return glance

    # speak

    def _speak(self) -> None:
        parts = self._parts
        speak(parts.audio, parts.sink, parts.timeline, self._hush, parts.fed_until_s)

    def _repeat(self) -> None:
        if self._last is None:
            self._parts.status("nothing_to_repeat")
            return
        self._parts.audio.supersede_answers()
        answer = self._parts.next_id()  # a new one: the first hearing has been timed already
        for beat in self._last.beats:
            self._parts.answerer.utter(beat.text, answer)


def _holds(foreseen: Glance | None, now_s: float) -> bool:
    """Whether what was foreseen is still good."""
    return foreseen is not None and now_s - foreseen.frame.time_s <= PREFETCH_FRESH_S
