"""A request and a glance in, a spoken answer out: classify, route, word, describe.

The same code answers live and in a batch. It knows no thread but the describer's own (`Scribe`), and
asks `overtaken` between sentences whether a newer request has come.
"""

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from engine.errors import DescriberFailed, EngineError
from engine.picture import PictureGauge
from engine.ports import Clock, Describer, Router, SceneClassifier
from engine.types import (
    Beat,
    Description,
    Frame,
    Glance,
    Health,
    Mark,
    Request,
    Tier,
    Utterance,
)
from engine.wording import Words, sentences

ANSWER_PRIORITY = 20.0  # on the scale of engine.alerts: status 10, answers 20, alerts from 30


@dataclass(frozen=True, slots=True)
class Clause:
    """A finished clause from the describer."""

    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """The describer has finished, well (`error` None) or not."""

    time_s: float
    error: EngineError | None = None


class Job:
    """One description under way in the describer's thread."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.events: queue.SimpleQueue[Clause | Done] = queue.SimpleQueue()
        self.first_token_s: float | None = None
        self.cancelled = threading.Event()


class Scribe:
    """Runs the describer in a thread of its own, so that a slow or hung one never holds an answer."""

    def __init__(self, describer: Describer, wall: Clock) -> None:
        self._describer = describer
        self._wall = wall
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._current: Job | None = None
        self._idle = threading.Event()
        self._idle.set()
        self._thread = threading.Thread(target=self._run, name="describer", daemon=True)
        self._thread.start()

    def start(self, frame: Frame) -> Job:
        """Begin to describe `frame`, cancelling what came before. Raises DescriberFailed when the
        describer has not let go of an earlier picture."""
        if self._current is not None:
            self._current.cancelled.set()
        if not self._idle.wait(timeout=0.25):
            raise DescriberFailed("the describer is still busy with an earlier picture")
        self._idle.clear()
        self._current = Job(frame)
        self._jobs.put(self._current)
        return self._current

    def close(self) -> None:
        """Stop the thread; a hung one is left behind (it is a daemon) rather than waited for."""
        if self._current is not None:
            self._current.cancelled.set()
        self._jobs.put(None)
        self._thread.join(timeout=2.0)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            error: EngineError | None = None
            try:
                self._write(job)
            except EngineError as failure:
                error = failure
            except (
                Exception
            ) as failure:  # an adapter's bug must reach the wearer, not kill the thread
                error = DescriberFailed(f"{type(failure).__name__}: {failure}")
            self._idle.set()
            job.events.put(Done(self._wall.now(), error))

    def _write(self, job: Job) -> None:
        def first_token() -> None:
            job.first_token_s = self._wall.now()

        for text in self._describer.describe(job.frame, first_token):
            if job.cancelled.is_set():
                return
            job.events.put(Clause(text))


class Answerer:
    """Answers requests, one at a time, from one thread.

    `say` queues an utterance; `report` takes health records; `deadline_s` None means that time does
    not decide (a batch). With `beats` 2, an escalated `auto` answer speaks the template at once.
    """

    def __init__(
        self,
        *,
        mode: str,
        scenes: SceneClassifier,
        router: Router,
        scribe: Scribe | None,
        words: Words,
        say: Callable[[Utterance], None],
        report: Callable[[Health], None],
        next_id: Callable[[], int],
        timeline: Clock,
        wall: Clock,
        beats: int = 2,
        deadline_s: float | None = None,
    ) -> None:
        self._mode = mode
        self._scenes = scenes
        self.router = router
        self._scribe = scribe
        self._words = words
        self._say = say
        self._report = report
        self._next_id = next_id
        self._timeline = timeline
        self._wall = wall
        self._beats = beats
        self._deadline_s = deadline_s
        self._gauge = PictureGauge()

    def reset(self) -> None:
        """The next picture has nothing to do with the last."""
        self._gauge.reset()

    def answer(
        self, request: Request, glance: Glance, overtaken: Callable[[], bool] = lambda: False
    ) -> Description:
        """Word and queue the answer to `request` from `glance`; return it when all of it is queued.

        `request.asked_s` is on the host's clock. Never raises for a describer's failure: the
        template answers, and a health record says why.
        """
        marks = [Mark("asked", request.asked_s), Mark("capture", self._wall.now())]
        scene = self._scenes.classify(glance.frame)
        marks.append(Mark("classify", self._wall.now()))
        glance = replace(glance, scene=scene, picture=self._gauge.measure(glance.frame.image))
        decision = self.router.decide(glance)
        if decision.tier == "full" and self._scribe is None:
            reason = "the describer does not speak this language, so the template answers"
            decision = replace(decision, reasons=(*decision.reasons, reason))
        marks.append(Mark("route", self._wall.now()))

        beats: list[Beat] = []
        tier: Tier = "quick"
        job = self._begin(glance.frame) if decision.tier == "full" else None
        if job is None or (self._beats == 2 and self._mode == "auto"):
            self._template(request, glance, beats, marks)
        if job is not None:
            text = self._listen(request, job, marks, overtaken)
            if text:
                tier = "full"
                beats.append(Beat("full", text))
            elif not beats:
                self._template(request, glance, beats, marks)
        return Description(
            request=request,
            frame_seq=glance.frame.seq,
            mode=self._mode,
            tier=tier,
            decision=decision,
            scene=scene,
            beats=tuple(beats),
            marks=tuple(marks),
        )

    def _template(
        self, request: Request, glance: Glance, beats: list[Beat], marks: list[Mark]
    ) -> None:
        text = self._words.describe(glance)
        beats.append(Beat("quick", text))
        marks.append(Mark("template", self._wall.now()))
        self.utter(text, request.id)

    def _begin(self, frame: Frame) -> Job | None:
        if self._scribe is None:
            return None
        try:
            return self._scribe.start(frame)
        except DescriberFailed as error:
            self._report(Health("describer", str(error), "answered from the template"))
            return None

    def _listen(
        self, request: Request, job: Job, marks: list[Mark], overtaken: Callable[[], bool]
    ) -> str:
        """Say clauses as they come; return all that was said. Empty when there was nothing in time."""
        said: list[str] = []
        while True:
            event = self._next(request, job, waiting_for_first=not said)
            if isinstance(event, Done):
                break
            if overtaken():
                job.cancelled.set()
                break
            said.append(event.text)
            self.utter(event.text, request.id)
        if job.first_token_s is not None and said:
            marks.append(Mark("describer_first_token", job.first_token_s))
            marks.append(Mark("describer_total", self._wall.now()))
        if isinstance(event, Done) and event.error is not None:
            self._report(Health("describer", str(event.error), "answered from the template"))
        return " ".join(said)

    def _next(self, request: Request, job: Job, waiting_for_first: bool) -> Clause | Done:
        """The job's next event; when the deadline passes first, cancel it and make up its end."""
        if self._deadline_s is None:
            return job.events.get()
        # Once it has begun to speak, a later clause may take as long again before it counts as hung.
        start_s = request.asked_s if waiting_for_first else self._wall.now()
        left_s = start_s + self._deadline_s - self._wall.now()
        try:
            return job.events.get(timeout=max(0.0, left_s))
        except queue.Empty:
            job.cancelled.set()
            detail = f"no words within answer.deadline_s={self._deadline_s:g}"
            return Done(self._wall.now(), DescriberFailed(detail))

    def utter(self, text: str, answer: int) -> None:
        """Queue one part of the answer to the request with id `answer`, a sentence at a time: the
        first is heard while the next are made, and what is cut off goes on with the sentence."""
        for sentence in sentences(text):
            self._say(
                Utterance(
                    id=self._next_id(),
                    kind="answer",
                    text=sentence,
                    priority=ANSWER_PRIORITY,
                    queued_s=self._timeline.now(),
                    answer=answer,
                )
            )
