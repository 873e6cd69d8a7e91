"""Turns key presses and phrases in the wearer's language into commands.

The grammar is small and closed: a phrase that is not a command is ignored. Must not know where a
phrase comes from, or how a command is executed.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from engine.core.answer import Command, Control, Wish
from engine.core.preferences import Language
from engine.language.pack import TEMPLATES, incomplete, read_list

# The names by which a request may be typed in every language: `ask=read`.
REQUESTS: tuple[Wish, ...] = ("describe", "more", "read", "why")
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
FIND = "f"  # followed by the thing's name and Enter
SHOWN = (
    "Enter describe · m more · w why · t read text · f NAME Enter find · r repeat · s stop · "
    "+ louder · - quieter · q quit"
)
ESCAPE, BACKSPACES = "\x1b", ("\x7f", "\b")


@dataclass(frozen=True, slots=True)
class CommandGrammar:
    """All commands of one language: whole `phrases`, and a prefix of `where` followed by a noun.

    `nouns` maps the names of things, as they are said, to the detector's labels. `contractions`
    maps shortened forms to full ones ("'s" → " is").
    """

    phrases: Mapping[str, Wish | Control]
    where: tuple[str, ...]
    nouns: Mapping[str, str]
    contractions: Mapping[str, str]

    def parse(self, text: str) -> Command | None:
        """The command in `text`, or None. Accents, upper case and punctuation are ignored."""
        said = self._normal(text)
        for phrase, name in self.phrases.items():
            if said == self._normal(phrase):
                return Command(name)
        for prefix in self.where:
            start = f"{self._normal(prefix)} "
            if said.startswith(start) and (label := self.label(said.removeprefix(start))):
                return Command("where", label)
        return None

    def typed(self, text: str) -> Command | None:
        """The command in a typed `text`, or None. The target of a `where` may be any words."""
        if (command := self.parse(text)) is not None:
            return command
        said = self._normal(text)
        wish = next((wish for wish in REQUESTS if said == wish), None)
        if wish is not None:
            return Command(wish)
        for prefix in self.where:
            start = f"{self._normal(prefix)} "
            if said.startswith(start):
                return self.search(said.removeprefix(start))
        return None

    def search(self, noun: str) -> Command:
        """The command to find the thing called `noun`, which may be unknown."""
        return Command("where", self.label(noun) or " ".join(noun.split()) or None)

    def label(self, noun: str) -> str | None:
        """The label of the thing called `noun`, or None."""
        said = self._normal(noun)
        names = self.nouns.items()
        return next((label for name, label in names if self._normal(name) == said), None)

    def _normal(self, text: str) -> str:
        text = text.lower()
        for short, full in self.contractions.items():
            text = text.replace(short, full)
        return plain(text)


def command_grammar(language: Language, nouns: Mapping[str, str]) -> CommandGrammar:
    """Read the grammar of `language` from its `commands.json`. `nouns` maps the names of things, as
    they are said, to the detector's labels. Raises MissingPart if the file is missing or
    incomplete."""
    try:
        raw = read_list(TEMPLATES / language, "commands")
        known = {*get_args(Wish), *get_args(Control)}
        if unknown := set(raw["phrases"].values()) - known:
            raise ValueError(f"no such command: {', '.join(sorted(unknown))}")
        return CommandGrammar(raw["phrases"], tuple(raw["where"]), nouns, dict(raw["contractions"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise incomplete(language, error) from error


def plain(text: str) -> str:
    """`text` in lower case, without accents and punctuation, with single spaces between words."""
    decomposed = unicodedata.normalize("NFKD", text.lower())
    letters = (c if c.isalnum() else " " for c in decomposed if not unicodedata.combining(c))
    return " ".join("".join(letters).split())


class Keys:
    """Turns key presses into commands. After `f`, the text up to Enter names the thing to find;
    Escape cancels."""

    def __init__(self, grammar: CommandGrammar) -> None:
        self._grammar = grammar
        self._name: str | None = None  # what has been typed after `f`

    @property
    def finding(self) -> bool:
        """Whether a name is being typed."""
        return self._name is not None

    def press(self, key: str) -> Command | None:
        """The command that `key` completes, or None. `key` is one character, or a whole line from a
        pipe. The target of a `where` may be a name that is unknown."""
        if len(key) > 1:
            return self._line(key)
        if self._name is None:
            if key == FIND:
                self._name = ""
                return None
            return Command(KEYS[key]) if key in KEYS else None
        if key == "\n":
            name, self._name = self._name, None
            return self._grammar.search(name)
        if key == ESCAPE:
            self._name = None
        elif key in BACKSPACES:
            self._name = self._name[:-1]
        else:
            self._name += key
        return None

    def _line(self, line: str) -> Command | None:
        if (command := self._grammar.typed(line)) is not None:
            return command
        if line.startswith(f"{FIND} "):
            return self._grammar.search(line[2:])
        name = next((name for name in KEYS.values() if name == line.strip().lower()), None)
        return None if name is None else Command(name)
