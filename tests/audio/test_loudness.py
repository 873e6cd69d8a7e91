"""Loudness by EBU R128: known signals measure as they should, and sounds are normalised."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.audio.loudness import loudness_lufs, normalised

RATE_HZ = 48000


def sine(seconds: float, level: float, frequency_hz: float = 1000.0) -> np.ndarray:
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    tone: np.ndarray = (level * np.sin(2 * np.pi * frequency_hz * t)).astype(np.float32)
    return tone


@pytest.mark.parametrize(("peak_dbfs", "lufs"), [(-23.0, -23.0), (-33.0, -33.0)])
def test_a_stereo_sine_of_1_khz_measures_as_its_peak(peak_dbfs: float, lufs: float) -> None:
    """Cases 1 and 2 of EBU Tech 3341, shortened."""
    tone = sine(2.0, 10 ** (peak_dbfs / 20))
    assert loudness_lufs(np.stack([tone, tone], axis=1), RATE_HZ) == pytest.approx(lufs, abs=0.1)


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from([16000, 22050, 44100, 48000]),
    st.integers(4, 30),
    st.floats(60.0, 7000.0),
    st.integers(0, 2**16),
)
def test_it_agrees_with_another_meter_of_the_same_standard(
    rate_hz: int, tenths: int, frequency_hz: float, seed: int
) -> None:
    """The other meter is pyloudnorm with the standard's filters at any rate ("DeMan"). The signal
    is a tone with stereo noise."""
    from pyloudnorm import Meter

    t = np.arange(tenths * rate_hz // 10) / rate_hz
    noise = np.random.default_rng(seed).normal(0, 0.02, (len(t), 2))
    sound = 0.1 * np.sin(2 * np.pi * frequency_hz * t)[:, None] + noise
    expected = Meter(rate_hz, filter_class="DeMan").integrated_loudness(sound)
    assert loudness_lufs(sound.astype(np.float32), rate_hz) == pytest.approx(expected, abs=0.05)


def test_a_short_sound_is_measured_with_the_silence_after_it() -> None:
    whole, half = (loudness_lufs(sine(seconds, 0.1), RATE_HZ) for seconds in (0.4, 0.2))
    assert whole - half == pytest.approx(3.0, abs=0.1)


@settings(deadline=None, max_examples=30)
@given(st.floats(0.02, 2.0), st.floats(1e-3, 4.0), st.floats(-40.0, -12.0))
def test_a_sound_gets_its_loudness_unless_its_peak_is_too_high(
    seconds: float, level: float, lufs: float
) -> None:
    sound = normalised(sine(seconds, level), RATE_HZ, lufs, 0.5)
    assert sound.dtype == np.float32
    peak = np.abs(sound).max()
    assert peak <= 0.5001
    measured = loudness_lufs(sound, RATE_HZ)
    assert measured <= lufs + 0.1
    if peak < 0.499:
        assert measured == pytest.approx(lufs, abs=0.1)


def test_silence_is_unchanged() -> None:
    for silence in (np.zeros(0, np.float32), np.zeros(9000, np.float32)):
        assert not np.any(normalised(silence, RATE_HZ, -20.0, 0.5))
        assert loudness_lufs(silence, RATE_HZ) == -np.inf
