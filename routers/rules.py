"""Escalates complex scenes: compares a weighted sum of hand-set features with a threshold."""

from engine.core.answer import Decision
from engine.core.glance import Glance
from routers.complexity import complexity_of
from routers.threshold import decide


class Rules:
    """Scores a glance by `routers.complexity`; the reasons name the largest contributions."""

    name = "rules"

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold

    def decide(self, glance: Glance) -> Decision:
        """Raises ValueError if the glance's scene is not set."""
        complexity = complexity_of(glance)
        return decide(complexity.score, self._threshold, complexity.reasons)
