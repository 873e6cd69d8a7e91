"""What a text says, held against a picture's labels: CIDEr-D, and the things named with their sides.

Pure text and counting. It knows nothing of pictures, boxes or models. A thing's names are the ones
that the templates say, so that what the quick tier words is always recognised, and a few more.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.types import Language, Side
from engine.wording import TEMPLATES

LONGEST_GRAM = 4
SIGMA_WORDS = 6.0  # of the penalty on a difference in length

# What a describer may call a thing, by its label; the templates' own words are in things.json.
SYNONYMS: dict[Language, dict[str, str]] = {
    "en": {
        "person": "persons man men woman women child children kid kids boy boys girl girls baby "
        "babies guy guys lady ladies toddler toddlers pedestrian pedestrians crowd player players "
        "cyclist cyclists biker bikers rider riders skateboarder surfer swimmer climber hiker hikers "
        "skier snowboarder",
        "bicycle": "bike bikes",
        "motorcycle": "motorbike motorbikes",
        "car": "taxi taxis cab cabs",
        "dog": "puppy puppies",
        "cat": "kitten kittens",
        "couch": "sofa sofas",
        "tv": "tv tvs",
        "airplane": "plane planes aeroplane aeroplanes",
        "stairs": "stairs steps stairway stairways",
        "cell phone": "cellphone cellphones",
        "refrigerator": "fridge fridges",
        "potted plant": "plant plants",
        "dining table": "table tables",
    },
    "es": {
        "person": "hombre hombres mujer mujeres niño niños niña niñas peatón peatones gente",
        "bicycle": "bici bicis",
        "motorcycle": "motocicleta motocicletas",
        "car": "carro carros auto autos",
    },
}
# Phrases that hold a thing's name and name no such thing.
NOT_THINGS: dict[Language, tuple[str, ...]] = {
    "en": ("bus stop", "bus station", "train station", "train track", "train tracks", "car park"),
    "es": ("parada de autobús", "estación de autobuses", "vía de tren", "en un banco"),
}
# Also a colour or a verb: a thing only where the phrase ends with it ("an orange on a plate").
AMBIGUOUS = {"orange", "can"}
AFTER_A_THING = {"ahead", "on", "to", "at", "in", "and", "or", "with", "is", "near", "by"}

FURTHER_SIDES: dict[Language, dict[str, Side]] = {
    "en": {"in front of you": "ahead"},
    "es": {"enfrente": "ahead"},
}
CLAUSE_ENDS: dict[Language, set[str]] = {
    "en": {*".!?;", "and", "but", "while", "whereas"},
    "es": {*".!?;¡¿", "y", "e", "pero", "mientras"},
}
# "right behind", "his left hand", "to the right of a car": not the wearer's own side.
NO_SIDE_BEFORE: dict[Language, set[str]] = {
    "en": {"of", "hand", "arm", "foot", "leg", "next", "here", "behind", "in", "ahead", "beside"},
    "es": {"de", "del"},
}
OWN_SIDE = {"of you", "de ti"}  # "to the right of you" is, after all

_TOKEN = re.compile(r"\w+|[^\w\s]")


def cider_d(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """CIDEr-D of each candidate against its own references, in [0, 10] (10: word for word the same).

    Vedantam, Zitnick, Parikh, "CIDEr: Consensus-based image description evaluation", CVPR 2015,
    with the clipping and the length penalty of its section on CIDEr-D. For n-grams of 1 to 4 words:
    the cosine of tf-idf vectors, the candidate's weights clipped to the reference's, times
    exp(-(difference in words)² / (2 · 6²)); then the mean over n and over the references, times 10.
    Document frequencies count the pictures of `references`, so a score depends on the whole set and
    a set of one picture scores 0. Words are lower-case runs of letters and digits, which is simpler
    than the original's tokenizer: figures differ a little from the COCO server's.
    """
    counted = [[_grams(text) for text in texts] for texts in references]
    frequency: Counter[tuple[str, ...]] = Counter()
    for several in counted:
        frequency.update({gram for grams in several for counts in grams for gram in counts})
    pictures = math.log(max(1, len(references)))

    def weigh(grams: list[Counter[tuple[str, ...]]]) -> list[dict[tuple[str, ...], float]]:
        return [
            {g: count * (pictures - math.log(max(1, frequency[g]))) for g, count in counts.items()}
            for counts in grams
        ]

    scores = []
    for text, several in zip(candidates, counted, strict=True):
        said = _grams(text)
        mine = weigh(said)
        total = 0.0
        for grams in several:
            apart = said[0].total() - grams[0].total()
            cosines = map(_clipped_cosine, mine, weigh(grams))
            total += math.exp(-(apart**2) / (2 * SIGMA_WORDS**2)) * sum(cosines) / LONGEST_GRAM
        scores.append(10.0 * total / max(1, len(several)))
    return scores


def _grams(text: str) -> list[Counter[tuple[str, ...]]]:
    """Counts of all word sequences, by their length from 1."""
    words = re.findall(r"[^\W_]+", text.lower())
    return [
        Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
        for n in range(1, LONGEST_GRAM + 1)
    ]


def _clipped_cosine(
    mine: dict[tuple[str, ...], float], theirs: dict[tuple[str, ...], float]
) -> float:
    norm = math.hypot(*mine.values()) * math.hypot(*theirs.values())
    shared = sum(min(v, theirs[g]) * theirs[g] for g, v in mine.items() if g in theirs)
    return shared / norm if norm > 0.0 else 0.0


@dataclass(frozen=True, slots=True)
class Mention:
    """A thing that a text names, and the side said with it."""

    thing: str
    side: Side | None


class Vocabulary:
    """The things that `labels` name, as a text in `language` calls them.

    Labels that the templates say alike are one thing ("person", "pedestrian"). A longer name wins
    ("teddy bear" is no bear), also where only the shorter one is of `labels`. A negation ("no car")
    is not understood, and counts as a mention.
    """

    def __init__(self, labels: Iterable[str], language: Language = "en") -> None:
        folder = TEMPLATES / language
        self._names: dict[str, list[str]] = _read(folder / "things.json")
        self._language: Language = language
        phrases: dict[str, str | None] = dict.fromkeys(NOT_THINGS[language])
        phrases |= dict.fromkeys(form for names in self._names.values() for form in names[:2])
        labels = tuple(labels)
        for label in labels:
            words = SYNONYMS[language].get(label, "").split()
            phrases |= dict.fromkeys(words, self.thing(label))
        for label in labels:  # after all synonyms: a label's own name is nobody else's
            names = self._names.get(label) or [label, f"{label}s"]
            phrases |= dict.fromkeys(names[:2], self.thing(label))
        self._things = {_tokens(phrase): thing for phrase, thing in phrases.items()}
        sides: dict[Side, list[str]] = _read(folder / "words.json")["sides"]
        self._sides = {_tokens(shout): side for side, (_, shout) in sides.items()}
        self._sides |= {_tokens(p): side for p, side in FURTHER_SIDES[language].items()}
        self._longest = max(len(phrase) for phrase in [*self._things, *self._sides])

    def thing(self, label: str) -> str:
        """The thing that a label names; the same for labels that are said alike."""
        return self._names.get(label, [label])[0]

    def mentions(self, text: str) -> list[Mention]:
        """Every naming of a thing, in order, each with the side said of it in the same clause.

        A clause that opens with a side says it of all that follow up to the next side ("on the
        left, a car"); else a side belongs to the thing just before it ("a car on the left").
        """
        found: list[Mention] = []
        for clause in self._clauses(_tokens(text)):
            leading: Side | None = None
            opens_with_side = bool(clause) and clause[0][1] is not None
            for index, (thing, side) in enumerate(clause):
                if thing is None:
                    leading = side
                elif opens_with_side:
                    found.append(Mention(thing, leading))
                else:
                    following = clause[index + 1][1] if index + 1 < len(clause) else None
                    found.append(Mention(thing, following))
        return found

    def _clauses(
        self, tokens: tuple[str, ...]
    ) -> Iterator[list[tuple[str, None] | tuple[None, Side]]]:
        """Each clause's things and sides, in order."""
        clause: list[tuple[str, None] | tuple[None, Side]] = []
        at = 0
        while at < len(tokens):
            if tokens[at] in CLAUSE_ENDS[self._language]:
                yield clause
                clause = []
            length = 1
            for n in range(min(self._longest, len(tokens) - at), 0, -1):
                phrase, rest = tokens[at : at + n], tokens[at + n :][:3]
                if phrase in self._sides and self._is_own_side(rest):
                    clause.append((None, self._sides[phrase]))
                    length = n
                    break
                if phrase in self._things:
                    thing = self._things[phrase]
                    if thing is not None and _ends_phrase(phrase, rest):
                        clause.append((thing, None))
                    length = n
                    break
            at += length
        yield clause

    def _is_own_side(self, rest: tuple[str, ...]) -> bool:
        if rest[:1] == ("side",):
            rest = rest[1:]
        outside = bool(rest) and rest[0] in NO_SIDE_BEFORE[self._language]
        return not outside or " ".join(rest[:2]) in OWN_SIDE


def _ends_phrase(phrase: tuple[str, ...], rest: tuple[str, ...]) -> bool:
    if phrase[-1] not in AMBIGUOUS or not rest:
        return True
    return rest[0] in AFTER_A_THING or not rest[0].isalpha()


def _tokens(text: str) -> tuple[str, ...]:
    return tuple(_TOKEN.findall(text.lower()))


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
