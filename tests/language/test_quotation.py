"""Text that was read is a quotation, whatever it says: it can never sound like the engine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.language.quotation import CLOSE, OPEN, Part, parts, quote
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
