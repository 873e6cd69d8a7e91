"""Converts a bounding box into distances (metres) and bearings (degrees).

Pure formulas; no state between frames. Of an object's kind it uses only the size and whether it
stands on the ground. The image width always comes from the camera model. `engine.perception.camera`
converts pixels to directions; nothing here assumes a lens.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from engine.core.camera import Camera
from engine.core.glance import Box, Side
from engine.perception.camera import Mount, direction
from engine.perception.classes import ObjectKind

# Half a body width, plus the same for sway; measured to the edge of an obstacle, not to its centre.
HALF_CORRIDOR_M = 0.6
CORRIDOR_DEG = 12.0  # bearings up to this count as ahead: 0.85 m to either side at 4 m
COVER_DEG = 3.0  # a box that extends this far to both sides of 0 degrees is ahead as well
MIN_DISTANCE_M = 0.2
MAX_DISTANCE_M = 200.0
BORDER_SHARE = 0.01  # a box edge this close to the border (share of that side) counts as cut
NOISE_PX = 2.0  # standard deviation of a detected edge, at 640 px on the longer side
NOISE_SHARE = 0.01  # the same, as a share of the box
CUT_SPREAD = 0.5  # the visible share of a cut object is unknown
MIN_BOX_PX = 1.0
MAX_GROUND_SPREAD = 0.6  # a ground distance with a larger relative sigma is discarded
MAX_WIDTH_DEG = 170.0
HIDDEN_SHARE = 0.05  # a box that extends this far below a foot (share of its height) may hide it
DEFAULT_MOUNT = Mount()


@dataclass(frozen=True, slots=True)
class Range:
    """A distance and its standard deviation, both in metres."""

    distance_m: float
    sigma_m: float


@dataclass(frozen=True, slots=True)
class BoxGeometry:
    """The measurements of one box in one camera; `measure_box` computes them once per detection.

    `left_deg`, `centre_deg` and `right_deg` are bearings, positive to the right, at half the box's
    height. `is_cut_x` and `is_cut_y` tell whether the image border cuts the width or the height,
    `is_foot_cut` whether the lower border does, `is_foot_hidden` whether another box covers the
    foot. `height` and `width` are metres of object size for each metre of ground distance, so both
    grow as 1 / distance through any lens. `edge_noise` is the standard deviation of an edge in the
    units of `height`, `tilt_noise` the relative error of `height` that the uncertain pitch causes.
    `ground` is the distance computed from the foot on level ground, or None.
    """

    box: Box
    left_deg: float
    centre_deg: float
    right_deg: float
    side: Side
    is_cut_x: bool
    is_cut_y: bool
    is_foot_cut: bool
    is_foot_hidden: bool
    height: float
    width: float
    edge_noise: float
    tilt_noise: float
    ground: Range | None

    @property
    def is_cut(self) -> bool:
        return self.is_cut_x or self.is_cut_y

    def size_range(self, kind: ObjectKind) -> Range:
        """The distance along the ground by the known size of `kind`: size over angular size.

        A complete height alone gives the distance. A cut height gives only an upper bound; then the
        smaller distance of height and width is taken, even if the width is cut too, because an
        early warning is the safer error. So a growing box never moves away, and neither does a box
        that sinks below the image.
        """
        by_height, by_width = kind.height_m / self.height, kind.width_m / self.width
        distance_m, spread = by_height, kind.spread
        if self.is_cut_y and self.is_cut_x:
            distance_m, spread = min(by_height, by_width), math.hypot(spread, CUT_SPREAD)
        elif self.is_cut_y:
            # the disagreement of height and width adds to the spread
            log_ratio = abs(math.log(by_width / by_height)) / 2
            distance_m = min(by_height, by_width)
            spread = math.hypot(kind.width_spread, min(log_ratio, 0.5))
        relative = math.hypot(spread, relative_noise(self.height, self.edge_noise), self.tilt_noise)
        distance_m = _limited(distance_m)
        return Range(distance_m, distance_m * min(1.0, relative))

    def fused_range(self, kind: ObjectKind) -> Range:
        """The distance from size and ground combined. The ground is only an upper bound where the
        foot is out of view or the object may not touch the ground: nothing seen below the horizon
        is farther away than the ground in that direction."""
        foot_on_ground = kind.stands_on_ground and not self.is_foot_cut and not self.is_foot_hidden
        return fused(self.size_range(kind), self.ground, is_bound=not foot_on_ground)


@dataclass(frozen=True, slots=True)
class LineFit:
    """A straight line fitted through samples over time: its current value, its slope, the standard
    error of each, and their covariance."""

    value: float
    slope: float
    slope_error: float
    value_error: float = math.inf
    covariance: float = 0.0


def clipped(box: Box, width: int, height: int) -> Box:
    """`box` clipped to the image, corners in order. A part outside collapses onto the border. A NaN
    edge is placed at the image border, which makes the object nearer: the safer error."""
    x1, x2 = sorted((_inside(box.x1, width, 0.0), _inside(box.x2, width, float(width))))
    y1, y2 = sorted((_inside(box.y1, height, 0.0), _inside(box.y2, height, float(height))))
    return Box(x1, y1, x2, y2)


def measure_box(
    box: Box, camera: Camera, mount: Mount = DEFAULT_MOUNT, others: Sequence[Box] = ()
) -> BoxGeometry:
    """The geometry of `box`, which is clipped to the image; `others` are the boxes that may cover
    its foot, and may include `box` itself.

    A pitch error e tilts both ends of the height, whose relative error is then e times the sum of
    both ends' drops.
    """
    margin_x, margin_y = BORDER_SHARE * camera.width, BORDER_SHARE * camera.height
    row_px = (box.y1 + box.y2) / 2
    left_deg, centre_deg, right_deg = (
        direction(x_px, row_px, camera, mount.pitch_deg).bearing_deg
        for x_px in (box.x1, box.centre_x, box.x2)
    )
    head_drop = direction(box.centre_x, box.y1, camera, mount.pitch_deg).drop
    foot_drop = direction(box.centre_x, box.y2, camera, mount.pitch_deg).drop
    # the modulo keeps the width positive where the box extends past straight behind
    width_deg = min(MAX_WIDTH_DEG, (right_deg - left_deg) % 360.0)
    least = MIN_BOX_PX / camera.fx
    height = max(least, foot_drop - head_drop)
    edge_noise = NOISE_PX * max(camera.width, camera.height) / 640 / camera.fx
    return BoxGeometry(
        box=box,
        left_deg=left_deg,
        centre_deg=centre_deg,
        right_deg=right_deg,
        side=_side(left_deg, centre_deg, right_deg),
        is_cut_x=box.x1 <= margin_x or box.x2 >= camera.width - margin_x,
        is_cut_y=box.y1 <= margin_y or box.y2 >= camera.height - margin_y,
        is_foot_cut=box.y2 >= camera.height * (1.0 - BORDER_SHARE),
        is_foot_hidden=_is_foot_hidden(box, others),
        height=height,
        width=max(least, 2 * math.tan(math.radians(width_deg) / 2)),
        edge_noise=edge_noise,
        tilt_noise=math.radians(mount.pitch_sigma_deg) * abs(2 * foot_drop - height),
        ground=_ground_range(foot_drop, edge_noise, mount),
    )


def relative_noise(size: float, edge_noise: float) -> float:
    """The standard deviation of a box's height or width as a share of it; both arguments in the
    units of `BoxGeometry.height`."""
    return math.hypot(NOISE_SHARE, edge_noise / max(1e-9, size))


def fused(size: Range, ground: Range | None, is_bound: bool) -> Range:
    """The inverse-variance mean of both distances' logarithms: errors of size and pitch are
    factors, and a logarithm never gives a negative distance.

    With `is_bound`, `ground` is an upper bound and counts only if it is the smaller distance.
    Where the two disagree by more than their sigmas allow, the sigma grows to cover the
    disagreement (the Particle Data Group's scale factor, for two values).
    """
    if ground is None or (is_bound and ground.distance_m >= size.distance_m):
        return size
    one, other = size.sigma_m / size.distance_m, ground.sigma_m / ground.distance_m
    weight = one**2 / (one**2 + other**2)
    log_ratio = math.log(ground.distance_m / size.distance_m)
    stretch = max(1.0, abs(log_ratio) / math.hypot(one, other))
    distance_m = size.distance_m * math.exp(weight * log_ratio)
    return Range(distance_m, distance_m * min(1.0, one * other / math.hypot(one, other) * stretch))


def fit_line(samples: Sequence[tuple[float, float]], now_s: float, noise: float) -> LineFit:
    """A least-squares line through one or more (time_s, value) with distinct times. `noise` is the
    minimum standard deviation of a value: three samples that happen to agree prove little."""
    count = len(samples)
    mean_t = sum(t for t, _ in samples) / count
    mean_v = sum(v for _, v in samples) / count
    spread = sum((t - mean_t) ** 2 for t, _ in samples)
    if spread == 0.0:
        return LineFit(mean_v, 0.0, math.inf, noise)
    slope = sum((t - mean_t) * (v - mean_v) for t, v in samples) / spread
    residual = sum((v - mean_v - slope * (t - mean_t)) ** 2 for t, v in samples)
    scatter = max(noise, math.sqrt(residual / max(1, count - 2)))
    lead_s = now_s - mean_t
    return LineFit(
        mean_v + slope * lead_s,
        slope,
        scatter / math.sqrt(spread),
        scatter * math.sqrt(1 / count + lead_s**2 / spread),
        scatter**2 * lead_s / spread,
    )


def _side(left_deg: float, centre_deg: float, right_deg: float) -> Side:
    """Ahead if the centre lies within the corridor or the box covers 0 degrees (a bus across the
    path, a person close by)."""
    if abs(centre_deg) <= CORRIDOR_DEG or (left_deg <= -COVER_DEG and right_deg >= COVER_DEG):
        return "ahead"
    return "left" if centre_deg < 0 else "right"


def _ground_range(foot_drop: float, edge_noise: float, mount: Mount) -> Range | None:
    """The distance to a foot on level ground: camera height / drop. None at or above the horizon,
    or if the pitch is too uncertain.

    If a is the angle below the horizon, d(log d) = da / (sin a · cos a): far away, a pitch error is
    amplified about d / height times. `MAX_GROUND_SPREAD` is subtracted from the precision, so the
    estimate fades in and out as the foot moves and never jumps.
    """
    if foot_drop <= 0.0:
        return None
    angle = math.atan(foot_drop)
    sigma = math.hypot(math.radians(mount.pitch_sigma_deg), edge_noise)
    relative = math.hypot(
        mount.height_sigma_m / mount.height_m, sigma / (math.sin(angle) * math.cos(angle))
    )
    precision = relative**-2 - MAX_GROUND_SPREAD**-2
    if precision <= 0.0:
        return None
    distance_m = _limited(mount.height_m / foot_drop)
    return Range(distance_m, distance_m * precision**-0.5)


def _is_foot_hidden(box: Box, others: Sequence[Box]) -> bool:
    """Whether a box that extends lower, and so stands nearer, covers the middle of the foot."""
    below = box.y2 + HIDDEN_SHARE * box.height
    middle = box.centre_x
    return any(
        other.y2 > below and other.y1 < box.y2 and other.x1 <= middle <= other.x2
        for other in others
    )


def _limited(distance_m: float) -> float:
    return min(MAX_DISTANCE_M, max(MIN_DISTANCE_M, distance_m))


def _inside(value: float, size: int, if_nan: float) -> float:
    return if_nan if math.isnan(value) else min(max(value, 0.0), float(size))
