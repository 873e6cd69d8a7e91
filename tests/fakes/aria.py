"""Aria glasses of known geometry, and recordings of scenes with known directions, times, motion.

Lenses and their positions are official: Meta's published lens and the CAD extrinsics.

Directions are the head's: x right, y down, z ahead, any length.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from projectaria_tools.core import calibration as official
from projectaria_tools.core.sophus import SO3
from projectaria_tools.projects import ase

from engine.devices.aria.lenses import HEAD_FROM_PUPIL
from tests.fakes.vrs_file import Recording, Stream, pixels

GRAVITY_M_S2 = 9.80665
RED = (255, 0, 0)
SIDE_LENS = np.array([120.0, 160.0, 120.0, -0.02, 0.1, -0.07, 0.01, 0, 0, 0, 0, 0, 0, 0, 0])

Axis = tuple[float, float, float]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Generation:
    """One generation of the glasses, by its official drawings."""

    version: Any
    subtype: str
    origin: str
    device: str  # as recordings name it
    quarters: int  # clockwise quarter turns that make its RGB frames upright
    sides: tuple[str, str]


GEN1 = Generation(
    official.DeviceVersion.Gen1,
    "DVT-S",
    "camera-slam-left",
    "Aria",
    1,
    ("camera-slam-left", "camera-slam-right"),
)
GEN2 = Generation(
    official.DeviceVersion.Gen2,
    "DVT_SS",
    "slam-front-left",
    "oatmeal",
    0,
    ("slam-side-left", "slam-side-right"),
)


def device_calibration(generation: Generation, side: int = 352) -> Any:
    """A `DeviceCalibration`: RGB by the lens that Meta publishes for its simulated glasses, side
    cameras by a plain wide lens, everything where the drawings have it."""
    drawings = official.DeviceCadExtrinsics(
        generation.version, generation.subtype, generation.origin
    )
    places = official.DeviceCalibration(
        device_cad_extrinsics=drawings,
        device_subtype=generation.subtype,
        origin_label=generation.origin,
        device_version=generation.version,
    )

    def camera(
        label: str, lens: NDArray[np.float64], size: tuple[int, int], wide_rad: float
    ) -> Any:
        return official.CameraCalibration(
            label,
            official.CameraModelType.FISHEYE624,
            lens,
            places.get_transform_device_sensor(label, True),
            *size,
            None,
            wide_rad,
            label,
        )

    lens = ase.get_ase_rgb_calibration().get_projection_params().copy()
    lens[:3] *= side / 704
    cameras = {"camera-rgb": camera("camera-rgb", lens, (side, side), 1.0)}
    for label in generation.sides:
        cameras[label] = camera(label, SIDE_LENS, (320, 240), 1.3)
    one, none = np.eye(3), np.zeros(3)
    imu = official.ImuCalibration(
        "imu-left", one, none, one, none, places.get_transform_device_sensor("imu-left", True)
    )
    return official.DeviceCalibration(
        cameras,
        {"imu-left": imu},
        device_cad_extrinsics=drawings,
        device_subtype=generation.subtype,
        origin_label=generation.origin,
        device_version=generation.version,
    )


def calibration_json(calibration: Any) -> str:
    """As JSON, as recordings carry it."""
    return str(official.device_calibration_to_json_string(calibration))


def sensor_from_head(calibration: Any, device_from_sensor: Any) -> NDArray[np.float64]:
    """The rotation (3, 3) of directions, by the official transforms alone."""
    device_from_pupil = calibration.get_transform_device_cpf().to_matrix()[:3, :3]
    return np.asarray(
        device_from_sensor.to_matrix()[:3, :3].T @ device_from_pupil @ HEAD_FROM_PUPIL.T
    )


def projected(calibration: Any, label: str, direction: Axis) -> NDArray[np.float64] | None:
    """The raw pixel of a distant point, by the official projection."""
    camera = calibration.get_camera_calib(label)
    turn = sensor_from_head(calibration, camera.get_transform_device_camera())
    found = camera.project(turn @ np.array(direction) * 100.0)
    return None if found is None else np.asarray(found)


def picture(
    calibration: Any, label: str, direction: Axis | None, half: int = 5, level: int = 60
) -> Pixels:
    """A raw image, uniform but for a square at `direction`: red, or white on side cameras."""
    camera = calibration.get_camera_calib(label)
    width, height = camera.get_image_size()
    grey = label != "camera-rgb"
    image = np.full((height, width) if grey else (height, width, 3), level, np.uint8)
    at = None if direction is None else projected(calibration, label, direction)
    if at is not None:
        u, v = round(float(at[0])), round(float(at[1]))
        rows, columns = slice(max(0, v - half), v + half + 1), slice(max(0, u - half), u + half + 1)
        image[rows, columns] = 255 if grey else RED
    return image


def photo_ahead(calibration: Any, photo: Pixels, hfov_deg: float) -> Pixels:
    """The raw RGB image that glasses would take of a flat photo held straight before them, as a
    pinhole that sees `hfov_deg` along its longer side took it. Bent by the official library."""
    height, width = photo.shape[:2]
    focal = max(width, height) / 2 / np.tan(np.radians(hfov_deg) / 2)
    camera = calibration.get_camera_calib("camera-rgb")
    turn = sensor_from_head(calibration, camera.get_transform_device_camera())
    return np.asarray(
        official.distort_by_calibration_and_apply_rotation(
            photo,
            camera,
            official.get_linear_camera_calibration(width, height, focal, "photo"),
            SO3.from_matrix(turn.T),
        ),
        np.uint8,
    )


def acceleration_at_rest(pitch_deg: float) -> Axis:
    """What an accelerometer measures in a head at rest that looks up by `pitch_deg`."""
    pitch = np.radians(pitch_deg)
    return 0.0, -GRAVITY_M_S2 * float(np.cos(pitch)), GRAVITY_M_S2 * float(np.sin(pitch))


def add_image(stream: Stream, time_s: float, image: Pixels, number: int) -> None:
    stream.add(time_s, pixels(image), frame_number=number, capture_timestamp_ns=round(time_s * 1e9))


def add_imu_sample(
    stream: Stream, calibration: Any, time_s: float, accelerated: Axis, turned: Axis
) -> None:
    """One IMU sample, given in the head's axes and stored in the IMU's."""
    imu = calibration.get_imu_calib("imu-left")
    turn = sensor_from_head(calibration, imu.get_transform_device_imu())
    stream.add(
        time_s,
        accelerometer_valid=1,
        gyroscope_valid=1,
        capture_timestamp_ns=round(time_s * 1e9),
        accelerometer=[float(v) for v in turn @ np.array(accelerated)],
        gyroscope=[float(v) for v in turn @ np.array(turned)],
    )


def imu_instance(generation: Generation) -> int:
    """The stream of the left IMU."""
    return 2 if generation is GEN1 else 1


def side_instance(generation: Generation, label: str) -> int:
    gen1 = {"camera-slam-left": 1, "camera-slam-right": 2}
    return gen1[label] if generation is GEN1 else {"slam-side-left": 3, "slam-side-right": 4}[label]


def recording(
    path: Path,
    generation: Generation,
    directions: Sequence[Axis | None],
    pitch_deg: float = 0.0,
    turning_rad_s: float = 0.0,
    rate_hz: float = 10.0,
    sides: bool = False,
    start_s: float = 5.0,
) -> Path:
    """A file with one frame for each direction, a 200 Hz IMU from 1.5 s before the first frame, and
    side cameras if `sides`. `turning_rad_s` is to the right."""
    calibration = device_calibration(generation)
    out = Recording(calibration_json(calibration), generation.device)
    width, height = calibration.get_camera_calib("camera-rgb").get_image_size()
    rgb = out.camera(214, 1, width, height, rate_hz)
    aside = {
        label: out.camera(1201, side_instance(generation, label), 320, 240, rate_hz, grey=True)
        for label in (generation.sides if sides else ())
    }
    for number, direction in enumerate(directions):
        time_s = start_s + number / rate_hz
        add_image(rgb, time_s, picture(calibration, "camera-rgb", direction), number)
        for label, stream in aside.items():
            add_image(stream, time_s, picture(calibration, label, direction), number)
    imu = out.imu(imu_instance(generation), 200.0)
    # a turn to the right is about the upward axis, which is the head's -y, against the right hand
    pitch = np.radians(pitch_deg)
    turned = (0.0, turning_rad_s * float(np.cos(pitch)), -turning_rad_s * float(np.sin(pitch)))
    for i in range(int((1.5 + len(directions) / rate_hz) * 200)):
        add_imu_sample(
            imu, calibration, start_s - 1.5 + i / 200, acceleration_at_rest(pitch_deg), turned
        )
    return out.write(path)


def red_square(image: Pixels) -> tuple[float, float]:
    """The centre of the red square in an upright RGB image, in pixels."""
    rows, columns = np.nonzero((image[..., 0] > 200) & (image[..., 1] < 60))
    assert len(rows), "no red square"
    return float(columns.mean()), float(rows.mean())
