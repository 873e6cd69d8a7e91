"""Escalates complex pictures: a documented sum of what the quick tier saw, against a threshold."""

from engine.core.answer import Decision
from engine.core.glance import Glance
from routers.complexity import features
from routers.threshold import decide


class Rules:
    """Scores a glance by `routers.complexity` and says which features weighed most."""

    name = "rules"

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold

    def decide(self, glance: Glance) -> Decision:
        """Raises ValueError where the glance's scene is not set."""
        complexity = features(glance)
        return decide(complexity.score, self._threshold, complexity.reasons)
