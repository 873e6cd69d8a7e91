"""Where the phrases of a clause begin and end: just enough grammar to hedge a noun or leave it out.

Pure text, by the lists of a language's `understand.json`. A phrase is a noun with what stands before it:
modifiers, a determiner or number, perhaps "group of", perhaps a preposition. Knows nothing of pictures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from engine.core.preferences import Language
from engine.language.nouns import TOKEN, Mention, Vocabulary
from engine.language.pack import Sayable, Understood, sayable, understood

MODIFIERS = 3  # at most so many words between a phrase's first word and its noun

Phrase = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Word:
    """A word or mark, in lower case, and its characters."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Grammar:
    """A language's lists as they are looked up here; `vocabulary` is what counts as a thing."""

    lists: Understood
    vocabulary: Vocabulary
    places: Mapping[Phrase, str]  # a place's noun → the scene's label
    before: tuple[Phrase, ...]  # prepositions, the longest first
    many: tuple[Phrase, ...]
    stops: frozenset[str]  # words that are in no phrase


def grammar(labels: Sequence[str], language: Language) -> Grammar:
    """The grammar of `language`, over all things it lists; what goes by another name for one of
    `labels` is that. Raises MissingPart where the language's folder is missing or not whole."""
    lists = understood(language)
    can = sayable(language)
    taken = {word for label in labels for word in lists.synonyms.get(label, "").split()}
    further = [k for k, n in can.things.items() if not {n.one, n.many} & taken]
    before = sorted(map(_split, lists.before), key=len, reverse=True)
    return Grammar(
        lists,
        Vocabulary(dict.fromkeys([*labels, *further]), language),
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


class Reading:
    """One clause, and where its phrases begin. Words are told by their number."""

    def __init__(self, text: str, grammar: Grammar) -> None:
        self.text = text
        self.words = words(text)
        self._grammar = grammar
        self._lists = grammar.lists

    @cached_property
    def mentions(self) -> list[Mention]:
        return self._grammar.vocabulary.mentions(self.text)

    @cached_property
    def places(self) -> list[tuple[str, int, int]]:
        """(scene label, first word, one past the last) of each place named."""
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
        inside = [i for i, w in enumerate(self.words) if span[0] <= w.start < span[1]]
        return range(inside[0], inside[-1] + 1)

    def phrase_start(self, noun: int) -> int:
        """The first word of the phrase around the noun: its determiner, number or modifiers."""
        at = noun
        for _ in range(MODIFIERS + 1):
            if at == 0 or not self._is_inside(self.words[at - 1].text):
                break
            at -= 1
            if self.words[at].text in self._lists.determiners:
                break
        else:  # too far for one phrase: only the noun is sure
            at = noun
        return self._of_many(at)

    def _is_inside(self, word: str) -> bool:
        return word.isalnum() and word not in self._grammar.stops

    def _of_many(self, at: int) -> int:
        """A "group of" before the phrase belongs to it, with its own article."""
        for phrase in self._grammar.many:
            start = at - len(phrase)
            if start >= 0 and tuple(w.text for w in self.words[start:at]) == phrase:
                at = start
                while at and self.words[at - 1].text in self._lists.determiners:
                    at -= 1
                break
        return at

    def opening(self, first: int) -> int:
        """The first word of the preposition before the phrase, or the phrase's own first word."""
        for phrase in self._grammar.before:
            start = first - len(phrase)
            if start >= 0 and tuple(w.text for w in self.words[start:first]) == phrase:
                return start
        return first

    def number(self, first: int, noun: int) -> int:
        """How many are said: 1 where no number is, 2 for "several" and the like."""
        said = tuple(w.text for w in self.words[first:noun])
        for phrase in self._grammar.many:
            if any(said[i : i + len(phrase)] == phrase for i in range(len(said))):
                return 2
        return max((self._lists.numbers.get(word, 1) for word in said), default=1)

    def is_no_claim(self, first: int) -> bool:
        """Whether the phrase is denied, or hedged already."""
        around = [w.text for w in self.words[max(0, self.opening(first) - 2) : first + 1]]
        return any(word in self._lists.no or word in self._lists.hedges for word in around)

    def cut_start(self, opening: int, first: int) -> int | None:
        """The word from which the phrase can be cut out; None where it cannot."""
        if opening < first:
            return opening
        joined = opening > 0 and self.words[opening - 1].text in self._lists.joins
        return opening - 1 if joined else None

    def may_end(self, end: int) -> bool:
        """Whether what follows can stand without the phrase: nothing, or a preposition; and no verb,
        whose number might not fit any more."""
        rest = self.words[end:]
        if any(w.text in self._lists.verbs for w in rest):
            return False
        if not rest or not rest[0].text.isalnum():
            return all(not w.text.isalnum() for w in rest)
        texts = tuple(w.text for w in rest)
        return any(texts[: len(phrase)] == phrase for phrase in self._grammar.before)


def words(text: str) -> list[Word]:
    """The words and marks of a text."""
    return [Word(m.group().lower(), m.start(), m.end()) for m in TOKEN.finditer(text)]


def _split(phrase: str) -> tuple[str, ...]:
    return tuple(phrase.lower().split())
