"""How a turn of the head, measured by an inertial sensor, moves the picture."""

import math

import numpy as np
from numpy.typing import NDArray

from engine.core.camera import Camera, Fisheye, Frame

Floats = NDArray[np.float64]

MAX_STEP_S = 0.5  # after a longer gap two poses say little about two pictures


def pose_shift(last: Frame, frame: Frame) -> Floats | None:
    """The shift (x, y) in pixels of what is at the centre of `last`, a far point; None where the pose
    or the camera of either frame is unknown, or where the centre has left the picture's half-space."""
    if last.pose is None or frame.pose is None or frame.intrinsics is None:
        return None
    if not 0.0 <= frame.time_s - last.time_s <= MAX_STEP_S:
        return None
    camera = frame.intrinsics
    mounted = np.eye(3) if camera.rotation is None else np.array(camera.rotation)
    to_last = _head_axes(last.pose.heading_deg, last.pose.pitch_deg) @ mounted
    to_now = _head_axes(frame.pose.heading_deg, frame.pose.pitch_deg) @ mounted
    x, y, z = to_now.T @ to_last @ np.array([0.0, 0.0, 1.0])
    if z <= 0.1 or not math.isfinite(z):
        return None
    return _offset(x, y, z, camera) * (frame.width / camera.width)


def _head_axes(heading_deg: float, pitch_deg: float) -> Floats:
    """The matrix from a head's axes (x right, y down, z ahead) to the level axes of heading zero."""
    h, p = math.radians(heading_deg), math.radians(pitch_deg)
    turn = np.array(
        [[math.cos(h), 0.0, math.sin(h)], [0.0, 1.0, 0.0], [-math.sin(h), 0.0, math.cos(h)]]
    )
    nod = np.array(
        [[1.0, 0.0, 0.0], [0.0, math.cos(p), -math.sin(p)], [0.0, math.sin(p), math.cos(p)]]
    )
    return np.asarray(turn @ nod)


def _offset(x: float, y: float, z: float, camera: Camera) -> Floats:
    """Pixels from the principal point to a direction in the camera's axes; a fisheye's radius is
    taken as proportional to the angle, which holds near the centre."""
    sideways = math.hypot(x, y)
    if sideways == 0.0:
        return np.zeros(2)
    radius = math.atan2(sideways, z) if isinstance(camera, Fisheye) else sideways / z
    return np.array([camera.fx * x, camera.fy * y]) * radius / sideways
