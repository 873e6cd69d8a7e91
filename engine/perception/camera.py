"""A pixel to a direction in the wearer's world: the one place that knows how a lens bends light.

Pinhole or fisheye, level or pitched, worn straight or looking aside; whoever asks gets a bearing and a
drop and need not know which. Knows nothing of boxes, kinds or time. Axes: x right, y down, z ahead.
"""

import math
from dataclasses import dataclass, replace

from engine.core.camera import Axis, Camera, Fisheye, Intrinsics

NEWTON_STEPS = 12  # the polynomial is nearly a line: 4 do for every lens that was tried
LEAST = 1e-9


@dataclass(frozen=True, slots=True)
class Mount:
    """How the camera is worn: lens above the ground, degrees that it looks up (+) or down (-), and one
    standard deviation of each. A head nods and looks where it likes: pitches spread evenly over
    +-15 degrees have a deviation of 8.7."""

    height_m: float = 1.5
    pitch_deg: float = 0.0
    pitch_sigma_deg: float = 8.0
    height_sigma_m: float = 0.1


@dataclass(frozen=True, slots=True)
class Direction:
    """Where a pixel looks: degrees right of straight ahead, and metres down for each metre along the
    ground (the tangent of the angle below the horizon)."""

    bearing_deg: float
    drop: float


def direction(x_px: float, y_px: float, camera: Camera, pitch_deg: float = 0.0) -> Direction:
    """The direction of a pixel, by the camera's model and its pitch."""
    x, y, z = ray(x_px, y_px, camera)
    pitch = math.radians(pitch_deg)
    down = y * math.cos(pitch) - z * math.sin(pitch)
    ahead = y * math.sin(pitch) + z * math.cos(pitch)
    return Direction(math.degrees(math.atan2(x, ahead)), down / max(LEAST, math.hypot(x, ahead)))


def ray(x_px: float, y_px: float, camera: Camera) -> Axis:
    """The direction (x, y, z) of a pixel in the head's axes, of any length."""
    own = _own_ray(x_px, y_px, camera)
    if camera.turn is None:
        return own
    x, y, z = (sum(a * b for a, b in zip(row, own, strict=True)) for row in camera.turn)
    return x, y, z


def _own_ray(x_px: float, y_px: float, camera: Camera) -> Axis:
    """As `ray`, in the camera's own axes."""
    x, y = (x_px - camera.cx) / camera.fx, (y_px - camera.cy) / camera.fy
    if isinstance(camera, Intrinsics):
        return x, y, 1.0
    radius = math.hypot(x, y)
    if radius < LEAST:
        return x, y, 1.0
    angle = _angle(radius, camera)
    across = math.sin(angle) / radius
    return x * across, y * across, math.cos(angle)


def off_axis(x_px: float, y_px: float, camera: Camera) -> float:
    """How much longer the straight way to what a pixel shows is than its depth along the camera's own
    axis, which is what depth maps hold. At a right angle to the axis or beyond there is no depth: 1."""
    x, y, z = _own_ray(x_px, y_px, camera)
    length = math.hypot(x, y, z)
    return length / z if z > LEAST * length else 1.0


def pixel(x: float, y: float, z: float, camera: Camera) -> tuple[float, float] | None:
    """Where the direction (x, y, z) in the head's axes falls; None where the camera cannot see it:
    behind a pinhole, or beyond where a fisheye's polynomial still rises."""
    if camera.turn is not None:
        x, y, z = (x * a + y * b + z * c for a, b, c in zip(*camera.turn, strict=True))
    if isinstance(camera, Intrinsics):
        if z <= LEAST:
            return None
        return camera.cx + camera.fx * x / z, camera.cy + camera.fy * y / z
    across = math.hypot(x, y)
    angle = math.atan2(across, z)
    if angle > _widest(camera):
        return None
    scale = 1.0 / max(LEAST, z) if across < LEAST else _radius(angle, camera) / across
    return camera.cx + camera.fx * x * scale, camera.cy + camera.fy * y * scale


def pinhole(width: int, height: int, fov_deg: float) -> Intrinsics:
    """A camera of which only the field of view along the longer side is known, so that a phone has
    one focal length held either way: square pixels, centred, f = (long side / 2) / tan(fov / 2)."""
    focal = max(width, height) / 2 / math.tan(math.radians(fov_deg) / 2)
    return Intrinsics(focal, focal, width / 2, height / 2, width, height)


def resized(camera: Camera, width: int, height: int) -> Camera:
    """The same camera for a picture that was scaled to width x height."""
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
    """Whether the numbers describe a camera at all: finite; a pinhole no wider than 169 degrees, beyond
    which none sees; a fisheye whose polynomial rises to the middle of the longer side at the least."""
    numbers = [camera.fx, camera.fy, camera.cx, camera.cy]
    if isinstance(camera, Fisheye):
        numbers += [camera.k1, camera.k2, camera.k3, camera.k4, camera.k5, camera.k6]
    least = max(1.0, 0.05 * max(camera.width, camera.height))
    if not all(map(math.isfinite, numbers)) or min(camera.fx, camera.fy) < least:
        return False
    if isinstance(camera, Intrinsics):
        return True
    reach = max(camera.width / 2 / camera.fx, camera.height / 2 / camera.fy)
    return _radius(_widest(camera), camera) >= reach


def _radius(angle: float, camera: Fisheye) -> float:
    """Distance from the principal point over the focal length, of a ray `angle` off the axis."""
    square = angle * angle
    series = camera.k3 + square * (camera.k4 + square * (camera.k5 + square * camera.k6))
    return angle * (1.0 + square * (camera.k1 + square * (camera.k2 + square * series)))


def _slope(angle: float, camera: Fisheye) -> float:
    square = angle * angle
    series = 9 * camera.k4 + square * (11 * camera.k5 + square * 13 * camera.k6)
    series = 7 * camera.k3 + square * series
    return 1.0 + square * (3 * camera.k1 + square * (5 * camera.k2 + square * series))


def _widest(camera: Fisheye) -> float:
    """The angle up to which the polynomial rises, 180 degrees at most."""
    angle = 0.0
    while angle < math.pi and _slope(angle, camera) > 0.0:
        angle += math.pi / 180
    return min(angle, math.pi)


def _angle(radius: float, camera: Fisheye) -> float:
    """The inverse of `_radius` by Newton's method, held to where the lens sees anything."""
    angle = min(radius, math.pi)
    for _ in range(NEWTON_STEPS):
        slope = _slope(angle, camera)
        if slope <= LEAST:
            break
        step = (_radius(angle, camera) - radius) / slope
        angle = min(math.pi, max(0.0, angle - step))
        if abs(step) < LEAST:
            break
    return angle
