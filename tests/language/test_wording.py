"""Sentences agree with the glance, name hazards first, stay in one language and are short."""

import json
import re
from itertools import product
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.glance import Glance, Obstacle, SceneClass
from engine.language.pack import TEMPLATES
from engine.language.wording import AlertLength, Words
from tests.fakes.glances import make_glance, make_obstacle, make_scene

LANGUAGES, UNITS, DIRECTIONS = ("en", "es"), ("meters", "feet", "steps"), ("sides", "clock")
ALL = {key: Words(*key) for key in product(LANGUAGES, UNITS, DIRECTIONS)}  # type: ignore[arg-type]
EN, ES = ALL["en", "meters", "sides"], ALL["es", "meters", "sides"]


SIDES = {
    "en": {"left": "left", "ahead": "ahead", "right": "right"},
    "es": {"left": "a la izquierda", "ahead": "delante", "right": "a la derecha"},
}
THINGS = json.loads((TEMPLATES / "en" / "things.json").read_text(encoding="utf-8"))
SCENES = json.loads((TEMPLATES / "en" / "scenes.json").read_text(encoding="utf-8"))
TWELVE_HOURS = {
    "en": "twelve one two three four five six seven eight nine ten eleven",
    "es": "doce una dos tres cuatro cinco seis siete ocho nueve diez once",
}


def said_direction(language: str, directions: str, obstacle: Obstacle) -> str:
    """The expected direction of an obstacle, computed independently: the nearest hour."""
    if directions == "sides":
        return SIDES[language][obstacle.side]
    bearing_deg = obstacle.bearing_deg % 360
    hour = min(range(13), key=lambda h: (abs(bearing_deg - 30 * h), -h)) % 12
    word = TWELVE_HOURS[language].split()[hour]
    if language == "en":
        return f"at {word} o'clock"
    return f"a la {word}" if hour == 1 else f"a las {word}"


any_label = st.sampled_from([*THINGS, "Traffic_Light", "forklift"]) | st.text(max_size=12)
any_distance = st.floats(0, 30) | st.sampled_from([0.0, 20.0, 1e9, float("inf")])
any_obstacle = st.builds(
    make_obstacle,
    any_label,
    any_distance,
    st.sampled_from(["left", "ahead", "right"]),
    st.floats(-180, 180),
    st.integers(0, 10**6),
)
any_scene = st.builds(
    SceneClass,
    st.sampled_from([*SCENES, "ice rink"]) | st.text(max_size=12),
    st.floats(0, 1),
    st.floats(0, 1),
    st.booleans(),
)
any_glance = st.builds(
    lambda obstacles, scene: make_glance(*obstacles, scene=scene),
    st.lists(any_obstacle, max_size=6) | st.lists(any_obstacle, min_size=7, max_size=40),
    st.none() | any_scene,
)
any_words = st.sampled_from(sorted(ALL))


def check_speakable(text: str) -> None:
    assert text == text.strip()
    assert text
    assert text[-1] in ".!"
    assert text.lstrip("¡")[0].isupper()
    assert not re.search(r"[{}%]|\s\s|\n| [.,;:]|[.,;:][.,;:]|None|Undefined", text), text


@given(any_glance, any_words)
@settings(max_examples=300, deadline=None)
def test_any_glance_has_a_sentence(glance: Glance, key: tuple[str, str, str]) -> None:
    language, _, directions = key
    words = ALL[key]
    text = words.describe(glance)
    check_speakable(text)
    without_scene = words.describe(make_glance(*glance.obstacles))
    assert text.startswith(without_scene)  # hazards come before the place
    if glance.scene is not None:
        assert len(text) > len(without_scene)
    if not glance.obstacles:
        return
    nearest_m = min(obstacle.distance_m for obstacle in glance.obstacles)
    first = without_scene.split(". ")[0].rstrip(".")
    said = re.split(r"[:;,]", first)
    assert words.distance(nearest_m) in first
    assert any(
        words.label(obstacle.label, 1).lower() in said[0].lower()
        or words.label(obstacle.label, 2).lower() in said[0].lower()
        for obstacle in glance.obstacles
        if obstacle.distance_m == nearest_m
    )
    place = said[1] if ":" in first else said[0]
    assert any(
        place.endswith(" " + said_direction(language, directions, obstacle))
        for obstacle in glance.obstacles
        if obstacle.distance_m == nearest_m
    )


@given(any_obstacle, any_words, st.sampled_from(get_args(AlertLength)))
@settings(max_examples=200, deadline=None)
def test_any_alert_has_a_sentence(
    obstacle: Obstacle, key: tuple[str, str, str], length: AlertLength
) -> None:
    words, direction = ALL[key], said_direction(key[0], key[2], obstacle)
    text = words.alert(obstacle, length)
    check_speakable(text)
    label = words.label(obstacle.label)
    if length == "shortest":  # the side is in its sound
        assert text.strip("¡!").lower() == label.lower()
        return
    start = f"{label[0].upper()}{label[1:]} {direction}"
    if length == "short":
        assert text == f"{start}."
    else:
        assert text.startswith(f"{start}, ")
        assert text.endswith(f"{words.distance(obstacle.distance_m)}.")


def test_the_same_kind_on_two_sides_is_named_by_side() -> None:
    glance = make_glance(
        make_obstacle("person", 3.2, "left"),
        make_obstacle("person", 2.4, "ahead"),
        make_obstacle("person", 2.0, "ahead"),
        scene=make_scene(),
    )
    assert EN.describe(glance) == (
        "Three people: two ahead, the nearest two meters; one left. You are on a street."
    )
    assert ES.describe(glance) == (
        "Tres personas: dos delante, la más cercana a dos metros; una a la izquierda. "
        "Estás en una calle."
    )


