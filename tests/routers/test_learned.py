"""Learned routers: features are bounded, the stored model is validated, guarantees hold."""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.answer import Decision
from engine.core.errors import MissingPart
from engine.core.glance import Box, Glance, ImageStatistics, Obstacle, SceneClass
from routers import Budget, Conformal, Count, Learned
from routers.budget import share_of
from routers.conformal import allowed_losses, calibrated, unnamed_hazards
from routers.features import FEATURES, features
from routers.model import LEARNED, Calibration, Model, Tree, read_model
from tests.fakes.glances import make_glance, make_obstacle, make_scene
from tests.fakes.recordings import PICTURE

property_settings = settings(max_examples=100, deadline=None)
shares = st.floats(0.0, 1.0)
pictures = st.builds(ImageStatistics, shares, shares, shares, shares, shares, shares)
scenes = st.builds(
    lambda top, entropy, indoor: SceneClass(
        "street", top[0], entropy, indoor, tuple(("street", share) for share in top)
    ),
    st.lists(shares, min_size=1, max_size=3),
    shares,
    st.booleans(),
)  # fmt: skip
obstacles = st.builds(
    lambda label, x, y, width, height, score, distance_m: replace(
        make_obstacle(label, distance_m, box=Box(x, y, x + width, y + height)), score=score
    ),
    st.sampled_from(["person", "car", "chair", "pole", "something new"]),
    st.floats(-50, 640), st.floats(-50, 480), st.floats(0, 900), st.floats(0, 900),
    shares, st.floats(0.0, 500.0),
)  # fmt: skip


def glance(
    *items: Obstacle, scene: SceneClass | None = None, picture: ImageStatistics | None = PICTURE
) -> Glance:
    return replace(make_glance(*items, scene=scene or make_scene()), picture=picture)


glances = st.builds(
    lambda items, scene, picture: glance(*items, scene=scene, picture=picture),
    st.lists(obstacles, max_size=12), scenes, pictures,
)  # fmt: skip

LINEAR_MODEL = Model(
    version=1, features=("obstacle_count", "doubt"), means=(0.5, 0.0), bias=0.1, weights=(-0.4, 0.2),
    trees=(), slope=10.0, intercept=0.0,
    calibration=Calibration(100, 0.05, (0.2, 0.4, 0.6), (0.3,)), trained="by hand",
)  # fmt: skip
# many obstacles go right; there the doubt decides
TREE = Tree(
    (0, 0, 1, 0, 0),
    (0.5, 0, 0.29, 0, 0),  # no share of up to 12 obstacles is 0.29, so rounding does not matter
    (1, -1, 3, -1, -1),
    (2, -1, 4, -1, -1),
    (0.0, 0.2, -0.1, -0.3, 0.1),
)
TREE_MODEL = replace(LINEAR_MODEL, weights=(0.0, 0.0), bias=0.0, trees=(TREE,))


def feature(name: str, of: Glance) -> float:
    return float(features(of)[list(FEATURES).index(name)])


@given(glances)
@property_settings
def test_features_are_named_and_bounded(found: Glance) -> None:
    vector = features(found)
    assert vector.shape == (len(FEATURES),)
    assert np.isfinite(vector).all()
    assert ((vector >= 0) & (vector <= 1)).all()


@given(glances, st.randoms(use_true_random=False))
@property_settings
def test_the_order_of_obstacles_does_not_matter(found: Glance, rng: object) -> None:
    mixed = list(found.obstacles)
    rng.shuffle(mixed)  # type: ignore[attr-defined]
    np.testing.assert_allclose(
        features(replace(found, obstacles=tuple(mixed))), features(found), atol=1e-12
    )


@given(glances, obstacles)
@property_settings
def test_another_obstacle_lowers_no_count(found: Glance, extra: Obstacle) -> None:
    more = replace(found, obstacles=(*found.obstacles, extra))
    for name in ("obstacle_count", "obstacle_kinds", "people_count", "largest_area", "covered_area",
                 "spread_across", "spread_down", "crowding", "nearness", "hazard"):  # fmt: skip
        assert feature(name, more) >= feature(name, found), name


