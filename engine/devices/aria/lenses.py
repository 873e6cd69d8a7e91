"""Turns Aria's calibration into camera models, and raw frames of both generations upright.

The rotation is read from the device's geometry and never assumed: Gen 1's sensors are mounted
sideways, Gen 2's upright. The wearer's frame is Aria's central pupil frame (x left, y up, z ahead).
Must not know where records come from.
"""

import contextlib
import math
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.core.camera import Fisheye, Frame, Image, Intrinsics, Pose, Rotation
from engine.core.errors import InputError, MissingPart, in_one_line
from engine.core.extras import pip_install
from engine.devices.video.images import frozen
from engine.perception.camera import EPSILON, ray
from engine.perception.head_pose import ImuSample

Matrix = NDArray[np.float64]

INSTALL = pip_install("aria")
RGB = "camera-rgb"
# Side cameras, by the end of their labels.
SIDES = ("slam-left", "slam-right", "slam-side-left", "slam-side-right")
HEAD_FROM_PUPIL = np.diag([-1.0, -1.0, 1.0])
FIT_POINTS = 25  # the lens is fitted to a grid of this many pixels a side
WORST_FIT_DEG = 0.5  # a quarter of the jitter of a detector's edges at 640 px
TURNS = {1: cv2.ROTATE_90_CLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_COUNTERCLOCKWISE}
TERMS = 7  # coefficients of the lens polynomial: f, f·k1 .. f·k6


@dataclass(frozen=True, slots=True)
class CalibratedCamera:
    """One camera of the glasses.

    `quarter_turns` clockwise make its frames upright. `lens` is the model of upright frames, with
    its rotation from the head. `fit_error_deg` is its largest error against the device's
    calibration.
    """

    label: str
    quarter_turns: int
    lens: Fisheye
    fit_error_deg: float

    def upright(self, pixels: NDArray[np.uint8]) -> Image:
        """Upright RGB (height, width, 3), read-only; a copy, since SDKs reuse their buffers."""
        if pixels.ndim == 2:
            pixels = np.repeat(pixels[:, :, None], 3, axis=2)
        if self.quarter_turns == 0:
            return frozen(pixels.copy())
        return frozen(np.asarray(cv2.rotate(pixels, TURNS[self.quarter_turns]), np.uint8))

    def frame(
        self,
        pixels: NDArray[np.uint8],
        time_s: float,
        seq: int,
        pose: Pose | None = None,
        side: Frame | None = None,
    ) -> Frame:
        """An upright frame of raw `pixels`, with the lens as its camera."""
        name = "" if self.label == RGB else self.label
        return Frame(self.upright(pixels), time_s, seq, self.lens, name, pose, side)


def calibrated_camera(calibration: Any, label: str) -> CalibratedCamera | None:
    """The camera `label` of a `DeviceCalibration`; None if it has none of that name.

    Raises InputError if the fitted lens is off by more than WORST_FIT_DEG.
    """
    camera = calibration.get_camera_calib(label)
    if camera is None:
        return None
    head = head_from(calibration, camera.get_transform_device_camera())
    quarter_turns = _quarters(head)
    upright = np.linalg.matrix_power(
        np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0, 0, 1.0]]), quarter_turns
    )
    width, height = (int(side) for side in camera.get_image_size())
    lens, error_deg = _fitted(camera, width, height, quarter_turns, head @ upright)
    if error_deg > WORST_FIT_DEG:
        raise InputError(
            f"{label}: expected a lens that a fisheye polynomial follows within {WORST_FIT_DEG} "
            f"degrees, got one that is {error_deg:.1f} off; calibrate the glasses again"
        )
    return CalibratedCamera(label, quarter_turns, lens, error_deg)


