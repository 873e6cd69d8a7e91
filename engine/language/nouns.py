"""What a text says, held against a picture's labels: CIDEr-D, and the things named with their sides.

Pure text and counting. It knows nothing of pictures, boxes or models. A thing's names are the ones
that the templates say, so that what the quick tier words is always recognised, and those that the
language's `understand.json` adds.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from engine.core.glance import Side
from engine.core.preferences import Language
from engine.language.pack import Understood, sayable, understood

LONGEST_GRAM = 4
SIGMA_WORDS = 6.0  # of the penalty on a difference in length

TOKEN = re.compile(r"\w+|[^\w\s]")


Grams = dict[tuple[str, ...], float]


class CiderD:
    """CIDEr-D against the references of a set of pictures.

    Vedantam, Zitnick, Parikh, "CIDEr: Consensus-based image description evaluation", CVPR 2015,
    with the clipping and the length penalty of its section on CIDEr-D. For n-grams of 1 to 4 words:
    the cosine of tf-idf vectors, the candidate's weights clipped to the reference's, times
    exp(-(difference in words)² / (2 · 6²)); then the mean over n and over the references, times 10.
    Document frequencies count the pictures of `references`, so a score depends on the whole set and
    a set of one picture scores 0. Words are lower-case runs of letters and digits, which is simpler
    than the original's tokenizer: figures differ a little from the COCO server's.
    """

    def __init__(self, references: Sequence[Sequence[str]]) -> None:
        counted = [[_grams(text) for text in texts] for texts in references]
        self._frequency: Counter[tuple[str, ...]] = Counter()
        for several in counted:
            self._frequency.update({g for grams in several for counts in grams for g in counts})
        self._pictures = math.log(max(1, len(references)))
        self._references = [
            [(grams[0].total(), self._weigh(grams)) for grams in several] for several in counted
        ]

    def score(self, picture: int, text: str) -> float:
        """Of `text` said of the picture with that index, in [0, 10] (10: word for word the same)."""
        said = _grams(text)
        mine, words = self._weigh(said), said[0].total()
        total = 0.0
        for length, weights in self._references[picture]:
            cosines = map(_clipped_cosine, mine, weights)
            penalty = math.exp(-((words - length) ** 2) / (2 * SIGMA_WORDS**2))
            total += penalty * sum(cosines) / LONGEST_GRAM
        return 10.0 * total / max(1, len(self._references[picture]))

    def _weigh(self, grams: list[Counter[tuple[str, ...]]]) -> list[tuple[Grams, float]]:
        """tf-idf vectors by the length of their n-grams, each with its norm."""
        vectors = [
            {
                g: count * (self._pictures - math.log(max(1, self._frequency[g])))
                for g, count in counts.items()
            }
            for counts in grams
        ]
        return [(vector, math.hypot(*vector.values())) for vector in vectors]


def cider_d(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """Each candidate's `CiderD` against its own references."""
    scorer = CiderD(references)
    pairs = zip(candidates, references, strict=True)
    return [scorer.score(picture, text) for picture, (text, _) in enumerate(pairs)]


def _grams(text: str) -> list[Counter[tuple[str, ...]]]:
    """Counts of all word sequences, by their length from 1."""
    words = re.findall(r"[^\W_]+", text.lower())
    return [
        Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
        for n in range(1, LONGEST_GRAM + 1)
    ]


def _clipped_cosine(mine: tuple[Grams, float], theirs: tuple[Grams, float]) -> float:
    (said, said_norm), (known, known_norm) = mine, theirs
    norm = said_norm * known_norm
    shared = sum(min(v, known[g]) * known[g] for g, v in said.items() if g in known)
    return shared / norm if norm > 0.0 else 0.0


@dataclass(frozen=True, slots=True)
class Mention:
    """A thing that a text names, and the side said with it. `at` and `side_at` are where: the first
    character and the one after the last; `side_at` is None where no side is said."""

    thing: str
    side: Side | None
    at: tuple[int, int] = field(default=(0, 0), compare=False)
    side_at: tuple[int, int] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class _Found:
    """A thing (or else a side) and the characters that say it."""

    thing: str | None
    side: Side | None
    at: tuple[int, int]


