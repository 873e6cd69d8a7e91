"""The live loops with real threads over a fake camera and fake models."""

import threading
from pathlib import Path

import numpy as np
import pytest

from engine.app.answer_step import AnswerStep
from engine.app.builders.loops import build_frame_step
from engine.app.loops.answer import AnswerLoop
from engine.audio.playback import drain
from engine.core.answer import Request
from engine.core.camera import Frame
from engine.core.clock import VirtualClock
from engine.core.errors import DescriberFailed, RunError, SourceNotice, SourceStatus
from engine.core.glance import Box, Glance, Truth
from engine.core.report import Health
from engine.core.slot import Slot
from engine.evaluation.scoring import Scorer
from engine.language.wording import StatusKey
from tests.fakes.answering import ScriptedDescriber
from tests.fakes.live import BLACK, FakeCamera, FakeVision, LiveBench
from tests.fakes.stage import TapeSink

CLAUSES = ("A man is waiting.", "A bus is behind him.")


def test_an_escalated_answer_has_two_beats(tmp_path: Path) -> None:
    bench = LiveBench(tmp_path, describer=ScriptedDescriber(*CLAUSES))
    bench.run()
    (description,) = bench.descriptions
    assert [beat.tier for beat in description.beats] == ["quick", "full"]
    assert description.tier == "full"
    assert description.text.endswith("A man is waiting. A bus is behind him.")
    answers = [h.utterance.text for h in bench.heard if h.utterance.kind == "answer"]
    assert answers == [*bench.words.sentences(description.beats[0].text), *CLAUSES]
    assert not bench.health


def test_with_one_beat_an_escalated_answer_is_the_describers_alone(tmp_path: Path) -> None:
    bench = LiveBench(tmp_path, describer=ScriptedDescriber(*CLAUSES), beats=1)
    bench.run()
    assert [beat.tier for beat in bench.descriptions[0].beats] == ["full"]


@pytest.mark.parametrize(
    ("describer", "detail"),
    [
        (ScriptedDescriber(error=DescriberFailed("out of memory")), "out of memory"),
        (ScriptedDescriber(hangs=True), "answer.deadline_s"),
    ],
    ids=["fails", "hangs"],
)
def test_the_template_answers_for_a_describer_that_does_not(
    tmp_path: Path, describer: ScriptedDescriber, detail: str
) -> None:
    bench = LiveBench(tmp_path, describer=describer, mode="full", deadline_s=0.05)
    bench.run()
    (description,) = bench.descriptions
    assert description.tier == "quick"
    assert "erson" in description.text
    assert [detail in health.detail for health in bench.health] == [True]


def test_a_still_picture_is_answered_and_not_warned_of(tmp_path: Path) -> None:
    """And its empty way may still be called clear: the policy sees it too."""
    heard = []
    for is_still in (False, True):
        bench = LiveBench(tmp_path / str(is_still), camera=FakeCamera(1))
        bench.change_feed(still=is_still)
        bench.run()
        heard.append([h.utterance.kind for h in bench.heard])
    assert heard[0].count("alert") == 1
    assert "answer" in heard[1]
    assert "alert" not in heard[1]


def test_a_lost_camera_is_announced_and_ends_the_session(tmp_path: Path) -> None:
    bench = LiveBench(tmp_path, camera=FakeCamera(3, breaks=True))
    with pytest.raises(RunError, match="pulled out"):
        bench.run()
    assert any("lost the camera" in text for text in bench.said)
    assert bench.health[0].what == "camera"
    assert bench.descriptions  # an earlier request is still answered


class FakeGlasses(FakeCamera):
    """Has messages before its frames."""

    def __init__(self) -> None:
        super().__init__()
        self._words: list[SourceStatus] = [
            "glasses_low",
            "glasses_hot",
            "glasses_lost",
            "glasses_back",
        ]

    def read(self) -> Frame | None:
        if self._words:
            raise SourceNotice(self._words.pop(0), "a detail for the log", "went on")
        return super().read()


def test_messages_of_the_glasses_are_announced_and_the_session_goes_on(tmp_path: Path) -> None:
    bench = LiveBench(tmp_path, camera=FakeGlasses())
    bench.run()
    said = [h.utterance.text for h in bench.heard if h.utterance.kind == "status"]
    for part in ("battery of the glasses is low", "are hot", "lost the glasses", "are back"):
        assert sum(part in text for text in said) == 1
    assert [health.what for health in bench.health] == ["glasses"] * 4
    assert bench.descriptions


class FakeVideo(FakeCamera):
    """Has a damaged part, and something that only the log needs to know."""

    def __init__(self) -> None:
        super().__init__()
        self._notices: list[SourceStatus | None] = ["video_damaged", None]

    def read(self) -> Frame | None:
        if self._notices:
            raise SourceNotice(self._notices.pop(0), "a detail for the log", "went on", "video")
        return super().read()


@pytest.mark.parametrize("batch", [False, True])
def test_messages_of_a_video_are_logged_and_said_once(tmp_path: Path, batch: bool) -> None:
    bench = LiveBench(tmp_path, camera=FakeVideo(), batch=batch)
    bench.run_batch() if batch else bench.run()
    assert sum("damaged" in text for text in bench.said) == 1
    assert [health.what for health in bench.health] == ["video"] * 2
    assert bench.descriptions