@dataclass(frozen=True, slots=True)
class RectifiedCamera:
    """A `CalibratedCamera` that rectifies frames to a pinhole camera, for models trained on those.

    The view beyond 45 degrees is cut off. `columns` and `rows` (height, width) are the source
    coordinates of each pixel in the upright frame.
    """

    calibrated_camera: CalibratedCamera
    lens: Intrinsics
    columns: NDArray[np.float32]
    rows: NDArray[np.float32]

    def frame(
        self,
        pixels: NDArray[np.uint8],
        time_s: float,
        seq: int,
        pose: Pose | None = None,
        side: Frame | None = None,
    ) -> Frame:
        """As `CalibratedCamera.frame`."""
        bent = cv2.remap(
            self.calibrated_camera.upright(pixels), self.columns, self.rows, cv2.INTER_LINEAR
        )
        return Frame(frozen(np.asarray(bent, np.uint8)), time_s, seq, self.lens, "", pose, side)


def rectified(seen: CalibratedCamera) -> RectifiedCamera:
    """Rectify to a pinhole with a field of view of 90 degrees along the longer side."""
    bent = seen.lens
    focal = max(bent.width, bent.height) / 2
    cx, cy = (bent.width - 1) / 2, (bent.height - 1) / 2
    lens = Intrinsics(focal, focal, cx, cy, bent.width, bent.height, bent.rotation)
    x, y = np.meshgrid((np.arange(bent.width) - cx) / focal, (np.arange(bent.height) - cy) / focal)
    across = np.maximum(EPSILON, np.hypot(x, y))
    angle = np.arctan(across)
    series = np.zeros_like(angle)
    for bend in (bent.k6, bent.k5, bent.k4, bent.k3, bent.k2, bent.k1):
        series = (series + bend) * angle**2
    scale = angle * (1.0 + series) / across
    columns, rows = bent.cx + bent.fx * x * scale, bent.cy + bent.fy * y * scale
    return RectifiedCamera(seen, lens, columns.astype(np.float32), rows.astype(np.float32))


def head_from(calibration: Any, device_from_sensor: Any) -> Matrix:
    """The rotation (3, 3) from a sensor's axes to the head's axes."""
    device_from_pupil = calibration.get_transform_device_cpf().to_matrix()[:3, :3]
    rotation = device_from_sensor.to_matrix()[:3, :3]
    head: Matrix = HEAD_FROM_PUPIL @ device_from_pupil.T @ rotation
    return head


def _quarters(head: Matrix) -> int:
    """Quarter turns clockwise that align a frame's columns with the head's y axis."""
    right, down = head[:, 0], head[:, 1]
    return int(np.argmax([down[1], right[1], -down[1], -right[1]]))


def _fitted(
    camera: Any, width: int, height: int, quarter_turns: int, rotation: Matrix
) -> tuple[Fisheye, float]:
    """Fit Kannala and Brandt's polynomial to the directions of a grid of pixels.

    Returns the lens and its largest error in degrees. The fit is linear in its unknowns:
    u = cx + cos(phi) Σ a_i angle^(2i+1).
    """
    pixels, rays = _grid_rays(camera, width, height, quarter_turns)
    xyz = np.array(rays)
    radius = np.hypot(xyz[:, 0], xyz[:, 1])
    angles = np.arctan2(radius, xyz[:, 2])
    powers = np.stack([angles ** (2 * i + 1) for i in range(TERMS)], axis=1)
    cosine = xyz[:, 0] / np.maximum(radius, EPSILON)
    sine = xyz[:, 1] / np.maximum(radius, EPSILON)
    one, none = np.ones(len(xyz)), np.zeros(len(xyz))
    equations = np.concatenate(
        [
            np.column_stack([one, none, powers * cosine[:, None]]),
            np.column_stack([none, one, powers * sine[:, None]]),
        ]
    )
    observed = np.concatenate([[u for u, _ in pixels], [v for _, v in pixels]])
    cx, cy, focal, *rest = np.linalg.lstsq(equations, observed, rcond=None)[0]
    wide, tall = (width, height) if quarter_turns % 2 == 0 else (height, width)
    k1, k2, k3, k4, k5, k6 = (float(value / focal) for value in rest)
    fitted = Fisheye(
        float(focal), float(focal), float(cx), float(cy), wide, tall, k1, k2, k3, k4, k5, k6
    )
    error_deg = max(
        _angle_between_deg(ray(u, v, fitted), seen)
        for (u, v), seen in zip(pixels, rays, strict=True)
    )
    rows: Rotation = tuple((float(a), float(b), float(c)) for a, b, c in rotation)  # type: ignore[assignment]
    return replace(fitted, rotation=rows), error_deg


