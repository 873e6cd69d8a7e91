"""A request and a glance in, a spoken answer out: classify, route, word, describe, read, find, explain.

The same code answers live and in a batch. It knows no thread but the describer's and the reader's own
(`DescriberWorker`, `OcrWorker`), waits for neither beyond the answer's deadline, and checks while
it waits whether a newer request has come.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from engine.answering.describer_worker import DescriberWorker
from engine.answering.draft import NO_SCENE, Draft, Interruptions, never
from engine.answering.grounding import Evidence, Grounder
from engine.answering.ocr_worker import OcrWorker, Text
from engine.answering.speaker import Speaker
from engine.core.answer import Beat, Description, Request
from engine.core.camera import Frame
from engine.core.errors import EngineError, ReaderLate, RunError, in_one_line
from engine.core.glance import Glance, Mark, SceneClass
from engine.core.ports import Clock, Router, SceneClassifier
from engine.core.preferences import Detail
from engine.core.report import Health
from engine.core.utterance import Utterance
from engine.core.worker import End, Task
from engine.language.wording import StatusKey, Words
from engine.perception.image_statistics import ImageGauge

READ_PATIENCE_S = 3.0  # asked to read, on a busy machine; two idle cores take a tenth of it
SIGN_PATIENCE_S = 4.0  # the quick answer is being said meanwhile; the reader may still be loading
MORE: dict[Detail, Detail] = {"brief": "normal", "normal": "full", "full": "full"}


class Answerer:
    """Answers requests, one at a time, from one thread.

    `say` queues an utterance; `report` takes health records; `deadline_s` None means that time does
    not decide (a batch). With `beats` 2, an escalated `auto` answer speaks the template at once.
    `prompt` words what the describer is asked about a glance, None where it has one prompt only;
    `signs`: whether large text is read within the quick answer.
    """

    def __init__(
        self,
        *,
        mode: str,
        scenes: SceneClassifier,
        router: Router,
        scribe: DescriberWorker | None,
        words: Words,
        say: Callable[[Utterance], None],
        report: Callable[[Health], None],
        next_id: Callable[[], int],
        timeline: Clock,
        wall: Clock,
        beats: int = 2,
        deadline_s: float | None = None,
        detail: Detail = "normal",
        grounder: Grounder | None = None,
        reading: OcrWorker | None = None,
        signs: bool = False,
        prompt: Callable[[Glance], str] | None = None,
    ) -> None:
        self._mode = mode
        self._scenes = scenes
        self.router = router
        self._scribe = scribe
        self._words = words
        self._report = report
        self._mouth = Speaker(words, say, next_id, timeline)
        self._wall = wall
        self._beats = beats
        self._deadline_s = deadline_s
        self._detail = detail
        self._grounder = Grounder((), how="say") if grounder is None else grounder
        self._reading = reading
        self._signs = signs
        self._prompt = prompt
        self._last: Draft | None = None  # what "why" and "more" are about
        self._gauge = ImageGauge()

    def reset(self) -> None:
        """The next picture has nothing to do with the last."""
        self._gauge.reset()

    def prefetch(self, glance: Glance) -> None:
        """Do what an answer from `glance` begins with, as somebody may be about to ask: classify, and where
        the describer comes first, have it begin."""
        scene = NO_SCENE
        with suppress(Exception):  # the answer will meet it again, and say so
            scene = self._scenes.classify(glance.frame)
        if self._mode == "full" and self._scribe is not None:
            self._scribe.prefetch(glance.frame, self._question(replace(glance, scene=scene)))

    def answer(
        self,
        request: Request,
        glance: Glance,
        overtaken: Callable[[], bool] = never,
        alarmed: Callable[[], bool] = never,
    ) -> Description:
        """Word and queue the answer to `request` from `glance`; return it when all of it is queued.

        `request.asked_s` is on the host's clock. Never raises for a model's failure: the answer does
        without it, and a health record says why.
        """
        marks = [*request.marks, Mark("capture", self._wall.now())]
        now = Draft(request, glance, Interruptions(overtaken, alarmed), self._detail, marks)
        now.decision = replace(now.decision, reasons=(f"asked: {request.wish}",))
        if request.wish == "where":
            self._tell(now, self._where(request.target, glance))
        elif request.wish == "why":
            last = self._last
            no = self._words.status("nothing_said_yet")
            self._tell(now, no if last is None else self._words.why(last.why()))
        elif request.wish == "read":
            self._read(now)
        else:
            self._describe(now)
            self._last = now
        return now.description(self._mode)

    # describe and more

    def _describe(self, now: Draft) -> None:
        scene = self._classify(now.glance.frame)
        now.marks.append(Mark("classify", self._wall.now()))
        picture = self._gauge.measure(now.glance.frame.image)
        now.glance = replace(now.glance, scene=scene, picture=picture)
        self._route(now)
        now.marks.append(Mark("route", self._wall.now()))
        full = now.decision.tier == "full"
        task = self._begin(now) if full else None
        first = task is None or (self._beats == 2 and self._mode == "auto")
        # Loading the reader would slow the describer, so it then comes first.
        can_read = self._reading is not None and self._reading.ready
        if first:
            self._tell(now, self._words.describe(now.glance, now.detail))
            if can_read:
                self._read_signs(now)
        if task is not None:
            self._listen(now, task)
            if not now.beats and not now.moments.overtaken():
                self._tell(now, self._words.describe(now.glance, now.detail))
        if first and not can_read:
            self._read_signs(now)

    def _classify(self, frame: Frame) -> SceneClass:
        try:
            return self._scenes.classify(frame)
        except Exception as error:  # the obstacles are known, and matter more
            self._report(Health("scenes", in_one_line(error), "answered without the place"))
            self._mouth.excuse("scene_failed")
            return NO_SCENE

    def _route(self, now: Draft) -> None:
        """Who answers. Whoever asks for more gets the next level of detail, and the describer."""
        decision = self.router.decide(now.glance)
        now.by = "router" if self._mode == "auto" else "mode"
        if now.request.wish == "more":
            now.detail = MORE[self._detail if self._last is None else self._last.detail]
            if self._scribe is not None and decision.tier == "quick":
                now.by = "more"
                decision = replace(
                    decision, tier="full", reasons=(*decision.reasons, "asked for more")
                )
        if decision.tier == "full" and self._scribe is None:
            now.by = "language"
            reason = "the describer does not speak this language, so the template answers"
            decision = replace(decision, reasons=(*decision.reasons, reason))
            self._mouth.excuse("describer_language")
        now.decision = decision

    def _begin(self, now: Draft) -> Task[str] | None:
        if self._scribe is None:
            return None
        try:
            return self._scribe.start(now.glance.frame, self._question(now.glance))
        except RunError as error:
            self._failed(now, str(error), "describer_failed")
            return None

    def _question(self, glance: Glance) -> str | None:
        return None if self._prompt is None else self._prompt(glance)

    def _listen(self, now: Draft, task: Task[str]) -> None:
        """Say the describer's clauses as they come, as far as they hold and add something. A second
        beat is given up when something critical is said."""
        assert self._scribe is not None
        second = bool(now.beats)
        told = now.text()
        if now.request.wish == "more" and self._last is not None:
            told = f"{self._last.text()} {told}"  # more is what the last answer did not say
        spoken: list[str] = []

        def over() -> bool:
            return now.moments.overtaken() or (second and now.moments.alarmed())

        start_s, heard = now.request.asked_s, 0
        while not over():
            until_s = None if self._deadline_s is None else start_s + self._deadline_s
            event = task.next(self._wall, until_s, over)
            if isinstance(event, End):
                self._ended(now, task, event.error, bool(heard))
                break
            if event is None:
                if not over():
                    detail = f"no words within answer.deadline_s={self._deadline_s:g}"
                    self._failed(now, detail, "describer_late")
                break
            heard += 1
            # Once it has begun to speak, a later clause may take as long again before it is late.
            start_s = self._wall.now()
            text = self._grounded(now, event, told if second else "")
            if text:
                spoken.append(text)
                self._mouth.utter(text, now.request.id, yields=second)
        self._scribe.cancel(task)
        if heard and task.begun_s is not None:
            ended_s = self._wall.now() if task.ended_s is None else task.ended_s
            now.marks.append(Mark("describer_first_token", task.begun_s))
            now.marks.append(Mark("describer_total", ended_s))
        if spoken:
            now.tier = "full"
            now.beats.append(Beat("full", " ".join(spoken)))

    def _ended(self, now: Draft, task: Task[str], error: EngineError | None, heard: bool) -> None:
        if error is not None:
            self._failed(now, str(error), "describer_failed")
        elif heard:
            now.tier = "full"  # also where it had nothing to add
            self._mouth.well("describer_failed", "describer_late")

    def _grounded(self, now: Draft, clause: str, told: str) -> str:
        """What of a clause may be said, after what has been `told`."""
        evidence = Evidence(now.glance.obstacles, now.glance.scene, now.texts)
        grounded = self._grounder.check(clause, evidence)
        now.unsupported += grounded.unsupported
        if grounded.text and told and not self._grounder.adds(grounded.text, told):
            return ""
        return grounded.text

    def _failed(self, now: Draft, detail: str, key: StatusKey) -> None:
        now.by = "failure"
        self._report(Health("describer", detail, "answered from the template"))
        self._mouth.excuse(key)

    # text

    def _read(self, now: Draft) -> None:
        """The wish to hear what is written."""
        text = self._text(now, large_only=False, patience_s=READ_PATIENCE_S)
        now.marks.append(Mark("read", self._wall.now()))
        if isinstance(text, Text):
            self._tell(now, self._words.read(text.sure, text.unsure, text.language))
        else:
            self._tell(now, self._words.status(text))

    def _read_signs(self, now: Draft) -> None:
        """Large text near the middle belongs to the quick answer: read while that is being said."""
        if not self._signs or self._reading is None:
            return
        text = self._text(now, large_only=True, patience_s=SIGN_PATIENCE_S)
        if isinstance(text, Text) and text.sure:
            now.texts = text.sure
            sentence = self._words.read(text.sure, (), text.language)
            self._mouth.utter(sentence, now.request.id)
            before = [now.beats.pop().text] if now.beats[-1].tier == "quick" else []
            now.beats.append(Beat("quick", " ".join([*before, sentence])))

    def _text(self, now: Draft, large_only: bool, patience_s: float | None) -> Text | StatusKey:
        """What is written, or which status says why that is not known."""
        reading = self._reading
        if reading is None:
            return "reader_failed"
        until_s = self._until(now, patience_s)
        given_up = now.moments.overtaken
        expected = reading.ready or not large_only
        try:
            return reading.text(now.glance.frame, large_only, until_s, given_up)
        except ReaderLate as error:
            if expected and not given_up():
                self._report(Health("reader", str(error), "answered without text"))
            return "reader_late" if reading.ready else "reader_loading"
        except RunError as error:
            self._report(Health("reader", str(error), "answered without text"))
            return "reader_failed"

    def _until(self, now: Draft, patience_s: float | None) -> float | None:
        if self._deadline_s is None or patience_s is None:
            return None
        return now.request.asked_s + patience_s

    # where

    def _where(self, target: str | None, glance: Glance) -> str:
        grounder = self._grounder
        thing = grounder.thing(target or "")
        if thing is None:
            return self._words.where("", ())
        found = sorted(
            (o for o in glance.obstacles if grounder.is_a(o.label, thing)),
            key=lambda o: o.distance_m,
        )
        label = found[0].label if found else grounder.label(thing)
        return self._words.where(label, found, grounder.can_see(thing))

    # words to sound

    def _tell(self, now: Draft, text: str) -> None:
        now.beats.append(Beat("quick", text))
        now.marks.append(Mark("template", self._wall.now()))
        self._mouth.utter(text, now.request.id)

    def utter(self, text: str, answer: int) -> None:
        """Queue a text as part of the answer with this id; see `Speaker.utter`."""
        self._mouth.utter(text, answer)
