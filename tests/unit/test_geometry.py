"""Unit: pixels to metres and degrees. The ancestor's mistakes are impossible here."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.classes import KINDS, UNKNOWN, kind_of
from engine.geometry import bearing_deg, distance, pinhole, side_of
from engine.types import Box

PERSON = KINDS["person"]
SIDES_PX = st.integers(32, 4000)
ANY = st.floats(-10_000, 10_000, allow_nan=False)


@given(SIDES_PX, SIDES_PX, st.floats(0.01, 0.4), st.floats(20, 140))
@settings(deadline=None)
def test_dead_ahead_is_ahead_at_any_resolution(
    width: int, height: int, share: float, hfov_deg: float
) -> None:
    camera = pinhole(width, height, hfov_deg)
    half = share * width / 2
    box = Box(width / 2 - half, 0.2 * height, width / 2 + half, 0.8 * height)
    assert bearing_deg(box.centre_x, camera) == pytest.approx(0, abs=1e-9)
    assert side_of(box, camera) == "ahead"


@given(ANY, ANY, ANY, ANY, SIDES_PX, SIDES_PX)
@settings(deadline=None)
def test_any_box_has_a_finite_place(
    x1: float, y1: float, x2: float, y2: float, width: int, height: int
) -> None:
    camera = pinhole(width, height, 70)
    for kind in (PERSON, UNKNOWN):
        found = distance(Box(x1, y1, x2, y2), kind, camera)
        assert 0 < found.distance_m <= 200
        assert found.sigma_m > 0
        assert math.isfinite(found.sigma_m)
    assert side_of(Box(x1, y1, x2, y2), camera) in {"left", "ahead", "right"}


@given(st.floats(10, 400), st.floats(10, 400), st.sampled_from(sorted(KINDS)))
@settings(deadline=None)
def test_nearer_never_sounds_farther(first_px: float, second_px: float, label: str) -> None:
    camera = pinhole(640, 480, 70)

    def at(size_px: float) -> float:
        box = Box(300, 240 - size_px / 2, 340, 240 + size_px / 2)
        return distance(box, kind_of(label), camera).distance_m

    small, large = sorted((first_px, second_px))
    assert at(large) <= at(small)


@given(st.floats(0, 640), st.floats(0, 640))
@settings(deadline=None)
def test_the_mirror_image_changes_sides(x1: float, x2: float) -> None:
    camera = pinhole(640, 480, 70)
    x1, x2 = sorted((x1, x2))
    box, mirrored = Box(x1, 100, x2, 300), Box(640 - x2, 100, 640 - x1, 300)
    assert bearing_deg(mirrored.centre_x, camera) == pytest.approx(
        -bearing_deg(box.centre_x, camera), abs=1e-9
    )
    swapped = {"left": "right", "right": "left", "ahead": "ahead"}
    if abs(abs(bearing_deg(box.centre_x, camera)) - 12) > 1e-6:
        assert side_of(mirrored, camera) == swapped[side_of(box, camera)]


def test_the_field_of_view_lies_along_the_longer_side() -> None:
    wide, tall = pinhole(640, 480, 70), pinhole(480, 640, 70)
    assert wide.fx == tall.fx == pytest.approx(457.0, abs=0.1)
    assert bearing_deg(640, wide) == pytest.approx(35)
    assert bearing_deg(480, tall) < 35


@pytest.mark.parametrize("distance_m", [1.5, 3.0, 8.0, 20.0])
def test_a_person_is_as_far_as_the_formula_says(distance_m: float) -> None:
    camera = pinhole(1280, 960, 70)
    tall_px = camera.fy * PERSON.height_m / distance_m
    box = Box(600, 480 - tall_px / 2, 680, 480 + tall_px / 2)
    found = distance(box, PERSON, camera)
    if tall_px < 0.97 * 960:
        assert found.distance_m == pytest.approx(distance_m)
        assert 0.1 < found.sigma_m / distance_m < 0.4


def test_a_box_cut_by_the_border_is_less_sure_and_not_farther() -> None:
    camera = pinhole(640, 480, 70)
    whole, cut = Box(200, 100, 400, 470), Box(200, 100, 400, 480)
    assert distance(cut, PERSON, camera).distance_m <= distance(whole, PERSON, camera).distance_m
    assert distance(cut, PERSON, camera).sigma_m > 0


def test_an_unknown_class_is_placed_with_doubt() -> None:
    assert kind_of("flying saucer") is UNKNOWN
    found = distance(Box(300, 200, 340, 280), UNKNOWN, pinhole(640, 480, 70))
    assert found.sigma_m / found.distance_m > 0.5
