"""Keys and phrases become commands, in English and Spanish."""

from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.app.builders.inputs import label_names
from engine.core.answer import Command, Control, Wish
from engine.core.preferences import Language
from engine.language.commands import KEYS, SHOWN, CommandGrammar, Keys, command_grammar, plain
from engine.language.pack import languages
from engine.language.wording import Words

EN = command_grammar("en", label_names(Words("en"), ("person", "door", "traffic_light", "stairs")))
ES = command_grammar("es", label_names(Words("es"), ("person", "door", "traffic_light", "stairs")))


@pytest.mark.parametrize(
    ("spoken", "text", "command"),
    [
        (EN, "Describe!", Command("describe")),
        (EN, "tell me more", Command("more")),
        (EN, "What's here?", Command("describe")),
        (EN, "What is here?", Command("describe")),
        (EN, "what do you see", Command("describe")),
        (EN, "Where am I?", Command("describe")),
        (ES, "¿Qué hay aquí?", Command("describe")),
        (ES, "¿Qué ves?", Command("describe")),
        (ES, "¿Dónde estoy?", Command("describe")),
        (EN, "where is the door", Command("where", "door")),
        (EN, "Where's the door?", Command("where", "door")),
        (EN, "find a traffic light", Command("where", "traffic_light")),
        (EN, "where are you", None),
        (EN, "where is the", None),
        (EN, "", None),
        (ES, "¿Por qué?", Command("why")),
        (ES, "dime mas", Command("more")),
        (ES, "dónde está la puerta", Command("where", "door")),
        (ES, "¿Dónde están las escaleras?", Command("where", "stairs")),
        (ES, "busca un semáforo", Command("where", "traffic_light")),
        (ES, "describe the street", None),
    ],
)
def test_a_phrase_is_a_command_or_nothing(
    spoken: CommandGrammar, text: str, command: Command | None
) -> None:
    assert spoken.parse(text) == command


@pytest.mark.parametrize("language", languages())
def test_every_command_has_a_phrase_and_no_phrase_means_two(language: Language) -> None:
    names = {*get_args(Wish), *get_args(Control)} - {"quit", "where"}
    spoken = command_grammar(language, {})
    assert set(spoken.phrases.values()) == names
    assert len({plain(phrase) for phrase in spoken.phrases}) == len(spoken.phrases)
    assert spoken.where


def test_every_key_is_shown() -> None:
    for key, name in KEYS.items():
        if key not in "\n=":
            assert f"{key} {name.replace('read', 'read text')}" in SHOWN
    assert set(KEYS.values()) == {*get_args(Wish), *get_args(Control)} - {"where"}


@pytest.mark.parametrize(
    ("presses", "commands"),
    [
        ("\n", [Command("describe")]),
        ("mwtrs+=-q", [Command(KEYS[key]) for key in "mwtrs+=-q"]),
        ("xyz", []),
        ("fdoor\nm", [Command("where", "door"), Command("more")]),
        ("fdoro\x7f\x7for\n", [Command("where", "door")]),
        ("fdo\x1bm", [Command("more")]),  # Escape cancels
        ("fspaceship\n", [Command("where", "spaceship")]),
        ("f\n", [Command("where", None)]),
    ],
)
def test_keys(presses: str, commands: list[Command]) -> None:
    keys = Keys(EN)
    assert [c for c in map(keys.press, presses) if c is not None] == commands
    assert not keys.finding


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("where is the door", Command("where", "door")),
        ("f door", Command("where", "door")),
        ("f spaceship", Command("where", "spaceship")),
        ("Where is the spaceship?", Command("where", "spaceship")),
        ("where is", None),
        ("what is here?", Command("describe")),
        ("quit", Command("quit")),
        ("m", Command("more")),
        ("zebra", None),
        ("what color is the car", None),  # no "why", although its first letter is a key
    ],
)
def test_a_line_from_a_pipe(line: str, command: Command | None) -> None:
    assert Keys(EN).press(line) == command


@given(st.text(max_size=40))
@settings(deadline=None, max_examples=100)
def test_any_text_can_be_typed(text: str) -> None:
    keys = Keys(ES)
    for key in text:
        keys.press(key)
    ES.parse(text)
