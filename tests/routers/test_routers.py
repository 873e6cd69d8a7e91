"""Untrained routers: scores are bounded, monotone and independent of order; exact thresholds."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.glance import Box, Glance, Obstacle
from engine.core.ports import Router
from routers import Always, Random, Rules
from routers.complexity import WEIGHTS, Complexity, complexity_of
from tests.fakes.glances import make_glance, make_obstacle, make_scene

WIDTH, HEIGHT = 640, 480
property_settings = settings(max_examples=100, deadline=None)


def boxed_obstacle(label: str, box: Box) -> Obstacle:
    return make_obstacle(label, box=box)


def glance_of(obstacles: list[Obstacle], entropy: float = 0.3, seq: int = 0) -> Glance:
    return make_glance(*obstacles, scene=make_scene(entropy=entropy), seq=seq)


def make_complexity(values: dict[str, float]) -> Complexity:
    return Complexity(**(dict.fromkeys(WEIGHTS, 0.0) | values), obstacles=1, kinds=1)


shares = st.floats(0.0, 1.0)
labels = st.sampled_from(["person", "bus", "car", "chair", "door", "dog"])
obstacles = st.builds(
    lambda label, x, y, width, height: boxed_obstacle(label, Box(x, y, x + width, y + height)),
    labels,
    st.floats(-50, WIDTH),
    st.floats(-50, HEIGHT),
    st.floats(0, 400),
    st.floats(0, 400),
)
glances = st.builds(glance_of, st.lists(obstacles, max_size=12), shares)

CALM = glance_of([boxed_obstacle("chair", Box(10, 100, 200, 400))], entropy=0.3)
BUSY = glance_of(
    [
        boxed_obstacle("bus", Box(20, 100, 600, 350)),
        boxed_obstacle("person", Box(40, 180, 140, 420)),
        boxed_obstacle("person", Box(160, 180, 250, 410)),
        boxed_obstacle("person", Box(500, 170, 630, 420)),
        boxed_obstacle("person", Box(0, 250, 40, 420)),
    ],
    entropy=0.6,
)


def test_weights_sum_to_one() -> None:
    assert math.fsum(WEIGHTS.values()) == 1.0
    assert all(weight > 0 for weight in WEIGHTS.values())


@given(glances)
@property_settings
def test_features_and_score_are_bounded_and_there_is_a_reason(glance: Glance) -> None:
    complexity = complexity_of(glance)
    for name in WEIGHTS:
        assert 0.0 <= getattr(complexity, name) <= 1.0, name
    assert 0.0 <= complexity.score <= 1.0
    assert 1 <= len(complexity.reasons) <= 3
    assert all(reason and "{" not in reason for reason in complexity.reasons)


@given(st.tuples(*[shares] * len(WEIGHTS)), st.sampled_from(sorted(WEIGHTS)), shares)
@property_settings
def test_score_is_monotone_in_every_feature(
    values: tuple[float, ...], name: str, other: float
) -> None:
    before = dict(zip(WEIGHTS, values, strict=True))
    after = before | {name: max(other, before[name])}
    assert make_complexity(after).score >= make_complexity(before).score


@pytest.mark.parametrize("name", sorted(WEIGHTS))
def test_a_single_full_feature_scores_its_weight(name: str) -> None:
    assert make_complexity({name: 1.0}).score == WEIGHTS[name]


@given(glances, obstacles)
@property_settings
def test_another_obstacle_never_lowers_the_score(glance: Glance, extra: Obstacle) -> None:
    more = dataclasses.replace(glance, obstacles=(*glance.obstacles, extra))
    assert complexity_of(more).score >= complexity_of(glance).score


@given(glances, st.randoms(use_true_random=False))
@property_settings
def test_the_order_of_obstacles_does_not_matter(glance: Glance, shuffler: object) -> None:
    mixed = list(glance.obstacles)
    shuffler.shuffle(mixed)  # type: ignore[attr-defined]
    other = dataclasses.replace(glance, obstacles=tuple(mixed))
    assert Rules(0.5).decide(other) == Rules(0.5).decide(glance) == Rules(0.5).decide(glance)


def test_features_of_a_known_glance() -> None:
    glance = glance_of(
        [
            boxed_obstacle("person", Box(0, 0, 64, 48)),
            boxed_obstacle("person", Box(32, 0, 96, 48)),  # intersection over union: 1/3
            boxed_obstacle("bus", Box(576, 432, 640, 480)),
        ],
        entropy=0.7,
    )
    complexity = complexity_of(glance)
    assert complexity.uncertainty == 0.7
    assert complexity.number == 3 / 6
    assert complexity.horizontal_spread == (608 - 32) / 640
    assert complexity.vertical_spread == (456 - 24) / 480
    assert complexity.variety == 2 / 4
    assert complexity.crowding == pytest.approx(1 / 3)


def test_a_calm_glance_scores_low_and_a_busy_one_high() -> None:
    assert complexity_of(glance_of([], entropy=0.3)).score < 0.25
    assert complexity_of(CALM).score < 0.25
    assert complexity_of(BUSY).score > 0.5


def test_reasons_name_the_largest_contributions_with_their_values() -> None:
    assert Rules(0.5).decide(BUSY).reasons == (
        "5 obstacles",
        "scene unsure (entropy 0.60)",
        "spread over 85% of the width",
    )
    assert Rules(0.5).decide(glance_of([], entropy=0.0)).reasons == (
        "no obstacles",
        "scene sure (entropy 0.00)",
    )


@given(glances)
@property_settings
def test_a_score_at_the_threshold_is_escalated(glance: Glance) -> None:
    score = complexity_of(glance).score
    assert Rules(0.0).decide(glance).tier == "full"
    assert (Rules(1.0).decide(glance).tier == "full") == (score == 1.0)
    assert Rules(score).decide(glance).tier == "full"
    decision = Rules(min(1.0, math.nextafter(score, 2.0))).decide(glance)
    assert (decision.tier == "quick") == (score < 1.0)
    assert decision.score == score


def test_the_score_is_1_if_every_feature_is() -> None:
    assert make_complexity(dict.fromkeys(WEIGHTS, 1.0)).score == 1.0


def test_rules_reject_a_glance_without_a_scene() -> None:
    with pytest.raises(ValueError, match="scene"):
        Rules(0.5).decide(dataclasses.replace(CALM, scene=None))


@pytest.mark.parametrize(("tier", "score"), [("quick", 0.0), ("full", 1.0)])
def test_always_chooses_its_tier(tier: str, score: float) -> None:
    for glance in (CALM, BUSY):
        decision = Always(tier, 0.3).decide(glance)  # type: ignore[arg-type]
        assert (decision.tier, decision.score, decision.threshold) == (tier, score, 0.3)
        assert decision.reasons == (f"mode={tier}",)


@given(st.integers(0, 2**31 - 1), st.integers(0, 10**9), shares)
@property_settings
def test_random_depends_only_on_seed_and_frame_number(
    seed: int, seq: int, threshold: float
) -> None:
    router = Random(threshold, seed)
    first = router.decide(glance_of([], seq=seq))
    router.decide(glance_of([], seq=seq + 1))
    assert router.decide(dataclasses.replace(BUSY, frame=glance_of([], seq=seq).frame)) == first
    assert 0.0 <= first.score < 1.0
    assert (first.tier == "full") == (first.score >= threshold)
    assert Random(0.0, seed).decide(glance_of([], seq=seq)).tier == "full"
    assert Random(1.0, seed).decide(glance_of([], seq=seq)).tier == "quick"


def test_random_is_uniform_and_seeds_are_independent() -> None:
    by_seed = [
        np.array([Random(0.5, seed).decide(glance_of([], seq=seq)).score for seq in range(2000)])
        for seed in (1, 2)
    ]
    for scores in by_seed:
        counts, _ = np.histogram(scores, bins=10, range=(0, 1))
        assert counts.min() > 140  # 200 expected, standard deviation 13
        assert counts.max() < 260
    assert abs(np.corrcoef(by_seed[0], by_seed[1])[0, 1]) < 0.1


def test_all_implement_the_router_port() -> None:
    routers: list[Router] = [Always("quick"), Rules(0.5), Random(0.5, 0)]
    assert [router.name for router in routers] == ["always", "rules", "random"]
