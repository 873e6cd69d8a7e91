"""A language is a folder of `templates/`: what it can say, what it understands, and its sentences.

The list of languages is the list of folders: adding one adds a language, and no line of Python names
any. Reads and checks the folder; decides nothing.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError

from engine.core.errors import MissingPart
from engine.core.glance import Side
from engine.core.preferences import Language

TEMPLATES = Path(__file__).resolve().parents[2] / "templates"


@dataclass(frozen=True, slots=True)
class Noun:
    """A thing's name in both numbers. `gender` is empty where the language has none."""

    one: str
    many: str
    gender: str = ""


@dataclass(frozen=True, slots=True)
class Direction:
    """A direction after a noun ("at two o'clock") and alone ("two o'clock")."""

    phrase: str
    shout: str


@dataclass(frozen=True)
class Sayable:
    """What a language says, from `things.json`, `scenes.json` and `words.json`, and its templates."""

    things: Mapping[str, Noun]
    scenes: Mapping[str, str | None]  # None: a class that names no place
    labels_are_words: bool  # whether labels, which are English, are words of this language
    sides: Mapping[Side, Direction]
    clock: tuple[Direction, ...]
    units: Mapping[str, Noun]
    languages: Mapping[str, str]  # code → the name of a language in this one
    voice: str  # espeak-ng's
    environment: Environment


@dataclass(frozen=True)
class Understood:
    """What a language understands of a free text, from `understand.json`; all in lower case.

    synonyms        label → further words for it
    not_things      phrases that hold a thing's name and name no such thing ("bus stop")
    ambiguous       also a colour or a verb: a thing only where the phrase ends with it
    after_a_thing   what may follow such a phrase's end
    wider           a word for several kinds ("vehicle") → their labels
    sides           side → the ways of saying it, the first the one that is said instead of another
    clause_ends, no_side_before, own_side  how far a side reaches, see `engine.language.nouns`
    determiners     words that open a phrase around a noun
    numbers, many   how many they mean; several without a number
    before          prepositions and the like, before such a phrase
    joins           "and"
    breaks          other words that no phrase around a noun goes across
    verbs           which make a clause of a phrase
    no              what denies: "no", "without"
    hedge, hedges   the word that makes a claim unsure, and all such words
    alike           places that pass for each other
    small           words that add nothing to what has been said
    common          words that tell this language on a sign, and letters that do (`letters`)
    """

    synonyms: Mapping[str, str]
    not_things: tuple[str, ...]
    ambiguous: frozenset[str]
    after_a_thing: frozenset[str]
    wider: Mapping[str, str]
    sides: Mapping[Side, tuple[str, ...]]
    clause_ends: frozenset[str]
    no_side_before: frozenset[str]
    own_side: frozenset[str]
    determiners: frozenset[str]
    numbers: Mapping[str, int]
    many: tuple[str, ...]
    before: tuple[str, ...]
    joins: frozenset[str]
    breaks: frozenset[str]
    verbs: frozenset[str]
    no: frozenset[str]
    hedge: str
    hedges: frozenset[str]
    alike: tuple[frozenset[str], ...]
    small: frozenset[str]
    common: frozenset[str]
    letters: str


def languages() -> tuple[str, ...]:
    """The codes of all languages that have a folder, sorted."""
    return tuple(sorted(path.name for path in TEMPLATES.glob("*/") if path.is_dir()))


def prompts(code: Language) -> tuple[str, ...]:
    """The names of the language's prompts for a describer, sorted."""
    return tuple(sorted(path.stem for path in (TEMPLATES / code / "prompts").glob("*.j2")))


def check_language(code: str) -> None:
    """Raise MissingPart where `code` has no folder."""
    if code not in languages():
        have = ", ".join(languages()) or "none"
        raise MissingPart(f"language: expected a folder of templates/ ({have}), got {code!r}")


def sayable(code: Language) -> Sayable:
    """Read what the language says; kept. Raises MissingPart where its folder is missing or not whole."""
    check_language(code)
    return _sayable(code, TEMPLATES / code)


@lru_cache(maxsize=8)
def _sayable(code: str, folder: Path) -> Sayable:
    environment = Environment(
        loader=FileSystemLoader(folder), undefined=StrictUndefined, autoescape=False
    )
    environment.filters["capital"] = capital
    try:
        words = _read(folder, "words")
        return Sayable(
            things={k: Noun(*v) for k, v in _read(folder, "things").items()},
            scenes=_read(folder, "scenes"),
            labels_are_words=bool(words["labels_are_words"]),
            sides={side: Direction(*pair) for side, pair in words["sides"].items()},
            clock=tuple(Direction(*pair) for pair in words["clock"]),
            units={unit: Noun(*noun) for unit, noun in words["units"].items()},
            languages=words["languages"],
            voice=words["voice"],
            environment=environment,
        )
    except (OSError, ValueError, KeyError, TypeError, TemplateError) as error:
        raise not_whole(code, error) from error


def understood(code: Language) -> Understood:
    """Read what the language understands; kept. Raises MissingPart as `sayable` does."""
    check_language(code)
    return _understood(code, TEMPLATES / code)


@lru_cache(maxsize=8)
def _understood(code: str, folder: Path) -> Understood:
    try:
        raw = _read(folder, "understand")
        return Understood(
            synonyms=raw["synonyms"],
            not_things=tuple(raw["not_things"]),
            ambiguous=_set(raw["ambiguous"]),
            after_a_thing=_set(raw["after_a_thing"]),
            wider=raw["wider"],
            sides={side: tuple(phrases) for side, phrases in raw["sides"].items()},
            clause_ends=_set(raw["clause_ends"]),
            no_side_before=_set(raw["no_side_before"]),
            own_side=frozenset(raw["own_side"]),
            determiners=_set(raw["determiners"]),
            numbers=raw["numbers"],
            many=tuple(raw["many"]),
            before=tuple(raw["before"]),
            joins=_set(raw["joins"]),
            breaks=_set(raw["breaks"]),
            verbs=_set(raw["verbs"]),
            no=_set(raw["no"]),
            hedge=raw["hedge"],
            hedges=_set(raw["hedges"]),
            alike=tuple(frozenset(group) for group in raw["alike"]),
            small=_set(raw["small"]),
            common=_set(raw["common"]),
            letters=raw["letters"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise not_whole(code, error) from error


def not_whole(code: str, error: Exception) -> MissingPart:
    """The one line for a language's folder that lacks something."""
    return MissingPart(f"language: templates/{code} is not whole ({error}); restore the folder")


def capital(text: str) -> str:
    """`text` re-spaced, with a capital."""
    text = " ".join(text.split())
    return text[:1].upper() + text[1:]


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


def _read(folder: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return content
