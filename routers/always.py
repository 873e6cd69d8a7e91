"""The wearer has chosen the tier: `mode=quick` and `mode=full`. Looks at nothing."""

from engine.core.answer import Decision, Tier
from engine.core.glance import Glance


class Always:
    """Gives every request to one tier; the score is 1 for full and 0 for quick."""

    name = "always"

    def __init__(self, tier: Tier, threshold: float = 0.5) -> None:
        """`threshold` only goes into the record: it decides nothing."""
        score = 1.0 if tier == "full" else 0.0
        self._decision = Decision(tier, score, threshold, (f"mode={tier}",))

    def decide(self, glance: Glance) -> Decision:
        """The same decision for every glance."""
        return self._decision
