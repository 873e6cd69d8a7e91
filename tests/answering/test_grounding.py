"""The describer's claims are checked against the evidence, and stay grammatical."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.answering.grounding import Evidence, Grounder
from engine.core.glance import SceneClass
from engine.core.preferences import Unsupported
from tests.fakes.glances import make_obstacle, make_scene

LABELS = (
    "person",
    "bicycle",
    "car",
    "bus",
    "truck",
    "dog",
    "bench",
    "chair",
    "couch",
    "traffic sign",
)
SEEN = Evidence(
    (
        make_obstacle("person", 3.0, "left"),
        make_obstacle("person", 4.0, "ahead"),
        make_obstacle("bus", 5.0, "ahead"),
    ),
    SceneClass("street", 0.1, 0.9, False),
)
HOW: dict[Unsupported, Grounder] = {
    "hedge": Grounder(LABELS, "en", "hedge"),
    "drop": Grounder(LABELS, "en", "drop"),
    "say": Grounder(LABELS, "en", "say"),
}
ES = Grounder(LABELS, "es", "hedge")


@pytest.mark.parametrize(
    ("said", "hedged", "dropped", "unsupported"),
    [
        # what the pocket describer says about the street photo
        (
            "Several people and a car on a street.",
            "Several people and maybe a car on a street.",
            "Several people on a street.",
            ["car"],
        ),
        ("A man and a bus on a street.", None, None, []),
        ("A dog is running.", "Maybe a dog is running.", "", ["dog"]),
        ("A man with a dog.", "A man maybe with a dog.", "A man.", ["dog"]),
        (
            "A man is standing next to a car on a street.",
            "A man is standing maybe next to a car on a street.",
            "A man is standing on a street.",
            ["car"],
        ),
        # the verb agrees with both nouns, so neither can be cut
        ("A man and a dog are here.", "A man and maybe a dog are here.", "", ["dog"]),
        ("Two boys ride bikes.", "Two boys ride maybe bikes.", "", ["bicycle"]),
        (
            "A group of dogs in a kitchen.",
            "Maybe a group of dogs in a kitchen.",
            "",
            ["dog", "kitchen"],
        ),
        ("A car, a bus and a truck.", "Maybe a car, a bus and maybe a truck.", "", ["car", "truck"]),
        # places: the scene or a similar one
        ("A man on a road.", None, None, []),
        ("A man in a kitchen.", "A man maybe in a kitchen.", "A man.", ["kitchen"]),
        # numbers: more than detected is hedged, fewer may be some of them
        ("Three people wait.", "Maybe three people wait.", "Maybe three people wait.", []),
        ("Two people.", None, None, []),
        ("A man is waiting.", None, None, []),
        ("Several buses.", "Maybe several buses.", "Maybe several buses.", []),
        # sides
        ("A man on the left.", None, None, []),
        ("A bus on the right.", "A bus ahead.", "A bus ahead.", []),
        ("On the right, a bus.", "Ahead, a bus.", "Ahead, a bus.", []),
        ("A man to your right waits.", "A man on the left waits.", "A man on the left waits.", []),
        ("A man to the right of a bus.", None, None, []),
        # superordinate words and synonyms
        ("A large vehicle.", None, None, []),
        ("A puppy.", "Maybe a puppy.", "", ["dog"]),
        ("A sofa.", "Maybe a sofa.", "", ["couch"]),
        # no claims
        ("There is no dog.", None, None, []),
        ("A man without a dog.", None, None, []),
        ("Maybe a dog.", None, None, []),
        ("It is dark.", None, None, []),
        ("", None, None, []),
    ],
)  # fmt: skip
def test_claims(said: str, hedged: str | None, dropped: str | None, unsupported: list[str]) -> None:
    for how, expected in (("hedge", hedged), ("drop", dropped), ("say", said)):
        found = HOW[how].check(said, SEEN)  # type: ignore[index]
        assert found.text == (said if expected is None else expected), how
        assert list(found.unsupported) == unsupported, how


def test_text_that_was_read_supports_a_sign_and_what_it_names() -> None:
    grounder = HOW["hedge"]
    sign = "A sign about a dog."
    assert grounder.check(sign, SEEN).unsupported == ("sign", "dog")
    read = Evidence(SEEN.obstacles, SEEN.scene, ("BEWARE OF THE DOG",))
    assert grounder.check(sign, read).text == sign


@pytest.mark.parametrize(
    ("said", "hedged"),
    [
        ("Varias personas y un coche en una calle.", "Varias personas y quizá un coche en una calle."),
        ("Un perro corre.", "Quizá un perro corre."),
        ("Dos hombres a la derecha.", "Dos hombres a la izquierda."),
        ("No hay ningún perro.", "No hay ningún perro."),
        ("Un autobús en la carretera.", "Un autobús en la carretera."),
    ],
)  # fmt: skip
def test_spanish_claims(said: str, hedged: str) -> None:
    assert ES.check(said, SEEN).text == hedged


SAID_BEFORE = (
    "Two people: one left, three meters; one ahead. Bus ahead, four meters. You are on a street."
)


@pytest.mark.parametrize(
    ("clause", "adds"),
    [
        ("Several people on a street.", False),
        ("Two people and a bus.", False),
        ("A man on the left.", False),
        ("A man is waiting at a bus.", True),
        ("Several people and maybe a car on a street.", True),
        ("A woman in a red coat.", True),
        ("Two people in a park.", True),
    ],
)
def test_which_clauses_add_something(clause: str, adds: bool) -> None:
    assert HOW["hedge"].adds(clause, SAID_BEFORE) is adds


# Sentences like a describer's, from a small grammar.
NOUNS = ["man", "dog", "red car", "little boy", "bus", "white truck", "bench", "wooden chair"]
article = st.sampled_from(NOUNS).map(lambda noun: f"a {noun}")
many = st.sampled_from(["two men", "several dogs", "three buses", "a group of boys", "many cars"])
phrase = st.one_of(article, many)
within = st.sampled_from(["on", "next to", "in front of", "with", "near", "behind"])
tail = st.tuples(within, st.one_of(phrase, st.sampled_from(["a street", "a kitchen", "the park"])))


@st.composite
def clauses(draw: st.DrawFn) -> str:
    things = draw(st.lists(phrase, min_size=1, max_size=3))
    text = " and ".join([", ".join(things[:-1]), things[-1]] if len(things) > 1 else things)
    verb = draw(st.sampled_from(["", " standing", " is" if len(things) == 1 else " are"]))
    if verb in (" is", " are"):
        verb += draw(st.sampled_from([" walking", " waiting"]))
    ends = draw(st.lists(tail, max_size=2))
    text += verb + "".join(f" {before} {what}" for before, what in ends)
    return f"{text[0].upper()}{text[1:]}."


obstacles = st.lists(
    st.builds(
        make_obstacle,
        st.sampled_from(LABELS),
        st.floats(1, 9),
        st.sampled_from(["left", "ahead", "right"]),
    ),
    max_size=5,
)
scenes = st.sampled_from(["street", "kitchen", "park", "other"]).map(make_scene)
DANGLING = re.compile(
    r"\b(a|an|the|and|or|of|on|in|with|near|behind|next|to|is|are|two|several|three|many|maybe)\.$"
)


@settings(deadline=None, max_examples=150)
@given(clauses(), obstacles, scenes)
def test_the_result_is_grammatical_for_any_evidence(
    clause: str, seen: list[object], scene: SceneClass
) -> None:
    evidence = Evidence(tuple(seen), scene)  # type: ignore[arg-type]
    for how, grounder in HOW.items():
        text = grounder.check(clause, evidence).text
        if how == "say":
            assert text == clause
            continue
        if not text:
            assert how == "drop"
            continue
        assert text[0].isupper()
        assert text.endswith(".")
        assert not DANGLING.search(text), text
        assert not re.search(r"\s[,.]|,\s*[.]|\s\s|maybe maybe|, and\b|and and", text), text
        bare = re.sub(r"(?i)\bmaybe ", "", text)
        if how == "hedge":  # only the hedge is added
            assert bare.lower() == clause.lower()
        else:  # the rest has the words of the clause in their order
            words = iter(clause.lower().split())
            assert all(
                any(w.strip(".,") == x.strip(".,") for x in words) for w in bare.lower().split()
            )


@settings(deadline=None, max_examples=100)
@given(st.text(max_size=60), obstacles)
def test_any_text_is_accepted(text: str, seen: list[object]) -> None:
    for grounder in (*HOW.values(), ES):
        grounder.check(text, Evidence(tuple(seen)))  # type: ignore[arg-type]
        grounder.adds(text, text)
