"""The real command recogniser, on speech by espeak-ng."""

import numpy as np
import pytest

from engine.core.answer import Command
from engine.core.errors import MissingPart
from engine.core.sound import HEARING_HZ
from engine.devices.sound.recogniser import PocketSphinx
from engine.language.commands import CommandGrammar, command_grammar
from tests.fakes.speech import spoken


@pytest.fixture(scope="module")
def commands() -> tuple[CommandGrammar, PocketSphinx]:
    labels = ("door", "chair", "traffic light", "xyzzyplugh")  # the last is not in the dictionary
    grammar = command_grammar("en", {label: label for label in labels})
    return grammar, PocketSphinx(grammar)


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("describe", Command("describe")),
        ("what is here", Command("describe")),
        ("what do you see", Command("describe")),
        ("where am I", Command("describe")),
        ("tell me more", Command("more")),
        ("stop", Command("stop")),
        ("louder", Command("louder")),
        ("why", Command("why")),
        ("read text", Command("read")),
        ("say that again", Command("repeat")),
        ("where is the door", Command("where", "door")),
        ("find the traffic light", Command("where", "traffic light")),
        ("my uncle has seven blue parrots in the attic", None),
        ("repeat the question to my sister when she comes home", None),  # begins with a command
        ("I think that you may know what I had to eat there", None),
    ],
)
def test_spoken_commands(
    commands: tuple[CommandGrammar, PocketSphinx], text: str, command: Command | None
) -> None:
    grammar, recogniser = commands
    recogniser.begin()
    pcm = spoken(text)
    size = recogniser.frame_samples
    heard = [recogniser.hear(pcm[at : at + size]) for at in range(0, len(pcm) - size + 1, size)]
    texts = [text for text in heard if text is not None]
    assert [grammar.parse(text) for text in texts][:1] == [command]


def test_begin_discards_an_unfinished_command(
    commands: tuple[CommandGrammar, PocketSphinx],
) -> None:
    _, recogniser = commands
    recogniser.begin()
    pcm = spoken("where is the door")[: round(1.8 * HEARING_HZ)]
    size = recogniser.frame_samples
    for at in range(0, len(pcm) - size + 1, size):
        recogniser.hear(pcm[at : at + size])
    recogniser.begin()
    silence = np.zeros(size, np.int16)
    assert {recogniser.hear(silence) for _ in range(30)} == {None}


def test_an_acoustic_model_that_is_not_shipped_is_refused() -> None:
    with pytest.raises(MissingPart, match=r"got 'fr'; set it to null"):
        PocketSphinx(command_grammar("en", {}), "fr")
