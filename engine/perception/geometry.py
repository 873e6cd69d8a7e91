"""Boxes to metres and degrees: pure formulas over directions.

Remembers no frame; knows of a thing only its size and whether it stands on the ground. A picture's
width is always the camera's own, never an assumed one, and how a pixel becomes a direction is
`engine.perception.camera`'s alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from engine.core.camera import Camera
from engine.core.glance import Box, Side
from engine.perception.camera import Mount, direction
from engine.perception.classes import Kind

CORRIDOR_DEG = 12.0  # half of what counts as ahead: 0.85 m to either side at 4 m
COVER_DEG = 3.0  # a box that reaches this far to both sides of straight ahead is ahead as well
MIN_DISTANCE_M = 0.2
MAX_DISTANCE_M = 200.0
EDGE_SHARE = 0.01  # a box this near the border (share of that side) is taken to be cut by it
NOISE_PX = 2.0  # a detector's edges wander by about this much, at 640 px on the longer side
NOISE_SHARE = 0.01  # and by this share of the box
CUT_SPREAD = 0.5  # how much of a cut thing shows is anyone's guess
MIN_BOX_PX = 1.0
GROUND_SPREAD = 0.6  # a distance by the ground vaguer than this share says nothing
WIDEST_DEG = 170.0  # no thing is wider to the eye
LEVEL = Mount()


@dataclass(frozen=True, slots=True)
class Range:
    """A distance and one standard deviation, both in metres."""

    distance_m: float
    sigma_m: float


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line through samples over time: its value now, its slope, the error (one standard
    deviation) of either, and how they err together (their covariance)."""

    value: float
    slope: float
    slope_error: float
    value_error: float = math.inf
    covariance: float = 0.0


def clipped(box: Box, width: int, height: int) -> Box:
    """The part of `box` inside the picture, corners in order. What lies outside collapses onto the
    border; an edge that is not a number is taken to be the picture's own (the nearer error)."""
    x1, x2 = sorted((_inside(box.x1, width, 0.0), _inside(box.x2, width, float(width))))
    y1, y2 = sorted((_inside(box.y1, height, 0.0), _inside(box.y2, height, float(height))))
    return Box(x1, y1, x2, y2)


def cut_sides(box: Box, camera: Camera) -> tuple[bool, bool]:
    """Whether the border cuts the width of `box`, and whether it cuts the height."""
    margin_x, margin_y = EDGE_SHARE * camera.width, EDGE_SHARE * camera.height
    return (
        box.x1 <= margin_x or box.x2 >= camera.width - margin_x,
        box.y1 <= margin_y or box.y2 >= camera.height - margin_y,
    )


def foot_is_cut(box: Box, camera: Camera) -> bool:
    """Whether the lower border cuts `box`, so that it meets the ground out of sight."""
    return box.y2 >= camera.height * (1.0 - EDGE_SHARE)


def bearings_deg(box: Box, camera: Camera, pitch_deg: float = 0.0) -> tuple[float, float, float]:
    """Degrees from straight ahead, positive to the right, of the left edge, the middle and the right
    edge of `box`, half way up."""
    row = (box.y1 + box.y2) / 2
    left, middle, right = (
        direction(x_px, row, camera, pitch_deg).bearing_deg
        for x_px in (box.x1, box.centre_x, box.x2)
    )
    return left, middle, right


def side_of(box: Box, camera: Camera, pitch_deg: float = 0.0) -> Side:
    """Ahead when the centre lies within the corridor, or when the box covers straight ahead (a bus
    across the way, a person near by)."""
    left, centre, right = bearings_deg(box, camera, pitch_deg)
    if abs(centre) <= CORRIDOR_DEG or (left <= -COVER_DEG and right >= COVER_DEG):
        return "ahead"
    return "left" if centre < 0 else "right"


def extent(box: Box, camera: Camera, pitch_deg: float = 0.0) -> tuple[float, float]:
    """(height, width) of `box` for the eye: metres of size for each metre of distance along the
    ground. So of a thing that comes nearer both grow as 1 / distance, through any lens."""
    top = direction(box.centre_x, box.y1, camera, pitch_deg).drop
    foot = direction(box.centre_x, box.y2, camera, pitch_deg).drop
    left, _, right = bearings_deg(box, camera, pitch_deg)
    # A turn past straight behind would make the right edge lie left of the left one.
    seen_deg = min(WIDEST_DEG, (right - left) % 360.0)
    least = MIN_BOX_PX / camera.fx
    return max(least, foot - top), max(least, 2 * math.tan(math.radians(seen_deg) / 2))


def relative_noise(seen: float, camera: Camera) -> float:
    """One standard deviation of a box's height or width as `extent` gives it, as a share of it."""
    return math.hypot(NOISE_SHARE, _noise_px(camera) / camera.fx / max(1e-9, seen))


