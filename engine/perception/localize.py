"""Detections to obstacles: each track's distance smoothed, its approach timed.

Remembers tracks between frames and nothing else; forgets one that is not seen for a while. Must not
know what will be said of an obstacle.
"""

import math
from collections import deque
from dataclasses import dataclass, field, replace

from engine.core.camera import Camera, Frame
from engine.core.glance import Box, DepthMap, Detection, Obstacle
from engine.perception.camera import Mount, is_usable, pinhole, resized
from engine.perception.classes import UNKNOWN, Kind, kind_of
from engine.perception.depth_prior import Lesson, Memory
from engine.perception.geometry import (
    MAX_DISTANCE_M,
    MIN_DISTANCE_M,
    Range,
    bearings_deg,
    clipped,
    cut_sides,
    distance,
    extent,
    fit_line,
    foot_is_cut,
    fused,
    ground_distance,
    relative_noise,
    side_of,
)

WINDOW_S = 1.0  # over which growth is fitted
SMOOTH_S = 0.5  # over which the distance is fitted; shorter, since people stop
FORGET_S = 2.0
MIN_SAMPLES = 3
SIGNIFICANT = 3.0  # growth must be this many standard errors from none
WANDER = (
    1.7  # an edge that is off stays off: at a correlation of a half, as sqrt((1 + r) / (1 - r))
)
STEADY = 0.25  # edges wander slowly: within the window, by this share of their noise at the least
RANGE_NOISE = 0.05  # least noise of a cut thing's distance, as a share of it
MIN_TTC_S = 0.05
MAX_TTC_S = 30.0  # slower than that is not an approach that a walker would notice
MOST_SMOOTHED = 1.5  # the smoothed distance stays within this factor of the newest one
GUESSED_FOCAL_SPREAD = 0.15  # cameras of 60° to 82° lie within one such deviation of 70°
SHAPE_SPREAD = 0.15  # limbs swing and things turn: widths vary by this much while one looks
LEARNS = 0.2  # share of a new look in what was learnt of a width
# Closing speed (m/s), and how much it varies, of a walker who slows, stops and turns, and of one who is
# felt to stand, who leans and shifts.
WALKING = (1.0, 0.7)
STANDING = (0.0, 0.2)
WALKING_M_S = 1.4  # pace by which a standing thing's urgency is judged
OUTSIDE_SHARE = 0.5  # what remains of the priority beside the corridor

HIDDEN_SHARE = 0.05  # another box that reaches this far below a foot (share of the height) hides it

Samples = list[tuple[float, float]]  # (time_s, a value proportional to the distance)


@dataclass(frozen=True, slots=True)
class Approach:
    """A time to collision and one standard deviation, both in seconds."""

    ttc_s: float
    sigma_s: float


@dataclass(frozen=True, slots=True)
class Sighting:
    """One look at a thing. A size (as `engine.perception.geometry.extent` gives it) is None where
    the border of
    the picture cut it."""

    time_s: float
    label: str
    distance_m: float
    height: float | None
    width: float | None


@dataclass(slots=True)
class Track:
    """The sightings of one thing within the last WINDOW_S, and what they taught of it: `kind` is its
    label's, with the width that it was seen to have while its height was whole."""

    sightings: deque[Sighting] = field(default_factory=deque)
    label: str = ""
    kind: Kind = UNKNOWN
    lesson: Lesson | None = None

    def name(self, label: str) -> None:
        """Another label is another kind, of which nothing has been learnt."""
        if label != self.label:
            self.label, self.kind, self.lesson = label, kind_of(label), None

    def learn(self, width_m: float, spread: float) -> None:
        """It was whole and so wide, within `spread`: averaged over some ten looks."""
        spread = math.hypot(spread, SHAPE_SPREAD)
        old = self.kind.width_m if self.kind.width_spread <= spread else width_m
        self.kind = replace(self.kind, width_m=old + LEARNS * (width_m - old), width_spread=spread)

    def learn_height(self, height_m: float) -> None:
        """Depth says that it is so tall. All that was placed or learnt by its size is put right as well,
        or the correction would look like a leap towards the wearer or away."""
        self.lesson = Lesson(height_m) if self.lesson is None else self.lesson.and_now(height_m)
        told = self.lesson.applied(kind_of(self.label))
        by = told.height_m / self.kind.height_m
        self.kind = replace(
            self.kind,
            height_m=told.height_m,
            spread=told.spread,
            width_m=self.kind.width_m * by,
        )
        self.sightings = deque(
            replace(old, distance_m=old.distance_m * by) if old.label == self.label else old
            for old in self.sightings
        )

    def add(self, sighting: Sighting) -> None:
        """Two of one moment would be a slope of infinity: the later one counts."""
        if self.sightings and self.sightings[-1].time_s >= sighting.time_s:
            self.sightings.pop()
        self.sightings.append(sighting)
        while sighting.time_s - self.sightings[0].time_s > WINDOW_S:
            self.sightings.popleft()


