"""Clauses are complete, early, capitalised and ended with a period; never half a sentence."""

import re
from collections.abc import Generator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.clauses import clauses, tidy


def stream(text: str, size: int, ended: bool) -> Generator[str, None, bool]:
    """`text` in pieces of `size` characters; returns `ended`."""
    for start in range(0, len(text), size):
        yield text[start : start + size]
    return ended


COMPLETE = [
    ("A man is walking.", ["A man is walking."]),
    ("a man is walking", ["A man is walking."]),
    ("A man walks. A dog runs!", ["A man walks.", "A dog runs."]),
    ("A man, a woman, and a dog.", ["A man, a woman, and a dog."]),
    ("On the left, there is a car.", ["On the left, there is a car."]),
    ("A man is walking, and a car is parked.", ["A man is walking.", "And a car is parked."]),
    ("Two men standing, while a bus waits.", ["Two men standing.", "While a bus waits."]),
    ("A building, and a bus.", ["A building, and a bus."]),
    ("The sign is 3.5 meters away.", ["The sign is 3.5 meters away."]),
    ("Mr. Smith is here. Go on.", ["Mr. Smith is here.", "Go on."]),
    ("1. A car is ahead. 2. A door.", ["1. A car is ahead.", "2. A door."]),
    ("**Ahead**: a bus.\n\nLeft: a man.", ["Ahead: a bus.", "Left: a man."]),
    ("", []),
    (" \n. ,", []),
]


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(("text", "expected"), COMPLETE)
def test_a_complete_text_is_spoken_completely(text: str, expected: list[str], size: int) -> None:
    assert list(clauses(stream(text, size, ended=True))) == expected


CUT_OFF = [
    ("A man is standing on a", ["A man is standing."]),
    ("A man is standing on a str", ["A man is standing."]),
    ("A man is standing on a street ", ["A man is standing on a street."]),
    ("A man in a red", ["A man."]),
    ("A man is walking. A dog is", ["A man is walking."]),
    ("A man is walking. A dog is running, with a", ["A man is walking.", "A dog is running."]),
    ("A man is walking, and a woman is holding a", ["A man is walking."]),
    ("A man is walking, wearing a", ["A man is walking."]),
    ("On the left, there is a car in the", ["On the left, there is a car."]),
    ("A man is walking.", ["A man is walking."]),
    ("A man, a woman, and the", ["A man, a woman."]),
    ("In the", []),
    ("", []),
]


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(("text", "expected"), CUT_OFF)
def test_a_cut_off_text_ends_with_its_last_complete_clause(
    text: str, expected: list[str], size: int
) -> None:
    assert list(clauses(stream(text, size, ended=False))) == expected


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("A man is walking. A dog barks.", "A man is walking. "),
        ("A man is walking, and a car is parked.", "A man is walking, and "),
    ],
)
def test_a_clause_is_yielded_as_soon_as_it_is_known_to_be_complete(text: str, needed: str) -> None:
    read: list[str] = []

    def spy() -> Generator[str, None, bool]:
        for character in text:
            read.append(character)
            yield character
        return True

    assert next(iter(clauses(spy()))) == "A man is walking."
    assert "".join(read) == needed


def test_closing_the_clauses_closes_the_pieces() -> None:
    closed: list[bool] = []

    def endless() -> Generator[str, None, bool]:
        try:
            while True:
                yield "A man is walking. "
        finally:
            closed.append(True)

    said = clauses(endless())
    next(said)
    said.close()  # type: ignore[attr-defined]
    assert closed == [True]


WORDS = "a the man woman bus, street. is walking and on red, with building 3.5 and, Mr. left: !"
words = st.sampled_from(re.findall(r"\S+", WORDS))


@given(st.lists(words, max_size=24), st.integers(1, 9), st.booleans())
@settings(max_examples=150, deadline=None)
def test_every_clause_can_be_spoken(parts: list[str], size: int, ended: bool) -> None:
    text = " ".join(parts)
    said = list(clauses(stream(text, size, ended)))
    for clause in said:
        assert clause == tidy(clause)
        assert clause.endswith(".")
        assert clause[0] == clause[0].upper()
    # nothing is added, and the size of the pieces does not matter
    assert said == list(clauses(stream(text, 1000, ended)))
    spoken = [word.strip(".,:!").lower() for clause in said for word in clause.split()]
    written = [word.strip(".,:!").lower() for word in parts]
    assert [w for w in spoken if w] == [w for w in written if w][: len([w for w in spoken if w])]
    if ended:
        assert len([w for w in spoken if w]) == len([w for w in written if w])


@pytest.mark.parametrize("text", ["%]].", "...", " @ # ", "*_*"])
def test_punctuation_alone_is_not_a_clause(text: str) -> None:
    assert list(clauses(iter([text]))) == []
