"""What Aria's generations and recordings share: calibration to a camera, pictures upright, head axes.

Which way is up is read from the device's own geometry and never assumed: Gen 1's cameras lie on their
side, Gen 2's stand. The wearer's frame is Aria's central pupil frame (x left, y up, z ahead).
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
from engine.devices.video.images import frozen
from engine.perception.camera import EPSILON, ray
from engine.perception.head_pose import ImuSample

Matrix = NDArray[np.float64]

INSTALL = "pip install -e '.[aria]'"
RGB = "camera-rgb"
SIDES = (
    "slam-left",
    "slam-right",
    "slam-side-left",
    "slam-side-right",
)  # by the end of their labels
HEAD_FROM_PUPIL = np.diag([-1.0, -1.0, 1.0])
FIT_POINTS = 25  # a side; the lens is fitted through so many pixels squared
WORST_FIT_DEG = 0.5  # a quarter of what a detector's edges wander by at 640 px
TURNS = {1: cv2.ROTATE_90_CLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_COUNTERCLOCKWISE}
TERMS = 7  # of the lens' polynomial: f, f·k1 .. f·k6


@dataclass(frozen=True, slots=True)
class Eye:
    """One camera of the glasses: quarter turns clockwise that make its pictures upright, its lens for
    upright pictures (with how it looks from the head), and by how much the lens misses the device's
    own calibration at the worst, in degrees."""

    label: str
    quarters: int
    lens: Fisheye
    fit_deg: float

    def upright(self, pixels: NDArray[np.uint8]) -> Image:
        """RGB (height, width, 3), upright, read-only; a copy, since SDKs use their buffers again."""
        if pixels.ndim == 2:
            pixels = np.repeat(pixels[:, :, None], 3, axis=2)
        if self.quarters == 0:
            return frozen(pixels.copy())
        return frozen(np.asarray(cv2.rotate(pixels, TURNS[self.quarters]), np.uint8))

    def frame(
        self,
        pixels: NDArray[np.uint8],
        time_s: float,
        seq: int,
        pose: Pose | None = None,
        side: Frame | None = None,
    ) -> Frame:
        """A frame of raw `pixels`; the lens goes with it, scaled where the picture is smaller."""
        name = "" if self.label == RGB else self.label
        return Frame(self.upright(pixels), time_s, seq, self.lens, name, pose, side)


def eye(calibration: Any, label: str) -> Eye | None:
    """The camera `label` of a `DeviceCalibration`; None where it has none of that name. Raises
    InputError where its lens cannot be told within WORST_FIT_DEG."""
    camera = calibration.get_camera_calib(label)
    if camera is None:
        return None
    head = head_from(calibration, camera.get_transform_device_camera())
    quarters = _quarters(head)
    upright = np.linalg.matrix_power(
        np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0, 0, 1.0]]), quarters
    )
    width, height = (int(side) for side in camera.get_image_size())
    lens, error_deg = _fitted(camera, width, height, quarters, head @ upright)
    if error_deg > WORST_FIT_DEG:
        raise InputError(
            f"{label}: expected a lens that a fisheye polynomial follows within {WORST_FIT_DEG} "
            f"degrees, got one that is {error_deg:.1f} off; calibrate the glasses again"
        )
    return Eye(label, quarters, lens, error_deg)


@dataclass(frozen=True, slots=True)
class Undistorted:
    """An `Eye` whose pictures are bent to a pinhole's before they leave: for models that were taught on
    such pictures only. What lies beyond 45 degrees is cut off. `columns` and `rows` (height, width) say
    where in the upright picture each pixel comes from."""

    eye: Eye
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
        """As `Eye.frame`."""
        bent = cv2.remap(self.eye.upright(pixels), self.columns, self.rows, cv2.INTER_LINEAR)
        return Frame(frozen(np.asarray(bent, np.uint8)), time_s, seq, self.lens, "", pose, side)


def undistorted(seen: Eye) -> Undistorted:
    """The pinhole that sees 45 degrees to each side along the longer one."""
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
    return Undistorted(seen, lens, columns.astype(np.float32), rows.astype(np.float32))


def head_from(calibration: Any, device_from_sensor: Any) -> Matrix:
    """The rotation (3, 3) from a sensor's axes to the head's."""
    device_from_pupil = calibration.get_transform_device_cpf().to_matrix()[:3, :3]
    rotation = device_from_sensor.to_matrix()[:3, :3]
    head: Matrix = HEAD_FROM_PUPIL @ device_from_pupil.T @ rotation
    return head


def _quarters(head: Matrix) -> int:
    """Quarter turns clockwise after which a picture's columns run down the head's y axis."""
    right, down = head[:, 0], head[:, 1]
    return int(np.argmax([down[1], right[1], -down[1], -right[1]]))


def _fitted(
    camera: Any, width: int, height: int, quarters: int, turn: Matrix
) -> tuple[Fisheye, float]:
    """Kannala and Brandt's polynomial through the directions of a grid of pixels, and its largest
    error in degrees. Everything but the angles is linear: u = cx + cos(phi) Σ a_i angle^(2i+1)."""
    places: list[tuple[float, float]] = []
    rays: list[tuple[float, float, float]] = []
    for column in np.linspace(0, width - 1, FIT_POINTS):
        for row in np.linspace(0, height - 1, FIT_POINTS):
            seen = camera.unproject(np.array([column, row]))
            # beyond where the lens sees, its formula bends back: what does not return is not seen
            back = None if seen is None else camera.project(seen)
            if seen is None or back is None or abs(back - (column, row)).max() > 0.1:
                continue
            x, y, z = (float(value) for value in seen)
            u, v, across, down = float(column), float(row), width, height
            for _ in range(
                quarters
            ):  # a quarter turn clockwise: (u, v) goes to (height - 1 - v, u)
                u, v, x, y, across, down = down - 1 - v, u, -y, x, down, across
            places.append((u, v))
            rays.append((x, y, z))
    if len(places) < 2 * TERMS:
        raise InputError(
            f"{camera.get_label()}: expected a lens, got one that sees next to nothing"
        )
    xyz = np.array(rays)
    across_m = np.hypot(xyz[:, 0], xyz[:, 1])
    angles = np.arctan2(across_m, xyz[:, 2])
    powers = np.stack([angles ** (2 * i + 1) for i in range(TERMS)], axis=1)
    cosine, sine = (
        xyz[:, 0] / np.maximum(across_m, EPSILON),
        xyz[:, 1] / np.maximum(across_m, EPSILON),
    )
    one, none = np.ones(len(xyz)), np.zeros(len(xyz))
    table = np.concatenate(
        [
            np.column_stack([one, none, powers * cosine[:, None]]),
            np.column_stack([none, one, powers * sine[:, None]]),
        ]
    )
    wanted = np.concatenate([[u for u, _ in places], [v for _, v in places]])
    cx, cy, focal, *rest = np.linalg.lstsq(table, wanted, rcond=None)[0]
    wide, tall = (width, height) if quarters % 2 == 0 else (height, width)
    k1, k2, k3, k4, k5, k6 = (float(value / focal) for value in rest)
    own = Fisheye(
        float(focal), float(focal), float(cx), float(cy), wide, tall, k1, k2, k3, k4, k5, k6
    )
    error_deg = max(
        _apart_deg(ray(u, v, own), seen) for (u, v), seen in zip(places, rays, strict=True)
    )
    rows: Rotation = tuple((float(a), float(b), float(c)) for a, b, c in turn)  # type: ignore[assignment]
    return replace(own, rotation=rows), error_deg


def _apart_deg(one: tuple[float, float, float], other: tuple[float, float, float]) -> float:
    cross = float(np.linalg.norm(np.cross(one, other)))
    return math.degrees(math.atan2(cross, float(np.dot(one, other))))


def motions(calibration: Any, label: str) -> Callable[[Any], ImuSample] | None:
    """What turns a `MotionData` of the IMU `label` into `ImuSample` in the head's axes, rectified; None
    where the calibration has no such IMU. Times are the device's, in seconds."""
    imu = calibration.get_imu_calib(label)
    if imu is None:
        return None
    head = head_from(calibration, imu.get_transform_device_imu())

    def convert(sample: Any) -> ImuSample:
        felt = head @ imu.raw_to_rectified_accel(np.asarray(sample.accel_msec2))
        turned = head @ imu.raw_to_rectified_gyro(np.asarray(sample.gyro_radsec))
        time_s = sample.capture_timestamp_ns * 1e-9
        return ImuSample(time_s, (felt[0], felt[1], felt[2]), (turned[0], turned[1], turned[2]))

    return convert


def side_labels(calibration: Any) -> list[str]:
    """The labels of the cameras that look aside, as the device names them."""
    labels = sorted(calibration.get_camera_labels())
    return [label for label in labels if label.endswith(SIDES)]


def missing(setting: str, error: Exception) -> MissingPart:
    """The one line for a library of the glasses that is not installed."""
    return MissingPart(
        f"{setting}: expected Aria's SDK, found none ({in_one_line(error)}); "
        f"run: {INSTALL} "
        "(CPython 3.11 or 3.12, Linux with glibc 2.34 or macOS 14 on Apple silicon)"
    )


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Aria's libraries tell their progress on stdout and stderr, whatever one asks: both go nowhere
    while they open a file or a link, before any thread of ours runs."""
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
