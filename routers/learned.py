"""Escalates if a model trained on stored answers expects the full answer to be better."""

from engine.core.answer import Decision
from engine.core.glance import Glance
from routers.features import FEATURES, features
from routers.model import Model
from routers.threshold import decide

MAX_REASONS = 3
MIN_REASON = 0.005  # of quality; a feature with a smaller contribution is not given as a reason


class Learned:
    """The score is the calibrated probability that the full answer is better by more than a margin.
    The margin makes up for the longer wait."""

    name = "learned"

    def __init__(self, threshold: float, model: Model) -> None:
        self._threshold = threshold
        self._model = model

    def decide(self, glance: Glance) -> Decision:
        """Raises ValueError if the glance's scene or picture is not set."""
        probability, reasons = score(glance, self._model)
        return decide(probability, self._threshold, reasons)


def score(glance: Glance, model: Model) -> tuple[float, tuple[str, ...]]:
    """The probability that the full answer is better by more than the margin, and the reasons: the
    expected gain and the features with the largest contributions."""
    vector = features(glance)
    contributions = model.contributions(vector)
    gain = model.gain(vector)
    size = f"{abs(gain):.2f}"
    comparison = "as good" if size == "0.00" else f"{size} {'better' if gain > 0 else 'worse'}"
    reason = f"the full answer is expected to be {comparison}"
    order = sorted(range(len(contributions)), key=lambda index: -abs(contributions[index]))
    causes = [
        f"{FEATURES[model.features[index]]} ({contributions[index]:+.2f})"
        for index in order[:MAX_REASONS]
        if abs(contributions[index]) >= MIN_REASON
    ]
    return model.probability(gain), (reason, *causes)
