"""Keys and the ear: what becomes of them, and in the live loops with real threads over fakes."""

import io
import os
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.app.user_input import Spoken, UserInput
from engine.audio.playback import drain
from engine.core.answer import Command, Request, Wish
from engine.core.camera import Frame
from engine.core.clock import VirtualClock
from engine.core.errors import SourceLost
from engine.core.glance import Detection, SceneClass
from engine.core.later import Later
from engine.core.report import Health
from engine.core.sound import Pcm, Sound
from engine.core.triggers import OnDemand
from engine.language.commands import command_grammar
from engine.listening.ear import Ear
from engine.listening.echo_guard import EchoGuard
from engine.perception.scene_cache import SceneCache
from engine.recording.latency import latencies
from tests.fakes.live import FakeCamera, FakeVision, LiveBench, QuickClock
from tests.fakes.stage import RATE_HZ, TapeSink


class FakeWake:
    """Fires at the frames with these numbers, and gives a hint in the frame before."""

    name, phrase, frame_samples, delay_s = "hears", "hello", 160, 0.05

    def __init__(self, *frames: int) -> None:
        self._frames = frames
        self._count = 0
        self.hint = False

    def hear(self, frame: Pcm) -> bool:
        self._count += 1
        self.hint = self._count + 1 in self._frames
        return self._count in self._frames

    def close(self) -> None: ...


class GatedSound:
    """Gives a block of sound for each release of `gate`, then ends; or is lost at once."""

    name, overruns = "room", 0

    def __init__(self, clock: Any, blocks: int, lost: bool = False) -> None:
        self._clock, self._left, self._lost = clock, blocks, lost
        self.gate = threading.Semaphore(0)
        self.over = threading.Event()

    def read(self, timeout_s: float) -> Sound | None:
        if self._lost:
            raise SourceLost("the microphone gave no sound for 3 s")
        if not self.gate.acquire(timeout=timeout_s):
            return None
        self._left -= 1
        if self.ended:
            self.over.set()
        return Sound(np.zeros(160, np.int16), self._clock.now())

    @property
    def ended(self) -> bool:
        return self._left == 0

    def close(self) -> None: ...


def listen(bench: LiveBench, sound: GatedSound, wake: FakeWake) -> None:
    """Give the session an ear."""
    session = bench.session
    ear = Ear(
        sound, wake, EchoGuard(RATE_HZ), None, session.clocks.wall, session.observers.report,
        refractory_s=1.0,
    )  # fmt: skip
    later = Later[Ear]("the wake word")
    later.put(ear)
    bench.session = replace(session, ear=later)
    bench.change_feed(trigger=OnDemand("wake"))


def test_a_wake_is_answered_from_the_prefetched_image(tmp_path: Path) -> None:
    """The image at the wake hint is classified then, once, and answered from: the wake itself comes
    only after that."""
    sound = GatedSound(QuickClock(), blocks=3)
    classified: list[int] = []

    class RecordingVision(FakeVision):
        def classify(self, frame: Frame) -> SceneClass:
            classified.append(frame.seq)
            sound.gate.release(2)
            return super().classify(frame)

    scenes = SceneCache(RecordingVision())

    class CachedVision(FakeVision):
        def detect(self, frame: Frame) -> tuple[Detection, ...]:
            if frame.seq == 4:  # by now there is a glance
                sound.gate.release()
            return super().detect(frame)

        def classify(self, frame: Frame) -> SceneClass:
            return scenes.classify(frame)

    class StayingCamera(FakeCamera):
        def read(self) -> Frame | None:
            frame = super().read()
            if frame is None:
                sound.over.wait(5.0)
            return frame

    bench = LiveBench(tmp_path, camera=StayingCamera(5), vision=CachedVision())
    listen(bench, sound, FakeWake(2))
    bench.run()
    (description,) = bench.descriptions
    assert classified == [description.frame_seq]
    assert description.request.trigger == "wake"
    measured = latencies(description.marks, first_audio_s=description.marks[-1].time_s)
    assert measured["wake"] == pytest.approx(50.0, abs=1000.0)
    assert measured["wake"] is not None
    assert measured["wake"] >= 50.0 - 1.0  # includes the wake engine's delay
    assert bench.log.close()["hearing"]["wakes"] == 1


def test_a_lost_microphone_is_announced_and_the_session_goes_on(tmp_path: Path) -> None:
    bench = LiveBench(tmp_path)
    listen(bench, GatedSound(bench.session.clocks.wall, blocks=3, lost=True), FakeWake())
    bench.run()  # to the camera's end, without an error
    assert [h.what for h in bench.health] == ["ear"]
    assert bench.words.status("wake_failed") in bench.said


