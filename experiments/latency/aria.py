"""What Aria's lenses and sensors cost on this machine, one core.

`python -m experiments.latency.aria` prints the hardware, warms up, takes medians over repeats and ends in
one line of JSON. Gen 1's RGB camera by the drawings, at the 1408 x 1408 pixels that its usual profiles
record: turning a picture upright, bending it to a pinhole's (`source.undistort=true`) and both, a
bearing through the fisheye polynomial, a sample of the IMU followed, and fitting the lens once.
"""

import argparse
import json
import math
import os
from collections.abc import Callable
from statistics import median

import numpy as np
from rich.console import Console
from rich.table import Table

from engine.devices.aria import lenses as glasses
from engine.perception.camera import direction
from engine.perception.head_pose import Head, Motion
from experiments.hardware import processor
from experiments.latency.stages import timed_ms
from tests.fakes.aria import GEN1, calibrated, felt

WARM_UPS = 3
SIDE_PX = 1408
SAMPLES = 1000  # of the IMU: a second of Gen 1's right one


def motions() -> list[Motion]:
    return [Motion(i / SAMPLES, felt(-5.0), (0.1, 0.2, 0.0)) for i in range(SAMPLES)]


def follow(samples: list[Motion]) -> None:
    head = Head()
    for sample in samples:
        head.feel(sample)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    repeats = parser.parse_args().repeats
    calibration = calibrated(GEN1, SIDE_PX)
    eye = glasses.eye(calibration, glasses.RGB)
    assert eye is not None
    flat = glasses.undistorted(eye)
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE_PX, SIDE_PX, 3), np.uint8)
    samples = motions()
    works: dict[str, Callable[[], object]] = {
        "upright_ms": lambda: eye.upright(pixels),
        "undistort_and_upright_ms": lambda: flat.frame(pixels, 0.0, 0),
        "bearing_us": lambda: [direction(200.0 + i, 900.0, eye.lens) for i in range(1000)],
        "imu_second_ms": lambda: follow(samples),
        "fit_lens_ms": lambda: glasses.eye(calibration, glasses.RGB),
    }
    figures: dict[str, float] = {}
    for name, work in works.items():
        for _ in range(WARM_UPS):
            work()
        # a thousand bearings in milliseconds are microseconds for each
        figures[name] = round(median(timed_ms(work) for _ in range(repeats)), 3)
    figures["lens_fit_error_deg"] = round(eye.fit_deg, 3)
    assert all(map(math.isfinite, figures.values()))
    figures["undistort_map_ms"] = round(timed_ms(lambda: glasses.undistorted(eye)), 1)
    console = Console(highlight=False)
    table = Table(title=f"{processor()}, {os.cpu_count()} cores, medians of {repeats}")
    for column in ("what", "cost"):
        table.add_column(column)
    for name, value in figures.items():
        table.add_row(name, f"{value:g}")
    console.print(table)
    print(json.dumps({"processor": processor(), "repeats": repeats} | figures))


if __name__ == "__main__":
    main()
