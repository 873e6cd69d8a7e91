"""Finds the things that a text names, and the side stated for each.

Pure text. It knows nothing of images, boxes or models. A thing's names are those in the templates,
so that the quick tier's own words are always recognised, plus the synonyms in the language's
`understand.json`.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from engine.core.glance import Side
from engine.core.preferences import Language
from engine.language.pack import Understood, sayable, understood

TOKEN = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Mention:
    """A thing that a text names, and the side stated for it. `at` and `side_at` are their character
    spans (start, end); `side_at` is None if no side is stated."""

    thing: str
    side: Side | None
    at: tuple[int, int] = field(default=(0, 0), compare=False)
    side_at: tuple[int, int] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class _Found:
    """A thing or a side, with its character span."""

    thing: str | None
    side: Side | None
    at: tuple[int, int]


class Vocabulary:
    """The names, in `language`, of the things that `labels` stand for.

    Labels with the same name are one thing ("person", "pedestrian"). The longest name matches
    ("teddy bear" is not a bear), even if only the shorter one is among `labels`. A negation ("no
    car") is not understood and counts as a mention.
    """

    def __init__(self, labels: Iterable[str], language: Language) -> None:
        self._names = {label: [n.one, n.many] for label, n in sayable(language).things.items()}
        self._known: Understood = understood(language)
        phrases: dict[str, str | None] = dict.fromkeys(self._known.not_things)
        phrases |= dict.fromkeys(form for names in self._names.values() for form in names)
        labels = tuple(labels)
        for label in labels:
            words = self._known.synonyms.get(label, "").split()
            phrases |= dict.fromkeys(words, self.thing(label))
        for label in labels:  # after all synonyms, since a label's own name takes precedence
            names = self._names.get(label) or [label, f"{label}{self._known.plural_ending}"]
            phrases |= dict.fromkeys(names, self.thing(label))
        self._labels = {self.thing(label): label for label in reversed(labels)}
        self._things = {_tokens(phrase): thing for phrase, thing in phrases.items()}
        self._sides = {_tokens(p): side for side, names in self._known.sides.items() for p in names}
        self._longest = max(len(phrase) for phrase in [*self._things, *self._sides])

    def thing(self, label: str) -> str:
        """The thing that a label stands for; labels with the same name are the same thing."""
        return self._names.get(label, [label])[0]

    def knows(self, label: str) -> bool:
        """Whether the language has a name for `label`."""
        return label in self._names

    def label(self, thing: str) -> str:
        """The first label that stands for `thing`. Raises KeyError if there is none."""
        return self._labels[thing]

    def mentions(self, text: str) -> list[Mention]:
        """All mentions of things, in order, each with the side stated for it in the same clause.

        A side that opens a clause applies to all things up to the next side ("on the left, a car").
        Any other side applies to the thing just before it ("a car on the left").
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
                side = leading if opens_with_side else following
                if side is None or side.side is None:
                    found.append(Mention(item.thing, None, item.at))
                else:
                    found.append(Mention(item.thing, side.side, item.at, side.at))
        return found

    def _clauses(self, text: str) -> Iterator[list[_Found]]:
        """The things and sides of each clause, in order."""
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
                if phrase in self._sides and self._is_wearers_side(rest):
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

    def _is_wearers_side(self, rest: tuple[str, ...]) -> bool:
        """Whether a side followed by `rest` is the wearer's, not that of a thing ("left of the
        car")."""
        if rest[:1] == (self._known.side_noun,):
            rest = rest[1:]
        outside = bool(rest) and rest[0] in self._known.no_side_before
        return not outside or " ".join(rest[:2]) in self._known.own_side

    def _ends_phrase(self, phrase: tuple[str, ...], rest: tuple[str, ...]) -> bool:
        if phrase[-1] not in self._known.ambiguous or not rest:
            return True
        return rest[0] in self._known.after_a_thing or not rest[0].isalpha()


def _tokens(text: str) -> tuple[str, ...]:
    return tuple(TOKEN.findall(text.lower()))