class Localizer:
    """Places detections; to be used from one thread. `hfov_deg` is the camera's field of view along
    its longer side, used where a frame brings no intrinsics; `mount` is how the camera is worn;
    `memory` is there where depth will be learnt from."""

    def __init__(
        self, hfov_deg: float = 70.0, mount: Mount | None = None, memory: Memory | None = None
    ) -> None:
        self._hfov_deg = hfov_deg
        self._mount = mount or Mount()
        self._tracks: dict[int, Track] = {}
        self._memory = memory

    def reset(self) -> None:
        """Forget all tracks."""
        self._tracks.clear()
        if self._memory is not None:
            self._memory.clear()

    def learn(self, depth: DepthMap) -> None:
        """What was whole in the depth's frame, lately, is so tall."""
        for look, height_m in [] if self._memory is None else self._memory.heights_m(depth):
            track = self._tracks.get(look.track)
            if track is not None and track.label == look.label:
                track.learn_height(height_m)

    def localize(self, frame: Frame, detections: tuple[Detection, ...]) -> tuple[Obstacle, ...]:
        """Obstacles of `frame`, in the detections' order. Any box is placed, none raises."""
        known = frame.intrinsics is not None and is_usable(frame.intrinsics)
        camera = (
            resized(frame.intrinsics, frame.width, frame.height)
            if frame.intrinsics is not None and known
            else pinhole(frame.width, frame.height, self._hfov_deg)
        )
        focal_spread = 0.0 if known else GUESSED_FOCAL_SPREAD
        self._tracks = {
            number: track
            for number, track in self._tracks.items()
            if 0.0 <= frame.time_s - track.sightings[-1].time_s <= FORGET_S
        }
        boxes = [clipped(item.box, camera.width, camera.height) for item in detections]
        mount, walking = self._worn(frame)
        if self._memory is not None:
            self._memory.note(frame, detections, boxes, camera, mount.pitch_deg)
        return tuple(
            self._place(item, box, boxes, camera, focal_spread, frame.time_s, mount, walking)
            for item, box in zip(detections, boxes, strict=True)
        )

    def _worn(self, frame: Frame) -> tuple[Mount, bool]:
        """How the camera is held now, and whether its wearer walks: as the frame's pose says, else as it
        was configured, and walking."""
        pose = frame.pose
        if pose is None:
            return self._mount, True
        mount = replace(self._mount, pitch_deg=pose.pitch_deg, pitch_sigma_deg=pose.pitch_sigma_deg)
        return mount, pose.walking

    def _place(
        self,
        seen: Detection,
        box: Box,
        boxes: list[Box],
        camera: Camera,
        focal_spread: float,
        now_s: float,
        mount: Mount,
        walking: bool,
    ) -> Obstacle:
        track = self._tracks.setdefault(seen.track, Track())
        track.name(seen.label)
        raw = self._range(box, boxes, track.kind, camera, mount)
        cut_x, cut_y = cut_sides(box, camera)
        pitch_deg = mount.pitch_deg
        tall, wide = extent(box, camera, pitch_deg)
        relative = math.hypot(raw.sigma_m / raw.distance_m, focal_spread)
        if not (cut_x or cut_y):
            track.learn(wide * raw.distance_m, raw.sigma_m / raw.distance_m)
        track.add(
            Sighting(
                now_s,
                seen.label,
                raw.distance_m,
                None if cut_y or box.height < 1.0 else tall,
                None if cut_x or box.width < 1.0 else wide,
            )
        )
        distance_m = smooth_distance_m(track)
        approach = time_to_collision(track, camera)
        if approach is not None:
            approach = tempered(approach, distance_m, relative, track.kind, walking)
        ttc_s = None if approach is None else approach.ttc_s
        side = side_of(box, camera, pitch_deg)
        left_deg, centre_deg, right_deg = bearings_deg(box, camera, pitch_deg)
        return Obstacle(
            track=seen.track,
            label=seen.label,
            score=seen.score,
            box=box,
            distance_m=distance_m,
            distance_sigma_m=distance_m * relative,
            bearing_deg=centre_deg,
            side=side,
            ttc_s=ttc_s,
            priority=priority(distance_m, side == "ahead", ttc_s, track.kind.hazard),
            ttc_sigma_s=None if approach is None else approach.sigma_s,
            edges_deg=(left_deg, right_deg),
        )

    def _range(self, box: Box, boxes: list[Box], kind: Kind, camera: Camera, mount: Mount) -> Range:
        """By size and by the ground. Where the foot is out of sight, or may hang in the air, the ground
        only bounds: nothing that shows at a direction below the horizon is beyond the ground there."""
        size = distance(box, kind, camera, mount)
        ground = ground_distance(box, camera, mount)
        stands = kind.stands and not foot_is_cut(box, camera) and not _foot_is_hidden(box, boxes)
        return fused(size, ground, at_most=not stands)


