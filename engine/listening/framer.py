"""Cuts sound into frames of a fixed length."""

from collections.abc import Iterator

import numpy as np

from engine.core.sound import HEARING_HZ, Pcm, Sound


class Framer:
    """Cuts sounds of any length into frames of exactly `frame_samples`; the rest is kept."""

    def __init__(self, frame_samples: int) -> None:
        self._frame_samples = frame_samples
        self._rest: Pcm = np.zeros(0, np.int16)

    def frames(self, sound: Sound) -> Iterator[Sound]:
        """The frames that `sound` completes, each with the time of its last sample."""
        pcm = np.concatenate([self._rest, sound.pcm])
        whole = len(pcm) - len(pcm) % self._frame_samples
        for start in range(0, whole, self._frame_samples):
            end = start + self._frame_samples
            yield Sound(pcm[start:end], sound.time_s - (len(pcm) - end) / HEARING_HZ)
        self._rest = pcm[whole:]

    def clear(self) -> None:
        self._rest = self._rest[:0]