def _grid_rays(
    camera: Any, width: int, height: int, quarter_turns: int
) -> tuple[list[tuple[float, float]], list[tuple[float, float, float]]]:
    """A grid of pixels of the upright frame, and the ray of each in its axes. Pixels
    outside the field of view are left out. Raises InputError if too few remain."""
    pixels: list[tuple[float, float]] = []
    rays: list[tuple[float, float, float]] = []
    for column in np.linspace(0, width - 1, FIT_POINTS):
        for row in np.linspace(0, height - 1, FIT_POINTS):
            seen = camera.unproject(np.array([column, row]))
            # Outside the field of view the model folds back: pixels do not project to themselves.
            back = None if seen is None else camera.project(seen)
            if seen is None or back is None or abs(back - (column, row)).max() > 0.1:
                continue
            x, y, z = (float(value) for value in seen)
            u, v, across, down = float(column), float(row), width, height
            # A quarter turn clockwise maps (u, v) to (height - 1 - v, u).
            for _ in range(quarter_turns):
                u, v, x, y, across, down = down - 1 - v, u, -y, x, down, across
            pixels.append((u, v))
            rays.append((x, y, z))
    if len(pixels) < 2 * TERMS:
        raise InputError(
            f"{camera.get_label()}: expected a calibrated lens, got one with almost no field of view"
        )
    return pixels, rays


def _angle_between_deg(one: tuple[float, float, float], other: tuple[float, float, float]) -> float:
    cross = float(np.linalg.norm(np.cross(one, other)))
    return math.degrees(math.atan2(cross, float(np.dot(one, other))))


def to_imu_sample(calibration: Any, label: str) -> Callable[[Any], ImuSample] | None:
    """Converts `MotionData` of the IMU `label` to a rectified `ImuSample` in the head's axes.

    None if the calibration has no such IMU. Times are in seconds on the device's clock.
    """
    imu = calibration.get_imu_calib(label)
    if imu is None:
        return None
    head = head_from(calibration, imu.get_transform_device_imu())

    def convert(sample: Any) -> ImuSample:
        force = head @ imu.raw_to_rectified_accel(np.asarray(sample.accel_msec2))
        rate = head @ imu.raw_to_rectified_gyro(np.asarray(sample.gyro_radsec))
        time_s = sample.capture_timestamp_ns * 1e-9
        return ImuSample(time_s, (force[0], force[1], force[2]), (rate[0], rate[1], rate[2]))

    return convert


def side_labels(calibration: Any) -> list[str]:
    """The labels of the side cameras, as the device names them."""
    labels = sorted(calibration.get_camera_labels())
    return [label for label in labels if label.endswith(SIDES)]


def missing(setting: str, error: Exception) -> MissingPart:
    """The error for a missing Aria library."""
    return MissingPart(
        f"{setting}: expected Aria's SDK, found none ({in_one_line(error)}); "
        f"run: {INSTALL} "
        "(CPython 3.11 or 3.12, Linux with glibc 2.34 or macOS 14 on Apple silicon)"
    )


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Discard stdout and stderr: Aria's C++ libraries print progress that no setting disables.

    Used only while a file or link is opened, before any of our threads runs; restored at once.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        for descriptor in (*kept, nowhere):
            os.close(descriptor)
