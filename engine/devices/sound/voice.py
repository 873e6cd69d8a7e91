"""The engine's voice: sentences in a language, as samples of an even loudness.

It only synthesises; `engine.audio` decides what plays when.
"""

from functools import lru_cache

import numpy as np

from engine.audio.loudness import VOICE_LUFS, VOICE_PEAK, normalised
from engine.core.preferences import Language
from engine.core.sound import Samples
from engine.devices.sound.espeak import NORMAL_PITCH, SAMPLE_RATE_HZ, espeak
from engine.language.pack import sayable
from engine.language.quotation import parts

QUOTED_PITCH = 90  # on espeak-ng's scale; clearly higher than the engine's own voice


class Pyttsx3Voice:
    """Says sentences in `language` at `rate_wpm` words a minute. Raises MissingPart.

    A sentence takes about 12 ms. The last 128 are cached, because alerts repeat.
    """

    def __init__(self, language: Language, rate_wpm: int) -> None:
        self.sample_rate_hz = SAMPLE_RATE_HZ
        self._voice = sayable(language).voice
        self._rate_wpm = rate_wpm
        self._espeak = espeak()
        self._cached = lru_cache(maxsize=128)(self._synthesise)

    def synthesise(self, text: str) -> Samples:
        """Mono samples (n,), read-only, at VOICE_LUFS, peak VOICE_PEAK at most
        (engine.audio.loudness); empty if nothing in `text` can be spoken. Raises SpeechFailed."""
        return self._cached(speakable(text))

    def close(self) -> None:
        """Empty the cache; espeak-ng itself lives as long as the process."""
        self._cached.cache_clear()

    def _synthesise(self, text: str) -> Samples:
        """A quotation is spoken in another pitch than the engine's own words."""
        samples = np.zeros(0, dtype=np.float32)
        for part in parts(text):
            pitch = QUOTED_PITCH if part.quoted else NORMAL_PITCH
            speech = self._espeak.speech(part.text, self._voice, self._rate_wpm, pitch)
            said = normalised(speech, SAMPLE_RATE_HZ, VOICE_LUFS, VOICE_PEAK)
            samples = np.concatenate([samples, said])
        samples.setflags(write=False)
        return samples


def speakable(text: str) -> str:
    """`text` without the characters that espeak-ng rejects: control characters, lone surrogates."""
    clean = text.encode("utf-8", "ignore").decode("utf-8")
    return " ".join("".join(c if c.isprintable() else " " for c in clean).split())
