"""One tracked object: its recent observations, and the size learnt for it.

Knows nothing of cameras, frames or depth maps.
"""

import math
from collections import deque
from dataclasses import dataclass, field, replace

from engine.perception.classes import UNKNOWN, ObjectKind, kind_of
from engine.perception.depth_prior import HeightEstimate
from engine.perception.geometry import MAX_DISTANCE_M, MIN_DISTANCE_M, fit_line

WINDOW_S = 1.0  # observations are kept this long, and growth is fitted over them
SMOOTH_S = 0.5  # the distance is fitted over this; shorter, because people stop
MAX_SMOOTHING = 1.5  # the smoothed distance stays within this factor of the newest one
# A width varies by this share while an object is watched: limbs swing, objects turn.
SHAPE_SPREAD = 0.15
# A size that changes by more than this (natural logarithms; after any time, and per second) is another
# object in the same track, or the same one hidden in part: earlier sizes say nothing of its speed.
JUMP, JUMP_PER_S = 0.5, 2.0
WIDTH_WEIGHT = 0.2  # weight of a new observation in the learnt width


@dataclass(frozen=True, slots=True)
class Observation:
    """One observation of an object. `height` and `width` are as in `BoxGeometry`; None if the image
    border cut them."""

    time_s: float
    label: str
    distance_m: float
    height: float | None
    width: float | None


@dataclass(slots=True)
class Track:
    """The observations of one object over the last WINDOW_S. `kind` is its label's kind, with the
    width and height that were learnt for this object."""

    observations: deque[Observation] = field(default_factory=deque)
    label: str = ""
    kind: ObjectKind = UNKNOWN
    height: HeightEstimate | None = None

    @property
    def seen_s(self) -> float:
        """When it was last observed."""
        return self.observations[-1].time_s

    def set_label(self, label: str) -> None:
        """A new label discards what was learnt under the old one."""
        if label != self.label:
            self.label, self.kind, self.height = label, kind_of(label), None

    def learn_width(self, width_m: float, spread: float) -> None:
        """Update the width after the object was seen completely: a running mean over about ten
        observations. `spread` is one standard deviation, as a share."""
        spread = math.hypot(spread, SHAPE_SPREAD)
        old_m = self.kind.width_m if self.kind.width_spread <= spread else width_m
        width_m = old_m + WIDTH_WEIGHT * (width_m - old_m)
        self.kind = replace(self.kind, width_m=width_m, width_spread=spread)

    def learn_height(self, height_m: float) -> None:
        """Update the height by a depth measurement. The learnt width and the distances of the
        window are scaled with it; otherwise the correction would look like a jump of the object."""
        self.height = (
            HeightEstimate(height_m) if self.height is None else self.height.updated(height_m)
        )
        fused = self.height.fused_with(kind_of(self.label))
        scale = fused.height_m / self.kind.height_m
        self.kind = replace(
            self.kind,
            height_m=fused.height_m,
            spread=fused.spread,
            width_m=self.kind.width_m * scale,
        )
        self.observations = deque(
            replace(old, distance_m=old.distance_m * scale) if old.label == self.label else old
            for old in self.observations
        )

    def add(self, observation: Observation) -> None:
        """Append an observation. One with the same time replaces the last: two values at one time
        would give an infinite slope."""
        if self.observations and self.seen_s >= observation.time_s:
            self.observations.pop()
        if self.observations and _has_jumped(self.observations[-1], observation):
            self.observations.clear()
        self.observations.append(observation)
        while observation.time_s - self.observations[0].time_s > WINDOW_S:
            self.observations.popleft()

    def smoothed_distance_m(self) -> float:
        """The current distance by a line through the last SMOOTH_S. A mean would lag behind an
        approaching object and overstate its distance."""
        newest = self.observations[-1]
        recent = [
            (item.time_s, item.distance_m)
            for item in self.observations
            # distances under another label were computed from another size
            if newest.time_s - item.time_s <= SMOOTH_S and item.label == newest.label
        ]
        fitted_m = fit_line(recent, newest.time_s, 0.0).value
        nearest_m, farthest_m = newest.distance_m / MAX_SMOOTHING, newest.distance_m * MAX_SMOOTHING
        return min(MAX_DISTANCE_M, farthest_m, max(MIN_DISTANCE_M, nearest_m, fitted_m))


def _has_jumped(last: Observation, now: Observation) -> bool:
    """Whether both show all of an object, and neither its height nor its width can have become what it
    is."""
    sizes = ((last.height, now.height), (last.width, now.width))
    changes = [abs(math.log(new / old)) for old, new in sizes if old and new]
    return len(changes) == len(sizes) and (
        min(changes) > JUMP + JUMP_PER_S * (now.time_s - last.time_s)
    )
