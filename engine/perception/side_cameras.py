"""Adds the obstacles that only the side cameras see, each once.

Keeps the last result of each side camera for a moment and rotates it with the head. Knows no
device; a side frame carries its camera's name.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from engine.core.camera import Frame
from engine.core.glance import Obstacle
from engine.core.ports import Detector
from engine.perception.localize import Localizer

KEEP_S = 0.6  # side cameras take turns: two or four of them, at 10 frames a second or more
TRACK_OFFSET = 1_000_000  # added per camera, so that track numbers are unique
# Two cameras see the same object if the labels agree, the bearings differ by no more than the
# lenses, the boxes and the baseline explain, and the distances by at most MAX_SIGMAS.
MAX_BEARING_DEG = 5.0
BASELINE_M = 0.15  # largest distance between two cameras of one pair of glasses
MAX_SIGMAS = 2.5
# Minimum relative sigma of a distance: two boxes of one object at an image border differ by more
# than their own sigmas.
MIN_SPREAD = 0.2


@dataclass(frozen=True, slots=True)
class _SideResult:
    time_s: float
    heading_deg: float
    obstacles: tuple[Obstacle, ...]


class SideCameras:
    """Processes side frames; to be used from one thread. `cameras` maps each side camera's name to
    its own detector (with a tracker) and localizer."""

    def __init__(self, cameras: Mapping[str, tuple[Detector, Localizer]]) -> None:
        self._cameras = dict(cameras)
        self._results: dict[str, _SideResult] = {}

    def reset(self) -> None:
        """Forget everything: the next frame is unrelated to the last."""
        self._results.clear()
        for detector, localizer in self._cameras.values():
            detector.reset()
            localizer.reset()

    def update(self, frame: Frame, main: tuple[Obstacle, ...]) -> tuple[Obstacle, ...]:
        """The obstacles seen by side cameras at the time of `frame` that are not among `main`, each
        once, by descending priority."""
        heading_deg = 0.0 if frame.pose is None else frame.pose.heading_deg
        if frame.side is not None and frame.side.name in self._cameras:
            self._process(frame, frame.side, heading_deg)
        found: list[Obstacle] = []
        for result in self._results.values():
            if frame.time_s - result.time_s <= KEEP_S:
                # the head may have turned since
                turned_deg = result.heading_deg - heading_deg
                found += (_rotated(item, turned_deg) for item in result.obstacles)
        return without_duplicates(main, found)

    def _process(self, frame: Frame, side: Frame, heading_deg: float) -> None:
        detector, localizer = self._cameras[side.name]
        number = 1 + list(self._cameras).index(side.name)
        found = tuple(item for item in detector.detect(side) if item.is_finite)
        placed = localizer.localize(replace(side, pose=frame.pose), found)
        self._results[side.name] = _SideResult(
            frame.time_s,
            heading_deg,
            tuple(
                replace(item, camera=side.name, track=item.track + number * TRACK_OFFSET)
                for item in placed
            ),
        )


def without_duplicates(
    main: tuple[Obstacle, ...], side: Iterable[Obstacle]
) -> tuple[Obstacle, ...]:
    """The obstacles of `side` that duplicate neither `main` nor one another. Of two duplicates, the
    one with the higher score is kept."""
    kept: list[Obstacle] = []
    for item in sorted(side, key=lambda o: (-o.score, o.track)):
        if not any(is_same_object(item, other) for other in (*main, *kept)):
            kept.append(item)
    return tuple(sorted(kept, key=lambda o: (-o.priority, o.track)))


def is_same_object(one: Obstacle, other: Obstacle) -> bool:
    """Whether two cameras see the same object. Always false for two obstacles of one camera."""
    if one.label != other.label or one.camera == other.camera:
        return False
    nearest_m = min(one.distance_m, other.distance_m)
    parallax_deg = math.degrees(math.atan2(BASELINE_M, nearest_m))
    if _gap_deg(one, other) > MAX_BEARING_DEG + parallax_deg:
        return False
    spread = math.hypot(
        max(MIN_SPREAD, one.distance_sigma_m / one.distance_m),
        max(MIN_SPREAD, other.distance_sigma_m / other.distance_m),
    )
    return abs(math.log(one.distance_m / other.distance_m)) <= MAX_SIGMAS * spread


def _gap_deg(one: Obstacle, other: Obstacle) -> float:
    """The difference of bearings, less the shift that an image border may cause by cutting one
    box."""
    apart_deg = abs(_wrapped(one.bearing_deg - other.bearing_deg))
    return max(0.0, apart_deg - abs(_half_width_deg(one) - _half_width_deg(other)))


def _half_width_deg(item: Obstacle) -> float:
    if item.edges_deg is None:
        return 0.0
    left_deg, right_deg = item.edges_deg
    return abs(_wrapped(right_deg - left_deg)) / 2


def _rotated(item: Obstacle, right_deg: float) -> Obstacle:
    edges = item.edges_deg
    return replace(
        item,
        bearing_deg=_wrapped(item.bearing_deg + right_deg),
        edges_deg=None if edges is None else (edges[0] + right_deg, edges[1] + right_deg),
    )


def _wrapped(degrees: float) -> float:
    """In [-180, 180)."""
    return (degrees + 180.0) % 360.0 - 180.0
