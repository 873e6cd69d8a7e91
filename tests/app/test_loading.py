"""What is announced and answered while models still load, and after one has failed to."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.app.answer_step import AnswerStep
from engine.app.builders.loops import build_live
from engine.app.builders.models import Models
from engine.app.loading import LaterDepth, LaterDescriber, LaterScenes, Loading, Part
from engine.app.opening import load_rest
from engine.audio.playback import drain
from engine.core.answer import Request
from engine.core.camera import Frame
from engine.core.clock import VirtualClock
from engine.core.errors import EngineError, MissingPart, RunError
from engine.core.later import Later
from engine.core.report import Health, ModelCard
from engine.core.threads import still_running
from engine.language.wording import StatusKey
from tests.fakes.answering import CARD, ScriptedDescriber
from tests.fakes.live import BLACK, FakeVision, LiveBench
from tests.fakes.stage import TapeSink

SAID = "A man is waiting."


class SlowStart:
    """A live session whose scenes and describer load when the test says so."""

    def __init__(self, folder: Path, mode: str = "auto") -> None:
        self.scenes, self.describer = LaterScenes(), LaterDescriber()
        self.may_load = threading.Event()
        self.held = "scenes"  # the part that waits for the test
        self.error: Exception | None = None
        self.loaded: list[str] = []
        self.bench = bench = LiveBench(
            folder, scenes=self.scenes, describer=self.describer, mode=mode
        )
        self.loading = Loading(
            [
                Part("scenes", self._scenes, self.scenes.later, "scene_failed"),
                Part("describer", self._describer, self.describer.later, "describer_failed"),
            ]
        )
        bench.session = replace(bench.session, loading=self.loading)

    def _scenes(self) -> ModelCard:
        if self.held == "scenes":
            self.may_load.wait(20.0)
        self.scenes.later.put(FakeVision())
        return CARD

    def _describer(self) -> ModelCard:
        if self.error is not None:
            raise self.error
        if self.held == "describer":
            self.may_load.wait(20.0)
        self.describer.later.put(ScriptedDescriber(SAID))
        return CARD

    def start(self) -> None:
        speaker = self.bench.session.answerer.speaker

        def failed(part: Part, error: EngineError) -> None:
            speaker.explain_once(part.failed)

        self.loading.start(
            lambda name, card: self.loaded.append(name),
            failed,
            lambda: self.bench.session.notifier.announce("ready"),
        )


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[SlowStart]:
    slow = SlowStart(tmp_path)
    yield slow
    slow.may_load.set()
    slow.loading.close()


@pytest.mark.parametrize("mode", ["auto", "full"])
def test_a_request_while_models_load_is_answered_by_the_template_without_the_place(
    tmp_path: Path, mode: str
) -> None:
    slow = SlowStart(tmp_path, mode)
    bench, session = slow.bench, slow.bench.session
    step = AnswerStep(session.answerer, session.speech.audio, bench.log)
    glance = session.perception.perceive(Frame(BLACK, 0.0, 0))
    description = step.answer(Request(1, "keyboard", session.clocks.wall.now()), glance)
    drain(session.speech.audio, TapeSink(), VirtualClock())
    assert description.tier == "quick"
    assert "erson" in description.text
    assert "street" not in description.text
    reasons = "; ".join(description.decision.reasons)
    assert "the scene classifier is still loading, so the place is not said" in reasons
    assert "the describer is still loading, so the template answers" in reasons
    assert bench.words.status("describer_loading") in bench.said
    assert not bench.health  # loading is no fault
    bench.close()


def test_a_question_that_nobody_waits_for_comes_once_all_is_loaded(slow: SlowStart) -> None:
    """Also if the source has ended meanwhile."""
    bench = slow.bench
    watching = build_live(bench.session)
    thread = threading.Thread(target=watching.run)
    thread.start()
    slow.start()
    assert not bench.descriptions
    slow.may_load.set()
    thread.join(20.0)
    assert not thread.is_alive()
    (description,) = bench.descriptions
    assert [beat.tier for beat in description.beats] == ["quick", "full"]
    assert description.scene.label == "street"
    assert slow.loaded == ["scenes", "describer"]
    assert bench.words.status("ready") in bench.said
    bench.close()


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (MissingPart("weights.bin: expected the file, got nothing there"), "weights.bin: expected"),
        (ValueError("a bug in a library"), "ValueError: a bug in a library"),
        (MemoryError(), "the describer found no memory"),
    ],
)
def test_a_model_that_does_not_load_is_said_once_and_the_template_answers(
    slow: SlowStart, error: Exception, detail: str
) -> None:
    bench, slow.error = slow.bench, error
    slow.may_load.set()
    slow.start()
    assert slow.loading.wait(10.0)
    bench.run()
    (description,) = bench.descriptions
    assert description.tier == "quick"
    assert description.scene.label == "street"  # what has loaded is used
    assert any(detail in reason for reason in description.decision.reasons)
    assert bench.said.count(bench.words.status("describer_failed")) == 1
    assert slow.loaded == ["scenes"]


@pytest.mark.parametrize(
    ("held", "failed", "tiers", "scene"),
    [
        ("scenes", "scene_failed", ["quick", "full"], ""),
        ("describer", "describer_failed", ["quick"], "street"),
    ],
)
def test_a_part_that_hangs_is_said_to_be_missing_and_the_rest_is_ready(
    slow: SlowStart, held: str, failed: StatusKey, tiers: list[str], scene: str
) -> None:
    bench, slow.held = slow.bench, held
    models = Models(FakeVision(), slow.scenes, slow.describer, None, {"detector": CARD})
    load_rest(bench.session, models, says_ready=True)
    with bench.start() as running:
        bench.watch_clock.advance(25.0)
        assert not slow.loading.ready
        assert not bench.descriptions
        bench.watch_clock.advance(7.0)
        running.hears("ready")
        running.until(lambda: bench.descriptions)
    slow.may_load.set()
    slow.loading.close()  # also after the session has ended, which it may outlast
    assert bench.health[-1] == Health(held, "it has loaded after all", "uses it")
    (description,) = bench.descriptions
    assert [beat.tier for beat in description.beats] == tiers
    assert description.scene.label == scene
    assert bench.said.count(bench.words.status(failed)) == 1
    assert (held, f"the {held} did not load within 30 s") in [
        (health.what, health.detail) for health in bench.health
    ]


def test_a_part_that_comes_after_it_was_given_up_is_used() -> None:
    begun, may_end, later, told = (
        threading.Event(),
        threading.Event(),
        Later[int]("it"),
        list[str](),
    )

    def slowly() -> ModelCard:
        begun.set()
        may_end.wait(20.0)
        later.put(7)
        return CARD

    loading = Loading([Part("model", slowly, later, "failed")])
    loading.start(
        lambda name, card: told.append(f"{name} loaded"),
        lambda part, error: told.append(str(error)),
        lambda: told.append("ready"),
        lambda part: told.append(f"{part.name} late"),
    )
    assert begun.wait(10.0)
    for second in range(29):
        loading.check(float(second))
    loading.check(1000.0)  # the process was stopped: nothing was loaded meanwhile
    assert not told
    loading.check(1001.0)
    loading.check(1002.0)
    assert loading.wait(10.0)
    with pytest.raises(RunError, match="within 30 s"):
        later.get()
    assert not later.settled
    may_end.set()
    loading.close()
    assert later.get() == 7
    assert told == ["the model did not load within 30 s", "ready", "model loaded", "model late"]


def test_a_stopped_loading_begins_no_further_part() -> None:
    begun, may_end, loaded = threading.Event(), threading.Event(), list[str]()

    def slowly() -> ModelCard:
        begun.set()
        may_end.wait(10.0)
        return CARD

    parts = [Part(name, slowly, Later[int](name), "failed") for name in ("first", "second")]
    loading = Loading(parts)
    loading.start(
        lambda name, card: loaded.append(name), lambda part, error: None, lambda: loaded.append("!")
    )
    assert begun.wait(10.0)
    loading.stop()
    may_end.set()
    loading.close()
    assert loaded == ["first"]
    assert not loading.ready


def test_a_part_that_hangs_does_not_keep_the_session_from_ending(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("engine.app.loading.CLOSING_S", 0.05)
    released = threading.Event()

    def hang() -> None:
        released.wait(30.0)

    loading = Loading([Part("hanging", hang, Later[int]("it"), "failed")])
    loading.start(lambda name, card: None, lambda part, error: None, lambda: None)
    loading.close()
    assert still_running("loading") == ["loading"]  # which leaves without cleanup
    released.set()


def test_without_parts_a_session_is_ready_at_once() -> None:
    loading = Loading()
    assert loading.ready
    loading.close()


class FakeDepth:
    card = CARD
    stopped = False

    def metres(self, frame: Frame) -> np.ndarray:
        return np.ones((2, 2), np.float32)

    def stop(self) -> None:
        self.stopped = True


def test_depth_waits_until_it_has_been_loaded() -> None:
    depth, model = LaterDepth(), FakeDepth()
    frame = Frame(np.zeros((2, 2, 3), np.uint8), 0.0, 0)
    found: list[np.ndarray] = []
    thread = threading.Thread(target=lambda: found.append(depth.metres(frame)))
    thread.start()
    depth.later.put(model)
    thread.join(10.0)
    assert len(found) == 1
    depth.stop()
    assert model.stopped


def test_depth_that_waits_is_let_go_at_the_end() -> None:
    depth = LaterDepth()
    depth.stop()
    with pytest.raises(RunError):
        depth.metres(Frame(np.zeros((2, 2, 3), np.uint8), 0.0, 0))
