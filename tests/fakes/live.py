"""A session over a fake camera, fake models and a fast voice: no device, no weights."""

import itertools
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.alerts.policy import AlertPolicy
from engine.answering.answerer import Answerer
from engine.answering.describer_worker import DescriberWorker
from engine.answering.plan import AnswerPlan, AnswerSettings
from engine.answering.speaker import Speaker
from engine.app.builders.audio import build_audio
from engine.app.builders.loops import build_batch, build_live
from engine.app.console import Screen
from engine.app.notifier import Notifier
from engine.app.observers import Observers
from engine.app.subsystems import Clocks, FrameFeed, KeyInputs, Session, Speech
from engine.core.answer import Description
from engine.core.camera import Frame
from engine.core.clock import MonotonicClock, VirtualClock
from engine.core.errors import SourceLost
from engine.core.glance import Box, Detection, SceneClass, Truth
from engine.core.ports import ClassifiesScenes, Describes, View
from engine.core.report import Health
from engine.core.sound import Samples
from engine.core.triggers import Once
from engine.core.utterance import Heard
from engine.evaluation.scoring import Scorer
from engine.language.commands import command_grammar
from engine.language.wording import StatusKey, Words
from engine.perception.localize import Localizer
from engine.perception.perceive import Perception
from engine.recording.session_log import SessionLog
from engine.recording.view_queue import NoView
from routers import Always, Rules
from tests.fakes.answering import CARD, ScriptedDescriber
from tests.fakes.stage import TapeSink, ToneVoice

BLACK = np.zeros((48, 64, 3), np.uint8)
BLACK.flags.writeable = False


class FakeCamera:
    """Gives `count` black frames, then ends, or breaks off."""

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
        return Frame(BLACK, seq / self.fps, seq)

    def truth(self, seq: int) -> Truth | None:
        return None

    def __len__(self) -> int:
        return self._count

    def close(self) -> None: ...


class FakeVision:
    """Detects one person ahead and classifies a street, in every frame. With `fails` it raises."""

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


class QuickClock(MonotonicClock):
    """The host's clock, four times as fast: what a session says is over in a quarter of the time."""

    RATE = 4.0

    def now(self) -> float:
        return super().now() * self.RATE

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds / self.RATE)


class HandClock:
    """A watchdog's clock that stands still until a test advances it, so that a busy machine raises
    no alarm. `sleep` returns soon, in real time."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._seen: dict[str, float] = {}  # thread → the time that it was last told
        self._changed = threading.Condition(threading.RLock())

    def now(self) -> float:
        with self._changed:
            self._seen[threading.current_thread().name] = self._now_s
            self._changed.notify_all()
            return self._now_s

    def sleep(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait(0.002)

    def advance(self, seconds: float, step_s: float = 0.9) -> None:
        """Let `seconds` pass, in steps after each of which every thread that does not hang has
        looked at the clock, and the watchdog has looked at them."""
        with self._changed:
            while seconds > 0.0:
                before_s, step_s = self._now_s, min(step_s, seconds)
                self._now_s += step_s
                seconds -= step_s
                awake = {name for name, time_s in self._seen.items() if time_s >= before_s}
                self._changed.wait_for(lambda awake=awake: self._have_looked(awake), 0.3)  # type: ignore[misc]
                self.wait_for_look()

    def wait_for_look(self) -> None:
        """Wait until the watchdog looks at the clock, or the session has ended."""
        with self._changed:
            self._seen.pop("session", None)
            self._changed.wait_for(lambda: "session" in self._seen, 0.5)

    def _have_looked(self, names: set[str]) -> bool:
        alive = {thread.name for thread in threading.enumerate()}
        return all(self._seen.get(name) == self._now_s for name in names & alive)


class Heralds:
    """A last resort that only notes what it sounds."""

    def __init__(self) -> None:
        self.sounded: list[str] = []

    def sound(self, text: str) -> None:
        self.sounded.append(text)


class FastVoice(ToneVoice):
    """Says a word in 10 ms, since live tests wait until all has been said."""

    def synthesise(self, text: str) -> Samples:
        return super().synthesise(text)[::10]


class RecordingLog(SessionLog):
    """The session's log, which also keeps what it is given."""

    def __init__(self, folder: Path, clock: Any) -> None:
        super().__init__(folder, clock, clock)
        self.kept_health: list[Health] = []
        self.kept_heard: list[Heard] = []
        self.kept_descriptions: list[Description] = []
        self.changed = threading.Condition()

    def health(self, health: Health) -> None:
        super().health(health)
        with self.changed:
            self.kept_health.append(health)
            self.changed.notify_all()

    def heard(self, heard: Heard) -> None:
        super().heard(heard)
        with self.changed:
            self.kept_heard.append(heard)
            self.changed.notify_all()

    def description(self, description: Description) -> None:
        self.kept_descriptions.append(description)
        super().description(description)


