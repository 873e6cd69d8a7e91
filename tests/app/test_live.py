"""Wired: the live loops with real threads, a fake camera and fake models, and no real time.

The clock runs as fast as the loops wait for it, so that a minute of walking takes no minute.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.alerts.policy import AlertPolicy
from engine.answering.answerer import Answerer
from engine.answering.describer_worker import DescriberWorker
from engine.answering.plan import AnswerPlan, AnswerSettings
from engine.answering.speaker import Speaker
from engine.app.batch import Batch
from engine.app.console import Screen
from engine.app.context import Parts
from engine.app.live import Live
from engine.audio.scheduler import Audio, drain
from engine.core.answer import Description, Request
from engine.core.camera import Frame
from engine.core.clock import MonotonicClock, VirtualClock
from engine.core.errors import DescriberFailed, RunError, SourceLost, SourceSays, SourceWord
from engine.core.glance import Box, Detection, Glance, SceneClass, Truth
from engine.core.report import Health, ModelCard
from engine.core.triggers import Once
from engine.core.utterance import Heard
from engine.evaluation.scoring import Scorer
from engine.language.wording import Words
from engine.perception.localize import Localizer
from engine.recording.session_log import SessionLog
from routers import Always, Rules
from tests.fakes.stage import TapeSink, ToneVoice

CARD = ModelCard("fake", "test", "cpu", "none", "none")
IMAGE = np.zeros((48, 64, 3), np.uint8)
IMAGE.flags.writeable = False


class Camera:
    """Gives `count` frames, then ends, or breaks."""

    name = "camera"
    live = False
    fps = 50.0

    def __init__(self, count: int = 5, breaks: bool = False) -> None:
        self._left = count
        self._count = count
        self._breaks = breaks

    def read(self) -> Frame | None:
        if self._left == 0:
            if self._breaks:
                raise SourceLost("the camera was pulled out")
            return None
        self._left -= 1
        seq = self._count - self._left - 1
        return Frame(IMAGE, seq / self.fps, seq)

    def truth(self, seq: int) -> Truth | None:
        return None

    def __len__(self) -> int:
        return self._count

    def close(self) -> None: ...


class Eyes:
    """Sees one person ahead, and knows the scene."""

    card = CARD
    labels: tuple[str, ...] = ("person",)

    def __init__(self, fails: bool = False) -> None:
        self._fails = fails

    def expect(self, frame: Frame) -> None: ...

    def detect(self, frame: Frame) -> tuple[Detection, ...]:
        if self._fails:
            raise ValueError("a bug in an adapter")
        return (Detection("person", 0.9, Box(28, 10, 36, 40), 1),)

    def reset(self) -> None: ...

    def classify(self, frame: Frame) -> SceneClass:
        return SceneClass("street", 0.9, 0.1, False)


class Pen:
    """Describes in two clauses; or fails; or hangs until it is let go."""

    card = CARD

    def __init__(self, how: str = "well") -> None:
        self._how = how
        self.let_go = threading.Event()

    def look(self, frame: Frame, prompt: str | None = None) -> Iterator[None]:
        return iter(())

    def describe(
        self,
        frame: Frame,
        on_first_token: Callable[[], None] | None = None,
        prompt: str | None = None,
    ) -> Iterator[str]:
        if self._how == "fails":
            raise DescriberFailed("out of memory")
        if self._how == "hangs":
            self.let_go.wait()
            return
        if on_first_token is not None:
            on_first_token()
        yield "A man is waiting."
        yield "A bus is behind him."


class Bench:
    """A live session over fakes, and all that it logged."""

    def __init__(
        self,
        folder: Path,
        *,
        camera: Camera | None = None,
        eyes: Eyes | None = None,
        pen: Pen | None = None,
        mode: str = "auto",
        beats: int = 2,
        deadline_s: float = 5.0,
    ) -> None:
        clock = MonotonicClock()
        self.heard: list[Heard] = []
        self.health: list[Health] = []
        self.descriptions: list[Description] = []
        trace = SessionLog(folder, clock, clock)
        numbers = iter(range(1, 10_000))
        audio = Audio(
            ToneVoice(0.2),
            next_id=numbers.__next__,
            on_started=trace.started,
            on_heard=self.heard.append,
            on_health=self.health.append,
        )
        words = Words("en", "meters", "sides")
        looking = eyes or Eyes()
        self.scribe = DescriberWorker(pen, clock) if pen else None
        bench = self

        class Kept(SessionLog):
            def description(self, description: Description) -> None:
                bench.descriptions.append(description)
                super().description(description)

        trace.__class__ = Kept
        self.parts = Parts(
            source=camera or Camera(),
            detector=looking,
            locator=Localizer(70.0),
            warner=AlertPolicy(words, 190, numbers.__next__),
            answerer=Answerer(
                plan=AnswerPlan(
                    AnswerSettings(mode, beats, deadline_s=deadline_s),
                    Rules(0.0) if mode == "auto" else Always("full", 0.5),
                    words,
                ),
                scenes=looking,
                speaker=Speaker(words, audio.say, numbers.__next__, clock),
                report=self.health.append,
                wall=clock,
                describer=self.scribe,
            ),
            words=words,
            audio=audio,
            sink=TapeSink(),
            trace=trace,
            screen=Screen(),
            trigger=Once(0.0),
            listen_to_keys=False,
            next_id=numbers.__next__,
            timeline=clock,
            wall=clock,
            max_frames=None,
            report=self.health.append,
        )

    def run(self) -> None:
        try:
            Live(self.parts).run()
        finally:
            if self.scribe is not None:
                self.scribe.close()
            self.parts.trace.close()


def test_an_escalated_answer_has_two_beats(tmp_path: Path) -> None:
    bench = Bench(tmp_path, pen=Pen())
    bench.run()
    (description,) = bench.descriptions
    assert [beat.tier for beat in description.beats] == ["quick", "full"]
    assert description.tier == "full"
    assert description.text.endswith("A man is waiting. A bus is behind him.")
    answers = [h.utterance.text for h in bench.heard if h.utterance.kind == "answer"]
    template = bench.parts.words.sentences(description.beats[0].text)
    assert answers == [*template, "A man is waiting.", "A bus is behind him."]
    assert not bench.health


def test_with_one_beat_it_is_either_or(tmp_path: Path) -> None:
    bench = Bench(tmp_path, pen=Pen(), beats=1)
    bench.run()
    assert [beat.tier for beat in bench.descriptions[0].beats] == ["full"]


@pytest.mark.parametrize(
    ("how", "said"), [("fails", "out of memory"), ("hangs", "answer.deadline_s")]
)
def test_a_describer_that_does_not_answer_is_answered_for(
    tmp_path: Path, how: str, said: str
) -> None:
    pen = Pen(how)
    bench = Bench(tmp_path, pen=pen, mode="full", deadline_s=0.05)
    try:
        bench.run()
    finally:
        pen.let_go.set()
    (description,) = bench.descriptions
    assert description.tier == "quick"
    assert "erson" in description.text
    assert [said in health.detail for health in bench.health] == [True]


def test_a_camera_that_is_lost_is_said_and_ends_the_run(tmp_path: Path) -> None:
    bench = Bench(tmp_path, camera=Camera(3, breaks=True))
    with pytest.raises(RunError, match="pulled out"):
        bench.run()
    assert any("lost the camera" in h.utterance.text for h in bench.heard)
    assert bench.health[0].what == "camera"
    assert bench.descriptions  # what was asked before is still answered


class Glasses(Camera):
    """A camera that has something to say before its frames."""

    def __init__(self) -> None:
        super().__init__()
        self._words: list[SourceWord] = [
            "glasses_low",
            "glasses_hot",
            "glasses_lost",
            "glasses_back",
        ]

    def read(self) -> Frame | None:
        if self._words:
            raise SourceSays(self._words.pop(0), "what the log wants", "went on")
        return super().read()


def test_what_the_glasses_say_is_heard_and_the_session_goes_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path, camera=Glasses())
    bench.run()
    said = [h.utterance.text for h in bench.heard if h.utterance.kind == "status"]
    for part in ("battery of the glasses is low", "are hot", "lost the glasses", "are back"):
        assert sum(part in text for text in said) == 1
    assert [health.what for health in bench.health] == ["glasses"] * 4
    assert bench.descriptions


def test_a_bug_in_an_adapter_is_said_and_ends_the_run(tmp_path: Path) -> None:
    bench = Bench(tmp_path, eyes=Eyes(fails=True))
    with pytest.raises(RunError, match="ValueError: a bug in an adapter") as caught:
        bench.run()
    assert isinstance(caught.value.__cause__, ValueError)  # whence the traceback
    assert any(h.utterance.kind == "status" for h in bench.heard)


def test_a_bug_in_a_batch_is_said_and_ends_the_run(tmp_path: Path) -> None:
    bench = Bench(tmp_path, eyes=Eyes(fails=True))
    clock = VirtualClock()
    parts = replace(bench.parts, timeline=clock)
    with pytest.raises(RunError, match="ValueError: a bug in an adapter"):
        Batch(parts, clock, related=True, scorer=None).run()
    assert [health.what for health in bench.health] == ["engine"]
    assert [h.utterance.text for h in bench.heard] == [parts.words.status("failed")]


@pytest.mark.parametrize(
    ("related", "asked_at_s", "most", "order"),
    [
        (True, 99.0, None, "0 1e 0d 2e 1d 3e 2d 3d"),
        (True, 1.5 / 30, None, "0 1e 0d 2e 1d 2d 3 3d"),  # alone while the third is answered
        (True, 99.0, 2, "0 1e 0d 1d"),
        (False, 99.0, None, "0 0d 1 1d 2 2d 3 3d"),
    ],
)
def test_a_batch_looks_ahead_where_it_may(
    tmp_path: Path, related: bool, asked_at_s: float, most: int | None, order: str
) -> None:
    log: list[str] = []

    class Noting(Eyes):
        def expect(self, frame: Frame) -> None:
            log[-1] += "e"

        def detect(self, frame: Frame) -> tuple[Detection, ...]:
            log.append(f"{frame.seq}d")
            return super().detect(frame)

    class Film(Camera):
        def read(self) -> Frame | None:
            frame = super().read()
            if frame is not None:
                log.append(str(frame.seq))
                frame = replace(frame, time_s=frame.seq / 30)
            return frame

    bench = Bench(tmp_path, camera=Film(4), eyes=Noting(), mode="quick")
    clock = VirtualClock()
    parts = replace(bench.parts, timeline=clock, trigger=Once(asked_at_s), max_frames=most)
    Batch(parts, clock, related, None).run()
    assert " ".join(log) == order
    assert len(bench.descriptions) == (asked_at_s < 1)


def test_what_broke_off_is_said_after_the_last_frame(tmp_path: Path) -> None:
    bench = Bench(tmp_path, camera=Camera(3, breaks=True))
    clock = VirtualClock()
    with pytest.raises(SourceLost):
        Batch(replace(bench.parts, timeline=clock), clock, related=True, scorer=None).run()
    assert bench.parts.trace.close()["frames"]["processed"] == 3


def test_the_same_person_is_announced_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path, camera=Camera(40), pen=Pen())
    bench.run()
    alerts = [h for h in bench.heard if h.utterance.kind == "alert"]
    assert len(alerts) == 1


def test_frames_that_nobody_looked_at_are_counted(tmp_path: Path) -> None:
    bench = Bench(tmp_path, camera=Camera(20))
    bench.parts = replace(bench.parts, max_frames=12)
    bench.run()
    frames = bench.parts.trace.close()["frames"]
    assert frames["seen"] == 12
    assert frames["processed"] + frames["dropped"] == 12
    assert frames["processed"] >= 1


def test_a_dataset_played_in_real_time_is_scored_too(tmp_path: Path) -> None:
    class Labelled(Camera):
        def truth(self, seq: int) -> Truth | None:
            return Truth((("person", Box(28, 10, 36, 40)),), "street")

    bench = Bench(tmp_path, camera=Labelled())
    scorer = Scorer(("person",), "en")
    Live(bench.parts, scorer).run()
    quality = scorer.quality()
    assert (quality["n"], quality["scene_top1"], quality["object_recall"]) == (1, 1.0, 1.0)


def test_a_camera_that_is_covered_is_said_and_that_it_sees_again(tmp_path: Path) -> None:
    parts = (bench := Bench(tmp_path)).parts
    street = np.random.default_rng(1).integers(0, 255, (48, 64, 1), np.uint8).repeat(3, axis=2)
    for seq in range(90):
        image = IMAGE if seq < 45 else street
        parts.warn(Glance(Frame(image, seq / 15, seq), ()), seq / 15)
    assert [health.detail for health in bench.health] == [
        "the picture is covered",
        "the picture is well again",
    ]
    drain(parts.audio, TapeSink(), VirtualClock())
    assert [heard.utterance.text for heard in bench.heard] == [
        parts.words.status("camera_dark"),
        parts.words.status("camera_clear"),
    ]
    parts.trace.close()


def test_a_hint_that_comes_and_goes_begins_once_with_one_picture(tmp_path: Path) -> None:
    bench = Bench(tmp_path, mode="full")
    begun: list[float] = []

    class Early(Answerer):
        def prefetch(self, glance: Glance) -> None:
            begun.append(glance.frame.time_s)

    bench.parts.answerer.__class__ = Early
    live = Live(bench.parts)
    for time_s in (1.0, 1.2, 1.4, 1.7):
        live._glances.put(Glance(Frame(IMAGE, time_s, 0), ()))
        live._prefetch()  # without a hint nothing is begun
        live._have_hunch()
        live._prefetch()
    assert begun == [1.0, 1.7]
    request = Request(1, "wake", 1.8, "describe", None, 1.9)
    glance = live._glance(request)
    assert glance is not None
    assert glance.frame.time_s == 1.7
    live._have_hunch()
    live._prefetch()  # the next question is another
    assert begun == [1.0, 1.7, 1.7]
