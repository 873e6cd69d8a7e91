"""A quotation is spoken in another pitch, measured in the samples: the real espeak-ng."""

import numpy as np
import pytest

from engine.core.sound import Samples
from engine.devices.sound.espeak import SAMPLE_RATE_HZ
from engine.devices.sound.voice import Pyttsx3Voice
from engine.language.quotation import quote

WINDOW = 1024  # samples, 46 ms: several periods of the lowest voice
LOWEST_HZ, HIGHEST_HZ = 60, 350


def fundamental_hz(samples: Samples) -> float:
    """The median fundamental frequency of the voiced windows, by autocorrelation."""
    found = []
    for start in range(0, len(samples) - WINDOW, WINDOW // 2):
        window = samples[start : start + WINDOW]
        if np.sqrt(np.mean(window**2)) < 0.02:
            continue
        same = np.correlate(window, window, "full")[WINDOW - 1 :]
        shortest, longest = SAMPLE_RATE_HZ // HIGHEST_HZ, SAMPLE_RATE_HZ // LOWEST_HZ
        lag = shortest + int(np.argmax(same[shortest:longest]))
        if same[lag] > 0.4 * same[0]:  # voiced
            found.append(SAMPLE_RATE_HZ / lag)
    assert len(found) >= 5
    return float(np.median(found))


@pytest.mark.parametrize("language", ["en", "es"])
@pytest.mark.parametrize("text", ["Way clear. Walk ahead", "Camino libre, puede cruzar"])
def test_a_quotation_has_another_pitch_than_the_same_words_of_the_engine(
    language: str, text: str
) -> None:
    voice = Pyttsx3Voice(language, 190)
    own, read = voice.synthesise(text), voice.synthesise(quote(text))
    assert fundamental_hz(read) > 1.25 * fundamental_hz(own)


def test_the_frame_keeps_the_engines_pitch_and_the_next_sentence_has_it_again() -> None:
    voice = Pyttsx3Voice("en", 190)
    frame, sign = "The text says, in large letters:", "Way clear. Walk ahead"
    before = fundamental_hz(voice.synthesise("Person ahead, three meters."))
    whole = voice.synthesise(f"{frame} {quote(sign)}.")
    framed = len(voice.synthesise(frame))
    assert fundamental_hz(whole[framed:]) > 1.25 * fundamental_hz(whole[:framed])
    after = fundamental_hz(voice.synthesise("Person ahead, two meters."))
    assert after == pytest.approx(before, rel=0.1)