def test_a_bug_in_an_adapter_is_announced_and_ends_the_session(tmp_path: Path) -> None:
    bench = LiveBench(tmp_path, vision=FakeVision(fails=True))
    with pytest.raises(RunError, match="ValueError: a bug in an adapter") as caught:
        bench.run()
    assert isinstance(caught.value.__cause__, ValueError)  # for the traceback
    assert any(h.utterance.kind == "status" for h in bench.heard)


def test_the_same_person_is_announced_once(tmp_path: Path) -> None:
    describer = ScriptedDescriber(*CLAUSES)
    bench = LiveBench(tmp_path, camera=FakeCamera(40), describer=describer)
    bench.run()
    alerts = [h for h in bench.heard if h.utterance.kind == "alert"]
    assert len(alerts) == 1


def test_dropped_frames_are_counted(tmp_path: Path) -> None:
    bench = LiveBench(tmp_path, camera=FakeCamera(20))
    bench.change_feed(max_frames=12)
    bench.run()
    frames = bench.log.close()["frames"]
    assert frames["seen"] == 12
    assert frames["processed"] + frames["dropped"] == 12
    assert frames["processed"] >= 1


def test_a_dataset_played_in_real_time_is_scored_too(tmp_path: Path) -> None:
    class Labelled(FakeCamera):
        def truth(self, seq: int) -> Truth | None:
            return Truth((("person", Box(28, 10, 36, 40)),), "street")

    scorer = Scorer(("person",), "en")
    LiveBench(tmp_path, camera=Labelled()).run(scorer)
    quality = scorer.quality()
    assert (quality["n"], quality["scene_top1"], quality["object_recall"]) == (1, 1.0, 1.0)


def test_a_covered_camera_is_announced_and_that_it_is_clear_again(tmp_path: Path) -> None:
    bench = LiveBench(tmp_path)
    street = np.random.default_rng(1).integers(0, 255, (48, 64, 1), np.uint8).repeat(3, axis=2)
    step = build_frame_step(bench.session)
    for seq in range(90):
        image = BLACK if seq < 45 else street
        step.warn(Glance(Frame(image, seq / 15, seq), ()), seq / 15)
    assert [health.detail for health in bench.health] == [
        "the picture is covered",
        "the picture is good again",
    ]
    drain(bench.session.speech.audio, TapeSink(), VirtualClock())
    assert bench.said == [bench.words.status("camera_dark"), bench.words.status("camera_clear")]
    bench.close()


def test_hints_that_come_and_go_prefetch_one_image_once(tmp_path: Path) -> None:
    prefetched: list[float] = []

    class RecordingStep(AnswerStep):
        def prefetch(self, glance: Glance) -> None:
            prefetched.append(glance.frame.time_s)

    bench = LiveBench(tmp_path, mode="full")
    session = bench.session
    step = RecordingStep(session.answerer, session.speech.audio, bench.log)
    glances: Slot[Glance] = Slot()
    loop = AnswerLoop(step, glances, session.speech, session.clocks, session.notifier, live=False)
    for time_s in (1.0, 1.2, 1.4, 1.7):
        glances.put(Glance(Frame(BLACK, time_s, 0), ()))
        loop.prefetch()  # without a hint this does nothing
        loop.hint()
        loop.prefetch()
    assert prefetched == [1.0, 1.7]
    glance = loop.glance_for(Request(1, "wake", 1.8, "describe", None, 1.9), threading.Event())
    assert glance is not None
    assert glance.frame.time_s == 1.7
    loop.hint()
    loop.prefetch()  # the next request is another one
    assert prefetched == [1.0, 1.7, 1.7]
    bench.close()


@pytest.mark.parametrize("alarm", [None, "watch_slow", "watch_lost"])
def test_a_request_without_a_fresh_image_is_announced_instead(
    tmp_path: Path, alarm: StatusKey | None
) -> None:
    """And the camera is not blamed for a detector that hangs."""
    bench = LiveBench(tmp_path, batch=True)
    session = bench.session
    step = AnswerStep(session.answerer, session.speech.audio, bench.log)
    glances: Slot[Glance] = Slot()
    glances.put(Glance(Frame(BLACK, 0.0, 0), ()))
    loop = AnswerLoop(step, glances, session.speech, session.clocks, session.notifier, live=True)
    session.clocks.timeline.sleep(9.0)
    if alarm is not None:
        session.notifier.alarm(Health("watch", "a look took long", "said so"), alarm)
    assert loop.glance_for(Request(1, "keyboard", 9.0), threading.Event()) is None
    assert [health.what for health in bench.health][-1] == "answer"
    drain(session.speech.audio, TapeSink(), VirtualClock())
    assert bench.said[-1] == bench.words.status("watch_lost" if alarm else "camera_lost")
    bench.close()


def test_stopping_before_the_first_image_does_not_announce_a_lost_camera(tmp_path: Path) -> None:
    bench = LiveBench(tmp_path, batch=True)
    session = bench.session
    step = AnswerStep(session.answerer, session.speech.audio, bench.log)
    glances: Slot[Glance] = Slot()
    glances.close()  # as the watch loop does when it ends
    loop = AnswerLoop(step, glances, session.speech, session.clocks, session.notifier, live=False)
    stop = threading.Event()
    stop.set()
    assert loop.glance_for(Request(1, "keyboard", 0.0), stop) is None
    assert not bench.health
    drain(session.speech.audio, TapeSink(), VirtualClock())
    assert not bench.said
    bench.close()
