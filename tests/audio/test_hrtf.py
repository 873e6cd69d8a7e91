"""The direction of a sound, measured on the samples: time and level differences between the
ears."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.audio.earcons import earcon
from engine.audio.hrtf import FILE, STEP_DEG, TAPS, centre, measured, spatialise
from engine.core.sound import Samples
from engine.core.utterance import EarconName

RATE_HZ = 22050
HEAD_RADIUS_M = 0.0875
SPEED_OF_SOUND_M_S = 343.0
NOISE = np.random.default_rng(3).normal(size=RATE_HZ // 4).astype(np.float32)


def woodworth_s(azimuth_deg: float) -> float:
    """ITD of a rigid sphere at high frequencies, (a / c) (theta + sin theta), in seconds:
    Woodworth, Experimental Psychology (1938). `theta` is the lateral angle, so behind equals
    front."""
    theta = float(np.arcsin(np.sin(np.radians(azimuth_deg))))
    return HEAD_RADIUS_M / SPEED_OF_SOUND_M_S * (theta + float(np.sin(theta)))


def kuhn_s(azimuth_deg: float) -> float:
    """The same at low frequencies, (3 a / c) sin theta: Kuhn, JASA 62 (1977)."""
    return 3 * HEAD_RADIUS_M / SPEED_OF_SOUND_M_S * float(np.sin(np.radians(azimuth_deg)))


def itd_s(stereo: Samples, rate_hz: int = RATE_HZ) -> float:
    """The delay of the left ear in seconds: the peak of the cross-correlation of both ears."""
    fine, size = 16, 1 << 14
    left, right = np.fft.rfft(stereo.astype(np.float64).T, size)
    correlation = np.fft.irfft(left * right.conj(), fine * size)
    reach = fine * rate_hz // 1000
    near = np.concatenate([correlation[-reach:], correlation[: reach + 1]])
    return float(np.argmax(near) - reach) / (fine * rate_hz)


def ild_db(stereo: Samples) -> float:
    """The level of the right ear relative to the left, in decibels."""
    left, right = np.sum(np.square(stereo, dtype=np.float64), axis=0)
    return float(10 * np.log10(right / left))


def sounds(azimuth_deg: float) -> dict[str, Samples]:
    names: tuple[EarconName, ...] = ("obstacle", "urgent")
    heard = {name: earcon(name, azimuth_deg, 2.0, RATE_HZ) for name in names}
    return heard | {"noise": spatialise(NOISE, azimuth_deg, RATE_HZ)}


@pytest.mark.parametrize("sound", ["obstacle", "urgent", "noise"])
@pytest.mark.parametrize("azimuth_deg", [5, 10, 17, 30, 45, 60, 75, 90, 120, 150, 165])
def test_the_delay_of_the_far_ear_fits_the_width_of_a_head(azimuth_deg: float, sound: str) -> None:
    for side in (1, -1):
        delay_s = side * itd_s(sounds(side * azimuth_deg)[sound])
        # A head is no sphere, its ears are not at its poles, and half a sample is lost by rounding.
        low = 0.9 * woodworth_s(azimuth_deg) - 25e-6
        high = 1.1 * kuhn_s(azimuth_deg) + 25e-6
        assert low <= delay_s <= high


@pytest.mark.parametrize("sound", ["obstacle", "urgent", "noise"])
def test_time_and_level_differences_grow_with_the_azimuth(sound: str) -> None:
    azimuths_deg = range(0, 51, 5)
    delays = [itd_s(sounds(a)[sound]) for a in azimuths_deg]
    levels = [ild_db(sounds(a)[sound]) for a in azimuths_deg]
    assert delays[0] == pytest.approx(0.0, abs=10e-6)
    assert levels[0] == pytest.approx(0.0, abs=0.01)
    assert all(a < b for a, b in itertools.pairwise(delays))
    assert all(a < b + 0.3 for a, b in itertools.pairwise(levels))
    assert levels[2] > 1.5  # already at 10 degrees; the smallest audible difference is 1 dB


@pytest.mark.parametrize(
    ("azimuth_deg", "low_db", "high_db"), [(15, 2, 7), (30, 4, 11), (60, 6, 15), (90, 5, 16)]
)
def test_level_differences_are_those_of_a_head(
    azimuth_deg: float, low_db: float, high_db: float
) -> None:
    for sound in sounds(azimuth_deg).values():
        assert low_db <= ild_db(sound) <= high_db


@settings(deadline=None, max_examples=60)
@given(st.floats(-720, 720), st.sampled_from([8000, 16000, 22050, 44100, 48000]))
def test_mirrored_azimuths_swap_the_ears_and_the_energy_is_kept(
    azimuth_deg: float, rate_hz: int
) -> None:
    mono = NOISE[:2000]
    stereo = spatialise(mono, azimuth_deg, rate_hz)
    assert stereo.dtype == np.float32
    assert 0 < len(stereo) - len(mono) <= 0.011 * rate_hz
    assert np.sum(np.square(stereo)) == pytest.approx(np.sum(np.square(mono)), rel=1e-4)
    mirrored = spatialise(mono, -azimuth_deg, rate_hz)
    assert np.allclose(stereo, mirrored[:, ::-1], atol=1e-6)
    assert np.array_equal(stereo, spatialise(mono, azimuth_deg + 360.0, rate_hz)) or (
        azimuth_deg % 1.0 == pytest.approx(0.5, abs=1e-6)
    )


def test_a_sound_behind_differs_from_one_in_front() -> None:
    """The outer ear changes some band by 6 dB or more; a sphere would make no difference."""
    power = [np.abs(np.fft.rfft(spatialise(NOISE, a, RATE_HZ)[:, 0])) ** 2 for a in (0, 180)]
    bands_db = [10 * np.log10([band.sum() for band in np.array_split(p, 12)]) for p in power]
    assert np.abs(bands_db[0] - bands_db[1]).max() > 6.0


def test_interpolation_agrees_with_the_measurement_between() -> None:
    """Each direction up to 60 degrees, interpolated from its neighbours 5 degrees to either
    side."""
    spectra, delays_s = measured(RATE_HZ)
    frequencies_hz = np.linspace(0.0, RATE_HZ / 2, spectra.shape[1])
    for place in range(1, 60 // STEP_DEG + 1):
        for ear in (0, 1):
            guess = (spectra[place - 1, :, ear] + spectra[place + 1, :, ear]) / 2
            error_s = (delays_s[place - 1, ear] + delays_s[place + 1, ear]) / 2 - delays_s[
                place, ear
            ]
            guess = guess * np.exp(-2j * np.pi * frequencies_hz * error_s)
            truth = spectra[place, :, ear]
            error = np.sum(np.abs(guess - truth) ** 2) / np.sum(np.abs(truth) ** 2)
            assert 10 * np.log10(error) < -19.0


def test_a_moving_source_does_not_jump() -> None:
    heard = [spatialise(NOISE, azimuth_deg, RATE_HZ) for azimuth_deg in range(-90, 91)]
    for before, after in itertools.pairwise(heard):
        assert np.sum(np.square(after - before)) < 0.06 * np.sum(np.square(after))


def test_silence_stays_silent_and_a_centred_sound_is_equal_in_both_ears() -> None:
    assert not np.any(spatialise(np.zeros(100, np.float32), 40.0, RATE_HZ))
    left, right = centre(NOISE).T
    assert np.array_equal(left, right)
    assert np.sum(left**2 + right**2) == pytest.approx(np.sum(NOISE**2), rel=1e-5)


def test_the_table_is_the_horizontal_plane() -> None:
    with np.load(FILE) as stored:
        assert stored["responses"].shape == (180 // STEP_DEG + 1, TAPS, 2)
        assert stored["delays_s"].shape == (180 // STEP_DEG + 1, 2)
        for row in (0, -1):  # ahead and behind, both ears hear the same
            assert np.array_equal(*stored["responses"][row].T)
