"""Camera model: converts pixels to directions in the wearer's world, and back.

The only module that knows a lens's projection. A caller gets a bearing and a drop, whether the lens
is a pinhole or a fisheye, pitched or level, facing ahead or to a side. Knows nothing of boxes,
classes or time. Axes: x right, y down, z ahead.
"""

import math
from dataclasses import dataclass, replace

from engine.core.camera import Camera, Fisheye, Intrinsics, Vector3

NEWTON_STEPS = 12  # the polynomial is nearly linear: 4 steps suffice for every lens that was tried
EPSILON = 1e-9


@dataclass(frozen=True, slots=True)
class Mount:
    """How the camera is worn: height of the lens above the ground, pitch in degrees up (+) or down
    (-), and the standard deviation of each. The default covers a head that moves freely: pitches
    spread evenly over ±15 degrees have a standard deviation of 8.7."""

    height_m: float = 1.5
    pitch_deg: float = 0.0
    pitch_sigma_deg: float = 8.0
    height_sigma_m: float = 0.1


@dataclass(frozen=True, slots=True)
class LineOfSight:
    """The direction of a pixel: bearing in degrees to the right of straight ahead, and `drop` in
    metres down for each metre along the ground (the tangent of the angle below the horizon)."""

    bearing_deg: float
    drop: float


def direction(x_px: float, y_px: float, camera: Camera, pitch_deg: float = 0.0) -> LineOfSight:
    """The direction of a pixel, given the camera model and the pitch."""
    x, y, z = ray(x_px, y_px, camera)
    pitch = math.radians(pitch_deg)
    down = y * math.cos(pitch) - z * math.sin(pitch)
    ahead = y * math.sin(pitch) + z * math.cos(pitch)
    return LineOfSight(
        math.degrees(math.atan2(x, ahead)), down / max(EPSILON, math.hypot(x, ahead))
    )


def ray(x_px: float, y_px: float, camera: Camera) -> Vector3:
    """The direction (x, y, z) of a pixel in the head's axes, not normalised."""
    in_camera = _camera_ray(x_px, y_px, camera)
    if camera.rotation is None:
        return in_camera
    x, y, z = (sum(a * b for a, b in zip(row, in_camera, strict=True)) for row in camera.rotation)
    return x, y, z


def _camera_ray(x_px: float, y_px: float, camera: Camera) -> Vector3:
    """As `ray`, but in the camera's axes."""
    x, y = (x_px - camera.cx) / camera.fx, (y_px - camera.cy) / camera.fy
    if isinstance(camera, Intrinsics):
        return x, y, 1.0
    radius = math.hypot(x, y)
    if radius < EPSILON:
        return x, y, 1.0
    angle = _angle(radius, camera)
    scale = math.sin(angle) / radius
    return x * scale, y * scale, math.cos(angle)


def range_per_depth(x_px: float, y_px: float, camera: Camera) -> float:
    """The ratio of a pixel's straight-line range to its depth along the camera's axis, which is
    what depth maps hold. 1 at 90 degrees or more off the axis, where there is no depth."""
    x, y, z = _camera_ray(x_px, y_px, camera)
    length = math.hypot(x, y, z)
    return length / z if z > EPSILON * length else 1.0


def pixel(x: float, y: float, z: float, camera: Camera) -> tuple[float, float] | None:
    """The pixel of the direction (x, y, z) in the head's axes; None if the camera cannot see it:
    behind a pinhole, or outside the angles in which a fisheye's polynomial rises."""
    if camera.rotation is not None:
        x, y, z = (x * a + y * b + z * c for a, b, c in zip(*camera.rotation, strict=True))
    if isinstance(camera, Intrinsics):
        if z <= EPSILON:
            return None
        return camera.cx + camera.fx * x / z, camera.cy + camera.fy * y / z
    sine = math.hypot(x, y)  # not normalised
    angle = math.atan2(sine, z)
    if angle > _max_angle(camera):
        return None
    scale = 1.0 / max(EPSILON, z) if sine < EPSILON else _radius(angle, camera) / sine
    return camera.cx + camera.fx * x * scale, camera.cy + camera.fy * y * scale


def pinhole(width: int, height: int, fov_deg: float) -> Intrinsics:
    """A centred pinhole with square pixels: f = (long side / 2) / tan(fov / 2). The field of view
    is along the longer side, so a phone has the same focal length in portrait and landscape."""
    focal = max(width, height) / 2 / math.tan(math.radians(fov_deg) / 2)
    return Intrinsics(focal, focal, width / 2, height / 2, width, height)


def resized(camera: Camera, width: int, height: int) -> Camera:
    """The camera of the image scaled to width x height."""
    if (camera.width, camera.height) == (width, height):
        return camera
    x, y = width / max(1, camera.width), height / max(1, camera.height)
    return replace(
        camera,
        fx=camera.fx * x,
        fy=camera.fy * y,
        cx=camera.cx * x,
        cy=camera.cy * y,
        width=width,
        height=height,
    )


def is_usable(camera: Camera) -> bool:
    """Whether a calibration is plausible: finite numbers; a pinhole no wider than 169 degrees; a
    fisheye whose polynomial rises at least to the middle of the longer side."""
    numbers = [camera.fx, camera.fy, camera.cx, camera.cy]
    if isinstance(camera, Fisheye):
        numbers += [camera.k1, camera.k2, camera.k3, camera.k4, camera.k5, camera.k6]
    least = max(1.0, 0.05 * max(camera.width, camera.height))
    if not all(map(math.isfinite, numbers)) or min(camera.fx, camera.fy) < least:
        return False
    if isinstance(camera, Intrinsics):
        return True
    reach = max(camera.width / 2 / camera.fx, camera.height / 2 / camera.fy)
    return _radius(_max_angle(camera), camera) >= reach


def _radius(angle: float, camera: Fisheye) -> float:
    """The distance from the principal point, in focal lengths, of a ray `angle` off the axis."""
    square = angle * angle
    series = camera.k3 + square * (camera.k4 + square * (camera.k5 + square * camera.k6))
    return angle * (1.0 + square * (camera.k1 + square * (camera.k2 + square * series)))


def _slope(angle: float, camera: Fisheye) -> float:
    square = angle * angle
    series = 9 * camera.k4 + square * (11 * camera.k5 + square * 13 * camera.k6)
    series = 7 * camera.k3 + square * series
    return 1.0 + square * (3 * camera.k1 + square * (5 * camera.k2 + square * series))


def _max_angle(camera: Fisheye) -> float:
    """The angle up to which the polynomial rises, at most 180 degrees."""
    angle = 0.0
    while angle < math.pi and _slope(angle, camera) > 0.0:
        angle += math.pi / 180
    return min(angle, math.pi)


def _angle(radius: float, camera: Fisheye) -> float:
    """The inverse of `_radius` by Newton's method, limited to angles from 0 to 180 degrees."""
    angle = min(radius, math.pi)
    for _ in range(NEWTON_STEPS):
        slope = _slope(angle, camera)
        if slope <= EPSILON:
            break
        step = (_radius(angle, camera) - radius) / slope
        angle = min(math.pi, max(0.0, angle - step))
        if abs(step) < EPSILON:
            break
    return angle
