"""Holds a share of escalations over a session, by moving the threshold of another router's score."""

from dataclasses import replace

from engine.core.answer import Decision, Tier
from engine.core.glance import Glance
from engine.core.ports import Router


class Budget:
    """Escalates `share` of the answers in the long run, whatever comes.

    After each answer the threshold moves by `step` times (escalated - share): a share too large
    raises it. Scores lie in [0, 1], so it stays within [-step, 1 + step], and after n answers the share
    is off by at most (1 + step) / (step · n): the same sum telescopes as in adaptive conformal
    inference (Gibbs and Candès, NeurIPS 2021). To be used from one thread.
    """

    name = "budget"

    def __init__(self, scorer: Router, share: float, threshold: float, step: float) -> None:
        """`threshold` is where it begins."""
        self._scorer = scorer
        self._share = share
        self._threshold = threshold
        self._step = step

    def decide(self, glance: Glance) -> Decision:
        """Decides by the scorer's score, and remembers what the decision cost."""
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
    """The share of full answers at which the average latency is `average_ms`, in [0, 1]."""
    if full_ms <= quick_ms:
        return 1.0
    return min(1.0, max(0.0, (average_ms - quick_ms) / (full_ms - quick_ms)))
