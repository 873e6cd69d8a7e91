"""A threshold with a guarantee: few scenes are wrongly left to the template, and no hazard is traded.

The learned score decides; the threshold is set once, by pictures that nothing was trained on. Wrongly
left is a scene that the template answers although the full answer is better by more than a margin.
"""

import math
from collections.abc import Sequence

from engine.core.answer import Decision
from engine.core.glance import Glance
from engine.language.wording import MAX_GROUPS
from engine.perception.classes import HURTS, kind_of
from routers.learned import judged
from routers.model import Calibration, Model
from routers.threshold import decide


class Conformal:
    """Routes by `router=learned`'s score against the threshold that calibration allows.

    Hazards are a constraint of their own, not a term in a sum. What can be known at run time: a
    hazard that was detected but that the template would only count ("and two more things") is never
    left to it. What cannot: a hazard that the detector missed. For those the threshold stands in: none
    of the calibration scenes in which the full answer alone names a near hazard lies below it.
    """

    name = "conformal"

    def __init__(
        self, model: Model, risk: float, confidence: float, told: int = MAX_GROUPS["normal"]
    ) -> None:
        """`risk` is the share of scenes wrongly left that is kept with probability `confidence`;
        `told` is how many kinds of obstacle the template names."""
        self._model = model
        self._told = told
        self.threshold = calibrated(model.calibration, risk, confidence)

    def decide(self, glance: Glance) -> Decision:
        """Raises ValueError where the glance's scene or picture is not set."""
        score, reasons = judged(glance, self._model)
        if hidden := unnamed_hazards(glance, self._told):
            reason = f"the template would not name the {hidden[0]}"
            return Decision("full", score, self.threshold, (reason, *reasons))
        return decide(score, self.threshold, reasons)


def unnamed_hazards(glance: Glance, told: int) -> list[str]:
    """Labels of detected hazards beyond the `told` nearest kinds, nearest first."""
    nearest = sorted(glance.obstacles, key=lambda item: item.distance_m)
    kinds = list(dict.fromkeys(item.label for item in nearest))
    return [label for label in kinds[told:] if kind_of(label).hazard >= HURTS]


def calibrated(calibration: Calibration, risk: float, confidence: float) -> float:
    """The highest threshold that keeps both promises; 0, which escalates all, where none does.

    The loss "left below the threshold although the full answer is better" only grows with the
    threshold, so the highest whose upper confidence bound is within `risk` keeps it with probability
    `confidence` over the drawing of the calibration set (risk-controlling prediction sets: Bates,
    Angelopoulos, Lei, Malik, Jordan, J. ACM 2021, with the exact binomial bound), as long as scenes are
    drawn as the calibration set was. A score at the threshold is escalated.
    """
    allowed = allowed_losses(calibration.pictures, risk, confidence)
    if allowed < 0:
        return 0.0
    return min(_at(calibration.better, allowed), _at(calibration.hazards, 0))


def _at(scores: Sequence[float], losses: int) -> float:
    """The highest threshold below which at most `losses` of the rising `scores` lie."""
    return scores[losses] if losses < len(scores) else 1.0


def allowed_losses(pictures: int, risk: float, confidence: float) -> int:
    """The most losses among `pictures` whose upper confidence bound is within `risk`; -1 where even
    none is too few pictures to tell."""
    losses = -1
    while losses + 1 < pictures and _at_most(losses + 1, pictures, risk) <= 1.0 - confidence:
        losses += 1
    return losses


def _at_most(losses: int, pictures: int, risk: float) -> float:
    """P(X <= losses) for X binomial: within 1 - confidence exactly where Clopper and Pearson's upper
    bound is within `risk`."""
    return math.fsum(
        math.exp(
            math.lgamma(pictures + 1)
            - math.lgamma(k + 1)
            - math.lgamma(pictures - k + 1)
            + k * math.log(risk)
            + (pictures - k) * math.log1p(-risk)
        )
        for k in range(losses + 1)
    )
