"""The rule of every router that scores: a score at or above the threshold goes to the full tier."""

from engine.core.answer import Decision


def decide(score: float, threshold: float, reasons: tuple[str, ...]) -> Decision:
    """Turn a score in [0, 1] into a decision that carries it."""
    return Decision("full" if score >= threshold else "quick", score, threshold, reasons)