class FakeAnswering:
    """Notes what the wearer makes it do."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.requests: list[Request] = []

    def ask(
        self,
        trigger: str,
        wish: Wish = "describe",
        target: str | None = None,
        spoken: Spoken | None = None,
    ) -> None:
        asked_s, heard_s = spoken or (0.0, None)
        self.requests.append(Request(1, trigger, asked_s, wish, target, heard_s))

    def repeat(self) -> None:
        self.did.append("repeat")

    def stop_answer(self) -> None:
        self.did.append("stop")

    def hint(self) -> None:
        self.did.append("hint")


class InputBench:
    """User input over a session that does not run."""

    def __init__(self, folder: Path) -> None:
        self.bench = LiveBench(folder)
        session = self.bench.session
        keys = replace(session.keys, grammar=command_grammar("en", {"door": "door"}))
        self.answering = FakeAnswering()
        self.audio = session.speech.audio
        self.user = UserInput(keys, self.answering, self.audio, session.notifier)

    def said(self) -> list[str]:
        """What is heard if nothing else happens."""
        drain(self.audio, TapeSink(), VirtualClock())
        return self.bench.said


@pytest.fixture
def inputs(tmp_path: Path) -> InputBench:
    return InputBench(tmp_path)


def test_keys_become_requests_or_take_effect_at_once(inputs: InputBench) -> None:
    requests = inputs.answering.requests
    for key in "\nmwtrsq":
        inputs.user.key(key)
    assert [r.wish for r in requests] == ["describe", "more", "why", "read"]
    assert inputs.answering.did == ["repeat", "stop"]
    assert inputs.user.quit.is_set()
    for key in "fdoor\n":
        inputs.user.key(key)
    assert (requests[-1].wish, requests[-1].target) == ("where", "door")
    assert {r.trigger for r in requests} == {"keyboard"}


def test_spoken_requests_carry_the_times_of_their_words(inputs: InputBench) -> None:
    inputs.user.on_hint()
    inputs.user.on_wake(1.0, 1.2)
    inputs.user.on_command(Command("where", "door"), 2.0, 2.3)
    assert inputs.answering.did == ["hint"]
    assert [(r.wish, r.asked_s, r.heard_s, r.trigger) for r in inputs.answering.requests] == [
        ("describe", 1.0, 1.2, "wake"),
        ("where", 2.0, 2.3, "wake"),
    ]


def test_an_unknown_name_is_asked_for_and_an_unknown_line_is_announced(inputs: InputBench) -> None:
    for key in "fspaceship\n":
        inputs.user.key(key)
    assert [(r.wish, r.target) for r in inputs.answering.requests] == [("where", "spaceship")]
    inputs.user.key("zebra crossing")
    words = inputs.bench.words
    assert inputs.said() == [words.status("find_what"), words.status("not_understood")]


def test_the_volume_has_limits_that_are_announced(inputs: InputBench) -> None:
    words = inputs.bench.words
    for _ in range(20):
        inputs.user.key("+")
    said = inputs.said()
    assert said[0] == words.status("louder")  # nothing sounded, so a word demonstrates the volume
    assert words.status("loudest") in said
    for _ in range(20):
        inputs.user.key("-")
    assert words.status("quietest") in inputs.said()


def test_the_keyboard_asks_in_a_live_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines from a pipe, as a helper's program may send them: each one is a command."""
    reading, writing = os.pipe()
    monkeypatch.setattr(sys, "stdin", io.FileIO(reading))

    class TypingCamera(FakeCamera):
        """Types Enter at its fourth frame, and ends only once that has been answered."""

        def read(self) -> Frame | None:
            frame = super().read()
            if frame is not None and frame.seq == 3:
                os.write(writing, b"\n")
            if frame is None:
                answered.wait(5.0)
            return frame

    class RecordingVision(FakeVision):
        def classify(self, frame: Frame) -> SceneClass:
            answered.set()
            return super().classify(frame)

    answered = threading.Event()
    bench = LiveBench(tmp_path, camera=TypingCamera(8), vision=RecordingVision())
    bench.change_feed(trigger=OnDemand("keyboard"))
    bench.session = replace(bench.session, keys=replace(bench.session.keys, keyboard=True))
    bench.run()
    os.close(writing)
    (description,) = bench.descriptions
    assert description.request.trigger == "keyboard"
    assert not [h for h in bench.health if isinstance(h, Health)]
