"""Both tiers on one image: every stage is timed, and a failure is recorded with its reason."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from engine.answering.grounding import Grounded, Grounder
from engine.answering.plan import LANGUAGE_NOT_SPOKEN, AnswerPlan, AnswerSettings
from engine.core.camera import Frame
from engine.core.clock import VirtualClock
from engine.core.errors import DescriberFailed
from engine.core.glance import Box, Detection, SceneClass, Truth
from engine.core.ports import Describer
from engine.core.report import ModelCard
from engine.core.sound import Samples
from engine.evaluation.recorder import Recorder
from engine.language.wording import Words
from engine.perception.localize import Localizer
from engine.perception.perceive import Perception
from routers import Count
from tests.fakes.glances import make_scene

CARD = ModelCard("fake", "pocket", "cpu", "torch", "fp32")


class Fakes:
    """Fakes of all ports that a recording needs. Each takes a known time on one clock."""

    card = CARD
    labels: tuple[str, ...] = ("person",)
    name = "fake"
    live = False
    fps = 15.0
    sample_rate_hz = 22_050

    def __init__(self, clauses: list[str | DescriberFailed]) -> None:
        self.clock = VirtualClock()
        self.clauses = clauses
        self.said: list[str] = []
        self.resets = 0

    def expect(self, frame: Frame) -> None: ...

    def detect(self, frame: Frame) -> tuple[Detection, ...]:
        self.clock.sleep(0.020)
        return (Detection("person", 0.9, Box(100, 100, 200, 400), 1),)

    def reset(self) -> None:
        self.resets += 1

    def classify(self, frame: Frame) -> SceneClass:
        self.clock.sleep(0.010)
        return make_scene()

    def look(self, frame: Frame, prompt: str | None = None) -> Iterator[None]:
        return iter(())

    def stop(self) -> None: ...

    def describe(
        self,
        frame: Frame,
        on_first_token: Callable[[], None] | None = None,
        prompt: str | None = None,
    ) -> Iterator[str]:
        self.clock.sleep(0.060)
        if on_first_token is not None:
            on_first_token()
        for clause in self.clauses:
            self.clock.sleep(0.030)
            if isinstance(clause, DescriberFailed):
                raise clause
            yield clause

    def synthesise(self, text: str) -> Samples:
        self.clock.sleep(0.015)
        self.said.append(text)
        return np.zeros(9, np.float32)

    def truth(self, seq: int) -> Truth | None:
        return Truth(scene="street")

    def read(self) -> Frame | None:
        return None

    def close(self) -> None: ...

    def __len__(self) -> int:
        return 0


def recorder(fakes: Fakes, describer: Describer | None) -> Recorder:
    plan = AnswerPlan(
        AnswerSettings(), Count(0.5), Words("en"), Grounder(("person",), "en", "hedge")
    )
    return Recorder(
        perception=Perception(fakes, Localizer(), fakes.clock), scenes=fakes, describer=describer,
        plan=plan, voice=fakes, wall=fakes.clock,
    )  # fmt: skip


FRAME = Frame(np.full((480, 640, 3), 99, np.uint8), 0.0, 7, name="7.jpg")


def test_every_stage_is_timed() -> None:
    fakes = Fakes(["A man on a street.", "He walks."])
    record = recorder(fakes, fakes).measure(FRAME, fakes)
    found = {
        "detect": record.detect_ms, "classify": record.classify_ms,
        "token": record.full.first_token_ms, "words": record.full.first_words_ms,
        "all": record.full.all_words_ms, "full speech": record.full.speech_ms,
        "quick speech": record.quick.speech_ms,
    }  # fmt: skip
    expected = {"detect": 20, "classify": 10, "token": 60, "words": 90, "all": 120,
                "full speech": 15, "quick speech": 15}  # fmt: skip
    assert found == {name: pytest.approx(value) for name, value in expected.items()}
    assert record.full.text == "A man on a street. He walks."
    assert record.quick.text.startswith("Person ")
    assert (record.seq, record.name, record.truth) == (7, "7.jpg", Truth(scene="street"))
    assert all(text.endswith(" 7.") for text in fakes.said)  # never in the voice's cache


@pytest.mark.parametrize(
    ("clauses", "error"),
    [
        ([DescriberFailed("it broke")], "it broke"),
        ([], "said nothing"),
        (None, LANGUAGE_NOT_SPOKEN),
    ],
)
def test_a_missing_answer_has_a_reason(clauses: list[Any] | None, error: str) -> None:
    fakes = Fakes(clauses or [])
    full = recorder(fakes, None if clauses is None else fakes).measure(FRAME, fakes).full
    assert full.text == ""
    assert error in full.error
    assert full.all_words_ms == 0


def test_clauses_before_a_failure_are_kept() -> None:
    fakes = Fakes(["A man on a street.", DescriberFailed("it broke")])
    full = recorder(fakes, fakes).measure(FRAME, fakes).full
    assert (full.text, full.error) == ("", "it broke")
    assert full.clauses == (Grounded("A man on a street.", ()),)
    assert full.first_words_ms == pytest.approx(90)


@pytest.mark.parametrize(("related", "resets", "change"), [(False, 2, 1.0), (True, 0, 0.0)])
def test_after_a_reset_the_last_image_is_forgotten(
    related: bool, resets: int, change: float
) -> None:
    fakes = Fakes(["A man."])
    both_tiers = recorder(fakes, fakes)
    for _ in range(2):
        if not related:
            both_tiers.reset()
        record = both_tiers.measure(FRAME, fakes)
    assert record.picture.change == change
    assert fakes.resets == resets
