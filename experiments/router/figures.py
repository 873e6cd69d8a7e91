"""The router card's figures: every router on every recorded set, with paired bootstrap intervals.

Knows recordings and arithmetic (experiments.router.curves); neither Markdown nor plots.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.config import QualityConfig
from engine.core.budgets import FULL_MS, QUICK_MS
from engine.core.ports import Router
from engine.evaluation import stored_outputs as records
from engine.evaluation.stored_outputs import Record
from experiments.router.curves import (
    MARGIN,
    Curve,
    Numbers,
    Outcomes,
    auroc,
    calibration_error,
    curve,
    judged,
    outcomes,
    part_means,
    scores,
    sweep,
)
from experiments.router.records import recording
from routers import Budget, Conformal, Count, Learned, Random, Rules
from routers.budget import share_of
from routers.model import Model

ROUTERS = ("learned", "rules", "count", "random", "oracle")
SHARES = (0.2, 0.35, 0.5, 0.8)
CALLS = (0.2, 0.5, 0.8)
BOOTSTRAPS = 1000
RISK, CONFIDENCE = 0.1, 0.9
BUDGET_SHARE = 0.35


@dataclass(frozen=True)
class ConfidenceInterval:
    """A figure and the 2.5th and 97.5th percentiles of its bootstraps."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class RouterFigures:
    """One router on one set."""

    name: str
    score: Numbers
    curve: Curve
    apgr: ConfidenceInterval
    lift: ConfidenceInterval
    better_than_count: ConfidenceInterval  # in lift
    calls: tuple[float, ...]
    auroc: float
    calibration_error: float | None


@dataclass(frozen=True)
class SelfSetThreshold:
    """The result of a router that sets its own threshold: shares of images, numbers of hazards."""

    name: str
    threshold: float
    escalated: float
    wrongly_left: float
    quality: float
    hazards_missed: int
    hazards_missed_both_said: int
    mean_ms: float


@dataclass(frozen=True)
class SetFigures:
    """All figures of one recorded set."""

    name: str
    outcomes: Outcomes
    parts: dict[str, tuple[float, float]]
    routers: dict[str, RouterFigures]
    self_set: tuple[SelfSetThreshold, ...]
    stages: dict[str, tuple[float, float]]  # stage → median and 95th percentile, ms


def read_set(work: Path, name: str) -> list[Record]:
    """The judged records of a set. Raises InputError if its recording is not complete."""
    return judged(records.read(recording(work, name))[1])


def measure(
    name: str, kept: list[Record], model: Model, settings: QualityConfig | None = None
) -> SetFigures:
    """Evaluate every router on one set, with the default quality weights or with `settings`."""
    settings = settings or QualityConfig()
    found = outcomes(kept, settings)
    rng = np.random.default_rng(0)
    draws = rng.integers(len(kept), size=(BOOTSTRAPS, len(kept)))
    scored = {
        "learned": scores(Learned(0.5, model), kept),
        "rules": scores(Rules(0.5), kept),
        "count": scores(Count(0.5), kept),
        "random": scores(Random(0.5), kept),
        "oracle": found.gain,
    }
    # The same resampling of images for all routers, so that their differences are paired.
    resampled = {key: _resampled(score, found, draws) for key, score in scored.items()}
    routers = {}
    for key, score in scored.items():
        line = curve(score, found)
        count = curve(scored["count"], found).lift
        apgrs, lifts = resampled[key]
        routers[key] = RouterFigures(
            name=key,
            score=score,
            curve=line,
            apgr=_interval(line.apgr, apgrs),
            lift=_interval(line.lift, lifts),
            better_than_count=_interval(line.lift - count, lifts - resampled["count"][1]),
            calls=tuple(line.call_share(part) for part in CALLS),
            auroc=auroc(score, found.gain > MARGIN),
            calibration_error=calibration_error(score, found.gain > MARGIN)
            if key == "learned"
            else None,
        )
    return SetFigures(
        name,
        found,
        part_means(kept, settings),
        routers,
        tuple(_self_set(kept, found, model)),
        _stages(kept),
    )


