"""Reads a language's folder in `templates/`: what it can say, what it understands, its templates.

The list of languages is the list of folders: a new folder is a new language, and no line of Python
names any language. `templates/README.md` explains the files and their keys.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.core.errors import MissingPart, message_of
from engine.core.preferences import Language
from engine.language.quotation import quote

if TYPE_CHECKING:  # the settings read this module at every start, and `--help` needs neither
    from jinja2 import Environment

    from engine.core.glance import Side

TEMPLATES = Path(__file__).resolve().parents[2] / "templates"


@dataclass(frozen=True, slots=True)
class Noun:
    """A thing's name, singular and plural. `gender` is empty if the language has none."""

    one: str
    many: str
    gender: str = ""


@dataclass(frozen=True, slots=True)
class SentenceMarks:
    """The marks that end a sentence, and those that may open one before its first letter."""

    ends: str
    opens: str


@dataclass(frozen=True)
class Sayable:
    """What a language can say: `things.json`, `scenes.json`, `words.json` and the templates."""

    things: Mapping[str, Noun]
    scenes: Mapping[str, str | None]  # None: a class that names no place
    labels_are_words: bool  # whether labels, which are English, are words of this language
    sides: Mapping[Side, str]  # as said after a noun: "left"
    clock: tuple[str, ...]  # likewise: "at two o'clock"; it starts at twelve
    units: Mapping[str, Noun]
    languages: Mapping[str, str]  # code → the name of a language in this one
    voice: str  # a voice of espeak-ng
    recogniser: str | None  # PocketSphinx's acoustic model; None: no spoken commands
    sentences: SentenceMarks
    examples: tuple[str, ...]  # labels that a wearer may look for, the most useful first
    environment: Environment


@dataclass(frozen=True)
class ClauseWords:
    """The words by which a describer's text is cut into clauses (`models.clauses`).

    opens           conjunctions that open a clause after a comma; if none, only sentences are split
    verbs           finite verbs, which turn a phrase into a clause
    verb_ending     the ending of other verb forms ("ing"), empty if there is none
    not_verbs       words with that ending that are not verbs
    cannot_end      words that cannot end a phrase
    abbreviations   words after which a full stop does not end a sentence
    """

    opens: frozenset[str]
    verbs: frozenset[str]
    verb_ending: str
    not_verbs: frozenset[str]
    cannot_end: frozenset[str]
    abbreviations: frozenset[str]


@dataclass(frozen=True)
class Understood:
    """What a language understands of free text, from `understand.json`; all in lower case.

    synonyms        label → more words for it
    plural_ending   makes the plural of a label that `things.json` does not list
    not_things      phrases that contain a thing's name but mean something else ("bus stop")
    ambiguous       also a colour or a verb: a thing only at the end of a phrase
    after_a_thing   what may follow the end of such a phrase
    wider           a word for several kinds ("vehicle") → their labels
    sides           side → its phrases, the first of which replaces a wrong side
    side_noun       what may follow the phrase of a side ("left side")
    clause_ends, no_side_before, own_side  where a side applies, see `engine.language.nouns`
    determiners     words that open a noun phrase
    numbers, many   number words with their values; phrases that mean several
    before          prepositions and the like, which may stand before a noun phrase
    joins           "and"
    breaks          other words that no noun phrase contains
    verbs           words that turn a phrase into a clause
    no              negations: "no", "without"
    hedge, hedges   the word that marks a claim as uncertain, and all such words
    alike           places that support one another's names
    small           words that add nothing to what has been said
    common          words that identify this language on a sign, as the letters in `letters` do
    clauses         see `ClauseWords`
    """

    synonyms: Mapping[str, str]
    plural_ending: str
    not_things: tuple[str, ...]
    ambiguous: frozenset[str]
    after_a_thing: frozenset[str]
    wider: Mapping[str, str]
    sides: Mapping[Side, tuple[str, ...]]
    side_noun: str
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
    clauses: ClauseWords


def languages() -> tuple[str, ...]:
    """The codes of all languages that have a folder, sorted."""
    return tuple(sorted(path.name for path in TEMPLATES.glob("*/") if path.is_dir()))


def prompts(code: Language) -> tuple[str, ...]:
    """The names of the language's prompts for a describer, sorted."""
    return tuple(sorted(path.stem for path in (TEMPLATES / code / "prompts").glob("*.j2")))


def check_language(code: str) -> None:
    """Raise MissingPart if `code` has no folder."""
    if code not in languages():
        have = ", ".join(languages()) or "none"
        raise MissingPart(f"language: expected a folder of templates/ ({have}), got {code!r}")


def sayable(code: Language) -> Sayable:
    """Read what the language can say; cached. Raises MissingPart if the folder is missing or
    incomplete."""
    check_language(code)
    return _sayable(code, TEMPLATES / code)


@lru_cache(maxsize=8)
def _sayable(code: str, folder: Path) -> Sayable:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(folder), undefined=StrictUndefined, autoescape=False
    )
    environment.filters["capital"] = capital
    environment.filters["quote"] = quote
    try:
        words = read_list(folder, "words")
        return Sayable(
            things={k: Noun(*v) for k, v in read_list(folder, "things").items()},
            scenes=read_list(folder, "scenes"),
            labels_are_words=bool(words["labels_are_words"]),
            sides=words["sides"],
            clock=tuple(words["clock"]),
            units={unit: Noun(*noun) for unit, noun in words["units"].items()},
            languages=words["languages"],
            voice=words["voice"],
            recogniser=words["recogniser"],
            sentences=SentenceMarks(**words["sentences"]),
            examples=tuple(words["examples"]),
            environment=environment,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise incomplete(code, error) from error


def understood(code: Language) -> Understood:
    """Read what the language understands; cached. Raises MissingPart as `sayable` does."""
    check_language(code)
    return _understood(code, TEMPLATES / code)


@lru_cache(maxsize=8)
def _understood(code: str, folder: Path) -> Understood:
    try:
        raw = read_list(folder, "understand")
        clauses = raw["clauses"]
        return Understood(
            synonyms=raw["synonyms"],
            plural_ending=raw["plural_ending"],
            not_things=tuple(raw["not_things"]),
            ambiguous=_set(raw["ambiguous"]),
            after_a_thing=_set(raw["after_a_thing"]),
            wider=raw["wider"],
            sides={side: tuple(phrases) for side, phrases in raw["sides"].items()},
            side_noun=raw["side_noun"],
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
            clauses=ClauseWords(
                opens=_set(clauses["opens"]),
                verbs=_set(clauses["verbs"]),
                verb_ending=clauses["verb_ending"],
                not_verbs=_set(clauses["not_verbs"]),
                cannot_end=_set(clauses["cannot_end"]),
                abbreviations=_set(clauses["abbreviations"]),
            ),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise incomplete(code, error) from error


def incomplete(code: str, error: Exception) -> MissingPart:
    """The one-line error for an incomplete language folder."""
    detail = f"{error} is missing" if isinstance(error, KeyError) else message_of(error, 200)
    return MissingPart(f"language: templates/{code} is incomplete ({detail}); restore the folder")


def capital(text: str) -> str:
    """`text` with single spaces and its first letter in upper case."""
    text = " ".join(text.split())
    return text[:1].upper() + text[1:]


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


def read_list(folder: Path, name: str) -> dict[str, Any]:
    """The content of a language's file NAME.json. Raises OSError, or ValueError with its name."""
    try:
        content: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{name}.json: {error}") from error
    return content
