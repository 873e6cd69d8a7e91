"""Both tiers on one picture after another, each stage measured: what a recording is made of.

Knows the ports, words and clocks; chooses nothing and stores nothing.
"""

from collections.abc import Callable
from dataclasses import replace

from engine.answering.grounding import Evidence, Grounder
from engine.core.camera import Frame
from engine.core.errors import DescriberFailed
from engine.core.glance import Glance
from engine.core.ports import Clock, Describer, Detector, Router, SceneClassifier, Source, Voice
from engine.evaluation.replay import NOT_ENGLISH
from engine.evaluation.stored_outputs import Answer, Record
from engine.language.wording import Words, sentences
from engine.perception.image_statistics import ImageGauge
from engine.perception.localize import Localizer
from engine.perception.perceive import perceive, stages_ms


class Recorder:
    """Both tiers, measured stage by stage on one picture after another.

    A sentence's sound is measured with the picture's number said after it, because a voice keeps what
    it has said and a repeated sentence would cost nothing.
    """

    def __init__(
        self,
        *,
        detector: Detector,
        scenes: SceneClassifier,
        describer: Describer | None,
        locator: Localizer,
        words: Words,
        router: Router,
        voice: Voice,
        wall: Clock,
        related: bool,
        grounder: Grounder,
        prompt: Callable[[Glance], str] | None = None,
    ) -> None:
        self._detector = detector
        self._scenes = scenes
        self._describer = describer
        self._locator = locator
        self._words = words
        self._router = router
        self._voice = voice
        self._wall = wall
        self._related = related  # whether a picture follows from the one before, as in a video
        self._grounder = grounder
        self._prompt = prompt
        self._gauge = ImageGauge()

    def measure(self, frame: Frame, source: Source) -> Record:
        """What both tiers make of `frame`."""
        if not self._related:
            self._detector.reset()
            self._locator.reset()
            self._gauge.reset()
        glance = perceive(self._detector, self._locator, frame, self._wall)
        stages = stages_ms(glance.marks)
        begin_s = self._wall.now()
        scene = self._scenes.classify(frame)
        classified_s = self._wall.now()
        picture = self._gauge.measure(frame.image)
        glance = replace(glance, scene=scene, picture=picture)
        self._router.decide(glance)
        routed_s = self._wall.now()
        quick = self._quick(glance)
        return Record(
            seq=frame.seq,
            name=frame.name,
            time_s=frame.time_s,
            width=frame.width,
            height=frame.height,
            obstacles=glance.obstacles,
            scene=scene,
            picture=picture,
            detect_ms=stages["detect"],
            locate_ms=stages["locate"],
            classify_ms=(classified_s - begin_s) * 1000,
            route_ms=(routed_s - classified_s) * 1000,
            quick=quick,
            full=self._full(glance),
            truth=source.truth(frame.seq),
        )

    def _quick(self, glance: Glance) -> Answer:
        begin_s = self._wall.now()
        text = self._words.describe(glance)
        worded_ms = (self._wall.now() - begin_s) * 1000
        speech_ms = self._sound_ms(sentences(text)[0], glance.frame.seq)
        return Answer(text, worded_ms, worded_ms, worded_ms, speech_ms)

    def _full(self, glance: Glance) -> Answer:
        """What the describer says, as far as it may be said."""
        if self._describer is None:
            return Answer("", 0.0, 0.0, 0.0, 0.0, error=NOT_ENGLISH)
        evidence = Evidence(glance.obstacles, glance.scene, ())
        prompt = None if self._prompt is None else self._prompt(glance)
        marks_s: list[float] = []
        said: list[str] = []
        begin_s = self._wall.now()
        try:
            for clause in self._describer.describe(
                glance.frame, lambda: marks_s.append(self._wall.now()), prompt
            ):
                if text := self._grounder.check(clause, evidence).text:
                    said.append(text)
                    marks_s.append(self._wall.now())
        except DescriberFailed as error:
            return Answer("", 0.0, 0.0, 0.0, 0.0, error=str(error))
        end_s = self._wall.now()
        if not said:
            return Answer("", 0.0, 0.0, 0.0, 0.0, error="the describer said nothing")
        token_s, words_s = marks_s[0], marks_s[1]
        return Answer(
            text=" ".join(said),
            first_token_ms=(token_s - begin_s) * 1000,
            first_words_ms=(words_s - begin_s) * 1000,
            all_words_ms=(end_s - begin_s) * 1000,
            speech_ms=self._sound_ms(sentences(said[0])[0], glance.frame.seq),
        )

    def _sound_ms(self, sentence: str, seq: int) -> float:
        begin_s = self._wall.now()
        self._voice.synthesise(f"{sentence} {seq}.")
        return (self._wall.now() - begin_s) * 1000
