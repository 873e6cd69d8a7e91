"""Wired: keys and the ear in the live loops, with real threads over fakes."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.app.context import Parts
from engine.app.live import Live
from engine.app.user_input import Loops, UserInput
from engine.core.answer import Command, Request
from engine.core.camera import Frame
from engine.core.clock import MonotonicClock
from engine.core.errors import SourceLost
from engine.core.glance import Detection, SceneClass
from engine.core.report import Health
from engine.core.sound import Pcm, Sound
from engine.core.triggers import OnDemand
from engine.language.commands import command_grammar
from engine.listening.ear import Ear, EchoGuard
from engine.perception.scene_cache import SceneCache
from engine.recording.session_log import latencies
from tests.app.test_live import Bench, Camera, Eyes
from tests.fakes.stage import RATE_HZ


class Hears:
    """Fires at the frames of these numbers, and stirs in the one before."""

    name, phrase, frame_samples, delay_s = "hears", "hello", 160, 0.05

    def __init__(self, *frames: int) -> None:
        self._frames = frames
        self._count = 0
        self.stirring = False

    def hear(self, frame: Pcm) -> bool:
        self._count += 1
        self.stirring = self._count + 1 in self._frames
        return self._count in self._frames

    def close(self) -> None: ...


class Room:
    """Gives a block whenever the test lets one through, then ends, or is lost at once."""

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


def with_ear(bench: Bench, room: Room, wake: Hears) -> None:
    parts = bench.parts
    ear = Ear(
        room, wake, EchoGuard(RATE_HZ), None, command_grammar("en", {}), parts.wall, parts.report,
        refractory_s=1.0, command_s=0.0,
    )  # fmt: skip
    bench.parts = replace(parts, ear=ear, trigger=OnDemand("wake"))


def test_a_wake_is_answered_from_the_picture_in_hand(tmp_path: Path) -> None:
    """The picture that was in hand while the phrase was said is classified then, once, and answered
    from: the wake itself only comes when that is done."""
    room = Room(MonotonicClock(), blocks=3)
    classified: list[int] = []

    class Counting(Eyes):
        def classify(self, frame: Frame) -> SceneClass:
            classified.append(frame.seq)
            room.gate.release(2)
            return super().classify(frame)

    scenes = SceneCache(Counting())

    class Both(Eyes):
        def detect(self, frame: Frame) -> tuple[Detection, ...]:
            if frame.seq == 4:  # so there is a glance
                room.gate.release()
            return super().detect(frame)

        def classify(self, frame: Frame) -> SceneClass:
            return scenes.classify(frame)

    class Staying(Camera):
        def read(self) -> Frame | None:
            frame = super().read()
            if frame is None:
                room.over.wait(5.0)
            return frame

    bench = Bench(tmp_path, camera=Staying(5), eyes=Both())
    with_ear(bench, room, Hears(2))
    bench.run()
    (description,) = bench.descriptions
    assert classified == [description.frame_seq]
    assert description.request.trigger == "wake"
    measured = latencies(description.marks, first_audio_s=description.marks[-1].time_s)
    assert measured["wake"] == pytest.approx(50.0, abs=1000.0)
    assert measured["wake"] is not None
    assert measured["wake"] >= 50.0 - 1.0  # the engine's delay is in it
    summary = bench.parts.trace.close()
    assert summary["hearing"]["wakes"] == 1


def test_a_lost_microphone_is_said_and_the_session_goes_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    room = Room(bench.parts.wall, blocks=3, lost=True)
    with_ear(bench, room, Hears())
    bench.run()  # to the camera's end, without an error
    assert [h.what for h in bench.health] == ["ear"]
    assert bench.parts.words.status("wake_failed") in [h.utterance.text for h in bench.heard]


class Asked:
    """What a wearer made the loops do."""

    def __init__(self, parts: Parts) -> None:
        self.did: list[str] = []
        self.requests: list[Request] = []

        def note(what: str) -> Callable[[], None]:
            return lambda: self.did.append(what)

        def ask(
            trigger: str, wish: Any = "describe", target: Any = None, spoken: Any = None
        ) -> None:
            asked_s, heard_s = spoken or (0.0, None)
            self.requests.append(Request(1, trigger, asked_s, wish, target, heard_s))

        self.wearer = UserInput(
            parts, Loops(ask, note("repeat"), note("hush"), note("leave"), note("foresee"))
        )


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    parts = Bench(tmp_path).parts
    return Asked(replace(parts, grammar=command_grammar("en", {"door": "door"})))


def test_keys_become_requests_or_are_done(asked: Asked) -> None:
    for key in "\nmwtrsq":
        asked.wearer.key(key)
    assert [r.wish for r in asked.requests] == ["describe", "more", "why", "read"]
    assert asked.did == ["repeat", "hush", "leave"]
    for key in "fdoor\n":
        asked.wearer.key(key)
    assert (asked.requests[-1].wish, asked.requests[-1].target) == ("where", "door")
    assert {r.trigger for r in asked.requests} == {"keyboard"}


def test_spoken_wishes_carry_when_they_were_said(asked: Asked) -> None:
    asked.wearer.stirred()
    asked.wearer.woken(1.0, 1.2)
    asked.wearer.commanded(Command("where", "door"), 2.0, 2.3)
    assert asked.did == ["foresee"]
    assert [(r.wish, r.asked_s, r.heard_s, r.trigger) for r in asked.requests] == [
        ("describe", 1.0, 1.2, "wake"),
        ("where", 2.0, 2.3, "wake"),
    ]


def test_a_thing_that_is_unknown_and_a_name_to_type_are_said(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    asked = Asked(bench.parts)
    for key in "fspaceship\n":
        asked.wearer.key(key)
    audio = bench.parts.audio
    said = [u.text for u in audio._turns.waiting]
    words = bench.parts.words
    assert said == [words.status("find_what"), words.status("unknown_thing")]
    assert asked.requests == []


def test_louder_and_quieter_end_somewhere_and_say_so(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    asked, words = Asked(bench.parts), bench.parts.words
    for _ in range(20):
        asked.wearer.key("+")
    said = [u.text for u in bench.parts.audio._turns.waiting]
    assert said[0] == words.status("louder")  # nothing sounded, so a word shows the volume
    assert words.status("loudest") in said
    bench.parts.audio.stop()
    for _ in range(20):
        asked.wearer.key("-")
    assert words.status("quietest") in [u.text for u in bench.parts.audio._turns.waiting]


def test_the_keyboard_asks_in_a_live_session(tmp_path: Path, monkeypatch: Any) -> None:
    """Lines from a pipe, as a helper's program may send them: each a command, one of them a stop."""
    import io
    import os
    import sys

    reading, writing = os.pipe()
    monkeypatch.setattr(sys, "stdin", io.FileIO(reading))

    class Typing(Camera):
        def read(self) -> Frame | None:
            frame = super().read()
            if frame is not None and frame.seq == 3:
                os.write(writing, b"\n")
            if frame is None:
                done.wait(5.0)
            return frame

    done = threading.Event()
    bench = Bench(tmp_path, camera=Typing(8))
    bench.parts = replace(bench.parts, trigger=OnDemand("keyboard"), listen_to_keys=True)

    class Noting(Live):
        def ask(self, *args: Any, **more: Any) -> None:
            super().ask(*args, **more)
            done.set()

    Noting(bench.parts).run()
    bench.parts.trace.close()
    os.close(writing)
    (description,) = bench.descriptions
    assert description.request.trigger == "keyboard"
    assert not [h for h in bench.health if isinstance(h, Health)]
