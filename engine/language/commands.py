"""What the wearer can ask for, by key or in words, in their language: keys and phrases to commands.

The grammar is small and closed: a phrase is a command or it is nothing. Must not know: who heard it,
or how a command is carried out.
"""

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from engine.core.answer import Command, Control, Wish
from engine.core.preferences import Language
from engine.language.pack import TEMPLATES, not_whole

KEYS: dict[str, Wish | Control] = {
    "\n": "describe",
    "m": "more",
    "w": "why",
    "t": "read",
    "r": "repeat",
    "s": "stop",
    "+": "louder",
    "=": "louder",  # the same key without shift
    "-": "quieter",
    "q": "quit",
}
FIND = "f"  # then the thing's name and Enter
SHOWN = (
    "Enter describe · m more · w why · t read text · f NAME Enter find · r repeat · s stop · "
    "+ louder · - quieter · q quit"
)
ESCAPE, BACKSPACES = "\x1b", ("\x7f", "\b")


@dataclass(frozen=True, slots=True)
class Grammar:
    """All that can be said in one language: whole `phrases`, and `where` followed by a noun.

    `nouns` are the things' names as they are said, each with the detector's label.
    """

    phrases: Mapping[str, Wish | Control]
    where: tuple[str, ...]
    nouns: Mapping[str, str]

    def parse(self, text: str) -> Command | None:
        """The command that `text` is, or None. Accents, capitals and marks do not matter."""
        said = plain(text)
        for phrase, name in self.phrases.items():
            if said == plain(phrase):
                return Command(name)
        for prefix in self.where:
            start = f"{plain(prefix)} "
            if said.startswith(start) and (label := self.label(said.removeprefix(start))):
                return Command("where", label)
        return None

    def label(self, noun: str) -> str | None:
        """The label of the thing that is called `noun`, or None."""
        said = plain(noun)
        return next((label for name, label in self.nouns.items() if plain(name) == said), None)


def grammar(language: Language, nouns: Mapping[str, str]) -> Grammar:
    """The grammar of `language`, from its folder's `commands.json`, over the detector's things: name as
    said → label. Raises MissingPart where the file is missing or not whole."""
    path = TEMPLATES / language / "commands.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        known = {*get_args(Wish), *get_args(Control)}
        if unknown := set(raw["phrases"].values()) - known:
            raise ValueError(f"no such command: {', '.join(sorted(unknown))}")
        return Grammar(raw["phrases"], tuple(raw["where"]), nouns)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise not_whole(language, error) from error


def plain(text: str) -> str:
    """`text` in lower case, without accents and punctuation, single blanks between words."""
    bare = unicodedata.normalize("NFKD", text.lower().replace("'s", " is"))
    letters = (c if c.isalnum() else " " for c in bare if not unicodedata.combining(c))
    return " ".join("".join(letters).split())


class Keys:
    """Key presses to commands. After `f`, what is typed up to Enter names what is looked for; Escape
    gives up."""

    def __init__(self, spoken: Grammar) -> None:
        self._grammar = spoken
        self._name: str | None = None  # what has been typed after `f`

    @property
    def finding(self) -> bool:
        """Whether a name is being typed."""
        return self._name is not None

    def press(self, key: str) -> Command | None:
        """The command that `key` (one character, or a whole line from a pipe) completes, or None.
        `where` without a target: a name was typed that no thing here has."""
        if len(key) > 1:
            return self._line(key)
        if self._name is None:
            if key == FIND:
                self._name = ""
                return None
            return Command(KEYS[key]) if key in KEYS else None
        if key == "\n":
            name, self._name = self._name, None
            return Command("where", self._grammar.label(name))
        if key == ESCAPE:
            self._name = None
        elif key in BACKSPACES:
            self._name = self._name[:-1]
        else:
            self._name += key
        return None

    def _line(self, line: str) -> Command | None:
        if (command := self._grammar.parse(line)) is not None:
            return command
        if line.startswith(f"{FIND} "):
            return Command("where", self._grammar.label(line[2:]))
        return Command(KEYS[line[0]]) if line[0] in KEYS else None
