"""The rule of all scoring routers: a score at or above the threshold selects the full tier."""

from engine.core.answer import Decision


def decide(score: float, threshold: float, reasons: tuple[str, ...]) -> Decision:
    """Turn a score in [0, 1] into a decision."""
    return Decision("full" if score >= threshold else "quick", score, threshold, reasons)
