"""Samples to blocks: what plays now, added up, ducked, faded where it is cut, and never clipped.

Must not know: who is next, when anything was wanted, or which voice and sink there are.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from engine.audio.loudness import CEILING
from engine.core.sound import Samples
from engine.core.utterance import Cut, Utterance

FADE_S = 0.01  # of what is cut
DUCKED = 0.25  # what is left of an earcon under words, as in Soundscape
RECOVERY_S = 0.2  # from fully limited back to full level


@dataclass(slots=True, eq=False)
class Playing:
    """An utterance whose turn has come. `text` is what still has to be synthesised."""

    utterance: Utterance
    samples: Samples  # (n, 2): its earcon, then its words
    text: str
    words_at: int  # where in `samples` the words begin
    position: int = 0
    cut: Cut | None = None
    started_s: float | None = None

    @property
    def left(self) -> int | None:
        """How many samples are still to come; None while nobody knows."""
        return None if self.text else len(self.samples) - self.position


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """Something began, ended or never began, `at` samples into the block."""

    what: Literal["began", "ended", "dropped"]
    playing: Playing
    at: int = 0


class Mixer:
    """One voice at most, and any number of earcons beside it."""

    def __init__(self, sample_rate_hz: int, block_samples: int) -> None:
        self.speaking: Playing | None = None
        self.sounds: list[Playing] = []
        self._block_samples = block_samples
        self._fade_samples = round(FADE_S * sample_rate_hz)
        self._recovery = block_samples / (RECOVERY_S * sample_rate_hz)  # of the gain, per block
        self.volume = 1.0  # the wearer's, a factor
        self._volume = 1.0  # where the last block ended
        self.rest()

    @property
    def playing(self) -> list[Playing]:
        """All that has begun or is about to."""
        return [*self.sounds, *([self.speaking] if self.speaking else [])]

    def rest(self) -> None:
        """There was silence, long enough for every gain to be whole again."""
        self._duck = 1.0  # the earcons' gain where the last block ended
        self._gain = 1.0  # the whole mix's

    def block(self) -> tuple[Samples, list[Event]]:
        """The next block (block_samples, 2), peak CEILING at most, and what happened in it."""
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
        """Mix the next part of `playing` into `block` (n, 2); return whether that was its end."""
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
        """`block` under CEILING by turning all of it down, at once, and slowly up again: its shape
        stays as it was, where clipping would make noise of a vowel."""
        peak = float(np.abs(block).max())
        most = CEILING / peak if peak > CEILING else 1.0
        start = min(self._gain, most)
        self._gain = min(most, start + self._recovery)
        if start < 1.0:
            gain = np.linspace(start, self._gain, len(block), dtype=np.float32)
            block *= gain[:, np.newaxis]
        return block
