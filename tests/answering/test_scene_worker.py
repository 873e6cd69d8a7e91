"""The scene classifier's thread: results, failures, and a classifier that hangs."""

import threading
from pathlib import Path

import pytest

from engine.answering.scene_worker import SceneWorker
from engine.core.camera import Frame
from engine.core.clock import MonotonicClock
from engine.core.errors import SceneFailed, SceneLate, StillLoading
from engine.core.glance import SceneClass
from engine.perception.scene_cache import SceneCache
from tests.fakes.live import BLACK, LiveBench

FRAME = Frame(BLACK, 0.0, 0)
STREET = SceneClass("street", 0.9, 0.1, False)


class Scenes:
    def __init__(self, error: Exception | None = None, hangs: bool = False) -> None:
        self.error = error
        self.released = threading.Event()
        if not hangs:
            self.released.set()

    def classify(self, frame: Frame) -> SceneClass:
        self.released.wait(30.0)
        if self.error is not None:
            raise self.error
        return STREET


@pytest.mark.parametrize(
    ("error", "raised", "message"),
    [
        (ValueError("a bug"), SceneFailed, "ValueError: a bug"),
        (StillLoading("not yet"), StillLoading, "not yet"),
    ],
)
def test_an_error_reaches_the_caller(
    error: Exception, raised: type[Exception], message: str
) -> None:
    worker = SceneWorker(Scenes(error), MonotonicClock(), 30.0)
    with pytest.raises(raised, match=message):
        worker.classify(FRAME)
    worker.close()


def test_a_classifier_that_hangs_is_waited_for_until_the_deadline() -> None:
    scenes = Scenes(hangs=True)
    worker = SceneWorker(scenes, MonotonicClock(), 0.01)
    with pytest.raises(SceneLate, match=r"answer\.deadline_s=0\.01"):
        worker.classify(FRAME)
    scenes.released.set()
    while True:  # the earlier work ends, and the classifier is asked again
        try:
            assert worker.classify(FRAME) == STREET
            break
        except SceneLate:
            continue
    worker.close()


def test_questions_are_answered_without_a_scene_while_the_classifier_hangs(tmp_path: Path) -> None:
    bench = LiveBench(tmp_path)
    scenes = Scenes(hangs=True)
    answerer = bench.session.answerer
    worker = SceneWorker(scenes, answerer.wall, 0.2)
    answerer.scenes = SceneCache(worker)
    bench.run()
    (description,) = bench.descriptions
    assert "erson" in description.text
    assert bench.words.status("scene_failed") in bench.said
    assert [health.what for health in bench.health] == ["scenes"]
    scenes.released.set()
    worker.close()
