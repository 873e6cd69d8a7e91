"""Router curves and sweeps: exact on small sets, with one decision for each image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config import QualityConfig
from engine.core.answer import Decision
from engine.core.glance import Glance
from engine.evaluation.quality import Counts, QualityParts, components, overall
from experiments.router.curves import (
    Outcomes,
    auroc,
    calibration_error,
    curve,
    judged,
    outcomes,
    scores,
    sweep,
)  # fmt: skip
from routers import Count
from tests.fakes.recordings import make_parts, make_record


def made(quick: list[float], full: list[float]) -> Outcomes:
    count = len(quick)
    nothing = np.zeros(count)
    return Outcomes(
        np.array(quick), np.array(full), np.full(count, 100.0), np.full(count, 300.0),
        nothing, nothing, nothing, nothing.astype(bool),
    )  # fmt: skip


def test_the_area_of_a_known_curve() -> None:
    found = made([0.0, 0.0], [1.0, 0.0])
    right, wrong = curve(np.array([0.9, 0.1]), found), curve(np.array([0.1, 0.9]), found)
    assert right.area == pytest.approx(0.375)
    assert right.apgr == pytest.approx(0.75)
    assert wrong.apgr == pytest.approx(0.25)
    assert right.call_share(0.5) == pytest.approx(0.25)
    assert wrong.call_share(0.5) == pytest.approx(0.75)


gains = st.lists(
    st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=40
)


@given(gains)
@settings(max_examples=100, deadline=None)
def test_curves_run_from_one_tier_to_the_other_and_the_oracle_is_the_best(
    rows: list[tuple[float, float, float]],
) -> None:
    quick, full, score = (list(column) for column in zip(*rows, strict=True))
    found = made(quick, full)
    line, oracle = curve(np.array(score), found), curve(found.gain, found)
    assert (line.share[0], line.share[-1]) == (0.0, 1.0)
    assert line.quality[0] == pytest.approx(np.mean(quick))
    assert line.quality[-1] == pytest.approx(np.mean(full))
    assert oracle.area >= line.area - 1e-9
    assert curve(np.zeros(len(rows)), found).area == pytest.approx(np.mean(quick + full))


@given(gains, st.lists(st.floats(0, 1), min_size=1, max_size=8))
@settings(max_examples=50, deadline=None)
def test_a_sweep_equals_the_decisions_at_each_threshold(
    rows: list[tuple[float, float, float]], thresholds: list[float]
) -> None:
    quick, full, score = (list(column) for column in zip(*rows, strict=True))
    swept = sweep(np.array(score), made(quick, full), np.array(thresholds))
    for index, threshold in enumerate(thresholds):
        escalated = [s >= threshold for s in score]
        said = [f if up else q for q, f, up in zip(quick, full, escalated, strict=True)]
        assert swept.share[index] == pytest.approx(np.mean(escalated))
        assert swept.quality[index] == pytest.approx(np.mean(said))
        assert swept.mean_ms[index] == pytest.approx(100 + 200 * np.mean(escalated))


def test_a_thousand_thresholds_need_one_decision_for_each_image() -> None:
    asked = 0

    class Counted(Count):
        def decide(self, glance: Glance) -> Decision:
            nonlocal asked
            asked += 1
            return super().decide(glance)

    for count in (10, 20, 40):
        kept = [make_record(seq, people=seq % 7) for seq in range(count)]
        asked = 0
        found = sweep(
            scores(Counted(0.5), kept), outcomes(kept, QualityConfig()), np.linspace(0, 1, 1000)
        )
        assert asked == count  # linear in the images, whatever the number of thresholds
        assert found.share.shape == (1000,)


def test_outcomes_are_computed_from_records() -> None:
    kept = [make_record(), make_record(1, truth=None)]
    assert judged(kept) == kept
    found = outcomes(kept[:1], QualityConfig())
    assert found.gain[0] > 0  # the full answer is nearer to the caption
    assert (found.quick_ms[0], found.full_ms[0]) == (28.0, 118.0)
    assert found.hazards[0] == 1


def test_auroc_and_calibration() -> None:
    score = np.array([0.1, 0.4, 0.4, 0.9])
    assert auroc(score, np.array([False, False, True, True])) == pytest.approx(0.875)
    assert np.isnan(auroc(score, np.array([True] * 4)))
    assert calibration_error(np.full(100, 0.3), np.arange(100) < 30, bins=1) == pytest.approx(0.0)
    assert calibration_error(np.full(100, 0.9), np.arange(100) < 30, bins=1) == pytest.approx(0.6)


def test_quality_is_the_weighted_mean_of_the_components_present() -> None:
    weights = QualityConfig()
    whole = make_parts(caption=2.0)
    assert overall(whole, weights) == pytest.approx(1.0)
    assert overall(make_parts(caption=0.0), weights) == pytest.approx(
        0.65 / 0.95
    )  # no side was stated
    assert components(make_parts(recalled=0, hazards_named=0, invented=1), weights) == {
        "caption": 0.2, "objects": 0.0, "truthful": 0.0, "hazards": 0.0, "brief": 1.0,
    }  # fmt: skip
    nothing = QualityParts(Counts(0, 0, 0, 0, 0, 0, 0, 0, 0, 0), judged=False)
    assert components(nothing, weights) == {"brief": 0.0}
    assert overall(nothing, QualityConfig(brief=0.0)) == 0.0


@given(
    st.integers(0, 5), st.integers(0, 5), st.integers(0, 5), st.integers(0, 5), st.integers(0, 60),
    st.none() | st.floats(0, 10),
)  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_quality_is_bounded(
    labelled: int, recalled: int, invented: int, hazards: int, words: int, caption: float | None
) -> None:
    recalled, hazards = min(labelled, recalled), min(labelled, hazards)
    counts = Counts(
        labelled, recalled, recalled + invented, invented, invented, recalled, 0, hazards, 0, words
    )
    parts = QualityParts(counts, caption)
    assert all(0 <= value <= 1 for value in components(parts, QualityConfig()).values())
    assert 0 <= overall(parts, QualityConfig()) <= 1