def test_features_of_a_known_glance() -> None:
    scene = replace(
        make_scene(probability=0.5, entropy=0.4), top=(("a", 0.3), ("b", 0.5), ("c", 0.1))
    )
    near = make_obstacle("person", 3.0, box=Box(0, 0, 320, 480))
    doubtful = replace(make_obstacle("chair", 9.0, box=Box(600, 0, 640, 48)), score=0.3)
    found = glance(near, doubtful, scene=scene)
    expected = {
        "scene_margin": 0.2, "people_count": 0.25, "largest_area": 0.5, "covered_area": 0.50625,
        "doubt": 0.5, "mean_score": 0.6, "nearness": 0.5, "hazard": 1.0, "obstacle_kinds": 0.5,
    }  # fmt: skip
    for name, number in expected.items():
        assert feature(name, found) == pytest.approx(number), name


@pytest.mark.parametrize("missing", ["scene", "picture"])
def test_a_glance_without_scene_or_image_is_rejected(missing: str) -> None:
    with pytest.raises(ValueError, match=missing):
        features(replace(glance(), **{missing: None}))  # type: ignore[arg-type]


@given(glances)
@property_settings
def test_the_gain_is_the_sum_of_contributions_and_the_score_a_probability(found: Glance) -> None:
    vector = features(found)
    count, doubt = feature("obstacle_count", found), feature("doubt", found)
    assert LINEAR_MODEL.gain(vector) == pytest.approx(0.1 - 0.4 * (count - 0.5) + 0.2 * doubt)
    leaf = 0.2 if count <= 0.5 else (-0.3 if doubt <= 0.29 else 0.1)
    assert TREE_MODEL.gain(vector) == pytest.approx(leaf)
    for model in (LINEAR_MODEL, TREE_MODEL):
        decision = Learned(0.5, model).decide(found)
        assert 0 < decision.score < 1
        assert decision.score == pytest.approx(1 / (1 + math.exp(-10 * model.gain(vector))))
        assert (decision.tier == "full") == (decision.score >= 0.5)
        assert 1 <= len(decision.reasons) <= 4
        assert decision.reasons[0].startswith("the full answer is expected to be ")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 9}, "version 9"),
        ({"features": ["obstacle_count", "charm"]}, "unknown feature charm"),
        ({"weights": [1.0]}, "differ in number"),
        ({"slope": None}, "valid number"),
        ({"trees": [{**asdict(TREE), "value": [0.0]}]}, "differ in length"),
        ({"trees": [{**asdict(TREE), "left": [0, -1, 3, -1, -1]}]}, "invalid child or feature"),
        ({"trees": [{**asdict(TREE), "feature": [7, 0, 1, 0, 0]}]}, "invalid child or feature"),
    ],
)
def test_an_invalid_model_is_rejected(tmp_path: Path, change: dict[str, object], said: str) -> None:
    path = tmp_path / "learned.json"
    path.write_text(json.dumps(asdict(TREE_MODEL) | change))
    with pytest.raises(MissingPart, match=said) as caught:
        read_model(path)
    assert "\n" not in str(caught.value)


def test_a_stored_model_is_read_back_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "learned.json"
    path.write_text(json.dumps(asdict(TREE_MODEL)))
    assert read_model(path) == TREE_MODEL
    with pytest.raises(MissingPart, match="found none; train it with"):
        read_model(tmp_path / "nowhere.json")


def test_the_shipped_model_is_valid() -> None:
    model = read_model(LEARNED)
    assert model.calibration.pictures > 100
    assert list(model.calibration.better) == sorted(model.calibration.better)


