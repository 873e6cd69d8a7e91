"""Escalates where the full answer is expected to be better, by a model of stored answers."""

from engine.core.answer import Decision
from engine.core.glance import Glance
from routers.features import FEATURES, features
from routers.model import Model
from routers.threshold import decide

MAX_REASONS = 3
WORTH_SAYING = 0.005  # of quality; a smaller part of the gain is no reason


class Learned:
    """Scores a glance by the calibrated probability that the full answer would be better by more than a
    margin that makes up for the wait."""

    name = "learned"

    def __init__(self, threshold: float, model: Model) -> None:
        self._threshold = threshold
        self._model = model

    def decide(self, glance: Glance) -> Decision:
        """Raises ValueError where the glance's scene or picture is not set."""
        score, reasons = judged(glance, self._model)
        return decide(score, self._threshold, reasons)


def judged(glance: Glance, model: Model) -> tuple[float, tuple[str, ...]]:
    """(probability that the full answer is worth it, why), the weightiest features named."""
    vector = features(glance)
    parts = model.parts(vector)
    gain = model.gain(vector)
    much = f"{abs(gain):.2f}"
    than = "as good" if much == "0.00" else f"{much} {'better' if gain > 0 else 'worse'}"
    reason = f"the full answer is expected to be {than}"
    order = sorted(range(len(parts)), key=lambda index: -abs(parts[index]))
    told = [
        f"{FEATURES[model.features[index]]} ({parts[index]:+.2f})"
        for index in order[:MAX_REASONS]
        if abs(parts[index]) >= WORTH_SAYING
    ]
    return model.probability(gain), (reason, *told)