def distance(box: Box, kind: Kind, camera: Camera, mount: Mount = LEVEL) -> Range:
    """How far a thing of known size is along the ground: its size over its `extent`.

    The height speaks while it is whole. Cut by the upper or lower border it only says "at most this
    far": then the width speaks, unless that is farther, or, cut as well, the lesser of the two bounds:
    warning early is the safer error. So a box that grows never recedes, nor does one that sinks below
    the picture. `box` is clipped to the picture. A pitch that is wrong by e tilts both ends of a
    height, which then errs by e · (the sum of both ends' drops).
    """
    cut_x, cut_y = cut_sides(box, camera)
    tall, wide = extent(box, camera, mount.pitch_deg)
    by_height, by_width = kind.height_m / tall, kind.width_m / wide
    found, spread = by_height, kind.spread
    if cut_y and cut_x:
        found, spread = min(by_height, by_width), math.hypot(spread, CUT_SPREAD)
    elif cut_y:
        # where the two disagree, the spread of the disagreement is not left out
        apart = abs(math.log(by_width / by_height)) / 2
        found, spread = min(by_height, by_width), math.hypot(kind.width_spread, min(apart, 0.5))
    foot = direction(box.centre_x, box.y2, camera, mount.pitch_deg).drop
    tilted = math.radians(mount.pitch_sigma_deg) * abs(2 * foot - tall)
    relative = math.hypot(spread, relative_noise(tall, camera), tilted)
    found = min(MAX_DISTANCE_M, max(MIN_DISTANCE_M, found))
    return Range(found, found * min(1.0, relative))


def ground_distance(box: Box, camera: Camera, mount: Mount = LEVEL) -> Range | None:
    """How far the foot of `box` is, standing on level ground: d = camera height / drop. None at or
    above the horizon, or where a pitch off by its sigma could put it nearly anywhere.

    With a the angle below the horizon, d(log d) = da / (sin a · cos a): far off, an error of pitch
    counts about d / height times. Precision is counted from GROUND_SPREAD on, so that the ground
    fades in and out as the foot moves and never jumps.
    """
    drop = direction(box.centre_x, box.y2, camera, mount.pitch_deg).drop
    if drop <= 0.0:
        return None
    angle = math.atan(drop)
    sigma = math.hypot(math.radians(mount.pitch_sigma_deg), _noise_px(camera) / camera.fx)
    relative = math.hypot(
        mount.height_sigma_m / mount.height_m, sigma / (math.sin(angle) * math.cos(angle))
    )
    precision = relative**-2 - GROUND_SPREAD**-2
    if precision <= 0.0:
        return None
    found = min(MAX_DISTANCE_M, max(MIN_DISTANCE_M, mount.height_m / drop))
    return Range(found, found * precision**-0.5)


def fused(size: Range, ground: Range | None, at_most: bool) -> Range:
    """Both distances as one, weighed by inverse variances of their logarithms: errors of size and of
    pitch are factors, and never make a distance negative.

    `at_most`: the border cut the foot, so that the ground is only a bound and counts only where it
    is the nearer. Where the two disagree by more than their sigmas allow, the sigma is stretched to
    cover it (the Particle Data Group's scale factor, for two).
    """
    if ground is None or (at_most and ground.distance_m >= size.distance_m):
        return size
    one, other = size.sigma_m / size.distance_m, ground.sigma_m / ground.distance_m
    weight = one**2 / (one**2 + other**2)
    apart = math.log(ground.distance_m / size.distance_m)
    stretch = max(1.0, abs(apart) / math.hypot(one, other))
    found = size.distance_m * math.exp(weight * apart)
    return Range(found, found * min(1.0, one * other / math.hypot(one, other) * stretch))


def fit_line(samples: Sequence[tuple[float, float]], now_s: float, noise: float) -> Line:
    """Least squares through one or more (time_s, value), no two at one time. `noise` is the least
    standard deviation of a value: three samples that happen to agree prove little."""
    count = len(samples)
    mean_t = sum(t for t, _ in samples) / count
    mean_v = sum(v for _, v in samples) / count
    spread = sum((t - mean_t) ** 2 for t, _ in samples)
    if spread == 0.0:
        return Line(mean_v, 0.0, math.inf, noise)
    slope = sum((t - mean_t) * (v - mean_v) for t, v in samples) / spread
    residual = sum((v - mean_v - slope * (t - mean_t)) ** 2 for t, v in samples)
    scatter = max(noise, math.sqrt(residual / max(1, count - 2)))
    lead_s = now_s - mean_t
    return Line(
        mean_v + slope * lead_s,
        slope,
        scatter / math.sqrt(spread),
        scatter * math.sqrt(1 / count + lead_s**2 / spread),
        scatter**2 * lead_s / spread,
    )


def _noise_px(camera: Camera) -> float:
    return NOISE_PX * max(camera.width, camera.height) / 640


def _inside(value: float, size: int, otherwise: float) -> float:
    return otherwise if math.isnan(value) else min(max(value, 0.0), float(size))
