"""Image statistics: bounded for any image, and each follows what it is named for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from engine.core.camera import Image
from engine.core.glance import ImageStatistics
from engine.perception.image_statistics import ImageGauge

NAMES = ("blur", "exposure", "contrast", "edges", "strokes", "change")


def measure(image: Image) -> ImageStatistics:
    return ImageGauge().measure(image)


def noise(seed: int = 0, height: int = 240, width: int = 320) -> Image:
    """Smooth blotches with fine detail on them."""
    rng = np.random.default_rng(seed)
    coarse = np.kron(rng.integers(0, 200, (height // 16, width // 16)), np.ones((16, 16)))
    fine = rng.integers(0, 55, (height, width))
    return np.repeat((coarse + fine).astype(np.uint8)[:, :, None], 3, axis=2)


def smoothed(image: Image, pixels: int) -> Image:
    """A box blur along both axes."""
    kernel = np.ones(pixels) / pixels
    plane = image[:, :, 1].astype(float)
    for axis in (0, 1):
        plane = np.apply_along_axis(lambda line: np.convolve(line, kernel, "same"), axis, plane)
    return np.repeat(plane.astype(np.uint8)[:, :, None], 3, axis=2)


@given(
    st.tuples(st.integers(32, 90), st.integers(32, 90)).flatmap(
        lambda size: arrays(np.uint8, (*size, 3), elements=st.integers(0, 255))
    )
)
@settings(max_examples=40, deadline=None)
def test_the_statistics_of_any_image_are_bounded(image: Image) -> None:
    gauge = ImageGauge()
    for picture in (gauge.measure(image), gauge.measure(image[::-1])):
        for name in NAMES:
            assert 0.0 <= getattr(picture, name) <= 1.0, name


@pytest.mark.parametrize("size", [(32, 32), (32, 4000), (4000, 32), (1080, 1920)])
def test_any_size_is_measured(size: tuple[int, int]) -> None:
    picture = measure(np.full((*size, 3), 128, np.uint8))
    assert (picture.edges, picture.strokes, picture.contrast) == (0.0, 0.0, 0.0)
    assert picture.exposure == pytest.approx(128 / 255)


def test_blur_grows_as_an_image_is_smoothed() -> None:
    sharp = noise()
    found = [measure(image).blur for image in (sharp, smoothed(sharp, 5), smoothed(sharp, 15))]
    assert found == sorted(found)
    assert found[0] < 0.5
    assert found[2] > found[0] + 0.3


def test_exposure_contrast_and_edges_follow_the_brightness() -> None:
    light, dark = measure(noise()), measure(noise() // 4)
    assert light.exposure > 3 * dark.exposure
    assert light.contrast > 3 * dark.contrast
    assert light.edges > dark.edges


def test_strokes_are_many_in_bars_and_none_at_a_single_edge() -> None:
    bars = np.full((240, 320, 3), 230, np.uint8)
    bars[:, ::8] = bars[:, 1::8] = 20  # a stroke every eight pixels
    steps = np.full((240, 320, 3), 230, np.uint8)
    steps[:, 160:] = 20
    assert measure(bars).strokes > 0.9
    assert measure(steps).strokes == 0.0


def test_change_compares_with_the_last_image() -> None:
    gauge = ImageGauge()
    first, other = noise(1), noise(2)
    assert gauge.measure(first).change == 1.0  # no earlier image
    assert gauge.measure(first).change == 0.0
    assert gauge.measure(other).change > 0.05
    gauge.reset()
    assert gauge.measure(other).change == 1.0
    black, white = np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)
    gauge.measure(black)
    assert gauge.measure(white).change == pytest.approx(1.0)
