"""Keeps the share of escalations at a target by adapting the threshold for another router's
score."""

from dataclasses import replace

from engine.core.answer import Decision, Tier
from engine.core.glance import Glance
from engine.core.ports import Router


class Budget:
    """Escalates `share` of the answers in the long run, for any sequence of scores.

    After each answer the threshold moves by `step` times (escalated - share), so it rises while too
    many answers are escalated. Scores lie in [0, 1], so the threshold stays within [-step, 1 +
    step], and after n answers the error of the share is at most (1 + step) / (step · n), by the
    telescoping sum of adaptive conformal inference (Gibbs and Candès, NeurIPS 2021). To be used
    from one thread.
    """

    name = "budget"

    def __init__(self, scorer: Router, share: float, threshold: float, step: float) -> None:
        """`threshold` is the initial threshold."""
        self._scorer = scorer
        self._share = share
        self._threshold = threshold
        self._step = step

    def decide(self, glance: Glance) -> Decision:
        """Decide by the scorer's score, then adapt the threshold."""
        found = self._scorer.decide(glance)
        threshold = self._threshold
        tier: Tier = "full" if found.score >= threshold else "quick"
        self._threshold += self._step * ((tier == "full") - self._share)
        reason = f"{self._share:.0%} of the answers may be full"
        return replace(
            found,
            tier=tier,
            threshold=min(1.0, max(0.0, threshold)),
            reasons=(*found.reasons, reason),
        )


def share_of(average_ms: float, quick_ms: float, full_ms: float) -> float:
    """The share of full answers, in [0, 1], that gives an average latency of `average_ms`."""
    if full_ms <= quick_ms:
        return 1.0
    return min(1.0, max(0.0, (average_ms - quick_ms) / (full_ms - quick_ms)))