def test_two_kinds_and_a_certain_place() -> None:
    glance = make_glance(
        make_obstacle("bus", 8, "left"), make_obstacle("person", 2, "ahead"), scene=make_scene()
    )
    assert EN.describe(glance) == "Person ahead, two meters. Bus left, eight meters. " + (
        "You are on a street."
    )
    assert ES.describe(glance) == (
        "Persona delante, a dos metros. Autobús a la izquierda, a ocho metros. Estás en una calle."
    )


@pytest.mark.parametrize(
    ("probability", "label", "indoor", "english", "spanish"),
    [
        (0.5, "street", False, "You are on a street.", "Estás en una calle."),
        (
            0.49,
            "street",
            False,
            "You are probably on a street.",
            "Probablemente estás en una calle.",
        ),
        (
            0.2,
            "street",
            False,
            "You are probably on a street.",
            "Probablemente estás en una calle.",
        ),
        (0.19, "street", False, "I am not sure where this is.", "No sé bien qué lugar es este."),
        (1.0, "other", None, "I am not sure where this is.", "No sé bien qué lugar es este."),
        (1.0, "other", False, "You are outdoors.", "Estás al aire libre."),
        (0.19, "other", False, "I am not sure where this is.", "No sé bien qué lugar es este."),
        (1.0, "ice_rink", False, "The scene looks like ice rink.", "Estás al aire libre."),
        (
            0.3,
            "n0291",
            True,
            "You are probably indoors.",
            "Probablemente estás en un lugar cerrado.",
        ),
        (1.0, "n02", True, "You are indoors.", "Estás en un lugar cerrado."),
    ],
)
def test_an_uncertain_place_is_hedged(
    probability: float, label: str, indoor: bool | None, english: str, spanish: str
) -> None:
    glance = make_glance(scene=make_scene(label, probability, indoor=indoor))
    assert EN.describe(glance) == f"Nothing in the way that I can see. {english}"
    assert ES.describe(glance) == f"Nada en el camino, que yo vea. {spanish}"


def test_only_the_alert_policy_makes_an_answer_say_that_nothing_is_there() -> None:
    unsure = make_glance(way_is_clear=False)
    assert EN.describe(unsure) == "I am not sure that the way is clear."
    assert ES.describe(unsure) == "No estoy seguro de que el camino esté libre."


def test_three_kinds_are_named_and_the_rest_is_counted() -> None:
    labels = ["person", "bus", "chair", "dog", "door", "door", "table"]
    glance = make_glance(*(make_obstacle(label, 2.0 + i) for i, label in enumerate(labels)))
    assert EN.describe(glance).endswith("Chair ahead, four meters. And four more things.")
    assert ES.describe(glance).endswith("Silla delante, a cuatro metros. Y cuatro cosas más.")
    one_more = make_glance(*glance.obstacles[:4])
    assert EN.describe(one_more).endswith(". And one more thing.")
    assert ES.describe(one_more).endswith(". Y una cosa más.")


@given(st.lists(any_obstacle, max_size=40))
@settings(max_examples=100, deadline=None)
def test_the_spoken_counts_add_up(obstacles: list[Obstacle]) -> None:
    numbers = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7}
    few = [o for o in obstacles if o.label in THINGS][:7]
    text = EN.describe(make_glance(*few)).removeprefix("Nothing in the way that I can see.")
    total = 0
    for sentence in re.findall(r"[^.]+", text):
        first = sentence.removeprefix(" And").split()[0].lower()
        total += numbers.get(first, 1)
        if ":" in sentence:
            parts = re.split(r"[:;]", sentence)[1:]
            assert sum(numbers[part.split()[0]] for part in parts) == numbers[first]
    assert total == len(few)


def test_a_crowd_is_not_listed_hour_by_hour() -> None:
    crowd = [make_obstacle("person", 3 + i / 100, bearing_deg=30.0 * i) for i in range(6)]
    assert ALL["en", "meters", "clock"].describe(make_glance(*crowd)) == (
        "Six people: one at twelve o'clock, three meters; one at one o'clock; "
        "one at two o'clock; three elsewhere."
    )


@pytest.mark.parametrize(
    ("bearing_deg", "english", "spanish"),
    [
        (0.0, "at twelve o'clock", "a las doce"),
        (-15.0, "at twelve o'clock", "a las doce"),
        (14.9, "at twelve o'clock", "a las doce"),
        (15.0, "at one o'clock", "a la una"),
        (60.0, "at two o'clock", "a las dos"),
        (-30.0, "at eleven o'clock", "a las once"),
        (180.0, "at six o'clock", "a las seis"),
        (-180.0, "at six o'clock", "a las seis"),
    ],
)
def test_clock_directions(bearing_deg: float, english: str, spanish: str) -> None:
    obstacle = make_obstacle("person", 2, bearing_deg=bearing_deg)
    assert ALL["en", "meters", "clock"].alert(obstacle, "short") == f"Person {english}."
    assert ALL["es", "meters", "clock"].alert(obstacle, "short") == f"Persona {spanish}."


@pytest.mark.parametrize(
    ("words", "text", "parts"),
    [
        (EN, "", []),
        (EN, "Nothing here.", ["Nothing here."]),
        (EN, "A bus ahead, 2.5 meters. You are on a street.", 2),
        (ES, "Una persona. ¿Dónde? ¡Ahí! Estás en una calle.", 4),
        (ES, "Un coche. Árboles a la izquierda.", 2),
        (EN, "Look! A sign says no. 5 and nothing else", 2),
    ],
)
def test_a_text_is_split_into_its_sentences_and_nothing_is_lost(
    words: Words, text: str, parts: int | list[str]
) -> None:
    found = words.sentences(text)
    assert " ".join(found) == text
    assert found == parts if isinstance(parts, list) else len(found) == parts