class Vocabulary:
    """The things that `labels` name, as a text in `language` calls them.

    Labels that the templates say alike are one thing ("person", "pedestrian"). A longer name wins
    ("teddy bear" is no bear), also where only the shorter one is of `labels`. A negation ("no car")
    is not understood, and counts as a mention.
    """

    def __init__(self, labels: Iterable[str], language: Language = "en") -> None:
        self._names = {label: [n.one, n.many] for label, n in sayable(language).things.items()}
        self._known: Understood = understood(language)
        phrases: dict[str, str | None] = dict.fromkeys(self._known.not_things)
        phrases |= dict.fromkeys(form for names in self._names.values() for form in names)
        labels = tuple(labels)
        for label in labels:
            words = self._known.synonyms.get(label, "").split()
            phrases |= dict.fromkeys(words, self.thing(label))
        for label in labels:  # after all synonyms: a label's own name is nobody else's
            names = self._names.get(label) or [label, f"{label}s"]
            phrases |= dict.fromkeys(names, self.thing(label))
        self._labels = {self.thing(label): label for label in reversed(labels)}
        self._things = {_tokens(phrase): thing for phrase, thing in phrases.items()}
        self._sides = {_tokens(p): side for side, ways in self._known.sides.items() for p in ways}
        self._longest = max(len(phrase) for phrase in [*self._things, *self._sides])

    def thing(self, label: str) -> str:
        """The thing that a label names; the same for labels that are said alike."""
        return self._names.get(label, [label])[0]

    def knows(self, label: str) -> bool:
        """Whether `label` is one that the language lists."""
        return label in self._names

    def label(self, thing: str) -> str:
        """The first of the vocabulary's labels that names `thing`. Raises KeyError for others."""
        return self._labels[thing]

    def mentions(self, text: str) -> list[Mention]:
        """Every naming of a thing, in order, each with the side said of it in the same clause.

        A clause that opens with a side says it of all that follow up to the next side ("on the
        left, a car"); else a side belongs to the thing just before it ("a car on the left").
        """
        found: list[Mention] = []
        for clause in self._clauses(text):
            leading: _Found | None = None
            opens_with_side = bool(clause) and clause[0].side is not None
            for index, item in enumerate(clause):
                if item.thing is None:
                    leading = item
                    continue
                following = clause[index + 1] if index + 1 < len(clause) else None
                told = leading if opens_with_side else following
                if told is None or told.side is None:
                    found.append(Mention(item.thing, None, item.at))
                else:
                    found.append(Mention(item.thing, told.side, item.at, told.at))
        return found

    def _clauses(self, text: str) -> Iterator[list[_Found]]:
        """Each clause's things and sides, in order."""
        matches = list(TOKEN.finditer(text))
        tokens = tuple(match.group().lower() for match in matches)
        clause: list[_Found] = []
        at = 0
        while at < len(tokens):
            if tokens[at] in self._known.clause_ends:
                yield clause
                clause = []
            length = 1
            for n in range(min(self._longest, len(tokens) - at), 0, -1):
                phrase, rest = tokens[at : at + n], tokens[at + n :][:3]
                span = (matches[at].start(), matches[at + n - 1].end())
                if phrase in self._sides and self._is_own_side(rest):
                    clause.append(_Found(None, self._sides[phrase], span))
                    length = n
                    break
                if phrase in self._things:
                    thing = self._things[phrase]
                    if thing is not None and self._ends_phrase(phrase, rest):
                        clause.append(_Found(thing, None, span))
                    length = n
                    break
            at += length
        yield clause

    def _is_own_side(self, rest: tuple[str, ...]) -> bool:
        if rest[:1] == ("side",):
            rest = rest[1:]
        outside = bool(rest) and rest[0] in self._known.no_side_before
        return not outside or " ".join(rest[:2]) in self._known.own_side

    def _ends_phrase(self, phrase: tuple[str, ...], rest: tuple[str, ...]) -> bool:
        if phrase[-1] not in self._known.ambiguous or not rest:
            return True
        return rest[0] in self._known.after_a_thing or not rest[0].isalpha()


def _tokens(text: str) -> tuple[str, ...]:
    return tuple(TOKEN.findall(text.lower()))
