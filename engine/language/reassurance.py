"""Finds clauses that reassure: that nothing is there, that the way is clear, or that it is safe.

Only the alert policy may say so, because it alone has watched the corridor for long enough. The
words are in the language's `reassurance.json`. Pure text, and meant to err on one side: a clause
that is dropped by mistake costs a detail, one that is kept by mistake may cost an accident.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from engine.core.preferences import Language
from engine.language.nouns import TOKEN
from engine.language.pack import TEMPLATES, check_language, incomplete, read_list, understood

BETWEEN_ADJECTIVE_AND_WAY = 2  # words: "an empty two-lane road"
BETWEEN_WAY_AND_ADJECTIVE = 8  # words: "the road in front of the shop is now empty"
BETWEEN_MAY_AND_GO = 3  # words: "you can now safely cross"

Tokens = tuple[str, ...]


@dataclass(frozen=True)
class ReassuringWords:
    """The lists of `reassurance.json`, in lower case and without accents.

    harmless         phrases that deny something of no importance ("no parking"); removed first
    absence          words and phrases that say that something is not there
    clear            adjectives that say so of a way or a place
    ways, places     what such an adjective may be said of: nouns, and words that stand alone
    after            what may follow such an adjective after a verb ("is clear now")
    safe             words that say that something is safe; after a determiner also a noun ("a safe")
    may, go          "you can" + "cross"
    onward           what follows a verb of `go` that opens a clause as a command ("Walk ahead")
    alone            words of which a clause alone is a permission ("Clear.", "Go.")
    phrases          all others
    function         words that are no nouns
    verbs            finite verbs
    determiners      words that open a noun phrase
    """

    harmless: frozenset[Tokens]
    contractions: Mapping[str, str]
    absence: frozenset[str]
    clear: frozenset[str]
    ways: frozenset[str]
    places: frozenset[str]
    after: frozenset[str]
    safe: frozenset[str]
    may: frozenset[str]
    go: frozenset[str]
    onward: frozenset[str]
    alone: frozenset[str]
    phrases: frozenset[Tokens]
    function: frozenset[str]
    verbs: frozenset[str]
    determiners: frozenset[str]


def reassuring_words(code: Language) -> ReassuringWords:
    """Read the language's lists; cached. Raises MissingPart if the folder is missing or
    incomplete."""
    check_language(code)
    return _reassuring_words(code, TEMPLATES / code)


@lru_cache(maxsize=8)
def _reassuring_words(code: str, folder: Path) -> ReassuringWords:
    try:
        raw = read_list(folder, "reassurance")
        lists = understood(code)
        before = {word for phrase in lists.before for word in phrase.split()}
        function = lists.breaks | lists.verbs | lists.joins | lists.determiners | lists.no | before
        return ReassuringWords(
            harmless=_phrases(raw["harmless"]),
            contractions=raw["contractions"],
            phrases=_phrases([*raw["phrases"], *raw["absence_phrases"]]),
            function=_plain_set(function),
            verbs=_plain_set(lists.verbs),
            determiners=_plain_set(lists.determiners),
            **{
                name: frozenset(raw[name].split())
                for name in (
                    *("absence", "clear", "ways", "places", "after"),
                    *("safe", "may", "go", "onward", "alone"),
                )
            },
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise incomplete(code, error) from error


def reassures(text: str, language: Language) -> bool:
    """Whether `text` says that nothing is there, that the way is clear or that it is safe, or tells
    the wearer to go."""
    lists = reassuring_words(language)
    return any(_sentence_reassures(words, lists) for words in _sentences(text, lists))


def _sentence_reassures(words: Tokens, lists: ReassuringWords) -> bool:
    return (
        any(word in lists.absence for word in words)
        or _has_phrase(words, lists.phrases)
        or all(word in lists.alone for word in words)
        or (words[0] in lists.go and words[1:2] != () and words[1] in lists.onward)
        or any(
            (word in lists.clear and _is_of_a_way(words, at, lists))
            or (word in lists.safe and not _is_noun(words, at, lists))
            or (word in lists.may and _permits(words, at, lists))
            for at, word in enumerate(words)
        )
    )


def _is_of_a_way(words: Tokens, at: int, lists: ReassuringWords) -> bool:
    """Whether the adjective at `at` is said of a way or a place."""
    following = words[at + 1 : at + 2 + BETWEEN_ADJECTIVE_AND_WAY]
    for number, word in enumerate(following):
        if word in lists.ways or (number == 0 and word in lists.places):
            return True
        if word in lists.function - lists.determiners:
            break
    noun_follows = bool(following) and following[0] not in lists.function | lists.after
    if noun_follows and not _follows_verb(words, at, lists):
        return False  # it belongs to that noun
    before = words[max(0, at - BETWEEN_WAY_AND_ADJECTIVE) : at]
    return any(word in lists.ways or word in lists.places for word in before)


def _follows_verb(words: Tokens, at: int, lists: ReassuringWords) -> bool:
    """Whether a verb stands before `at`, with at most an adverb between them."""
    if at and words[at - 1] in lists.verbs:
        return True
    return at > 1 and words[at - 2] in lists.verbs and words[at - 1] not in lists.determiners


def _is_noun(words: Tokens, at: int, lists: ReassuringWords) -> bool:
    """Whether "safe" is a thing: a determiner before it, with at most an adjective between them, and
    no noun after it."""
    if at + 1 < len(words) and words[at + 1] not in lists.function:
        return False
    if at and words[at - 1] in lists.determiners:
        return True
    adjective = words[at - 1] if at > 1 and words[at - 2] in lists.determiners else ""
    return bool(adjective) and adjective not in lists.ways | lists.places | lists.function


def _permits(words: Tokens, at: int, lists: ReassuringWords) -> bool:
    following = words[at + 1 : at + 2 + BETWEEN_MAY_AND_GO]
    return any(word in lists.go for word in following)


def _sentences(text: str, lists: ReassuringWords) -> list[Tokens]:
    """The words of each sentence of `text`, without accents and harmless phrases."""
    plain = _plain(text)
    for short, full in lists.contractions.items():
        plain = plain.replace(short, full)
    sentences = []
    for sentence in re.split(r"[.!?;:]+", plain):
        words = _without(tuple(w for w in TOKEN.findall(sentence) if w.isalnum()), lists.harmless)
        if words:
            sentences.append(words)
    return sentences


def _without(words: Tokens, phrases: frozenset[Tokens]) -> Tokens:
    longest = max(map(len, phrases), default=0)
    kept: list[str] = []
    at = 0
    while at < len(words):
        found = (n for n in range(longest, 0, -1) if words[at : at + n] in phrases)
        length = next(found, 0)
        if not length:
            kept.append(words[at])
        at += max(1, length)
    return tuple(kept)


def _has_phrase(words: Tokens, phrases: frozenset[Tokens]) -> bool:
    lengths = {len(phrase) for phrase in phrases}
    return any(words[at : at + n] in phrases for n in lengths for at in range(len(words) - n + 1))


def _plain(text: str) -> str:
    """`text` in lower case, without accents, invisible characters and curly apostrophes."""
    folded = unicodedata.normalize("NFKD", text.replace("\u2019", "'")).lower()
    return "".join(c for c in folded if unicodedata.category(c) not in ("Mn", "Cf"))


def _plain_set(words: frozenset[str]) -> frozenset[str]:
    return frozenset(map(_plain, words))


def _phrases(phrases: list[str]) -> frozenset[Tokens]:
    return frozenset(tuple(phrase.split()) for phrase in phrases)
