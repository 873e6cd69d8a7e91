"""Curves of quality against escalations, computed from recordings for any number of thresholds.

Pure arithmetic on arrays with one number per image; knows neither models nor plots. An escalated
answer replaces the template (`answer.beats=1`): the wearer hears the describer's words only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.config import QualityConfig
from engine.core.ports import Router
from engine.evaluation.quality import QualityParts, components, overall
from engine.evaluation.stored_outputs import Record

Numbers = NDArray[np.float64]
# A full answer that is better by less than this is not worth the wait. A describer trained on human
# captions gains two thirds of this margin from the caption similarity alone.
MARGIN = 0.15


@dataclass(frozen=True)
class Outcomes:
    """The cost and quality of each of n images in either tier; all arrays are (n,).

    Quality in [0, 1] (engine.evaluation.quality.overall); milliseconds from the request to the
    first sound of the tier's own words; `hazards` near objects that can hurt, and how many of them
    each answer omits.
    """

    quick: Numbers
    full: Numbers
    quick_ms: Numbers
    full_ms: Numbers
    hazards: Numbers
    quick_missed: Numbers
    full_missed: Numbers
    only_full_names: NDArray[np.bool_]  # a near hazard

    def __len__(self) -> int:
        return len(self.quick)

    @property
    def gain(self) -> Numbers:
        return self.full - self.quick

    def of(self, chosen: NDArray[np.int64] | NDArray[np.bool_]) -> "Outcomes":
        """The outcomes of some of the images."""
        return Outcomes(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


def judged(records: Sequence[Record]) -> list[Record]:
    """The records whose labels allow a quality and whose describer answered."""
    return [
        record
        for record in records
        if record.quick.parts and record.quick.parts.judged and not record.full.error
    ]


def outcomes(records: Sequence[Record], settings: QualityConfig) -> Outcomes:
    """Outcomes of `judged` records."""
    pairs = [(_parts(record.quick.parts), _parts(record.full.parts)) for record in records]

    def numbers(values: list[float]) -> Numbers:
        return np.array(values, np.float64)

    missed = [
        (
            quick.counts.hazards - quick.counts.hazards_named,
            full.counts.hazards - full.counts.hazards_named,
        )
        for quick, full in pairs
    ]
    return Outcomes(
        numbers([overall(quick, settings) for quick, _ in pairs]),
        numbers([overall(full, settings) for _, full in pairs]),
        numbers([record.to_sound_ms(record.quick) for record in records]),
        numbers([record.to_sound_ms(record.full) for record in records]),
        numbers([quick.counts.hazards for quick, _ in pairs]),
        numbers([quick for quick, _ in missed]),
        numbers([full for _, full in missed]),
        np.array([full < quick for quick, full in missed], bool),
    )


def part_means(
    records: Sequence[Record], settings: QualityConfig
) -> dict[str, tuple[float, float]]:
    """Component of quality → its mean for the (quick, full) answers, over the images that have
    it.
    """
    found: dict[str, tuple[list[float], list[float]]] = {}
    for record in records:
        both = [components(_parts(a.parts), settings) for a in (record.quick, record.full)]
        for tier, parts in enumerate(both):
            for name, value in parts.items():
                found.setdefault(name, ([], []))[tier].append(value)
    return {
        name: (float(np.mean(quick or [np.nan])), float(np.mean(full or [np.nan])))
        for name, (quick, full) in found.items()
    }


def scores(router: Router, records: Sequence[Record]) -> Numbers:
    """The router's score of each image, in order, one decision per image."""
    return np.array([router.decide(record.glance()).score for record in records])


@dataclass(frozen=True)
class Sweep:
    """Figures over all images at each of m thresholds; all arrays are (m,)."""

    thresholds: Numbers
    share: Numbers
    quality: Numbers
    p50_ms: Numbers
    p95_ms: Numbers
    mean_ms: Numbers
    hazards_missed: Numbers


