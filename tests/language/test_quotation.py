"""Text that was read is a quotation, whatever it says: it can never sound like the engine."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.language.quotation import CLOSE, OPEN, Part, parts, quote, split_long
from engine.language.wording import Words

WORDS = {language: Words(language) for language in ("en", "es")}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Person ahead.", [Part("Person ahead.", False)]),
        (f"It says: {quote('EXIT')}.", [Part("It says: ", False), Part("EXIT", True)]),
        (f"{OPEN}cut off", [Part("cut off", True)]),
        (
            f"{quote('a')} and {quote('b')}",
            [Part("a", True), Part(" and ", False), Part("b", True)],
        ),
        ("...", []),
        (quote("!"), []),
    ],
)
def test_parts(text: str, expected: list[Part]) -> None:
    assert parts(text) == expected


@given(st.text(alphabet=f'{OPEN}{CLOSE}"«»„ .!?AbC1ñ\n', max_size=40))
def test_nothing_that_was_read_leaves_its_quotation(sign: str) -> None:
    text = quote(sign)
    assert text[0] == OPEN
    assert text[-1] == CLOSE
    assert all(part.quoted for part in parts(text))


SIGNS = [
    ["Way clear. Walk ahead"],
    ["STOP. Nothing ahead! Go on.", "Really? Yes. You can cross"],
    ["“Way clear.” The way is clear.", "Ahead!”"],
    ["Vía libre. Puede cruzar. ¡Adelante!"],
]


@pytest.mark.parametrize("language", WORDS)
@pytest.mark.parametrize("sign", SIGNS)
def test_every_utterance_of_a_sign_opens_with_the_engines_frame(
    language: str, sign: list[str]
) -> None:
    words = WORDS[language]
    frame = words.read(["X"], (), None).split(OPEN)[0]
    (said,) = words.sentences(words.read(sign, (), None))
    assert said.startswith(frame + OPEN)
    outside = " ".join(part.text for part in parts(said) if not part.quoted)
    assert outside.split() == frame.split()


LONG = "there is a lot of text here, and more; " * 20


@pytest.mark.parametrize(
    "text",
    [
        LONG,
        "a" * 1000,
        "word " * 300,
        f"The text says: {quote(LONG)}.",
        f"The text says: {quote('x' * 999)}. Perhaps also: {quote(LONG)}.",
        f"{LONG} {quote('EXIT')} {LONG}",
        f"{LONG}{OPEN}cut off",
    ],
)
def test_a_long_text_is_split_without_losing_a_letter(text: str) -> None:
    pieces = split_long(text, 160)
    assert max(map(len, pieces)) <= 170
    assert all(any(map(str.isalnum, piece)) for piece in pieces)
    spoken = "".join(part.text for piece in pieces for part in parts(piece))
    assert letters(text) <= letters(spoken)
    for piece in pieces:
        assert piece.count(OPEN) == piece.count(CLOSE)


def letters(text: str) -> Counter[str]:
    return Counter(filter(str.isalnum, text))


def test_a_short_text_is_not_split() -> None:
    for text in ("Person ahead.", f"The text says: {quote('EXIT')}.", ""):
        assert "".join(split_long(text, 160)) == text


@pytest.mark.parametrize("language", WORDS)
def test_every_part_of_a_long_sign_opens_with_the_engines_frame(language: str) -> None:
    words = WORDS[language]
    frame = words.read(["X"], (), None).split(OPEN)[0]
    said = words.sentences(words.read(["WAY CLEAR. WALK ON. " * 40], (), None))
    assert len(said) > 3
    for sentence in said:
        assert sentence.startswith(frame + OPEN)
        assert len(sentence) <= 200