def _resampled(
    score: Numbers, found: Outcomes, draws: NDArray[np.int64]
) -> tuple[Numbers, Numbers]:
    """(APGR, lift) of each resampling of the images."""
    lines = [curve(score[draw], found.of(draw)) for draw in draws]
    return np.array([line.apgr for line in lines]), np.array([line.lift for line in lines])


def _interval(value: float, resampled: Numbers) -> ConfidenceInterval:
    if np.isnan(value):
        return ConfidenceInterval(value, value, value)
    low, high = np.nanpercentile(resampled, (2.5, 97.5))
    return ConfidenceInterval(value, float(low), float(high))


def _self_set(kept: Sequence[Record], found: Outcomes, model: Model) -> list[SelfSetThreshold]:
    """Let routers with their own threshold decide as in a session, one image after another."""
    share = share_of(550.0, QUICK_MS, FULL_MS)
    asked: dict[str, Router] = {
        f"conformal, risk {RISK:g} at {CONFIDENCE:.0%}": Conformal(model, RISK, CONFIDENCE),
        f"budget over learned, share {BUDGET_SHARE:g}": Budget(
            Learned(0.5, model), BUDGET_SHARE, 0.5, 0.05
        ),
        f"budget over learned, 550 ms of {QUICK_MS:.0f} and {FULL_MS:.0f}": Budget(
            Learned(0.5, model), share, 0.5, 0.05
        ),
        "learned at 0.5": Learned(0.5, model),
        "rules at 0.5": Rules(0.5),
    }
    self_set = []
    for name, router in asked.items():
        decisions = [router.decide(record.glance()) for record in kept]
        full = np.array([decision.tier == "full" for decision in decisions])
        both = np.minimum(found.quick_missed, found.full_missed)  # an upper bound
        self_set.append(
            SelfSetThreshold(
                name,
                decisions[-1].threshold,
                float(full.mean()),
                float((~full & (found.gain > MARGIN)).mean()),
                float(np.where(full, found.full, found.quick).mean()),
                int(np.where(full, found.full_missed, found.quick_missed).sum()),
                int(np.where(full, both, found.quick_missed).sum()),
                float(np.where(full, found.full_ms, found.quick_ms).mean()),
            )
        )
    return self_set


def _stages(kept: Sequence[Record]) -> dict[str, tuple[float, float]]:
    stages = {
        "classify": [r.classify_ms for r in kept],
        "route (features and decision)": [r.route_ms for r in kept],
        "template": [r.quick.all_words_ms for r in kept],
        "template's first sentence to sound": [r.quick.speech_ms for r in kept],
        "describer's first token": [r.full.first_token_ms for r in kept],
        "describer's first words": [r.full.first_words_ms for r in kept],
        "describer's all words": [r.full.all_words_ms for r in kept],
        "first words to sound": [r.full.speech_ms for r in kept],
        "quick, asking to sound": [r.to_sound_ms(r.quick) for r in kept],
        "full, asking to sound": [r.to_sound_ms(r.full) for r in kept],
    }
    return {
        name: (float(np.percentile(values, 50)), float(np.percentile(values, 95)))
        for name, values in stages.items()
    }


def at_share(
    scored: RouterFigures, found: Outcomes, share: float
) -> tuple[float, float, float, float, int]:
    """(quality, mean, p50 and p95 in ms, hazards missed) where about `share` of the images is
    escalated. Equal scores are escalated in the order of the images.
    """
    order = np.argsort(-scored.score, kind="stable")
    full = np.zeros(len(found), bool)
    full[order[: round(share * len(found))]] = True
    figures = sweep(full.astype(float), found, np.array([0.5]))
    return (
        float(figures.quality[0]),
        float(figures.mean_ms[0]),
        float(figures.p50_ms[0]),
        float(figures.p95_ms[0]),
        int(figures.hazards_missed[0]),
    )