def sweep(score: Numbers, found: Outcomes, thresholds: Numbers) -> Sweep:
    """Evaluate every threshold on the scores (n,), without asking a router again.

    One pass over the n images for each of m thresholds: n · m steps.
    """
    rows = np.empty((6, len(thresholds)))
    for index, threshold in enumerate(thresholds):
        full = score >= threshold
        ms = np.where(full, found.full_ms, found.quick_ms)
        rows[:, index] = (
            full.mean(),
            np.where(full, found.full, found.quick).mean(),
            *np.percentile(ms, (50, 95)),
            ms.mean(),
            np.where(full, found.full_missed, found.quick_missed).sum(),
        )
    return Sweep(thresholds, *rows)


@dataclass(frozen=True)
class Curve:
    """Mean quality against the share escalated, from share 0 to 1; both arrays are (k,).

    Images are escalated in order of falling score. Equal scores are one step, since their order
    is arbitrary.
    """

    share: Numbers
    quality: Numbers

    @property
    def area(self) -> float:
        return float(np.trapezoid(self.quality, self.share))

    @property
    def lift(self) -> float:
        """Mean quality over all shares, less that of a random order. Unlike APGR it has the same
        sign and meaning if the full tier is the worse one.
        """
        return self.area - float(self.quality[0] + self.quality[-1]) / 2

    @property
    def apgr(self) -> float:
        """Average performance gap recovered over all shares (RouteLLM, Ong et al. 2024): 0.5 is a
        random order. NaN if the full tier is no better, because there is no gap.
        """
        weak, strong = self.quality[0], self.quality[-1]
        return float((self.area - weak) / (strong - weak)) if strong > weak else float("nan")

    def call_share(self, recovered: float) -> float:
        """The smallest share of escalations that recovers this share of the gap; NaN if there is no
        gap.
        """
        weak, strong = self.quality[0], self.quality[-1]
        if strong <= weak:
            return float("nan")
        aim = weak + recovered * (strong - weak)
        at = int(np.flatnonzero(self.quality >= aim - 1e-12)[0])
        if at == 0:
            return float(self.share[0])
        low, high = self.quality[at - 1], self.quality[at]
        part = (aim - low) / (high - low) if high != low else 1.0
        return float(self.share[at - 1] + part * (self.share[at] - self.share[at - 1]))


def curve(score: Numbers, found: Outcomes) -> Curve:
    """The curve of scores (n,)."""
    order = np.argsort(-score, kind="stable")
    steps = np.flatnonzero(np.diff(score[order], append=-np.inf))  # the last of each run of equals
    gains = np.cumsum(found.gain[order])[steps]
    share = np.concatenate([[0.0], (steps + 1) / len(score)])
    quality = found.quick.mean() + np.concatenate([[0.0], gains / len(score)])
    return Curve(share, quality)


def auroc(score: Numbers, positive: NDArray[np.bool_]) -> float:
    """The probability that a positive scores higher than a negative, ties counting half (Mann and
    Whitney). NaN if either is missing.
    """
    yes, no = np.sort(score[positive]), np.sort(score[~positive])
    if len(yes) == 0 or len(no) == 0:
        return float("nan")
    below = np.searchsorted(no, yes, "left") + np.searchsorted(no, yes, "right")
    return float(below.sum() / (2 * len(yes) * len(no)))


def calibration_error(probability: Numbers, happened: NDArray[np.bool_], bins: int = 10) -> float:
    """Expected calibration error over `bins` of equal size."""
    parts = np.array_split(np.argsort(probability, kind="stable"), bins)
    return float(
        sum(len(p) * abs(probability[p].mean() - happened[p].mean()) for p in parts if len(p))
        / len(probability)
    )


def _parts(parts: QualityParts | None) -> QualityParts:
    if parts is None:
        raise ValueError("expected a record whose answers were judged, got one without labels")
    return parts
