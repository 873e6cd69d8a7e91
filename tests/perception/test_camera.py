"""Camera model: pixel to direction and back, for any lens at any pitch."""

import math
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engine.core.camera import Camera, Fisheye, Intrinsics
from engine.perception.camera import direction, is_usable, pinhole, pixel, ray, resized

FISHEYES = (
    Fisheye(200.0, 200.0, 320.0, 240.0, 640, 480),
    Fisheye(240.0, 238.0, 320.0, 240.0, 640, 480, -0.02, 0.004, -0.003, 0.0005),
    Fisheye(610.0, 610.0, 704.0, 704.0, 1408, 1408, 0.05, -0.02, 0.004, -0.0003),
)
CAMERAS: tuple[Camera, ...] = (pinhole(640, 480, 70), pinhole(480, 640, 100), *FISHEYES)
cameras = st.sampled_from(CAMERAS)
shares = st.floats(0.02, 0.98)


@given(cameras, shares, shares)
@settings(deadline=None)
def test_pixel_to_ray_and_back(camera: Camera, right: float, down: float) -> None:
    x_px, y_px = right * camera.width, down * camera.height
    found = pixel(*ray(x_px, y_px, camera), camera)
    assert found is not None
    assert found == pytest.approx((x_px, y_px), abs=1e-3)


@given(st.sampled_from(FISHEYES), st.floats(0, 1.2), st.floats(-math.pi, math.pi))
@settings(deadline=None)
def test_ray_to_pixel_and_back(camera: Fisheye, angle: float, azimuth: float) -> None:
    x, y, z = (
        math.sin(angle) * math.cos(azimuth),
        math.sin(angle) * math.sin(azimuth),
        math.cos(angle),
    )
    found = pixel(x, y, z, camera)
    assume(found is not None)
    assert found is not None
    back = ray(*found, camera)
    assert math.atan2(math.hypot(back[0], back[1]), back[2]) == pytest.approx(angle, abs=1e-6)
    if angle > 1e-3:
        difference = math.atan2(back[1], back[0]) - azimuth
        assert math.cos(difference) == pytest.approx(1.0)


@given(cameras, shares, shares, st.floats(-40, 40))
@settings(deadline=None)
def test_a_mirrored_pixel_has_the_opposite_bearing_and_the_same_drop(
    camera: Camera, right: float, down: float, pitch_deg: float
) -> None:
    x_px, y_px = right * camera.width, down * camera.height
    here = direction(x_px, y_px, camera, pitch_deg)
    there = direction(2 * camera.cx - x_px, y_px, camera, pitch_deg)
    assume(abs(here.bearing_deg) < 179)  # at 180 degrees the side is ambiguous
    assert there.bearing_deg == pytest.approx(-here.bearing_deg, abs=1e-6)
    assert there.drop == pytest.approx(here.drop)


@given(cameras, st.floats(0.05, 8), st.integers(-200, 200), st.integers(-200, 200))
@settings(deadline=None)
def test_the_principal_point_is_ahead_at_any_size_and_crop(
    camera: Camera, scale: float, left: int, top: int
) -> None:
    sized = resized(camera, round(camera.width * scale), round(camera.height * scale))
    cropped = replace(sized, cx=sized.cx - left, cy=sized.cy - top)
    found = direction(cropped.cx, cropped.cy, cropped)
    assert found.bearing_deg == pytest.approx(0, abs=1e-9)
    assert found.drop == pytest.approx(0, abs=1e-9)


@given(cameras, shares, shares, st.floats(0.1, 8))
@settings(deadline=None)
def test_a_scaled_image_gives_the_same_rays(
    camera: Camera, right: float, down: float, scale: float
) -> None:
    sized = resized(camera, round(camera.width * scale), round(camera.height * scale))
    one = ray(right * camera.width, down * camera.height, camera)
    other = ray(right * sized.width, down * sized.height, sized)
    assert other == pytest.approx(one, abs=1e-9)


@pytest.mark.parametrize("pitch_deg", [-15.0, 0.0, 15.0])
@pytest.mark.parametrize("camera", CAMERAS)
def test_the_principal_point_of_a_pitched_camera(camera: Camera, pitch_deg: float) -> None:
    found = direction(camera.cx, camera.cy, camera, pitch_deg)
    assert found.drop == pytest.approx(-math.tan(math.radians(pitch_deg)))
    assert found.bearing_deg == pytest.approx(0)


def test_a_fisheye_sees_sideways_and_a_pinhole_does_not() -> None:
    assert pixel(1.0, 0.0, 0.0, FISHEYES[0]) == pytest.approx((320 + 200 * math.pi / 2, 240.0))
    assert pixel(1.0, 0.0, 0.0, CAMERAS[0]) is None
    assert direction(640, 240, FISHEYES[0]).bearing_deg == pytest.approx(math.degrees(1.6))


@given(st.sampled_from(FISHEYES), st.tuples(*[st.floats(-1e4, 1e4)] * 2), st.floats(-89, 89))
@settings(deadline=None)
def test_no_pixel_raises(camera: Fisheye, place: tuple[float, float], pitch_deg: float) -> None:
    for lens in (camera, CAMERAS[0]):
        found = direction(*place, lens, pitch_deg)
        assert abs(found.bearing_deg) <= 180
        assert math.isfinite(found.drop)


@pytest.mark.parametrize("focal", [0.0, -500.0, math.nan, math.inf, 1e-300])
def test_an_implausible_calibration_is_not_usable(focal: float) -> None:
    assert not is_usable(Intrinsics(focal, 500.0, 320.0, 240.0, 640, 480))
    assert not is_usable(replace(FISHEYES[0], fy=focal))
    assert not is_usable(replace(FISHEYES[0], k2=math.nan))
    assert not is_usable(replace(FISHEYES[0], k1=-2.0))  # not monotonic up to the border
    assert all(map(is_usable, CAMERAS))
