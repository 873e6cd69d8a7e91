"""Finds where the noun phrases of a clause begin and end, so that one can be hedged or cut out.

Works on text alone, with the word lists of a language's `understand.json`. A phrase is a noun with
the words before it: modifiers, a determiner or number, perhaps "group of", perhaps a preposition.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from engine.core.preferences import Language
from engine.language.nouns import TOKEN, Mention, Vocabulary
from engine.language.pack import Sayable, Understood, sayable, understood

MAX_MODIFIERS = 3  # words between a phrase's first word and its noun

Phrase = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Word:
    """A word or punctuation mark in lower case, with its character span."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class PhraseGrammar:
    """A language's word lists, prepared for lookup. `vocabulary` decides what is a thing."""

    lists: Understood
    vocabulary: Vocabulary
    places: Mapping[Phrase, str]  # a place's noun → the scene's label
    before: tuple[Phrase, ...]  # prepositions, the longest first
    many: tuple[Phrase, ...]
    stops: frozenset[str]  # words that no phrase contains


def phrase_grammar(labels: Sequence[str], language: Language) -> PhraseGrammar:
    """The grammar of `language`, over all things that it lists. A synonym of one of `labels` means
    that label. Raises MissingPart if the language's folder is missing or incomplete."""
    lists = understood(language)
    can = sayable(language)
    taken = {word for label in labels for word in lists.synonyms.get(label, "").split()}
    others = [k for k, n in can.things.items() if not {n.one, n.many} & taken]
    before = sorted(map(_split, lists.before), key=len, reverse=True)
    return PhraseGrammar(
        lists,
        Vocabulary(dict.fromkeys([*labels, *others]), language),
        _place_nouns(can, lists),
        tuple(before),
        tuple(sorted(map(_split, lists.many), key=len, reverse=True)),
        lists.breaks | lists.verbs | lists.no | {p[0] for p in before if len(p) == 1},
    )


def _place_nouns(can: Sayable, lists: Understood) -> dict[Phrase, str]:
    """The noun of each place's phrase ("in a kitchen": "kitchen") → the scene's label."""
    openers = lists.determiners | lists.breaks | {w for p in lists.before for w in p.split()}
    nouns: dict[Phrase, str] = {}
    for label, phrase in can.scenes.items():
        words = list(_split(phrase or ""))
        while words and words[0] in openers:
            words.pop(0)
        if words:
            nouns.setdefault(tuple(words), label)
    return nouns


class ParsedClause:
    """A clause with its words and phrases. Positions are word indices."""

    def __init__(self, text: str, grammar: PhraseGrammar) -> None:
        self.text = text
        self.words = words(text)
        self._grammar = grammar
        self._lists = grammar.lists

    @cached_property
    def mentions(self) -> list[Mention]:
        return self._grammar.vocabulary.mentions(self.text)

    @cached_property
    def places(self) -> list[tuple[str, int, int]]:
        """(scene label, first word, one past the last) of each place that is named."""
        nouns = self._grammar.places
        texts = [word.text for word in self.words]
        found, at = [], 0
        longest = max(map(len, nouns), default=1)
        while at < len(texts):
            for n in range(longest, 0, -1):
                label = nouns.get(tuple(texts[at : at + n]))
                if label is not None:
                    found.append((label, at, at + n))
                    at += n - 1
                    break
            at += 1
        return found

    def words_in(self, span: tuple[int, int]) -> range:
        """The indices of the words in a character span."""
        inside = [i for i, w in enumerate(self.words) if span[0] <= w.start < span[1]]
        return range(inside[0], inside[-1] + 1)

    def phrase_start(self, noun: int) -> int:
        """The first word of the phrase that ends with `noun`: a determiner, number or modifier."""
        at = noun
        for _ in range(MAX_MODIFIERS + 1):
            if at == 0 or not self._is_inside(self.words[at - 1].text):
                break
            at -= 1
            if self.words[at].text in self._lists.determiners:
                break
        else:  # too long for one phrase: only the noun is certain
            at = noun
        return self._with_quantity(at)

    def _is_inside(self, word: str) -> bool:
        return word.isalnum() and word not in self._grammar.stops

    def _with_quantity(self, at: int) -> int:
        """`at`, moved to the front of a "group of" before the phrase and its article."""
        for phrase in self._grammar.many:
            start = at - len(phrase)
            if start >= 0 and tuple(w.text for w in self.words[start:at]) == phrase:
                at = start
                while at and self.words[at - 1].text in self._lists.determiners:
                    at -= 1
                break
        return at

    def opening(self, first: int) -> int:
        """The first word of the preposition before the phrase, or `first` if there is none."""
        for phrase in self._grammar.before:
            start = first - len(phrase)
            if start >= 0 and tuple(w.text for w in self.words[start:first]) == phrase:
                return start
        return first

    def number(self, first: int, noun: int) -> int:
        """The number said: 1 if there is none, 2 for "several" and the like."""
        said = tuple(w.text for w in self.words[first:noun])
        for phrase in self._grammar.many:
            if any(said[i : i + len(phrase)] == phrase for i in range(len(said))):
                return 2
        return max((self._lists.numbers.get(word, 1) for word in said), default=1)

    def is_no_claim(self, first: int) -> bool:
        """Whether the phrase is negated or already hedged."""
        around = [w.text for w in self.words[max(0, self.opening(first) - 2) : first + 1]]
        return any(word in self._lists.no or word in self._lists.hedges for word in around)

    def cut_start(self, opening: int, first: int) -> int | None:
        """The word from which the phrase can be cut out, or None if it cannot."""
        if opening < first:
            return opening
        joined = opening > 0 and self.words[opening - 1].text in self._lists.joins
        return opening - 1 if joined else None

    def may_end(self, end: int) -> bool:
        """Whether the rest of the clause can stand without the phrase. It can if it is empty or
        begins with a preposition. It cannot if it has a verb, whose number might no longer
        agree."""
        rest = self.words[end:]
        if any(w.text in self._lists.verbs for w in rest):
            return False
        if not rest or not rest[0].text.isalnum():
            return all(not w.text.isalnum() for w in rest)
        texts = tuple(w.text for w in rest)
        return any(texts[: len(phrase)] == phrase for phrase in self._grammar.before)


def words(text: str) -> list[Word]:
    """The words and punctuation marks of a text."""
    return [Word(m.group().lower(), m.start(), m.end()) for m in TOKEN.finditer(text)]


def _split(phrase: str) -> tuple[str, ...]:
    return tuple(phrase.lower().split())
