"""Shared by audio tests: an `Audio` in virtual time with a fake voice, a sink and its reports."""

import itertools
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from engine.audio.playback import advance, drain
from engine.audio.scheduler import BLOCK_S, Audio
from engine.core.clock import VirtualClock
from engine.core.errors import SpeechFailed
from engine.core.report import Health
from engine.core.sound import Samples
from engine.core.utterance import Heard, Utterance

RATE_HZ = 8000
BLOCK = round(RATE_HZ * BLOCK_S)
LEVEL = 0.5
AGAIN = 1000  # the first id that `Audio` assigns itself


class ToneVoice:
    """Says a 1 kHz square wave for 0.1 s per word, so that no sample of speech is zero."""

    sample_rate_hz = RATE_HZ

    def __init__(self, level: float = LEVEL) -> None:
        self.level = level
        self.fails_on = ""

    def synthesise(self, text: str) -> Samples:
        if text == self.fails_on:
            raise SpeechFailed("no sound came")
        at = np.arange(round(0.1 * RATE_HZ) * len(text.split()))
        return np.where(at // 4 % 2, -self.level, self.level).astype(np.float32)

    def close(self) -> None: ...


class TapeSink:
    """Records all blocks."""

    name = "tape"

    def __init__(self, paced: bool = False) -> None:
        self.paced = paced
        self.blocks: list[Samples] = []

    def write(self, block: Samples) -> None:
        self.blocks.append(block)

    def close(self) -> None: ...

    @property
    def tape(self) -> Samples:
        return np.concatenate(self.blocks)


@dataclass
class Stage:
    """An `Audio` in virtual time with everything that it reported."""

    voice: ToneVoice = field(default_factory=ToneVoice)
    sink: TapeSink = field(default_factory=TapeSink)
    clock: VirtualClock = field(default_factory=VirtualClock)
    started: list[tuple[int, float]] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    health: list[Health] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.audio = Audio(
            self.voice,
            next_id=itertools.count(AGAIN).__next__,
            on_started=lambda u, time_s: self.started.append((u.id, time_s)),
            on_heard=self.heard.append,
            on_health=self.health.append,
        )

    def to(self, time_s: float) -> None:
        advance(self.audio, self.sink, self.clock, time_s)

    def drain(self) -> None:
        drain(self.audio, self.sink, self.clock)

    def outcome(self, number: int) -> Heard:
        found = [h for h in self.heard if h.utterance.id == number]
        assert len(found) == 1
        return found[0]

    def order(self) -> list[int]:
        return [number for number, _ in self.started]


def alert(number: int, priority: float = 40.0, **more: Any) -> Utterance:
    return replace(Utterance(number, "alert", "car ahead", priority, 0.0), **more)


def clause(number: int, answer: int = 1, text: str = "one two three") -> Utterance:
    return Utterance(number, "answer", text, 20.0, 0.0, answer=answer)


def ping(number: int, **more: Any) -> Utterance:
    return alert(number, text="", earcon="obstacle", **more)
