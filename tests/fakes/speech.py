"""Spoken phrases as a microphone hears them, by espeak-ng."""

import numpy as np

from engine.core.sound import Pcm
from experiments.quality.synthetic_speech import pause, say, with_noise


def spoken(text: str, voice: str = "gmw/en-us", rate_wpm: int = 170) -> Pcm:
    """`text` with a second of quiet noise before and after it."""
    samples = [pause(1.0), say(text, voice, rate_wpm).samples, pause(1.0)]
    return with_noise(np.concatenate(samples), 30.0, seed=0)
