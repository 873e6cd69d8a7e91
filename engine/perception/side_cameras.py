"""What cameras that look aside add to the main one: the things beyond its view, each once.

Keeps what each side camera saw last, for a moment, and turns it along with the head. Knows no device;
cameras' frames name themselves.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from engine.core.camera import Frame
from engine.core.glance import Obstacle
from engine.core.ports import Detector
from engine.perception.localize import Localizer

KEEP_S = 0.6  # side cameras take turns: two or four of them, at ten frames a second and more
TRACKS_APART = 1_000_000  # so that no two cameras give one number
# When two cameras see one thing: the same label, and directions apart by no more than the lenses, the
# boxes and the few centimetres between the cameras make them; distances may differ by so many sigmas.
APART_DEG = 5.0
BETWEEN_M = 0.15  # farthest two cameras of one pair of glasses are from one another
SIGMAS = 2.5
LEAST_SPREAD = (
    0.2  # of a distance; boxes of one thing at a border differ by more than each one says
)


@dataclass(frozen=True, slots=True)
class _Seen:
    time_s: float
    heading_deg: float
    obstacles: tuple[Obstacle, ...]


class SideCameras:
    """Looks at side frames; to be used from one thread. `eyes` has for each side camera its own detector
    (which tracks) and locator."""

    def __init__(self, eyes: Mapping[str, tuple[Detector, Localizer]]) -> None:
        self._eyes = dict(eyes)
        self._seen: dict[str, _Seen] = {}

    def reset(self) -> None:
        """Forget all: the next frame has nothing to do with the last."""
        self._seen.clear()
        for detector, locator in self._eyes.values():
            detector.reset()
            locator.reset()

    def look(self, frame: Frame, main: tuple[Obstacle, ...]) -> tuple[Obstacle, ...]:
        """What the side cameras see at the moment of `frame` that is not among `main`, each thing once,
        nearest concern first."""
        heading_deg = 0.0 if frame.pose is None else frame.pose.heading_deg
        if frame.side is not None and frame.side.name in self._eyes:
            self._take(frame, frame.side, heading_deg)
        found: list[Obstacle] = []
        for seen in self._seen.values():
            if frame.time_s - seen.time_s <= KEEP_S:
                # the head has turned on since; what it saw has not
                found += (_turned(o, seen.heading_deg - heading_deg) for o in seen.obstacles)
        return beyond(main, found)

    def _take(self, frame: Frame, side: Frame, heading_deg: float) -> None:
        detector, locator = self._eyes[side.name]
        number = 1 + list(self._eyes).index(side.name)
        placed = locator.localize(replace(side, pose=frame.pose), detector.detect(side))
        self._seen[side.name] = _Seen(
            frame.time_s,
            heading_deg,
            tuple(
                replace(o, camera=side.name, track=o.track + number * TRACKS_APART) for o in placed
            ),
        )


def beyond(main: tuple[Obstacle, ...], aside: list[Obstacle]) -> tuple[Obstacle, ...]:
    """Those of `aside` that are none of `main` and none of each other; of two that are one, the surer
    stays."""
    kept: list[Obstacle] = []
    for item in sorted(aside, key=lambda o: (-o.score, o.track)):
        if not any(are_one(item, other) for other in (*main, *kept)):
            kept.append(item)
    return tuple(sorted(kept, key=lambda o: (-o.priority, o.track)))


def are_one(one: Obstacle, other: Obstacle) -> bool:
    """Whether two cameras see one thing. Never of two things in one picture."""
    if one.label != other.label or one.camera == other.camera:
        return False
    nearest_m = min(one.distance_m, other.distance_m)
    reach_deg = APART_DEG + math.degrees(math.atan2(BETWEEN_M, nearest_m))
    if _gap_deg(one, other) > reach_deg:
        return False
    spread = math.hypot(
        max(LEAST_SPREAD, one.distance_sigma_m / one.distance_m),
        max(LEAST_SPREAD, other.distance_sigma_m / other.distance_m),
    )
    return abs(math.log(one.distance_m / other.distance_m)) <= SIGMAS * spread


def _gap_deg(one: Obstacle, other: Obstacle) -> float:
    """Degrees between their middles, less what the border of a picture may have cut from the wider."""
    middles = abs(_wrapped(one.bearing_deg - other.bearing_deg))
    return max(0.0, middles - abs(_half_deg(one) - _half_deg(other)))


def _half_deg(item: Obstacle) -> float:
    if item.edges_deg is None:
        return 0.0
    left_deg, right_deg = item.edges_deg
    return abs(_wrapped(right_deg - left_deg)) / 2


def _turned(item: Obstacle, right_deg: float) -> Obstacle:
    edges = item.edges_deg
    return replace(
        item,
        bearing_deg=_wrapped(item.bearing_deg + right_deg),
        edges_deg=None if edges is None else (edges[0] + right_deg, edges[1] + right_deg),
    )


def _wrapped(degrees: float) -> float:
    """In [-180, 180)."""
    return (degrees + 180.0) % 360.0 - 180.0
