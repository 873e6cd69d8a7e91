"""The data of a source: frames, each with its camera model and head pose.

Frozen data. Times are seconds of the host's monotonic clock, or of a batch's virtual clock.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # (height, width, 3), RGB, upright, read-only

Vector3 = tuple[float, float, float]
Rotation = tuple[Vector3, Vector3, Vector3]  # the rows of a rotation matrix


@dataclass(frozen=True, slots=True)
class Intrinsics:
    """Pinhole camera: focal lengths and principal point in pixels of a width x height image.

    `rotation` converts directions from the camera's axes to the head's axes (x right, y down, z
    ahead). None means that the camera looks straight ahead.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int
    rotation: Rotation | None = None


@dataclass(frozen=True, slots=True)
class Fisheye:
    """Wide-angle camera: focal lengths and principal point in pixels of a width x height image.

    A ray at angle a from the axis is projected f · (a + k1 a³ + k2 a⁵ + k3 a⁷ + k4 a⁹ + k5 a¹¹ +
    k6 a¹³) from the principal point (Kannala and Brandt 2006). Up to k4 this is OpenCV's fisheye
    model, up to k6 the radial part of Aria's. `rotation` as in `Intrinsics`.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int
    k1: float = 0.0
    k2: float = 0.0
    k3: float = 0.0
    k4: float = 0.0
    k5: float = 0.0
    k6: float = 0.0
    rotation: Rotation | None = None


Camera = Intrinsics | Fisheye


@dataclass(frozen=True, slots=True)
class Pose:
    """Orientation and movement of the wearer's head, from an inertial sensor.

    `pitch_deg` is positive upwards, `pitch_sigma_deg` is its standard deviation. `heading_deg` is
    the rotation to the right from an arbitrary zero, `turning_deg_s` its rate.
    """

    pitch_deg: float
    pitch_sigma_deg: float
    heading_deg: float
    turning_deg_s: float
    walking: bool


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One image with its capture time.

    `seq` counts the frames that the source produced, including dropped ones. `name` is the image's
    file name or the side camera's name, if there is one. `pose` is the head pose at the capture
    time, if the source measures it. `side` is the newest image of a side camera that no earlier
    frame carried.
    """

    image: Image
    time_s: float
    seq: int
    intrinsics: Camera | None = None
    name: str = ""
    pose: Pose | None = None
    side: "Frame | None" = None

    @property
    def width(self) -> int:
        return int(self.image.shape[1])

    @property
    def height(self) -> int:
        return int(self.image.shape[0])
