"""What Aria's lens and sensors cost on this machine, on one core.

`python -m experiments.latency.aria` warms up and takes medians over repeats, for Gen 1's RGB camera
at 1408 x 1408 pixels, positioned by the official CAD extrinsics: turning an image upright,
undistorting it to a pinhole image (`source.undistort=true`) and both, a bearing through the fisheye
polynomial, one second of IMU samples, and fitting the lens once. Needs the extra `aria`.
"""

import math
import sys
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console

from engine.devices.aria import lenses
from engine.perception.camera import direction
from engine.perception.head_pose import HeadTracker, ImuSample
from experiments.common import (
    add_repeats,
    command_parser,
    hardware,
    hardware_line,
    last_line,
    table_of,
    timed_ms,
)

WARM_UPS = 3
SIDE_PX = 1408  # of Gen 1's RGB images in its usual profiles
IMU_HZ = 1000  # Gen 1's right IMU
GRAVITY_M_S2 = 9.80665
PITCH_RAD = math.radians(-5.0)


def gen1_calibration() -> Any:
    """Gen 1's RGB camera: placed by the official CAD extrinsics, with the lens that Meta publishes
    for its simulated glasses. Raises MissingPart without projectaria-tools."""
    try:
        from projectaria_tools.core import calibration
        from projectaria_tools.projects import ase
    except ImportError as error:
        raise lenses.missing("experiments.latency.aria", error) from error

    version, subtype, origin = calibration.DeviceVersion.Gen1, "DVT-S", "camera-slam-left"
    device = {
        "device_cad_extrinsics": calibration.DeviceCadExtrinsics(version, subtype, origin),
        "device_subtype": subtype,
        "origin_label": origin,
        "device_version": version,
    }
    placed = calibration.DeviceCalibration(**device).get_transform_device_sensor(lenses.RGB, True)
    lens = ase.get_ase_rgb_calibration().get_projection_params().copy()
    lens[:3] *= SIDE_PX / 704  # Meta publishes it for images of 704 px
    model = calibration.CameraModelType.FISHEYE624
    camera = calibration.CameraCalibration(
        lenses.RGB, model, lens, placed, SIDE_PX, SIDE_PX, None, 1.0, lenses.RGB
    )
    return calibration.DeviceCalibration({lenses.RGB: camera}, {}, **device)


def imu_second() -> list[ImuSample]:
    """One second of a resting head that looks down by 5 degrees while it turns."""
    gravity = (0.0, -GRAVITY_M_S2 * math.cos(PITCH_RAD), GRAVITY_M_S2 * math.sin(PITCH_RAD))
    return [ImuSample(sample / IMU_HZ, gravity, (0.1, 0.2, 0.0)) for sample in range(IMU_HZ)]


def follow(samples: list[ImuSample]) -> None:
    head = HeadTracker()
    for sample in samples:
        head.add(sample)


def report(repeats: int, console: Console) -> dict[str, Any]:
    """Measure and print everything; return what the last line says."""
    calibration = gen1_calibration()
    camera = lenses.calibrated_camera(calibration, lenses.RGB)
    assert camera is not None
    flat = lenses.rectified(camera)
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE_PX, SIDE_PX, 3), np.uint8)
    samples = imu_second()
    works: dict[str, Callable[[], object]] = {
        "upright_ms": lambda: camera.upright(pixels),
        "undistort_and_upright_ms": lambda: flat.frame(pixels, 0.0, 0),
        "bearing_us": lambda: [direction(200.0 + i, 900.0, camera.lens) for i in range(1000)],
        "imu_second_ms": lambda: follow(samples),
        "fit_lens_ms": lambda: lenses.calibrated_camera(calibration, lenses.RGB),
    }
    figures: dict[str, float] = {}
    for name, work in works.items():
        for _ in range(WARM_UPS):
            work()
        # Milliseconds for a thousand bearings equal microseconds per bearing.
        figures[name] = round(median(timed_ms(work) for _ in range(repeats)), 3)
    figures["lens_fit_error_deg"] = round(camera.fit_error_deg, 3)
    assert all(map(math.isfinite, figures.values()))
    figures["undistort_map_ms"] = round(timed_ms(lambda: lenses.rectified(camera)), 1)
    table = table_of(f"medians of {repeats}", "what", "cost")
    for name, value in figures.items():
        table.add_row(name, f"{value:g}")
    console.print(table)
    return hardware() | {"repeats": repeats} | figures


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("experiments.latency.aria", __doc__)
    add_repeats(parser, 20)
    args = parser.parse_args(arguments)
    console = Console(highlight=False)
    console.print(hardware_line())
    return last_line("experiments.latency.aria", lambda: report(args.repeats, console))


if __name__ == "__main__":
    sys.exit(main())
