"""The walking corridor: what is in it, what is about to be, and whether it has become free.

Pure but for `Corridor`, which remembers what barred the way. Knows neither words nor urgency.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from engine.core.glance import Obstacle
from engine.perception.classes import kind_of
from engine.perception.geometry import CORRIDOR_DEG, fit_line

HALF_CORRIDOR_M = 0.6  # half a body, and as much again for sway; to a thing's edge, not its centre
MAX_HALF_WIDTH_M = 1.0  # a vehicle's front; its length lies along the way more often than across
MIN_DRIFT_SAMPLES = 4
SWAY = 0.03  # a walker's head turns by 1.5 degrees with each step: so much of the distance
SIGNIFICANT = 3.0
BLOCKED_S = 4.0  # at walking pace no thing is passed so slowly: the wearer was held up
FREE_S = 2.0  # free means free for this long
UNDERFOOT_M = 1.5  # what vanished nearer may stand below the picture; nearer by two sigmas, that is


def across_m(item: Obstacle) -> float:
    """Metres to the right of the middle of the way."""
    return item.distance_m * math.sin(math.radians(item.bearing_deg))


def in_corridor(item: Obstacle, across: Sequence[tuple[float, float]], slack: float) -> bool:
    """Whether its nearer edge lies within the corridor, or, when it approaches, will at contact.
    `across` is where it was of late, as (time_s, metres to the right)."""
    if item.side == "ahead" and abs(item.bearing_deg) > CORRIDOR_DEG:
        return True  # it spans the way, wherever its middle is
    left_m, right_m = _edges_m(item)
    reach_m = HALF_CORRIDOR_M * slack
    if left_m <= reach_m and right_m >= -reach_m:
        return True
    if item.ttc_s is None or len(across) < MIN_DRIFT_SAMPLES:
        return False
    drift = fit_line(across, across[-1][0], SWAY * item.distance_m)
    if abs(drift.slope) < SIGNIFICANT * drift.slope_error:
        return False
    moved_m = drift.slope * item.ttc_s
    return left_m + moved_m <= reach_m and right_m + moved_m >= -reach_m


def _edges_m(item: Obstacle) -> tuple[float, float]:
    """Metres to the right of the middle of the way, of its left and its right edge: as it is seen,
    since of a car at the picture's border only the near end shows; else by its kind's width."""
    if item.edges_deg is not None:
        left_m, right_m = (item.distance_m * math.sin(math.radians(d)) for d in item.edges_deg)
        return left_m, right_m
    half_m = min(MAX_HALF_WIDTH_M, kind_of(item.label).width_m / 2)
    return across_m(item) - half_m, across_m(item) + half_m


@dataclass(slots=True)
class Corridor:
    """Whether something bars the way for longer than it takes to walk up to it, and whether it is free
    again. Never says so of what it lost sight of at the wearer's feet."""

    _since_s: float = math.inf
    _last_s: float = -math.inf
    _said: bool = False
    _away_m: dict[int, float] = field(default_factory=dict)  # track → distance when last seen

    def is_free_again(
        self, barring: Iterable[Obstacle], aside: Iterable[Obstacle], said: bool, now_s: float
    ) -> bool:
        """Take in a frame: what bars the way and what does not, and whether any of the former was
        announced. True once, when a way that was barred has been free for FREE_S."""
        for item in aside:
            self._away_m.pop(item.track, None)  # it was seen to leave
        before_s = self._last_s
        for item in barring:
            self._away_m[item.track] = item.distance_m - 2 * item.distance_sigma_m
            self._last_s = now_s
        if self._last_s == now_s:
            if now_s - before_s > FREE_S:
                self._since_s, self._said = now_s, False
            self._said |= said
            return False
        if now_s - self._last_s <= FREE_S or self._since_s == math.inf:
            return False
        held_up = self._last_s - self._since_s >= BLOCKED_S
        underfoot = any(away_m < UNDERFOOT_M for away_m in self._away_m.values())
        free = held_up and self._said and not underfoot
        self._since_s, self._said = math.inf, False
        self._away_m.clear()
        return free
