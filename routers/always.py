"""The fixed router of `mode=quick` and `mode=full`: the wearer has chosen the tier."""

from engine.core.answer import Decision, Tier
from engine.core.glance import Glance


class Always:
    """Routes every request to one tier; the score is 1 for full and 0 for quick."""

    name = "always"

    def __init__(self, tier: Tier, threshold: float = 0.5) -> None:
        """`threshold` is only logged."""
        score = 1.0 if tier == "full" else 0.0
        self._decision = Decision(tier, score, threshold, (f"mode={tier}",))

    def decide(self, glance: Glance) -> Decision:
        """Return the same decision for every glance."""
        return self._decision
