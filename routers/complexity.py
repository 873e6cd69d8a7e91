"""The complexity of a glance: six named features in [0, 1] and their weighted sum.

The idea: templates rarely fail in a known place with few, separate objects; a describer helps when
the place is unclear or there is a lot to see. The weights and scales are set by hand: a calm image
(at most one obstacle, a confident scene) stays below 0.25, and a busy street (four people and a
bus, an uncertain scene) exceeds 0.5. They are the baseline for the learned router. Adding an
obstacle never lowers the score.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.core.glance import Glance, Obstacle

MANY_OBSTACLES = 6  # this many or more give 1
MANY_KINDS = 4
MUCH_OVERLAP = 1.0  # sum of the intersections over union of all pairs

WEIGHTS = {
    "uncertainty": 0.30,
    "number": 0.25,
    "horizontal_spread": 0.15,
    "vertical_spread": 0.05,
    "variety": 0.15,
    "crowding": 0.10,
}

MAX_REASONS = 3
MIN_REASON = 0.05  # a feature with a smaller contribution is not given as a reason


@dataclass(frozen=True, slots=True)
class Complexity:
    """The features of a glance, each in [0, 1], and the counts that appear in the reasons.

    `uncertainty`: the scene's entropy over log(classes). `number`: obstacles, saturating at
    `MANY_OBSTACLES`. `horizontal_spread`, `vertical_spread`: how far apart the outermost box
    centres are, over the image's width and height. `variety`: distinct labels, saturating at
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
        """The contribution of each feature to the score."""
        return {name: weight * getattr(self, name) for name, weight in WEIGHTS.items()}

    @property
    def score(self) -> float:
        """The weighted sum, in [0, 1]. It is 1 only if every feature is."""
        return min(1.0, math.fsum(self.contributions.values()))

    @property
    def reasons(self) -> tuple[str, ...]:
        """The largest contributions in words, in descending order; always at least one."""
        ranked = sorted(self.contributions.items(), key=lambda item: -item[1])
        named = [name for name, part in ranked if part >= MIN_REASON][:MAX_REASONS]
        return tuple(self._reason(name) for name in named or ["number", "uncertainty"])

    def _reason(self, name: str) -> str:
        confidence = "unsure" if self.uncertainty >= 0.5 else "fairly sure"
        if self.uncertainty < 0.25:
            confidence = "sure"
        return {
            "uncertainty": f"scene {confidence} (entropy {self.uncertainty:.2f})",
            "number": _counted(self.obstacles, "obstacle"),
            "horizontal_spread": f"spread over {self.horizontal_spread:.0%} of the width",
            "vertical_spread": f"spread over {self.vertical_spread:.0%} of the height",
            "variety": _counted(self.kinds, "kind"),
            "crowding": f"boxes overlap ({self.crowding:.2f})",
        }[name]


def complexity_of(glance: Glance) -> Complexity:
    """Measure a glance. Raises ValueError if its scene is not set: classify it first."""
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
    """Intersection over union, summed over all pairs. Exact, so the order does not matter."""
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
