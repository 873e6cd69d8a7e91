"""How urgent an obstacle is.

An obstacle that is in the walking corridor, or will be soon, gets
    a notice          within NOTICE_M,
    a warning         within NEAR_M, or if the time to collision leaves just enough time to
                      speak and react,
    a critical alert  if the time to collision is below CRITICAL_S.
"""

from collections.abc import Sequence
from enum import IntEnum

from engine.alerts.corridor import in_corridor
from engine.core.glance import Obstacle

PIPELINE_S = 0.15  # from the capture of a frame to the first sample of its alert
REACTION_S = 1.5  # to understand (0.5 s) and to stop (1 s at walking pace)
NOTICE_M = 4.0
NEAR_M = 1.5
CRITICAL_S = 2.0


class Level(IntEnum):
    CLEAR = 0
    NOTICE = 1
    WARNING = 2
    CRITICAL = 3


def level_of(
    obstacle: Obstacle,
    lateral: Sequence[tuple[float, float]],
    speaking_s: float,
    margin: float = 1.0,
) -> Level:
    """The level of an obstacle whose full phrase takes `speaking_s`; `lateral` is as in
    `in_corridor`. A `margin` above 1 widens every limit, so that a level ends later than it
    starts."""
    if not in_corridor(obstacle, lateral, margin):
        return Level.CLEAR
    if obstacle.ttc_s is not None:
        if obstacle.ttc_s <= CRITICAL_S * margin:
            return Level.CRITICAL
        if obstacle.ttc_s <= (PIPELINE_S + speaking_s + REACTION_S) * margin:
            return Level.WARNING
    if obstacle.distance_m <= NEAR_M * margin:
        return Level.WARNING
    return Level.NOTICE if obstacle.distance_m <= NOTICE_M * margin else Level.CLEAR
