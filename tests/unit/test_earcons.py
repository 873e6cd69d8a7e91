"""Earcons: short, quiet enough, told apart, and from the right side."""

import itertools
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.earcons import earcon, interaural_delay_s, level, pan, to_stereo
from engine.types import EarconName

RATE_HZ = 22050
NAMES: tuple[EarconName, ...] = get_args(EarconName)


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(NAMES),
    st.floats(-180, 180),
    st.none() | st.floats(0.05, 100.0),
    st.sampled_from([8000, 16000, 22050, 48000]),
)
def test_an_earcon_is_short_audible_and_never_loud(
    name: EarconName, azimuth_deg: float, distance_m: float | None, rate_hz: int
) -> None:
    sound = earcon(name, azimuth_deg, distance_m, rate_hz)
    assert sound.shape[1] == 2
    assert sound.dtype == np.float32
    assert len(sound) <= 0.15 * rate_hz
    peak = np.abs(sound).max()
    assert 10 ** (-36 / 20) < peak <= 10 ** (-12 / 20)
    assert np.abs(sound[[0, -1]]).max() < 0.02 * peak + 1e-6  # no click


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("azimuth_deg", [10.0, 45.0, 90.0, 135.0])
def test_the_near_ear_is_louder_and_the_sides_mirror(name: EarconName, azimuth_deg: float) -> None:
    right_side = earcon(name, azimuth_deg, 2.0, RATE_HZ)
    left_side = earcon(name, -azimuth_deg, 2.0, RATE_HZ)
    left, right = np.sqrt(np.mean(np.square(right_side), axis=0))
    assert right > left > 0
    assert np.allclose(right_side, left_side[:, ::-1], atol=1e-6)


def test_the_farther_aside_the_larger_the_difference_between_the_ears() -> None:
    noise = np.random.default_rng(1).uniform(-1, 1, 2000).astype(np.float32)
    ratios = []
    for azimuth_deg in (0, 15, 30, 60, 90):
        left, right = np.sqrt(np.mean(np.square(pan(noise, azimuth_deg, 0.7)), axis=0))
        ratios.append(20 * np.log10(right / left))
        assert left**2 + right**2 == pytest.approx(np.mean(np.square(noise)), rel=1e-4)
    assert ratios[0] == pytest.approx(0.0, abs=1e-4)
    assert all(a < b for a, b in itertools.pairwise(ratios))
    assert 10 < ratios[-1] < 14


@pytest.mark.parametrize(
    ("azimuth_deg", "delay_ms"),
    [(0, 0.0), (30, 0.261), (90, 0.656), (-90, 0.656), (150, 0.261), (180, 0.0)],
)
def test_the_far_ear_hears_later_by_woodworth(azimuth_deg: float, delay_ms: float) -> None:
    assert interaural_delay_s(azimuth_deg) * 1000 == pytest.approx(delay_ms, abs=0.001)
    rate_hz = 48000
    t = np.arange(rate_hz // 20)
    bump = np.exp(-(((t - 600) / 40) ** 2)).astype(np.float32)
    stereo = to_stereo(bump, azimuth_deg, rate_hz)
    moments = [np.average(np.arange(len(ear)), weights=np.abs(ear)) for ear in stereo.T]
    later = moments[0] - moments[1]  # of the left ear
    expected = np.sign(np.sin(np.radians(azimuth_deg)).round(6)) * delay_ms * rate_hz / 1000
    assert later == pytest.approx(expected, abs=0.5)


def test_level_falls_with_distance_to_a_floor() -> None:
    gains = [level(d) for d in (None, 0.5, 1.0, 2.0, 4.0, 5.0, 50.0)]
    assert gains == [1.0, 1.0, 1.0, 0.5, 0.25, 0.2, 0.2]


def test_the_timbres_are_distinct() -> None:
    def spectrum(name: EarconName) -> np.ndarray:
        size = np.abs(np.fft.rfft(earcon(name, 0.0, None, RATE_HZ).sum(axis=1), 8192))
        bands: np.ndarray = np.add.reduceat(size, np.arange(0, len(size), 64))
        bands /= np.linalg.norm(bands)
        return bands

    for one, other in itertools.combinations(NAMES, 2):
        assert spectrum(one) @ spectrum(other) < 0.8