class LiveBench:
    """A session over fakes, and all that it logged. Tests change `session` before `run`."""

    def __init__(
        self,
        folder: Path,
        *,
        camera: FakeCamera | None = None,
        vision: FakeVision | None = None,
        scenes: ClassifiesScenes | None = None,
        describer: Describes | None = None,
        mode: str = "auto",
        beats: int = 2,
        deadline_s: float = 5.0,
        batch: bool = False,
    ) -> None:
        clock = VirtualClock() if batch else QuickClock()
        next_id = itertools.count(1).__next__
        vision = vision or FakeVision()
        self.words = words = Words("en", "meters", "sides")
        self.log = RecordingLog(folder, clock)
        self.health = self.log.kept_health
        self.heard = self.log.kept_heard
        self.descriptions = self.log.kept_descriptions
        self.sink = TapeSink()
        self.watch_clock = HandClock()
        self.last_resort = Heralds()
        self._describer = describer
        self._worker = None if describer is None else DescriberWorker(describer, clock)
        observers = Observers(self.log, Screen(job="test"), NoView(), clock)
        alerts = AlertPolicy(words, 190, next_id)
        audio = build_audio(FastVoice(0.2), next_id, observers, alerts)
        router = Rules(0.0) if mode == "auto" else Always("full", 0.5)
        self.session = Session(
            Clocks(clock, clock),
            FrameFeed(camera or FakeCamera(), Once(0.0)),
            Perception(vision, Localizer(70.0), clock),
            alerts,
            Answerer(
                plan=AnswerPlan(AnswerSettings(mode, beats, deadline_s=deadline_s), router, words),
                scenes=scenes or vision,
                speaker=Speaker(words, audio.say, next_id, clock),
                report=observers.report,
                wall=clock,
                describer=self._worker,
            ),
            Speech(audio, self.sink, next_id),
            KeyInputs(command_grammar("en", {})),
            None,
            observers,
            Notifier(words, audio.say, observers.report, next_id, clock, self.last_resort),
        )

    @property
    def said(self) -> list[str]:
        """The texts that were heard so far."""
        return [heard.utterance.text for heard in self.heard]

    def change_feed(self, **changes: Any) -> None:
        """Replace fields of the session's feed."""
        self.session = replace(self.session, feed=replace(self.session.feed, **changes))

    def change_perception(self, **changes: Any) -> None:
        """Replace fields of the session's perception."""
        perception = replace(self.session.perception, **changes)
        self.session = replace(self.session, perception=perception)

    def show_to(self, view: View) -> None:
        """Let `view` see the glances."""
        observers = replace(self.session.observers, view=view)
        self.session = replace(self.session, observers=observers)

    def run(self, scorer: Scorer | None = None) -> None:
        """Run live to the end, and close everything."""
        try:
            build_live(self.session, scorer, self.watch_clock).run()
        finally:
            self.close()

    def start(self) -> "Running":
        """Run live in a thread, while the test advances the watchdog's clock."""
        return Running(self)

    def run_batch(self) -> None:
        """Run as a batch to the end, and close everything."""
        try:
            build_batch(self.session).run()
        finally:
            self.close()

    def close(self) -> None:
        """Stop the describer's thread and finish the log."""
        if isinstance(self._describer, ScriptedDescriber):
            self._describer.released.set()
        if self._worker is not None:
            self._worker.close()
        self.log.close()


class Running:
    """A live session in a thread of its own. At the end of the `with`, it has ended: the watchdog's
    time goes on until then."""

    def __init__(self, bench: LiveBench) -> None:
        self.error: BaseException | None = None
        self._bench = bench
        self._thread = threading.Thread(target=self._run, name="session", daemon=True)

    def __enter__(self) -> "Running":
        self._thread.start()
        for _ in range(2):
            self._bench.watch_clock.wait_for_look()
        return self

    def __exit__(self, *error: object) -> None:
        for _ in range(60):
            self._thread.join(0.1)
            if not self._thread.is_alive():
                return
            self._bench.watch_clock.advance(0.9)
        assert not self._thread.is_alive(), "the session hangs"

    def until(self, condition: Callable[[], object]) -> None:
        """Wait until `condition` holds, at most 10 s."""
        for _ in range(500):
            if condition():
                return
            with self._bench.log.changed:
                self._bench.log.changed.wait(0.02)
        raise AssertionError(f"never: heard {self._bench.said}, health {self._bench.health}")

    def hears(self, key: StatusKey, times: int = 1) -> None:
        """Wait until the status has been heard that often."""
        text = self._bench.words.status(key)
        self.until(lambda: self._bench.said.count(text) >= times)

    def hears_in_time(self, key: StatusKey, seconds: float = 20.0) -> None:
        """Let time pass until the status has been heard."""
        text = self._bench.words.status(key)
        for _ in range(round(seconds / 0.9)):
            if text in self._bench.said:
                return
            self._bench.watch_clock.advance(0.9)
        self.hears(key)

    def _run(self) -> None:
        try:
            self._bench.run()
        except BaseException as error:
            self.error = error
