"""The simplest baseline that looks: the more obstacles, the likelier it escalates."""

from engine.core.answer import Decision
from engine.core.glance import Glance
from routers.complexity import MANY_OBSTACLES
from routers.threshold import decide


class Count:
    """Scores a glance by its number of obstacles over `MANY_OBSTACLES`, at most 1."""

    name = "count"

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold

    def decide(self, glance: Glance) -> Decision:
        """Looks at the number alone."""
        number = len(glance.obstacles)
        reason = f"{number or 'no'} obstacle{'' if number == 1 else 's'}"
        return decide(min(1.0, number / MANY_OBSTACLES), self._threshold, (reason,))
