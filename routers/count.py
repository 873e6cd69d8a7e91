"""The simplest baseline that uses the image: scores a glance by its number of obstacles."""

from engine.core.answer import Decision
from engine.core.glance import Glance
from routers.complexity import MANY_OBSTACLES
from routers.threshold import decide


class Count:
    """The score is the number of obstacles over `MANY_OBSTACLES`, at most 1."""

    name = "count"

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold

    def decide(self, glance: Glance) -> Decision:
        """Decide by the number of obstacles alone."""
        number = len(glance.obstacles)
        reason = f"{number or 'no'} obstacle{'' if number == 1 else 's'}"
        return decide(min(1.0, number / MANY_OBSTACLES), self._threshold, (reason,))
