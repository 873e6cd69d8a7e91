"""What the glasses' microphones hear, for the ear: live as it comes, a recording at its own pace.

Knows neither SDK nor VRS: a source's `microphone()` gives blocks.
"""

import numpy as np

from engine.devices.recording import Recording
from engine.ports import AudioSource, Blocks, Clock
from engine.types import Sound

POLL_S = 0.01


class GlassesSound:
    """Blocks of live glasses. What is lost on the way is counted by the glasses' own stream."""

    name = "glasses"
    overruns = 0
    ended = False

    def __init__(self, blocks: Blocks, clock: Clock) -> None:
        self._blocks = blocks
        self._clock = clock

    def read(self, timeout_s: float) -> Sound | None:
        until_s = self._clock.now() + timeout_s
        while (block := self._blocks.read()) is None:
            if self._clock.now() >= until_s:
                return None
            self._clock.sleep(POLL_S)
        return Sound(block, self._clock.now())

    def close(self) -> None:
        """The glasses are closed by their source."""


def sound_of(blocks: Blocks, live: bool, clock: Clock) -> AudioSource:
    """The ear's source over a microphone of glasses; of a recording all is read at once."""
    if live:
        return GlassesSound(blocks, clock)
    parts = []
    while (block := blocks.read()) is not None:
        parts.append(block)
    return Recording(np.concatenate(parts) if parts else np.zeros(0, np.int16), clock)
