"""Answers the wearer's requests from a glance: describe, more, why, read and where.

The same code answers live and in a batch. Descriptions follow the answer plan
(`engine.answering.plan`); `LiveStages` supplies its models. The describer and the OCR reader run in
their own threads. The answerer waits for them at most until the answer's deadline, and meanwhile
checks for a newer request.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

from engine.answering.describer_worker import DescriberWorker
from engine.answering.draft import NO_SCENE, Draft, Interruptions, never
from engine.answering.grounding import Grounded
from engine.answering.ocr_worker import OcrWorker, ReadText
from engine.answering.plan import AnswerPlan
from engine.answering.speaker import Speaker
from engine.core.answer import Description, Request
from engine.core.errors import DescriberLate, ReaderLate, RunError, StillLoading, in_one_line
from engine.core.glance import Glance, Mark, SceneClass
from engine.core.ports import ClassifiesScenes, Clock, Router
from engine.core.report import Health
from engine.core.worker import End, Task
from engine.language.wording import StatusKey

# For the wearer, two names of one fault: it is told once.
DESCRIBER_DOWN: tuple[StatusKey, ...] = ("describer_failed", "describer_late")
READ_PATIENCE_S = 3.0  # for a request to read, on a busy machine; two idle cores need a tenth of it
LOADING_PATIENCE_S = 15.0  # the same where the reader must load first, which the wearer is told
SIGN_PATIENCE_S = 4.0  # the quick answer is spoken meanwhile; the reader may still be loading


class Answerer:
    """Answers requests, one at a time, from one thread.

    `report` takes health records. `describer` is None if no describer speaks the session's
    language; `reader` is None if no text is read.
    """

    def __init__(
        self,
        plan: AnswerPlan,
        scenes: ClassifiesScenes,
        speaker: Speaker,
        report: Callable[[Health], None],
        wall: Clock,
        describer: DescriberWorker | None = None,
        reader: OcrWorker | None = None,
    ) -> None:
        self.plan = plan
        self.scenes = scenes
        self.speaker = speaker
        self.report = report
        self.wall = wall
        self.describer = describer
        self.reader = reader
        self._last: Draft | None = None  # the answer that "why" and "more" refer to

    @property
    def router(self) -> Router:
        return self.plan.router

    def reset(self) -> None:
        """Forget the last frame: the next one is unrelated to it."""
        self.plan.reset()

    def prefetch(self, glance: Glance) -> None:
        """Start the first steps of an answer from `glance` before the request: classify the scene,
        and start the describer if it speaks first."""
        scene = NO_SCENE
        with suppress(Exception):  # the answer will fail in the same way and report it
            scene = self.scenes.classify(glance.frame)
        if self.plan.settings.mode == "full" and self.describer is not None:
            prompt = self.plan.prompt(replace(glance, scene=scene))
            self.describer.prefetch(glance.frame, prompt)

    def answer(
        self,
        request: Request,
        glance: Glance,
        overtaken: Callable[[], bool] = never,
        alarmed: Callable[[], bool] = never,
    ) -> Description:
        """Compose and queue the answer to `request` from `glance`; return it once all is queued.

        `request.asked_s` is on the host's clock. A model's failure never raises: the answer is made
        without the model, and a health record says why.
        """
        interruptions = Interruptions(overtaken, alarmed)
        draft = self.plan.draft(request, glance, self.wall.now(), interruptions)
        draft.add_reason(f"asked: {request.wish}")
        if request.wish == "where":
            self._say(draft, self._where(request.target, glance))
        elif request.wish == "why":
            explained = self._last or self._describe(draft)
            self._say(draft, self.plan.words.why(explained.why()))
        elif request.wish == "read":
            self._read(draft)
        else:
            self._describe(draft)
        return draft.description(self.plan.settings.mode)

    def read_text(self, draft: Draft, large_only: bool, patience_s: float) -> ReadText | StatusKey:
        """The text in the image, or the status that says why it is not known."""
        reader, overtaken = self.reader, draft.interruptions.overtaken
        if reader is None:
            return "reader_failed"
        deadline = self.plan.settings.deadline_s
        until_s = None if deadline is None else draft.request.asked_s + patience_s
        should_be_ready = reader.ready or not large_only
        try:
            return reader.text(draft.glance.frame, large_only, until_s, overtaken)
        except ReaderLate as error:
            if should_be_ready and not overtaken():
                self.report(Health("reader", str(error), "answered without text"))
            return "reader_late" if reader.ready else "reader_loading"
        except RunError as error:
            self.report(Health("reader", str(error), "answered without text"))
            return "reader_failed"

    def _describe(self, draft: Draft) -> Draft:
        self.plan.answer(draft, LiveStages(self, draft.request), self._last)
        self._last = draft
        return draft

    def _say(self, draft: Draft, text: str) -> None:
        if not draft.beats:  # the stages end with the first words
            draft.marks.append(Mark("template", self.wall.now()))
        draft.add_beat("quick", text)
        self.speaker.utter(text, draft.request.id)

    def _read(self, draft: Draft) -> None:
        words, patience_s = self.plan.words, READ_PATIENCE_S
        if self.reader is not None and not self.reader.ready:
            patience_s = LOADING_PATIENCE_S
        if self.reader is not None and self.reader.loads_later:
            self._say(draft, words.status("reader_loading"))
        text = self.read_text(draft, large_only=False, patience_s=patience_s)
        if not draft.beats:
            draft.marks.append(Mark("read", self.wall.now()))
        if isinstance(text, ReadText):
            self._say(draft, words.read(text.sure, text.unsure, text.language))
        elif not (draft.beats and draft.interruptions.overtaken()):
            self._say(draft, words.status("reader_late" if text == "reader_loading" else text))

    def _where(self, target: str | None, glance: Glance) -> str:
        grounder, words = self.plan.grounder, self.plan.words

        def detectable(label: str) -> bool:
            kind = grounder.thing(label)
            return kind is not None and grounder.can_see(kind)

        thing = grounder.thing(target or "")
        if thing is None:
            return words.where("", (), detectable=detectable)
        found = sorted(
            (o for o in glance.obstacles if grounder.is_a(o.label, thing)),
            key=lambda o: o.distance_m,
        )
        label = found[0].label if found else grounder.label(thing)
        sure = glance.way_is_clear
        return words.where(label, found, grounder.can_see(thing), detectable, sure)


class LiveStages:
    """The stages of one live answer: models run now, and their words are spoken as they arrive."""

    def __init__(self, answerer: Answerer, request: Request) -> None:
        self._answerer = answerer
        self._plan = answerer.plan
        self._speaker = answerer.speaker
        self._wall = answerer.wall
        self._request = request
        self._task: Task[str] | None = None
        # Loading would slow the describer down, so a reader that is not loaded yet runs last.
        self._reader_ready = answerer.reader is not None and answerer.reader.ready

    @property
    def can_describe(self) -> bool:
        return self._answerer.describer is not None

    def classify(self, draft: Draft) -> SceneClass:
        try:
            return self._answerer.scenes.classify(draft.glance.frame)
        except StillLoading:  # no fault: the plan answers without the place
            raise
        except Exception as error:  # the obstacles are known and more important
            detail = in_one_line(error)
            self._answerer.report(Health("scenes", detail, "answered without the place"))
            self._speaker.explain_once("scene_failed")
            return NO_SCENE

    def template(self, draft: Draft) -> str:
        return self._plan.word(draft.glance, draft.detail)

    def start_describer(self, draft: Draft) -> None:
        if self._answerer.describer is not None:
            prompt = self._plan.prompt(draft.glance)
            self._task = self._answerer.describer.start(draft.glance.frame, prompt)

    def clauses(self, draft: Draft) -> Iterator[Grounded]:
        """The describer's clauses until it ends, is late or is interrupted."""
        task, describer = self._task, self._answerer.describer
        assert task is not None
        assert describer is not None
        deadline_s = self._plan.settings.deadline_s
        second_beat = bool(draft.beats)

        def interrupted() -> bool:
            interruptions = draft.interruptions
            return interruptions.overtaken() or (second_beat and interruptions.alarmed())

        heard, waiting_since_s = False, self._request.asked_s
        try:
            while not interrupted():
                until_s = None if deadline_s is None else waiting_since_s + deadline_s
                event = task.next(self._wall, until_s, interrupted)
                if isinstance(event, End):
                    if event.error is not None:
                        raise event.error
                    if heard:
                        self._speaker.recovered(*DESCRIBER_DOWN)
                    return
                if event is None:
                    if interrupted():
                        break
                    raise DescriberLate(f"no words within answer.deadline_s={deadline_s:g}")
                # Once it has begun, each clause may take as long as the first.
                heard, waiting_since_s = True, self._wall.now()
                yield self._plan.ground(event, draft.glance, draft.texts)
            draft.interrupted = True
        finally:
            describer.cancel(task)

    def read_signs(self, draft: Draft, described: bool) -> None:
        """Read large text near the middle while the quick answer is spoken."""
        signs = self._plan.settings.signs and self._answerer.reader is not None
        if not signs or described == self._reader_ready:
            return
        text = self._answerer.read_text(draft, large_only=True, patience_s=SIGN_PATIENCE_S)
        if isinstance(text, ReadText) and text.sure:
            draft.texts = text.sure
            sentence = self._plan.words.read(text.sure, (), text.language)
            self._speaker.utter(sentence, self._request.id)
            draft.add_beat("quick", sentence)

    def speak(self, draft: Draft, text: str, second_beat: bool) -> None:
        self._speaker.utter(text, self._request.id, yields=second_beat)

    def fall_back(self, key: StatusKey | None, health: Health | None) -> None:
        if health is not None:
            self._answerer.report(health)
        if key is not None:
            self._speaker.explain_once(key, *(DESCRIBER_DOWN if key in DESCRIBER_DOWN else ()))

    def stamp(self, draft: Draft, stage: str) -> None:
        if stage != "describer":
            draft.marks.append(Mark(stage, self._wall.now()))
        elif self._task is not None and self._task.begun_s is not None:
            ended_s = self._wall.now() if self._task.ended_s is None else self._task.ended_s
            draft.marks.append(Mark("describer_first_token", self._task.begun_s))
            draft.marks.append(Mark("describer_total", ended_s))
