"""Earcons are short, quiet and distinct. Nearer ones are louder and faster; urgent ones differ."""

import itertools
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.audio.earcons import FAR_M, earcon, interval_s, level
from engine.audio.loudness import EARCON_LUFS, EARCON_PEAK, TICK_LUFS, VOICE_LUFS, loudness_lufs
from engine.core.sound import Samples
from engine.core.utterance import EarconName

RATE_HZ = 22050
NAMES: tuple[EarconName, ...] = get_args(EarconName)
PLACED: tuple[EarconName, ...] = ("obstacle", "urgent")


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(NAMES),
    st.floats(-180, 180),
    st.none() | st.floats(0.05, 100.0),
    st.sampled_from([8000, 16000, 22050, 48000]),
)
def test_an_earcon_is_short_and_audible_but_not_loud(
    name: EarconName, azimuth_deg: float, distance_m: float | None, rate_hz: int
) -> None:
    sound = earcon(name, azimuth_deg, distance_m, rate_hz)
    assert sound.shape[1] == 2
    assert sound.dtype == np.float32
    assert len(sound) <= 0.25 * rate_hz
    peak = np.abs(sound).max()
    assert 10 ** (-36 / 20) < peak <= EARCON_PEAK
    assert np.abs(sound[[0, -1]]).max() < 0.02 * peak + 1e-6  # no click


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rate_hz", [16000, 22050, 48000])
def test_the_loudness_does_not_depend_on_the_direction(name: EarconName, rate_hz: int) -> None:
    assert TICK_LUFS < EARCON_LUFS <= VOICE_LUFS - 3.0
    wanted_lufs = TICK_LUFS if name == "tick" else EARCON_LUFS
    for azimuth_deg in range(-180, 180, 15):
        assert loudness_lufs(earcon(name, azimuth_deg, 1.0, rate_hz), rate_hz) == pytest.approx(
            wanted_lufs, abs=0.5
        )


@pytest.mark.parametrize("name", PLACED)
def test_loudness_falls_as_one_over_the_distance(name: EarconName) -> None:
    heard = [loudness_lufs(earcon(name, 20.0, d, RATE_HZ), RATE_HZ) for d in (1, 1.5, 2, 3, 4, 5)]
    assert all(near > far + 1.0 for near, far in itertools.pairwise(heard))
    assert heard[0] - heard[2] == pytest.approx(6.02, abs=0.1)
    assert heard[0] - heard[4] == pytest.approx(12.04, abs=0.1)


def onsets_s(sound: Samples) -> list[float]:
    """The times at which pulses begin: where the envelope rises above half its peak, after at least
    12 ms below it."""
    envelope = np.abs(sound).max(axis=1)
    loud = np.flatnonzero(envelope > 0.5 * envelope.max())
    starts = [loud[0]]
    starts += [b for a, b in itertools.pairwise(loud) if b - a > 0.012 * RATE_HZ]
    return [float(start) / RATE_HZ for start in starts]


@pytest.mark.parametrize("name", PLACED)
@pytest.mark.parametrize("azimuth_deg", [-60.0, 0.0, 25.0])
def test_nearer_earcons_pulse_faster(name: EarconName, azimuth_deg: float) -> None:
    intervals_s = []
    for distance_m in (0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 20.0):
        first, second = onsets_s(earcon(name, azimuth_deg, distance_m, RATE_HZ))
        assert second - first == pytest.approx(interval_s(distance_m), abs=0.002)
        intervals_s.append(second - first)
    assert intervals_s[0] == pytest.approx(intervals_s[1])
    assert all(near < far - 0.02 for near, far in itertools.pairwise(intervals_s[1:6]))
    assert intervals_s[-1] == pytest.approx(intervals_s[-2])
    assert len(onsets_s(earcon("tick", 0.0, None, RATE_HZ))) == 1


@given(st.floats(0.01, 200), st.floats(0.01, 200))
def test_level_and_pulse_rate_never_rise_with_distance(one_m: float, other_m: float) -> None:
    near_m, far_m = sorted((one_m, other_m))
    assert level(near_m) >= level(far_m) >= 0.2
    assert 0.06 <= interval_s(near_m) <= interval_s(far_m) <= 0.18
    assert interval_s(None) == interval_s(1.0)
    assert level(None) == level(1.0) == 1.0
    assert level(FAR_M) == pytest.approx(0.2)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("azimuth_deg", [10.0, 45.0, 90.0, 135.0])
def test_the_near_ear_is_louder_and_left_mirrors_right(
    name: EarconName, azimuth_deg: float
) -> None:
    right_side = earcon(name, azimuth_deg, 2.0, RATE_HZ)
    left_side = earcon(name, -azimuth_deg, 2.0, RATE_HZ)
    left, right = np.sqrt(np.mean(np.square(right_side), axis=0))
    assert right > left > 0
    assert np.allclose(right_side, left_side[:, ::-1], atol=1e-6)


@pytest.mark.parametrize("azimuth_deg", [-45.0, 0.0, 45.0])
def test_the_timbres_are_distinct(azimuth_deg: float) -> None:
    def spectrum(name: EarconName) -> np.ndarray:
        size = np.abs(np.fft.rfft(earcon(name, azimuth_deg, None, RATE_HZ).sum(axis=1), 8192))
        bands: np.ndarray = np.add.reduceat(size, np.arange(0, len(size), 64))
        bands /= np.linalg.norm(bands)
        return bands

    for one, other in itertools.combinations(NAMES, 2):
        assert spectrum(one) @ spectrum(other) < 0.8


def test_urgent_is_brighter() -> None:
    def centroid_hz(name: EarconName) -> float:
        power = np.abs(np.fft.rfft(earcon(name, 0.0, 1.0, RATE_HZ)[:, 0], 8192)) ** 2
        return float(np.average(np.fft.rfftfreq(8192, 1 / RATE_HZ), weights=power))

    assert centroid_hz("urgent") > 1.3 * centroid_hz("obstacle")


def test_a_caller_cannot_change_a_cached_pulse() -> None:
    """Pulses are cached for all distances, so that each caller must get a copy."""
    first = earcon("urgent", 31.0, 2.0, RATE_HZ)
    first[:] = 7.0
    second = earcon("urgent", 31.0, 2.0, RATE_HZ)
    assert np.abs(second).max() < 1.0
