"""The wording of every kind of answer, in English and Spanish: detail, where, why, read,
prompts."""

import re
from itertools import product
from typing import get_args

import pytest

from engine.core.answer import Decision
from engine.core.glance import Side
from engine.core.preferences import Detail
from engine.language.facts import Why
from engine.language.pack import TEMPLATES, languages, prompts, sayable, understood
from engine.language.wording import Words
from tests.fakes.glances import make_glance, make_obstacle, make_scene

EN, ES = Words("en"), Words("es")
CROWD = make_glance(
    make_obstacle("person", 2.0),
    make_obstacle("person", 5.0, "left"),
    make_obstacle("bus", 8.0, "left"),
    make_obstacle("dog", 9.0, "left"),
    make_obstacle("chair", 9.0, "left"),
    scene=make_scene(),
)


@pytest.mark.parametrize(
    ("detail", "english", "spanish"),
    [
        (
            "brief",
            "Two people: one ahead, two meters; one elsewhere. Bus left, eight meters. "
            "And two more things.",
            "Dos personas: una delante, a dos metros; una en otras direcciones. "
            "Autobús a la izquierda, a ocho metros. Y dos cosas más.",
        ),
        (
            "normal",
            "Two people: one ahead, two meters; one left. Bus left, eight meters. "
            "Dog left, nine meters. And one more thing. You are on a street.",
            "Dos personas: una delante, a dos metros; una a la izquierda. Autobús a la izquierda, "
            "a ocho metros. Perro a la izquierda, a nueve metros. Y una cosa más. "
            "Estás en una calle.",
        ),
        (
            "full",
            "Two people: one ahead, two meters; one left, five meters. Bus left, eight meters. "
            "Dog left, nine meters. Chair left, nine meters. You are on a street.",
            "Dos personas: una delante, a dos metros; una a la izquierda, a cinco metros. "
            "Autobús a la izquierda, a ocho metros. Perro a la izquierda, a nueve metros. "
            "Silla a la izquierda, a nueve metros. Estás en una calle.",
        ),
    ],
)
def test_three_levels_of_detail(detail: Detail, english: str, spanish: str) -> None:
    assert EN.describe(CROWD, detail) == english
    assert ES.describe(CROWD, detail) == spanish


def test_a_brief_answer_names_the_place_only_without_obstacles() -> None:
    nothing = make_glance(scene=make_scene())
    assert EN.describe(nothing, "brief") == EN.describe(nothing, "full")


def test_spanish_where_agrees_in_gender() -> None:
    def more(label: str, count: int) -> str:
        return ES.where(label, [make_obstacle(label, 3.0)] * count)

    assert more("chair", 2) == "Silla delante, a tres metros. Y una más."
    assert more("car", 2) == "Coche delante, a tres metros. Y uno más."
    assert ES.where("car", ()) == "No veo ningún coche."
    assert ES.where("chair", ()) == "No veo ninguna silla."
    assert ES.where("chair", (), sure=False) == (
        "No veo ninguna silla, pero puede que se me escape algo."
    )
    assert EN.where("chair", (), sure=False) == "I see no chair, but I may be missing something."
    assert ES.where("chair", (), can_be_seen=False) == "No sé reconocer una silla."


@pytest.mark.parametrize("directions", ["sides", "clock"])
def test_where_uses_the_wearers_directions_and_units(directions: str) -> None:
    words = Words("en", "steps", directions, step_m=0.5)  # type: ignore[arg-type]
    chair = make_obstacle("chair", 2.0, "right", 62.0)
    place = "right" if directions == "sides" else "at two o'clock"
    assert words.where("chair", [chair]) == f"Chair {place}, four steps."


def test_every_why_is_a_complete_sentence() -> None:
    scenes = [None, make_scene(), make_scene("n02", 0.9), make_scene("street", 0.1)]
    for words, by, tier, scene, obstacles in product(
        (EN, ES),
        ("mode", "router", "more", "language", "loading", "failure"),
        ("quick", "full"),
        scenes,
        (0, 1, 5),
    ):
        text = words.why(Why(by, Decision(tier, 0.21, 0.5, ()), scene, obstacles))  # type: ignore[arg-type]
        assert text[0].isupper()
        assert text[-1] == "."
        assert not re.search(r"[{}]|\s[.,]|\s\s", text), text
        assert obstacles or not re.search(r"\bno obst|ningún obst|zero|cero obst", text), text


@pytest.mark.parametrize(
    ("label", "indoor", "english", "spanish"),
    [
        (
            "street",
            False,
            "I was ninety percent sure that you were on a street.",
            "estabas en una calle.",
        ),
        ("other", True, "I could only tell that you were indoors.", "en un lugar cerrado."),
        ("other", False, "I could only tell that you were outdoors.", "estabas al aire libre."),
        ("other", None, "I could not tell where this was.", "No pude saber qué lugar era."),
    ],
)
def test_why_says_how_certain_the_place_was(
    label: str, indoor: bool | None, english: str, spanish: str
) -> None:
    why = Why("mode", Decision("quick", 0.2, 0.5, ()), make_scene(label, indoor=indoor), 0)
    assert EN.why(why).endswith(english)
    assert ES.why(why).endswith(spanish)


@pytest.mark.parametrize(
    ("sure", "unsure", "language", "english", "spanish"),
    [
        ([], [], None, "I can read no text.", "No puedo leer ningún texto."),
        (["EXIT."], [], "en", "The text says: “EXIT”.", "El texto en inglés dice: “EXIT”."),
        (
            ["SALIDA"],
            ["x1"],
            "es",
            "The text in Spanish says: “SALIDA”. Perhaps also: “x1”.",
            "El texto dice: “SALIDA”. Quizá también: “x1”.",
        ),
        ([], ["a", "b"], None, "The text perhaps says: “a; b”.", "El texto quizá dice: “a; b”."),
    ],
)
def test_read(
    sure: list[str], unsure: list[str], language: str | None, english: str, spanish: str
) -> None:
    assert EN.read(sure, unsure, language) == english
    assert ES.read(sure, unsure, language) == spanish


def test_every_language_has_the_same_files_and_names_the_others() -> None:
    files = {
        code: {p.relative_to(TEMPLATES / code) for p in (TEMPLATES / code).rglob("*.*")}
        for code in languages()
    }
    for code in languages():
        assert files[code] == files["en"]
        assert set(sayable(code).languages) >= set(languages())
        assert len(prompts(code)) >= 6
        assert understood(code).sides.keys() == set(get_args(Side))


@pytest.mark.parametrize("words", [EN, ES])
@pytest.mark.parametrize("name", prompts("en"))
def test_prompts_are_short_and_complete(words: Words, name: str) -> None:
    for glance in (CROWD, make_glance(), make_glance(scene=make_scene("street", 0.1))):
        text = words.prompt(name, glance)
        assert 3 <= len(text.split()) <= 40
        assert text[-1] in ".?"
        assert "{" not in text
