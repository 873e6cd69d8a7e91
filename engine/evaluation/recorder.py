"""Measures both tiers on one image after another, for a recording.

The answers come from the steps of the answer plan. The recorder knows ports and clocks; it neither
chooses a tier nor stores anything.
"""

from dataclasses import replace
from typing import Protocol

from engine.answering.grounding import Grounded
from engine.answering.plan import (
    LANGUAGE_NOT_SPOKEN,
    NOTHING_SAID,
    NOTHING_SUPPORTED,
    AnswerPlan,
)
from engine.core.camera import Frame, Pose
from engine.core.errors import DescriberFailed
from engine.core.glance import Glance, Obstacle, stages_ms
from engine.core.ports import ClassifiesScenes, Clock, Describes, Source, Voice
from engine.evaluation.stored_outputs import Record, StoredAnswer
from engine.perception.perceive import Perception


class Alerts(Protocol):
    """The part of the alert policy that a recording needs; `AlertPolicy` implements it."""

    way_is_clear: bool

    def warn(
        self, obstacles: tuple[Obstacle, ...], now_s: float, camera_is_good: bool, pose: Pose | None
    ) -> object: ...

    def reset(self) -> None: ...


class Recorder:
    """Runs both tiers on an image and times each stage.

    `describer` is None if it does not speak the language. The time to synthesise a sentence is
    measured with the frame's number appended, because a voice caches its sentences and a repeated
    one would cost nothing. Without `alerts`, no answer says that nothing is in the way.
    """

    def __init__(
        self,
        *,
        perception: Perception,
        scenes: ClassifiesScenes,
        describer: Describes | None,
        plan: AnswerPlan,
        voice: Voice,
        wall: Clock,
        alerts: Alerts | None = None,
    ) -> None:
        self._perception = perception
        self._scenes = scenes
        self._describer = describer
        self._plan = plan
        self._voice = voice
        self._wall = wall
        self._alerts = alerts

    def reset(self) -> None:
        """Forget the last frame: the next one is unrelated to it."""
        self._perception.reset()
        self._plan.reset()
        if self._alerts is not None:
            self._alerts.reset()

    def measure(self, frame: Frame, source: Source) -> Record:
        """Both tiers' outputs for `frame`, and its labels from `source`. Every stage is timed."""
        glance = self._judged(self._perception.perceive(frame))
        stages = stages_ms(glance.marks)
        begin_s = self._wall.now()
        scene = self._scenes.classify(frame)
        classified_s = self._wall.now()
        glance = self._plan.measure(replace(glance, scene=scene))
        self._plan.router.decide(glance)
        routed_s = self._wall.now()
        assert glance.picture is not None
        return Record(
            seq=frame.seq,
            name=frame.name,
            time_s=frame.time_s,
            width=frame.width,
            height=frame.height,
            obstacles=glance.obstacles,
            scene=scene,
            picture=glance.picture,
            detect_ms=stages["detect"],
            locate_ms=stages["locate"],
            classify_ms=(classified_s - begin_s) * 1000,
            route_ms=(routed_s - classified_s) * 1000,
            quick=self._quick(glance),
            full=self._full(glance),
            truth=source.truth(frame.seq),
        )

    def _judged(self, glance: Glance) -> Glance:
        """`glance` with the alert policy's word on whether the way is clear. No alert is said."""
        health, frame = self._perception.camera_health, glance.frame
        health.update(frame, live=False)
        if self._alerts is None:
            return glance
        obstacles = (*glance.obstacles, *glance.side_obstacles)
        self._alerts.warn(obstacles, frame.time_s, health.is_good, frame.pose)
        return replace(glance, way_is_clear=self._alerts.way_is_clear)

    def _quick(self, glance: Glance) -> StoredAnswer:
        begin_s = self._wall.now()
        text = self._plan.word(glance)
        worded_ms = (self._wall.now() - begin_s) * 1000
        speech_ms = self._speech_ms(text, glance.frame.seq)
        return StoredAnswer(text, worded_ms, worded_ms, worded_ms, speech_ms)

    def _full(self, glance: Glance) -> StoredAnswer:
        """The describer's grounded clauses. If it fails, the clauses before the failure are kept,
        because they would have been spoken."""
        if self._describer is None:
            return StoredAnswer("", 0.0, 0.0, 0.0, 0.0, error=LANGUAGE_NOT_SPOKEN)
        prompt = self._plan.prompt(glance)
        clauses: list[Grounded] = []
        tokens_s: list[float] = []
        words_s: list[float] = []
        error = ""
        begin_s = self._wall.now()
        try:
            for clause in self._describer.describe(
                glance.frame, lambda: tokens_s.append(self._wall.now()), prompt
            ):
                clauses.append(self._plan.ground(clause, glance))
                if clauses[-1].text:
                    words_s.append(self._wall.now())
        except DescriberFailed as failure:
            error = str(failure)
        end_s = self._wall.now()
        said = [clause.text for clause in clauses if clause.text]
        if not error and not said:
            error = NOTHING_SUPPORTED if clauses else NOTHING_SAID
        if not clauses:
            return StoredAnswer("", 0.0, 0.0, 0.0, 0.0, error=error)
        return StoredAnswer(
            text="" if error else " ".join(said),
            first_token_ms=((tokens_s or [end_s])[0] - begin_s) * 1000,
            first_words_ms=((words_s or [end_s])[0] - begin_s) * 1000,
            all_words_ms=(end_s - begin_s) * 1000,
            speech_ms=self._speech_ms(said[0], glance.frame.seq) if said else 0.0,
            error=error,
            clauses=tuple(clauses),
        )

    def _speech_ms(self, text: str, seq: int) -> float:
        """How long the voice takes to synthesise the first sentence of `text`."""
        begin_s = self._wall.now()
        self._voice.synthesise(f"{self._plan.words.sentences(text)[0]} {seq}.")
        return (self._wall.now() - begin_s) * 1000
