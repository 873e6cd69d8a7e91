"""The shipped pocket weights on the street photo, which is in no training set: a wearer who tries
the sample must hear what is there. `experiments/pocket` measures quality in general."""

from typing import Any

import pytest

from engine.core.glance import Box
from engine.language.nouns import Vocabulary
from tests.fakes.command import ROOT, describe_here, one

pytestmark = pytest.mark.weights

# Read off bus.jpg (810 x 1080 pixels) by eye.
PEOPLE = [
    Box(49, 399, 245, 902),
    Box(222, 406, 345, 858),
    Box(669, 392, 810, 877),
    Box(0, 551, 63, 873),
]
BUS = Box(17, 230, 805, 757)
LARGE_VEHICLES = {"bus", "truck"}
STREETS = {"street", "road", "city buildings"}
NOT_THERE = (
    "dog", "cat", "horse", "bird", "cow", "sheep",
    "pizza", "cake", "sandwich", "banana", "apple",
    "chair", "couch", "bed", "dining table", "toilet", "sink", "oven", "refrigerator", "tv",
)  # fmt: skip
THERE = ("person", "bus", "truck", "car")


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    width = min(one.x2, other.x2) - max(one.x1, other.x1)
    height = min(one.y2, other.y2) - max(one.y1, other.y1)
    shared = max(0.0, width) * max(0.0, height)
    return shared / (one.area + other.area - shared)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The photo described once with the shipped weights, by both tiers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCENE_ARIA_POCKET", str(ROOT / "models" / "pocket"))
        return describe_here(tmp_path_factory.mktemp("shipped"), "mode=full", "models=pocket")


def boxes(session: list[dict[str, Any]], labels: set[str]) -> list[Box]:
    return [Box(*r["box"]) for r in session if r["type"] == "obstacle" and r["label"] in labels]


def test_at_least_two_of_the_four_people_are_found(session: list[dict[str, Any]]) -> None:
    found = boxes(session, {"person"})
    hits = sum(any(overlap(person, box) >= 0.5 for box in found) for person in PEOPLE)
    assert hits >= 2


def test_the_bus_is_found_as_a_large_vehicle(session: list[dict[str, Any]]) -> None:
    assert any(overlap(BUS, box) >= 0.5 for box in boxes(session, LARGE_VEHICLES))


def test_the_scene_is_a_street(session: list[dict[str, Any]]) -> None:
    assert one(session, "description")["scene"]["label"] in STREETS


def test_the_full_answer_names_what_is_there(session: list[dict[str, Any]]) -> None:
    description = one(session, "description")
    assert description["tier"] == "full"
    vocabulary = Vocabulary((*THERE, *NOT_THERE), "en")
    named = {mention.thing for mention in vocabulary.mentions(description["text"])}
    assert named & {vocabulary.thing(label) for label in THERE}
    assert not named & {vocabulary.thing(label) for label in NOT_THERE}
