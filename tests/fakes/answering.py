"""Fakes of what an answer needs: a detector, a scene classifier that also reads, a scripted
describer, a router with one opinion, a silent voice, and a clock that only a test moves."""

import queue
import threading
from collections.abc import Callable, Iterator

import numpy as np

from engine.core.answer import Decision, Tier
from engine.core.camera import Frame
from engine.core.glance import Box, Detection, Glance, SceneClass, TextLine
from engine.core.report import ModelCard
from engine.core.sound import Samples
from tests.fakes.glances import make_scene

CARD = ModelCard("fake", "test", "cpu", "none", "none", languages=("en",))
LABELS: tuple[str, ...] = ("person", "bus", "car")
LINES = (
    TextLine("EXIT", 0.99, Box(100, 10, 200, 60)),
    TextLine("Gate 4", 0.7, Box(100, 80, 220, 130)),
)


class ManualClock:
    """A clock that a test moves. Each look at it takes `step_s` seconds."""

    def __init__(self) -> None:
        self.time_s = 100.0
        self.step_s = 0.0
        self._lock = threading.Lock()

    def now(self) -> float:
        with self._lock:
            self.time_s += self.step_s
            return self.time_s

    def sleep(self, seconds: float) -> None: ...


class FakeDetector:
    """Finds one person ahead."""

    card = CARD
    labels = LABELS

    def expect(self, frame: Frame) -> None: ...

    def detect(self, frame: Frame) -> tuple[Detection, ...]:
        return (Detection("person", 0.9, Box(250, 100, 350, 400), 1),)

    def reset(self) -> None: ...


class ScriptedDescriber:
    """Says `clauses`, then raises `error` if there is one; hangs before them until released."""

    def __init__(
        self,
        *clauses: str,
        error: Exception | None = None,
        hangs: bool = False,
        card: ModelCard = CARD,
    ) -> None:
        self.card = card
        self.clauses = clauses
        self.error = error
        self.released = threading.Event()
        self.prompts: list[str | None] = []
        self.prefetched: queue.SimpleQueue[tuple[Frame, str | None]] = queue.SimpleQueue()
        if not hangs:
            self.released.set()

    def look(self, frame: Frame, prompt: str | None = None) -> Iterator[None]:
        self.prefetched.put((frame, prompt))
        self.released.wait()
        if self.error is not None:
            raise self.error
        yield

    def describe(
        self,
        frame: Frame,
        on_first_token: Callable[[], None] | None = None,
        prompt: str | None = None,
    ) -> Iterator[str]:
        self.prompts.append(prompt)
        self.released.wait()
        if on_first_token is not None:
            on_first_token()
        yield from self.clauses
        if self.error is not None:
            raise self.error

    def stop(self) -> None: ...


class FakeScenes:
    """Classifies every frame as a street, and reads the same text in it."""

    card = CARD
    labels: tuple[str, ...] = ("street",)

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.large: tuple[TextLine, ...] = ()
        self.error: Exception | None = None
        self.released = threading.Event()
        self.released.set()

    def classify(self, frame: Frame) -> SceneClass:
        if self.fails:
            raise RuntimeError("the device is gone")
        return make_scene()

    def read(self, frame: Frame) -> tuple[TextLine, ...]:
        self.released.wait()
        if self.error is not None:
            raise self.error
        return LINES

    def read_large(self, frame: Frame) -> tuple[TextLine, ...]:
        return self.large


class FixedRouter:
    """Chooses one tier, whatever the glance."""

    name = "fixed"

    def __init__(self, tier: Tier) -> None:
        self.tier = tier

    def decide(self, glance: Glance) -> Decision:
        return Decision(self.tier, 0.6, 0.5, ("a test",))


class SilentVoice:
    """Makes no sound."""

    sample_rate_hz = 8000

    def synthesise(self, text: str) -> Samples:
        return np.zeros(9, np.float32)

    def close(self) -> None: ...
