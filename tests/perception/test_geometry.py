"""Box geometry: distance, side and bearings, at any resolution and for any box."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.camera import Camera, Intrinsics
from engine.core.glance import Box
from engine.perception.camera import direction, pinhole, resized
from engine.perception.classes import KINDS, UNKNOWN, ObjectKind, kind_of
from engine.perception.geometry import Range, clipped, fit_line, measure_box

PERSON = KINDS["person"]
SIDES_PX = st.integers(32, 4000)


def distance(box: Box, kind: ObjectKind, camera: Camera) -> Range:
    """By the size alone."""
    return measure_box(box, camera).size_range(kind)


def bearing_deg(x_px: float, camera: Camera) -> float:
    return direction(x_px, camera.cy, camera).bearing_deg


ANY = st.floats(-10_000, 10_000, allow_nan=False)


@given(SIDES_PX, SIDES_PX, st.floats(0.01, 0.4), st.floats(20, 140))
@settings(deadline=None)
def test_the_image_centre_is_ahead_at_any_resolution(
    width: int, height: int, share: float, hfov_deg: float
) -> None:
    camera = pinhole(width, height, hfov_deg)
    half = share * width / 2
    box = Box(width / 2 - half, 0.2 * height, width / 2 + half, 0.8 * height)
    assert bearing_deg(box.centre_x, camera) == pytest.approx(0, abs=1e-9)
    assert measure_box(box, camera).side == "ahead"


@given(ANY, ANY, ANY, ANY, SIDES_PX, SIDES_PX)
@settings(deadline=None)
def test_any_box_has_a_finite_distance_and_a_side(
    x1: float, y1: float, x2: float, y2: float, width: int, height: int
) -> None:
    camera = pinhole(width, height, 70)
    for kind in (PERSON, UNKNOWN):
        found = distance(Box(x1, y1, x2, y2), kind, camera)
        assert 0 < found.distance_m <= 200
        assert found.sigma_m > 0
        assert math.isfinite(found.sigma_m)
    assert measure_box(Box(x1, y1, x2, y2), camera).side in {"left", "ahead", "right"}


@given(st.floats(10, 400), st.floats(10, 400), st.sampled_from(sorted(KINDS)))
@settings(deadline=None)
def test_a_larger_box_is_never_farther(first_px: float, second_px: float, label: str) -> None:
    camera = pinhole(640, 480, 70)

    def at(size_px: float) -> float:
        box = Box(300, 240 - size_px / 2, 340, 240 + size_px / 2)
        return distance(box, kind_of(label), camera).distance_m

    small, large = sorted((first_px, second_px))
    assert at(large) <= at(small)


@given(st.floats(0, 640), st.floats(0, 640))
@settings(deadline=None)
def test_a_mirrored_box_has_the_opposite_side(x1: float, x2: float) -> None:
    camera = pinhole(640, 480, 70)
    x1, x2 = sorted((x1, x2))
    box, mirrored = Box(x1, 100, x2, 300), Box(640 - x2, 100, 640 - x1, 300)
    assert bearing_deg(mirrored.centre_x, camera) == pytest.approx(
        -bearing_deg(box.centre_x, camera), abs=1e-9
    )
    swapped = {"left": "right", "right": "left", "ahead": "ahead"}
    if abs(abs(bearing_deg(box.centre_x, camera)) - 12) > 1e-6:
        assert measure_box(mirrored, camera).side == swapped[measure_box(box, camera).side]


def test_the_field_of_view_is_along_the_longer_side() -> None:
    wide, tall = pinhole(640, 480, 70), pinhole(480, 640, 70)
    assert wide.fx == tall.fx == pytest.approx(457.0, abs=0.1)
    assert bearing_deg(640, wide) == pytest.approx(35)
    assert bearing_deg(480, tall) < 35


@pytest.mark.parametrize("distance_m", [1.5, 3.0, 8.0, 20.0])
def test_the_distance_of_a_person_matches_the_formula(distance_m: float) -> None:
    camera = pinhole(1280, 960, 70)
    tall_px = camera.fy * PERSON.height_m / distance_m
    box = Box(600, 480 - tall_px / 2, 680, 480 + tall_px / 2)
    found = distance(box, PERSON, camera)
    if tall_px < 0.97 * 960:
        assert found.distance_m == pytest.approx(distance_m)
        assert 0.1 < found.sigma_m / distance_m < 0.4


def test_a_box_cut_by_the_border_is_not_farther() -> None:
    camera = pinhole(640, 480, 70)
    whole, cut = Box(200, 100, 400, 470), Box(200, 100, 400, 480)
    assert distance(cut, PERSON, camera).distance_m <= distance(whole, PERSON, camera).distance_m
    assert distance(cut, PERSON, camera).sigma_m > 0


def test_an_unknown_label_has_a_large_sigma() -> None:
    assert kind_of("flying saucer") is UNKNOWN
    found = distance(Box(300, 200, 340, 280), UNKNOWN, pinhole(640, 480, 70))
    assert found.sigma_m / found.distance_m > 0.5


def project(label: str, right_m: float, ahead_m: float, camera: Intrinsics) -> Box:
    """The box of an upright object at eye level."""
    kind = kind_of(label)
    x = camera.cx + camera.fx * right_m / ahead_m
    half_w = camera.fx * kind.width_m / ahead_m / 2
    half_h = camera.fy * kind.height_m / ahead_m / 2
    return Box(x - half_w, camera.cy - half_h, x + half_w, camera.cy + half_h)


@given(left=st.integers(0, 250), right=st.integers(400, 640))
@settings(deadline=None)
def test_a_cropped_image_gives_the_same_bearing(left: int, right: int) -> None:
    camera = pinhole(640, 480, 70)
    cropped = replace(camera, cx=camera.cx - left, width=right - left)
    box = Box(300, 100, 350, 300)
    moved = Box(box.x1 - left, box.y1, box.x2 - left, box.y2)
    assert bearing_deg(moved.centre_x, cropped) == pytest.approx(bearing_deg(box.centre_x, camera))
    assert measure_box(moved, cropped).side == measure_box(box, camera).side == "ahead"


def test_a_scaled_image_gives_the_same_bearing_and_distance() -> None:
    camera = pinhole(640, 480, 70)
    box, big = Box(400, 100, 450, 300), Box(1200, 300, 1350, 900)
    scaled = resized(camera, 1920, 1440)
    assert bearing_deg(big.centre_x, scaled) == pytest.approx(bearing_deg(box.centre_x, camera))
    assert distance(big, PERSON, scaled).distance_m == pytest.approx(
        distance(box, PERSON, camera).distance_m
    )


@pytest.mark.parametrize(
    ("box", "side"),
    [
        (Box(310, 100, 330, 300), "ahead"),
        (Box(0, 100, 100, 300), "left"),
        (Box(540, 100, 640, 300), "right"),
        (Box(0, 0, 400, 480), "ahead"),  # a bus: centred on the left, but across the path
        (Box(240, 0, 640, 480), "ahead"),
        (Box(100, 100, 320, 300), "left"),  # ends at 0 degrees
    ],
)
def test_the_side_depends_on_bearing_and_extent(box: Box, side: str) -> None:
    assert measure_box(box, pinhole(640, 480, 70)).side == side


@pytest.mark.parametrize("label", ["person", "car", "chair", "bottle", "door"])
@pytest.mark.parametrize("right_m", [0.0, -1.5])
@pytest.mark.parametrize("ahead_m", [4.0, 6.0, 9.0])
def test_the_distance_is_along_the_ground(label: str, right_m: float, ahead_m: float) -> None:
    camera = pinhole(1280, 960, 70)
    box = clipped(project(label, right_m, ahead_m, camera), 1280, 960)
    found = distance(box, kind_of(label), camera)
    assert found.distance_m == pytest.approx(math.hypot(right_m, ahead_m))


def test_a_box_is_read_as_corners() -> None:
    """Read as x, y, width, height this box would be 300 px tall, not 200."""
    camera = pinhole(640, 480, 70)
    found = distance(Box(270, 100, 370, 300), PERSON, camera)
    assert found.distance_m == pytest.approx(camera.fy * PERSON.height_m / 200)


@given(
    label=st.sampled_from([*KINDS, "never heard of"]),
    x=st.floats(0, 640),
    y=st.floats(0, 480),
    aspect=st.floats(0.05, 20),
    heights=st.tuples(st.floats(1, 2000), st.floats(1, 2000)),
)
@settings(deadline=None)
def test_a_larger_box_is_never_farther_even_if_the_border_cuts_it(
    label: str, x: float, y: float, aspect: float, heights: tuple[float, float]
) -> None:
    camera, kind = pinhole(640, 480, 70), kind_of(label)
    far, near = (
        distance(
            clipped(Box(x - h * aspect / 2, y - h / 2, x + h * aspect / 2, y + h / 2), 640, 480),
            kind,
            camera,
        ).distance_m
        for h in sorted(heights)
    )
    assert near <= far * (1 + 1e-9)


def test_a_person_cut_at_the_knees_is_placed_by_the_width() -> None:
    camera = pinhole(640, 480, 70)
    box = clipped(project("person", 0.0, 1.0, camera), 640, 480)
    assert not measure_box(box, camera).is_cut_x
    assert measure_box(box, camera).is_cut_y
    found = distance(box, PERSON, camera)
    by_height = camera.fy * PERSON.height_m / box.height
    assert abs(found.distance_m - 1.0) < by_height - 1.0
    assert abs(found.distance_m - 1.0) < 2 * found.sigma_m


@given(st.tuples(*[st.floats(allow_nan=True, allow_infinity=True)] * 4), SIDES_PX, SIDES_PX)
@settings(deadline=None)
def test_any_box_is_clipped_to_the_image(
    corners: tuple[float, float, float, float], width: int, height: int
) -> None:
    box = clipped(Box(*corners), width, height)
    assert 0 <= box.x1 <= box.x2 <= width
    assert 0 <= box.y1 <= box.y2 <= height


def test_a_line_is_fitted_with_at_least_the_noise_as_error() -> None:
    line = fit_line([(t / 10, 5.0 - 2.0 * t / 10) for t in range(11)], 1.0, 0.1)
    assert line.value == pytest.approx(3.0)
    assert line.slope == pytest.approx(-2.0)
    assert line.slope_error == pytest.approx(0.1 / math.sqrt(1.1))
    assert fit_line([(0.0, 4.0)], 0.0, 0.1).slope_error == math.inf


def test_every_kind_is_plausible() -> None:
    for label, kind in {**KINDS, "?": UNKNOWN}.items():
        assert 0.05 <= kind.height_m <= 12, label
        assert 0.05 <= kind.width_m <= 40, label
        assert 0 < kind.spread <= UNKNOWN.spread, label
        assert 0 < kind.hazard <= PERSON.hazard == 1, label
