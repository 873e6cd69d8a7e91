"""Mixes everything that plays now into blocks: sums, ducks, fades out cut sounds, and limits.

Must not know the queue, deadlines, voices or sinks.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from engine.audio.loudness import CEILING
from engine.core.sound import Samples
from engine.core.utterance import Cut, Utterance

FADE_S = 0.01  # fade-out of a cut sound
DUCKED = 0.25  # gain of an earcon while words are spoken, as in Microsoft Soundscape
RECOVERY_S = 0.2  # the limiter's release time from zero to full gain


@dataclass(slots=True, eq=False)
class Playing:
    """An utterance that plays. `text` has yet to be synthesised."""

    utterance: Utterance
    samples: Samples  # (n, 2): the earcon, then the words
    text: str
    words_at: int  # the index in `samples` where the words begin
    position: int = 0
    cut: Cut | None = None
    started_s: float | None = None

    @property
    def left(self) -> int | None:
        """The number of samples still to play, None until the text is synthesised."""
        return None if self.text else len(self.samples) - self.position


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """A sound began, ended, or was dropped before it began, `at` samples into the block."""

    what: Literal["began", "ended", "dropped"]
    playing: Playing
    at: int = 0


class Mixer:
    """Mixes at most one voice with any number of earcons."""

    def __init__(self, sample_rate_hz: int, block_samples: int) -> None:
        self.speaking: Playing | None = None
        self.sounds: list[Playing] = []
        self._block_samples = block_samples
        self._fade_samples = round(FADE_S * sample_rate_hz)
        self._recovery = block_samples / (RECOVERY_S * sample_rate_hz)  # of the gain, per block
        self.volume = 1.0  # gain set by the wearer
        self._volume = 1.0  # at the end of the last block
        self.rest()

    @property
    def playing(self) -> list[Playing]:
        """Everything that plays or is about to."""
        return [*self.sounds, *([self.speaking] if self.speaking else [])]

    def rest(self) -> None:
        """Reset the ducking and the limiter after a silence."""
        self._duck = 1.0  # gain of the earcons at the end of the last block
        self._gain = 1.0  # gain of the limiter

    def block(self) -> tuple[Samples, list[Event]]:
        """The next block (block_samples, 2), with a peak of at most CEILING, and its events."""
        block = np.zeros((self._block_samples, 2), dtype=np.float32)
        events: list[Event] = []
        speaking = self.speaking
        words = speaking is not None and (
            speaking.position + self._block_samples > speaking.words_at
        )
        duck = DUCKED if words else 1.0
        if self.sounds:
            ramp = np.linspace(self._duck, duck, len(block), dtype=np.float32)[:, np.newaxis]
            self.sounds = [s for s in self.sounds if not self._add(block, s, ramp, events)]
        self._duck = duck
        if speaking is not None and self._add(block, speaking, None, events):
            self.speaking = None
        if self.volume != 1.0 or self._volume != 1.0:
            ramp = np.linspace(self._volume, self.volume, len(block), dtype=np.float32)
            block *= ramp[:, np.newaxis]
        self._volume = self.volume
        return self._limited(block), events

    def _add(
        self, block: Samples, playing: Playing, gain: Samples | None, events: list[Event]
    ) -> bool:
        """Mix the next part of `playing` into `block` (n, 2). Return whether it has ended."""
        if playing.position == 0:
            events.append(Event("began" if playing.cut is None else "dropped", playing))
            if playing.cut is not None:
                return True
        part = playing.samples[playing.position : playing.position + len(block)]
        if playing.cut is not None:
            part = part[: self._fade_samples]
            part = part * np.linspace(1.0, 0.0, len(part), dtype=np.float32)[:, np.newaxis]
        count = len(part)
        block[:count] += part if gain is None else part * gain[:count]
        playing.position += count
        if playing.cut is None and playing.left != 0:
            return False
        events.append(Event("ended", playing, count))
        return True

    def _limited(self, block: Samples) -> Samples:
        """`block` limited to CEILING. The gain drops at once and recovers slowly, so that the
        waveform keeps its shape, while clipping would distort a vowel."""
        peak = float(np.abs(block).max())
        allowed = CEILING / peak if peak > CEILING else 1.0
        start = min(self._gain, allowed)
        self._gain = min(allowed, start + self._recovery)
        if start < 1.0:
            gain = np.linspace(start, self._gain, len(block), dtype=np.float32)
            block *= gain[:, np.newaxis]
        return block
