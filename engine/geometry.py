"""Pixels to metres and degrees: pure formulas over boxes and a pinhole camera.

Remembers no frame; knows of a thing only its size. A picture's width is always the camera's own,
never an assumed one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from engine.classes import Kind
from engine.types import Box, Intrinsics, Side

CORRIDOR_DEG = 12.0  # half of what counts as ahead: 0.85 m to either side at 4 m
COVER_DEG = 3.0  # a box that reaches this far to both sides of straight ahead is ahead as well
MIN_DISTANCE_M = 0.2
MAX_DISTANCE_M = 200.0
EDGE_SHARE = 0.005  # a box this near the border (share of that side) is taken to be cut by it
NOISE_PX = 2.0  # a detector's edges wander by about this much, at 640 px on the longer side
NOISE_SHARE = 0.01  # and by this share of the box
CUT_SPREAD = 0.5  # how much of a cut thing shows is anyone's guess
MIN_BOX_PX = 1.0


@dataclass(frozen=True, slots=True)
class Range:
    """A distance and one standard deviation, both in metres."""

    distance_m: float
    sigma_m: float


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line through samples over time: its value now, its slope and the slope's error."""

    value: float
    slope: float
    slope_error: float


def pinhole(width: int, height: int, fov_deg: float) -> Intrinsics:
    """A camera of which only the field of view along the longer side is known, so that a phone has
    one focal length held either way: square pixels, centred, f = (long side / 2) / tan(fov / 2)."""
    focal = max(width, height) / 2 / math.tan(math.radians(fov_deg) / 2)
    return Intrinsics(focal, focal, width / 2, height / 2, width, height)


def resized(camera: Intrinsics, width: int, height: int) -> Intrinsics:
    """The same camera for a picture that was scaled to width x height."""
    if (camera.width, camera.height) == (width, height):
        return camera
    x, y = width / max(1, camera.width), height / max(1, camera.height)
    return Intrinsics(camera.fx * x, camera.fy * y, camera.cx * x, camera.cy * y, width, height)


def is_usable(camera: Intrinsics) -> bool:
    """Whether the numbers describe a camera at all: finite, and no wider than 169 degrees, beyond
    which no pinhole sees."""
    numbers = (camera.fx, camera.fy, camera.cx, camera.cy)
    least = max(1.0, 0.05 * max(camera.width, camera.height))
    return all(map(math.isfinite, numbers)) and min(camera.fx, camera.fy) >= least


def clipped(box: Box, width: int, height: int) -> Box:
    """The part of `box` inside the picture, corners in order. What lies outside collapses onto the
    border; an edge that is not a number is taken to be the picture's own (the nearer error)."""
    x1, x2 = sorted((_inside(box.x1, width, 0.0), _inside(box.x2, width, float(width))))
    y1, y2 = sorted((_inside(box.y1, height, 0.0), _inside(box.y2, height, float(height))))
    return Box(x1, y1, x2, y2)


def cut_sides(box: Box, camera: Intrinsics) -> tuple[bool, bool]:
    """Whether the border cuts the width of `box`, and whether it cuts the height."""
    margin_x, margin_y = EDGE_SHARE * camera.width, EDGE_SHARE * camera.height
    return (
        box.x1 <= margin_x or box.x2 >= camera.width - margin_x,
        box.y1 <= margin_y or box.y2 >= camera.height - margin_y,
    )


def bearing_deg(x_px: float, camera: Intrinsics) -> float:
    """Degrees from straight ahead to the column `x_px`, positive to the right."""
    return math.degrees(math.atan2(x_px - camera.cx, camera.fx))


def side_of(box: Box, camera: Intrinsics) -> Side:
    """Ahead when the centre lies within the corridor, or when the box covers straight ahead (a bus
    across the way, a person near by)."""
    centre = bearing_deg(box.centre_x, camera)
    left, right = bearing_deg(box.x1, camera), bearing_deg(box.x2, camera)
    if abs(centre) <= CORRIDOR_DEG or (left <= -COVER_DEG and right >= COVER_DEG):
        return "ahead"
    return "left" if centre < 0 else "right"


def relative_noise(size_px: float, camera: Intrinsics) -> float:
    """One standard deviation of a box's width or height, as a share of it."""
    noise_px = NOISE_PX * max(camera.width, camera.height) / 640
    return math.hypot(NOISE_SHARE, noise_px / max(MIN_BOX_PX, size_px))


def distance(box: Box, kind: Kind, camera: Intrinsics) -> Range:
    """How far a thing of known size is: depth = f · size / pixels, over cos(bearing).

    The height speaks while it is whole. Cut by the upper or lower border it only says "at most this
    far"; then a whole width is weighed in by inverse variances, or, cut as well, the lesser of the
    two bounds is taken: warning early is the safer error. So a box that grows never recedes. `box`
    is clipped to the picture.
    """
    cut_x, cut_y = cut_sides(box, camera)
    by_height = camera.fy * kind.height_m / max(MIN_BOX_PX, box.height)
    by_width = camera.fx * kind.width_m / max(MIN_BOX_PX, box.width)
    depth, spread = by_height, kind.spread
    if cut_y and cut_x:
        depth, spread = min(by_height, by_width), math.hypot(spread, CUT_SPREAD)
    elif cut_y:
        precise, vague = kind.width_spread**-2, math.hypot(spread, CUT_SPREAD) ** -2
        mean = (precise * math.log(by_width) + vague * math.log(by_height)) / (precise + vague)
        # where the two disagree, the spread of the disagreement is not averaged away
        apart = abs(math.log(by_width / by_height)) / 2
        depth = min(by_height, math.exp(mean))
        spread = math.hypot((precise + vague) ** -0.5, apart)
    relative = math.hypot(spread, relative_noise(box.height, camera))
    slant = depth / math.cos(math.radians(bearing_deg(box.centre_x, camera)))
    found = min(MAX_DISTANCE_M, max(MIN_DISTANCE_M, slant))
    return Range(found, found * min(1.0, relative))


def fit_line(samples: Sequence[tuple[float, float]], now_s: float, noise: float) -> Line:
    """Least squares through one or more (time_s, value), no two at one time. `noise` is the least
    standard deviation of a value: three samples that happen to agree prove little."""
    count = len(samples)
    mean_t = sum(t for t, _ in samples) / count
    mean_v = sum(v for _, v in samples) / count
    spread = sum((t - mean_t) ** 2 for t, _ in samples)
    if spread == 0.0:
        return Line(mean_v, 0.0, math.inf)
    slope = sum((t - mean_t) * (v - mean_v) for t, v in samples) / spread
    residual = sum((v - mean_v - slope * (t - mean_t)) ** 2 for t, v in samples)
    scatter = max(noise, math.sqrt(residual / max(1, count - 2)))
    return Line(mean_v + slope * (now_s - mean_t), slope, scatter / math.sqrt(spread))


def _inside(value: float, size: int, otherwise: float) -> float:
    return otherwise if math.isnan(value) else min(max(value, 0.0), float(size))
