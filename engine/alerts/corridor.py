"""The walking corridor: which obstacles are or will be in it, and when a blocked path is clear.

Pure except for `CorridorMonitor`. Knows neither words nor urgency.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from engine.core.glance import Obstacle
from engine.perception.classes import kind_of
from engine.perception.geometry import CORRIDOR_DEG, HALF_CORRIDOR_M, fit_line

MAX_HALF_WIDTH_M = 1.0  # the front of a vehicle: it rarely stands across the path
MIN_DRIFT_SAMPLES = 4
# lateral noise as a share of the distance: a walker's head turns by 1.5 degrees with each step
SWAY = 0.03
SIGNIFICANT = 3.0
BLOCKED_S = 4.0  # passing an obstacle at walking pace takes less, so the wearer was held up
CLEAR_S = 2.0  # the corridor must be empty for this long
# An object lost from view nearer than this, less two sigmas, may stand below the image.
UNDERFOOT_M = 1.5


def lateral_m(obstacle: Obstacle) -> float:
    """The distance to the right of the corridor's centre line."""
    return obstacle.distance_m * math.sin(math.radians(obstacle.bearing_deg))


def in_corridor(
    obstacle: Obstacle, lateral: Sequence[tuple[float, float]], margin: float = 1.0
) -> bool:
    """Whether an obstacle's nearer edge is in the corridor, or will be at contact if it approaches.
    `lateral` is its recent track as (time_s, metres to the right); `margin` widens the corridor."""
    if obstacle.side == "ahead" and abs(obstacle.bearing_deg) > CORRIDOR_DEG:
        return True  # it extends across the path, although its centre is to the side
    left_m, right_m = _edges_m(obstacle)
    half_m = HALF_CORRIDOR_M * margin
    if left_m <= half_m and right_m >= -half_m:
        return True
    if obstacle.ttc_s is None or len(lateral) < MIN_DRIFT_SAMPLES:
        return False
    drift = fit_line(lateral, lateral[-1][0], SWAY * obstacle.distance_m)
    if abs(drift.slope) < SIGNIFICANT * drift.slope_error:
        return False
    moved_m = drift.slope * obstacle.ttc_s
    return left_m + moved_m <= half_m and right_m + moved_m >= -half_m


def _edges_m(obstacle: Obstacle) -> tuple[float, float]:
    """The lateral positions of the left and the right edge. Measured edges take precedence, because
    only the near end of a car at the image border is in view; otherwise the kind's width is
    assumed."""
    if obstacle.edges_deg is not None:
        left_m, right_m = (
            obstacle.distance_m * math.sin(math.radians(edge)) for edge in obstacle.edges_deg
        )
        return left_m, right_m
    half_m = min(MAX_HALF_WIDTH_M, kind_of(obstacle.label).width_m / 2)
    return lateral_m(obstacle) - half_m, lateral_m(obstacle) + half_m


@dataclass(slots=True)
class CorridorMonitor:
    """Detects when a corridor that was blocked for a while is clear again. Stays silent if an
    obstacle was lost from view at the wearer's feet."""

    _since_s: float = math.inf  # when it became blocked
    _last_s: float = -math.inf  # when it was last blocked
    _announced: bool = False
    # by track: the distance when last seen, less two sigmas
    _nearest_m: dict[int, float] = field(default_factory=dict)

    def is_clear(self, now_s: float) -> bool:
        """Whether nothing has been in the corridor for CLEAR_S."""
        return now_s - self._last_s > CLEAR_S

    def has_cleared(
        self,
        blocking: Iterable[Obstacle],
        others: Iterable[Obstacle],
        announced: bool,
        now_s: float,
    ) -> bool:
        """Process a frame: the obstacles in the corridor, those outside it, and whether any of the
        former was announced. True once, when a blocked corridor has been empty for CLEAR_S."""
        for obstacle in others:
            self._nearest_m.pop(obstacle.track, None)  # it was seen to leave
        before_s = self._last_s
        for obstacle in blocking:
            self._nearest_m[obstacle.track] = obstacle.distance_m - 2 * obstacle.distance_sigma_m
            self._last_s = now_s
        if self._last_s == now_s:
            if now_s - before_s > CLEAR_S:
                self._since_s, self._announced = now_s, False
            self._announced |= announced
            return False
        if now_s - self._last_s <= CLEAR_S or self._since_s == math.inf:
            return False
        held_up = self._last_s - self._since_s >= BLOCKED_S
        underfoot = any(nearest_m < UNDERFOOT_M for nearest_m in self._nearest_m.values())
        cleared = held_up and self._announced and not underfoot
        self._since_s, self._announced = math.inf, False
        self._nearest_m.clear()
        return cleared
