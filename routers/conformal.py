"""A router whose threshold bounds the share of missed escalations; hazards are never traded off.

It uses the score of `router=learned`. The threshold is calibrated once, on images that were not
used for training. A missed escalation is a scene that the template answers although the full answer
is better by more than a margin.
"""

import math
from collections.abc import Sequence

from engine.core.answer import Decision
from engine.core.glance import Glance
from engine.language.wording import MAX_GROUPS
from engine.perception.classes import kind_of
from routers.learned import score
from routers.model import Calibration, Model
from routers.threshold import decide


class Conformal:
    """Compares the score of `router=learned` with the calibrated threshold.

    Hazards are a separate constraint, not a term in a sum. A detected hazard that the template
    would only count ("and two more things") is always escalated. A hazard that the detector missed
    cannot be known at run time. For that case, no calibration scene in which only the full answer
    names a near hazard lies below the threshold.
    """

    name = "conformal"

    def __init__(
        self, model: Model, risk: float, confidence: float, named_kinds: int = MAX_GROUPS["normal"]
    ) -> None:
        """`risk` bounds the share of missed escalations with probability `confidence`;
        `named_kinds` is how many kinds of obstacle the template names."""
        self._model = model
        self._named_kinds = named_kinds
        self.threshold = calibrated(model.calibration, risk, confidence)

    def decide(self, glance: Glance) -> Decision:
        """Raises ValueError if the glance's scene or picture is not set."""
        probability, reasons = score(glance, self._model)
        if unnamed := unnamed_hazards(glance, self._named_kinds):
            reason = f"the template would not name the {unnamed[0]}"
            return Decision("full", probability, self.threshold, (reason, *reasons))
        return decide(probability, self.threshold, reasons)


def unnamed_hazards(glance: Glance, named_kinds: int) -> list[str]:
    """The labels of detected hazards beyond the `named_kinds` nearest kinds, nearest first."""
    nearest = sorted(glance.obstacles, key=lambda item: item.distance_m)
    kinds = list(dict.fromkeys(item.label for item in nearest))
    return [label for label in kinds[named_kinds:] if kind_of(label).may_hurt]


def calibrated(calibration: Calibration, risk: float, confidence: float) -> float:
    """The highest threshold that keeps both guarantees; 0, which escalates all, if none does.

    The number of missed escalations only grows with the threshold. So the highest threshold whose
    upper confidence bound is within `risk` keeps that bound with probability `confidence` over the
    draw of the calibration set (risk-controlling prediction sets: Bates, Angelopoulos, Lei, Malik,
    Jordan, J. ACM 2021, with the exact binomial bound). This holds for scenes from the same
    distribution as the calibration set. A score equal to the threshold is escalated.
    """
    allowed = allowed_losses(calibration.pictures, risk, confidence)
    if allowed < 0:
        return 0.0
    return min(_at(calibration.better, allowed), _at(calibration.hazards, 0))


def _at(scores: Sequence[float], losses: int) -> float:
    """The highest threshold with at most `losses` of the ascending `scores` below it."""
    return scores[losses] if losses < len(scores) else 1.0


def allowed_losses(pictures: int, risk: float, confidence: float) -> int:
    """The largest number of losses among `pictures` images whose upper confidence bound is within
    `risk`; -1 if there are too few images even for zero losses."""
    losses = -1
    while losses + 1 < pictures and _at_most(losses + 1, pictures, risk) <= 1.0 - confidence:
        losses += 1
    return losses


def _at_most(losses: int, pictures: int, risk: float) -> float:
    """P(X <= losses) for a binomial X. It is within 1 - confidence exactly if Clopper and Pearson's
    upper bound is within `risk`."""
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
