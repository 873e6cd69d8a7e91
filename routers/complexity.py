"""How complex a glance is: six named features in [0, 1] and their weighted sum.

The idea: templates say little wrong when a known place holds few, separate things; a describer
earns its time when the place is unclear or much is going on. Weights and scales are set by hand, so
that a calm picture (at most one obstacle in a sure scene) stays under 0.25 and a busy street (four
people and a bus, place unclear) exceeds 0.5; a learned router is measured against them. Adding an
obstacle never lowers the score.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.core.glance import Glance, Obstacle

MANY_OBSTACLES = 6  # as many or more count as 1
MANY_KINDS = 4
MUCH_OVERLAP = 1.0  # sum of the pairs' intersections over union

WEIGHTS = {
    "uncertainty": 0.30,
    "number": 0.25,
    "horizontal_spread": 0.15,
    "vertical_spread": 0.05,
    "variety": 0.15,
    "crowding": 0.10,
}

MAX_REASONS = 3
WORTH_SAYING = 0.05  # a smaller share of the score is no reason


@dataclass(frozen=True, slots=True)
class Complexity:
    """The features of a glance, each in [0, 1], with the counts that the reasons name.

    `uncertainty`: the scene's entropy over log(classes). `number`: obstacles, saturating at
    `MANY_OBSTACLES`. `horizontal_spread`, `vertical_spread`: how far apart the outermost box
    centres are, over the picture's width and height. `variety`: distinct labels, saturating at
    `MANY_KINDS`. `crowding`: intersection over union, summed over all pairs of boxes, saturating at
    `MUCH_OVERLAP`.
    """

    uncertainty: float
    number: float
    horizontal_spread: float
    vertical_spread: float
    variety: float
    crowding: float
    obstacles: int
    kinds: int

    @property
    def contributions(self) -> dict[str, float]:
        """What each feature adds to the score."""
        return {name: weight * getattr(self, name) for name, weight in WEIGHTS.items()}

    @property
    def score(self) -> float:
        """The weighted sum, in [0, 1]: it reaches 1 only where every feature does."""
        return min(1.0, math.fsum(self.contributions.values()))

    @property
    def reasons(self) -> tuple[str, ...]:
        """The largest contributions in words, largest first; always at least one."""
        ranked = sorted(self.contributions.items(), key=lambda item: -item[1])
        told = [name for name, part in ranked if part >= WORTH_SAYING][:MAX_REASONS]
        return tuple(self._reason(name) for name in told or ["number", "uncertainty"])

    def _reason(self, name: str) -> str:
        sureness = "unsure" if self.uncertainty >= 0.5 else "fairly sure"
        if self.uncertainty < 0.25:
            sureness = "sure"
        return {
            "uncertainty": f"scene {sureness} (entropy {self.uncertainty:.2f})",
            "number": _counted(self.obstacles, "obstacle"),
            "horizontal_spread": f"spread over {self.horizontal_spread:.0%} of the width",
            "vertical_spread": f"spread over {self.vertical_spread:.0%} of the height",
            "variety": _counted(self.kinds, "kind"),
            "crowding": f"boxes overlap ({self.crowding:.2f})",
        }[name]


def features(glance: Glance) -> Complexity:
    """Measure a glance. Raises ValueError where its scene is not set: ask the classifier first."""
    if glance.scene is None:
        raise ValueError("a router needs a glance whose scene is set, got scene=None")
    obstacles = glance.obstacles
    kinds = len({obstacle.label for obstacle in obstacles})
    centres_y = [(obstacle.box.y1 + obstacle.box.y2) / 2 for obstacle in obstacles]
    return Complexity(
        uncertainty=_unit(glance.scene.entropy),
        number=_unit(len(obstacles) / MANY_OBSTACLES),
        horizontal_spread=_spread([o.box.centre_x for o in obstacles], glance.frame.width),
        vertical_spread=_spread(centres_y, glance.frame.height),
        variety=_unit(kinds / MANY_KINDS),
        crowding=_unit(_overlap(obstacles) / MUCH_OVERLAP),
        obstacles=len(obstacles),
        kinds=kinds,
    )


def _unit(value: float) -> float:
    return min(1.0, max(0.0, value))


def _spread(centres: Sequence[float], extent: int) -> float:
    return _unit((max(centres) - min(centres)) / extent) if centres else 0.0


def _overlap(obstacles: Sequence[Obstacle]) -> float:
    """Intersection over union, summed over all pairs; exact, so that the order does not matter."""
    if len(obstacles) < 2:
        return 0.0
    boxes = np.array([(o.box.x1, o.box.y1, o.box.x2, o.box.y2) for o in obstacles])  # (n, 4)
    areas = np.array([o.box.area for o in obstacles])  # (n,)
    first, second = np.triu_indices(len(obstacles), k=1)
    corners_low = np.maximum(boxes[first, :2], boxes[second, :2])  # (pairs, 2)
    corners_high = np.minimum(boxes[first, 2:], boxes[second, 2:])
    shared = np.prod(np.clip(corners_high - corners_low, 0.0, None), axis=1)  # (pairs,)
    union = areas[first] + areas[second] - shared
    ratios = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return math.fsum(ratios[ratios > 0].tolist())


def _counted(count: int, noun: str) -> str:
    return f"{count or 'no'} {noun}{'' if count == 1 else 's'}"