def test_allowed_losses_match_the_exact_binomial_bound() -> None:
    # 0.9^28 is above 0.05 and 0.9^29 below it
    assert allowed_losses(28, 0.1, 0.95) == -1
    assert allowed_losses(29, 0.1, 0.95) == 0
    assert allowed_losses(46, 0.1, 0.95) == 1  # Clopper and Pearson's bound for 1 in 46 is 0.0991


@given(
    st.lists(shares, max_size=60), st.lists(shares, max_size=5),
    st.integers(60, 400), st.floats(0.01, 0.5), st.floats(0.5, 0.99),
)  # fmt: skip
@property_settings
def test_the_calibrated_threshold_misses_no_more_than_allowed(
    better: list[float], hazards: list[float], pictures: int, risk: float, confidence: float
) -> None:
    calibration = Calibration(pictures, 0.05, tuple(sorted(better)), tuple(sorted(hazards)))
    threshold = calibrated(calibration, risk, confidence)
    missed = sum(score < threshold for score in better)
    assert missed <= max(0, allowed_losses(pictures, risk, confidence))
    assert not any(score < threshold for score in hazards)
    assert calibrated(calibration, risk / 2, confidence) <= threshold


def test_the_risk_bound_holds_as_often_as_stated() -> None:
    rng = np.random.default_rng(0)
    kept = 0
    for _ in range(300):
        score = rng.random(300)
        wrong = rng.random(300) < 0.5 * score  # better answers score higher
        calibration = Calibration(300, 0.05, tuple(np.sort(score[wrong])), ())
        threshold = calibrated(calibration, 0.1, 0.9)
        kept += 0.25 * threshold**2 <= 0.1  # the true share of missed escalations
    assert kept >= 0.9 * 300 - 3 * math.sqrt(300 * 0.09)


def test_a_hazard_that_the_template_would_not_name_is_escalated() -> None:
    near = [
        make_obstacle(label, distance_m=m) for m, label in enumerate(("chair", "bench", "tv"), 1)
    ]
    car, book = make_obstacle("car", 9.0), make_obstacle("book", 8.0)
    router = Conformal(replace(LINEAR_MODEL, calibration=Calibration(100, 0.05, (), ())), 0.1, 0.9)
    assert router.threshold == 1.0  # calibration has no losses, so only the hazard rule escalates
    assert router.decide(glance(*near, book)).tier == "quick"
    decision = router.decide(glance(*near, book, car))
    assert decision.tier == "full"
    assert "car" in decision.reasons[0]
    assert unnamed_hazards(glance(*near[:2], car), 3) == []


@given(st.lists(shares, min_size=1, max_size=300), shares, st.floats(0.01, 1.0), shares)
@property_settings
def test_a_budget_is_kept_for_any_sequence_of_scores(
    scored: list[float], share: float, step: float, start: float
) -> None:
    class FixedScores:
        name = "given"

        def __init__(self) -> None:
            self.scores = iter(scored)

        def decide(self, _: Glance) -> Decision:
            return Decision("quick", next(self.scores), 0.5, ("given",))

    router = Budget(FixedScores(), share, start, step)
    decisions = [router.decide(glance()) for _ in scored]
    escalated = sum(decision.tier == "full" for decision in decisions) / len(scored)
    assert abs(escalated - share) <= (1 + step) / (step * len(scored)) + 1e-9
    assert all(0 <= decision.threshold <= 1 for decision in decisions)


@pytest.mark.parametrize(
    ("average_ms", "share"), [(420, 0.0), (752, 1.0), (586, 0.5), (100, 0.0), (9000, 1.0)]
)
def test_an_average_latency_gives_a_share(average_ms: float, share: float) -> None:
    assert share_of(average_ms, 420, 752) == pytest.approx(share)


@given(st.integers(0, 12))
@property_settings
def test_count_uses_only_the_number_of_obstacles(number: int) -> None:
    decision = Count(0.5).decide(glance(*[make_obstacle("chair")] * number))
    assert decision.score == min(1.0, number / 6)
    assert (decision.tier == "full") == (number >= 3)