def tempered(
    approach: Approach, distance_m: float, relative: float, kind: Kind, walking: bool = True
) -> Approach | None:
    """A measured approach weighed against how quickly such a thing and a walker usually close in.

    Far off, edges that wander look like any speed, while no chair comes at ten metres a second. In the
    rate 1 / ttc both are nearly normal: the prior is the wearer's closing speed, its deviation the
    wearer's and half of the kind's own speed, over the distance and its doubt `relative`. A wearer who
    stands (not `walking`) adds nothing. None where what is left is no approach that a walker would
    notice.
    """
    rate, sigma = 1.0 / approach.ttc_s, approach.sigma_s / approach.ttc_s**2
    own_m_s, own_spread_m_s = WALKING if walking else STANDING
    spread_m_s = math.hypot(own_spread_m_s, kind.fastest_m_s / 2)
    usual = own_m_s / distance_m
    doubt = math.hypot(spread_m_s, relative * (own_m_s + spread_m_s)) / distance_m
    measured, prior = sigma**-2, doubt**-2
    rate = (measured * rate + prior * usual) / (measured + prior)
    if rate * MAX_TTC_S <= 1.0:
        return None
    ttc_s = max(MIN_TTC_S, 1.0 / rate)
    return Approach(ttc_s, max(MIN_TTC_S, (measured + prior) ** -0.5 * ttc_s**2))


def _foot_is_hidden(box: Box, boxes: list[Box]) -> bool:
    """Whether something that reaches lower, and so stands nearer, covers the middle of its foot."""
    below = box.y2 + HIDDEN_SHARE * box.height
    middle = box.centre_x
    return any(
        other.y2 > below and other.y1 < box.y2 and other.x1 <= middle <= other.x2 for other in boxes
    )


def smooth_distance_m(track: Track) -> float:
    """The distance now, by a line through the last SMOOTH_S: a mean would lag behind what comes
    nearer, and say that it is farther than it is."""
    newest = track.sightings[-1]
    recent = [
        (s.time_s, s.distance_m)
        for s in track.sightings
        # another label is another size, so that its distances do not compare
        if newest.time_s - s.time_s <= SMOOTH_S and s.label == newest.label
    ]
    fitted = fit_line(recent, newest.time_s, 0.0).value
    nearest, farthest = newest.distance_m / MOST_SMOOTHED, newest.distance_m * MOST_SMOOTHED
    return min(MAX_DISTANCE_M, farthest, max(MIN_DISTANCE_M, nearest, fitted))


def time_to_collision(track: Track, camera: Camera) -> Approach | None:
    """Seconds until contact at constant speed, or None unless it significantly comes nearer.

    From the growth of the box alone where it was whole, because no known size is needed: 1 / size is
    proportional to the distance, so at constant speed it falls along a straight line, and contact is
    where the line meets zero (Lee 1976, "tau"). Else from the range rate in the same way.
    """
    now_s = track.sightings[-1].time_s
    heights = [(s.time_s, 1.0 / s.height) for s in track.sightings if s.height]
    widths = [(s.time_s, 1.0 / s.width) for s in track.sightings if s.width]
    sizes = max(heights, widths, key=len)
    if len(sizes) >= MIN_SAMPLES:
        return _meets_zero(sizes, now_s, relative_noise(1.0 / sizes[-1][1], camera))
    newest = track.sightings[-1]
    ranges = [(s.time_s, s.distance_m) for s in track.sightings if s.label == newest.label]
    if len(ranges) >= MIN_SAMPLES:
        return _meets_zero(ranges, now_s, RANGE_NOISE)
    return None


def _meets_zero(samples: Samples, now_s: float, noise_share: float) -> Approach | None:
    """When the line through `samples` reaches zero, in seconds from now."""
    mean = sum(value for _, value in samples) / len(samples)
    line = fit_line(samples, now_s, mean * noise_share * STEADY)
    # few samples may agree by chance, so they must show more (as Student's quantiles rise)
    doubt = WANDER * (1.0 + 4.0 / (len(samples) - 2) ** 2)
    if line.slope >= -SIGNIFICANT * doubt * line.slope_error:
        return None
    ttc_s = max(MIN_TTC_S, line.value / -line.slope)
    # d(v / -s) = -dv / s + v ds / s², and both err together
    variance = (
        line.value_error**2
        - 2.0 * line.covariance * line.value / line.slope
        + (line.slope_error * line.value / line.slope) ** 2
    )
    sigma_s = max(MIN_TTC_S, doubt * math.sqrt(variance) / -line.slope)
    return Approach(ttc_s, sigma_s) if ttc_s <= MAX_TTC_S else None


def priority(distance_m: float, ahead: bool, ttc_s: float | None, hazard: float) -> float:
    """What to say first, in (0, 100]: 100 · w · h / (1 + t).

    t: seconds away, by the time to collision or the time to walk there, whichever is less. w: 1
    ahead, OUTSIDE_SHARE beside. h: the kind's hazard in (0, 1], so that at equal time a person goes
    before furniture.
    """
    seconds = distance_m / WALKING_M_S
    if ttc_s is not None:
        seconds = min(seconds, ttc_s)
    return 100.0 * (1.0 if ahead else OUTSIDE_SHARE) * hazard / (1.0 + seconds)
