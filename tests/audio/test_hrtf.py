"""Where a sound seems to come from, heard on the samples: delays and levels between the ears."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.audio.earcons import earcon
from engine.audio.hrtf import FILE, STEP_DEG, TAPS, _measured, centre, spatialise
from engine.core.sound import Samples
from engine.core.utterance import EarconName

RATE_HZ = 22050
HEAD_RADIUS_M = 0.0875
SPEED_OF_SOUND_M_S = 343.0
NOISE = np.random.default_rng(3).normal(size=RATE_HZ // 4).astype(np.float32)


def woodworth_s(azimuth_deg: float) -> float:
    """ITD of a rigid sphere at high frequencies, (a / c) (theta + sin theta), in seconds: Woodworth,
    Experimental Psychology (1938). `theta` is the lateral angle, so behind equals front."""
    theta = float(np.arcsin(np.sin(np.radians(azimuth_deg))))
    return HEAD_RADIUS_M / SPEED_OF_SOUND_M_S * (theta + float(np.sin(theta)))


def kuhn_s(azimuth_deg: float) -> float:
    """The same at low frequencies, (3 a / c) sin theta: Kuhn, JASA 62 (1977)."""
    return 3 * HEAD_RADIUS_M / SPEED_OF_SOUND_M_S * float(np.sin(np.radians(azimuth_deg)))


def itd_s(stereo: Samples, rate_hz: int = RATE_HZ) -> float:
    """How much later the left ear hears, seconds: the peak of the ears' cross-correlation."""
    fine, size = 16, 1 << 14
    left, right = np.fft.rfft(stereo.astype(np.float64).T, size)
    likeness = np.fft.irfft(left * right.conj(), fine * size)
    reach = fine * rate_hz // 1000
    near = np.concatenate([likeness[-reach:], likeness[: reach + 1]])
    return float(np.argmax(near) - reach) / (fine * rate_hz)


def ild_db(stereo: Samples) -> float:
    """How much louder the right ear hears, decibels."""
    left, right = np.sum(np.square(stereo, dtype=np.float64), axis=0)
    return float(10 * np.log10(right / left))


def sounds(azimuth_deg: float) -> dict[str, Samples]:
    names: tuple[EarconName, ...] = ("obstacle", "urgent")
    heard = {name: earcon(name, azimuth_deg, 2.0, RATE_HZ) for name in names}
    return heard | {"noise": spatialise(NOISE, azimuth_deg, RATE_HZ)}


@pytest.mark.parametrize("sound", ["obstacle", "urgent", "noise"])
@pytest.mark.parametrize("azimuth_deg", [5, 10, 17, 30, 45, 60, 75, 90, 120, 150, 165])
def test_the_far_ear_hears_later_by_as_much_as_a_head_is_wide(
    azimuth_deg: float, sound: str
) -> None:
    for side in (1, -1):
        measured = side * itd_s(sounds(side * azimuth_deg)[sound])
        # A head is no sphere and its ears are not at its poles; half a sample was rounded away.
        low = 0.9 * woodworth_s(azimuth_deg) - 25e-6
        high = 1.1 * kuhn_s(azimuth_deg) + 25e-6
        assert low <= measured <= high


@pytest.mark.parametrize("sound", ["obstacle", "urgent", "noise"])
def test_the_farther_aside_the_later_and_the_weaker_the_far_ear(sound: str) -> None:
    azimuths_deg = range(0, 51, 5)
    delays = [itd_s(sounds(a)[sound]) for a in azimuths_deg]
    levels = [ild_db(sounds(a)[sound]) for a in azimuths_deg]
    assert delays[0] == pytest.approx(0.0, abs=10e-6)
    assert levels[0] == pytest.approx(0.0, abs=0.01)
    assert all(a < b for a, b in itertools.pairwise(delays))
    assert all(a < b + 0.3 for a, b in itertools.pairwise(levels))
    assert levels[2] > 1.5  # already at 10 degrees: the least that is heard is 1 dB


@pytest.mark.parametrize(
    ("azimuth_deg", "low_db", "high_db"), [(15, 2, 7), (30, 4, 11), (60, 6, 15), (90, 5, 16)]
)
def test_levels_differ_as_at_a_head_and_not_as_at_a_wall(
    azimuth_deg: float, low_db: float, high_db: float
) -> None:
    for sound in sounds(azimuth_deg).values():
        assert low_db <= ild_db(sound) <= high_db


@settings(deadline=None, max_examples=60)
@given(st.floats(-720, 720), st.sampled_from([8000, 16000, 22050, 44100, 48000]))
def test_mirrored_azimuths_mirror_the_ears_and_energy_is_kept(
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


def test_behind_sounds_other_than_in_front() -> None:
    """As an outer ear makes it: some band by 6 dB and more, where a sphere would tell nothing."""
    power = [np.abs(np.fft.rfft(spatialise(NOISE, a, RATE_HZ)[:, 0])) ** 2 for a in (0, 180)]
    bands_db = [10 * np.log10([band.sum() for band in np.array_split(p, 12)]) for p in power]
    assert np.abs(bands_db[0] - bands_db[1]).max() > 6.0


def test_between_two_measurements_lies_what_was_measured_there() -> None:
    """Each direction up to 60 degrees, made of its neighbours 5 degrees to either side."""
    spectra, delays_s = _measured(RATE_HZ)
    frequencies_hz = np.linspace(0.0, RATE_HZ / 2, spectra.shape[1])
    for place in range(1, 60 // STEP_DEG + 1):
        for ear in (0, 1):
            guess = (spectra[place - 1, :, ear] + spectra[place + 1, :, ear]) / 2
            error_s = (delays_s[place - 1, ear] + delays_s[place + 1, ear]) / 2 - delays_s[
                place, ear
            ]
            guess = guess * np.exp(-2j * np.pi * frequencies_hz * error_s)
            truth = spectra[place, :, ear]
            missed = np.sum(np.abs(guess - truth) ** 2) / np.sum(np.abs(truth) ** 2)
            assert 10 * np.log10(missed) < -19.0


def test_a_turning_source_never_jumps() -> None:
    heard = [spatialise(NOISE, azimuth_deg, RATE_HZ) for azimuth_deg in range(-90, 91)]
    for before, after in itertools.pairwise(heard):
        assert np.sum(np.square(after - before)) < 0.06 * np.sum(np.square(after))


def test_silence_stays_silence_and_the_middle_is_alike_in_both_ears() -> None:
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
