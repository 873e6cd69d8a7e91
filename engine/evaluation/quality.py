"""How good an answer is, counted against a picture's labels, part by part; then one number by weights.

Knows texts and labels; nothing of how an answer came about. The parts are reported apart, so that
nobody has to trust the weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.config import QualityConfig
from engine.core.glance import Box, Truth
from engine.core.preferences import Language
from engine.language.nouns import Mention, Vocabulary, cider_d
from engine.perception.camera import pinhole
from engine.perception.classes import HURTS, kind_of
from engine.perception.geometry import measure_box

NEAR_SHARE = 0.01  # of the picture's area; a smaller box is far away


@dataclass(frozen=True, slots=True)
class Counts:
    """What one text says of one picture, in kinds of things, however many of a kind there are.

    labelled       things labelled, of the labels scored; `recalled` of them are named
    named          things named; `unlabelled` of them have no box, and `invented` no human caption
                   names either
    sided          things labelled and named with a side; `sided_right` of them on the right side,
                   told by the largest box
    hazards        labelled things whose kind can hurt and that are near; `hazards_named` of them named
    words          length
    """

    labelled: int
    recalled: int
    named: int
    unlabelled: int
    invented: int
    sided: int
    sided_right: int
    hazards: int
    hazards_named: int
    words: int


@dataclass(frozen=True, slots=True)
class QualityParts:
    """An answer's counts and its caption similarity (CIDEr-D in [0, 10]), None without captions.
    `judged` is false where a picture has neither boxes nor captions to tell what is invented."""

    counts: Counts
    caption: float | None = None
    judged: bool = True


class Judge:
    """Counts what texts say of pictures, over the labels `scored`. `hfov_deg`, the field of view along
    the longer side, tells a box's side."""

    def __init__(self, vocabulary: Vocabulary, scored: Sequence[str], hfov_deg: float) -> None:
        self._vocabulary = vocabulary
        self._scored = frozenset(scored)
        self._hfov_deg = hfov_deg

    def count(self, truth: Truth, width: int, height: int, text: str) -> Counts:
        """Count `text` against `truth`, the labels of a picture of width x height pixels."""
        thing = self._vocabulary.thing
        boxes = truth.boxes or ()
        boxed = {thing(label) for label, _ in (*boxes, *truth.ignored)}
        told = {mention.thing for caption in truth.captions for mention in self._said(caption)}
        said = self._said(text)
        named = {mention.thing for mention in said}
        labelled = {thing(label) for label, _ in boxes if label in self._scored}
        hazards = {
            thing(label)
            for label, box in boxes
            if label in self._scored
            and kind_of(label).hazard >= HURTS
            and box.area >= NEAR_SHARE * width * height
        }
        sided = sided_right = 0
        for one in labelled & named:
            side = next((m.side for m in said if m.thing == one and m.side), None)
            if side is not None:
                own = [box for label, box in boxes if thing(label) == one]
                sided += 1
                sided_right += side == self._side(own, width, height)
        return Counts(
            labelled=len(labelled),
            recalled=len(labelled & named),
            named=len(named),
            unlabelled=len(named - boxed),
            invented=len(named - boxed - told),
            sided=sided,
            sided_right=sided_right,
            hazards=len(hazards),
            hazards_named=len(hazards & named),
            words=len(text.split()),
        )

    def _said(self, text: str) -> list[Mention]:
        return self._vocabulary.mentions(text)

    def _side(self, boxes: Sequence[Box], width: int, height: int) -> str:
        largest = max(boxes, key=lambda box: box.area)
        return measure_box(largest, pinhole(width, height, self._hfov_deg)).side


def captions_of(texts: Sequence[str], truths: Sequence[Truth]) -> list[float | None]:
    """CIDEr-D of each text whose picture has captions, over the set of all that have; None for the
    rest, and for all where fewer than two have (of one picture, no word is rarer than another)."""
    with_captions = [index for index, truth in enumerate(truths) if truth.captions]
    found: list[float | None] = [None] * len(texts)
    if len(with_captions) > 1:
        scores = cider_d(
            [texts[i] for i in with_captions], [truths[i].captions for i in with_captions]
        )
        for index, score in zip(with_captions, scores, strict=True):
            found[index] = score
    return found


def judge_all(
    answers: Sequence[tuple[Truth, int, int, str]],
    known: Sequence[str],
    language: Language,
    hfov_deg: float,
) -> list[QualityParts]:
    """The parts of each answer (labels, width, height in pixels, text), over the labels that some
    picture's boxes have and the detector `known`."""
    there = {label for truth, *_ in answers for label, _ in truth.boxes or ()}
    vocabulary = Vocabulary(dict.fromkeys([*known, *sorted(there)]), language)
    judge = Judge(vocabulary, [label for label in known if label in there], hfov_deg)
    captions = captions_of([text for *_, text in answers], [truth for truth, *_ in answers])
    return [
        QualityParts(
            judge.count(*answer),
            caption,
            judged=answer[0].boxes is not None or bool(answer[0].captions),
        )
        for answer, caption in zip(answers, captions, strict=True)
    ]


def components(parts: QualityParts, settings: QualityConfig) -> dict[str, float]:
    """Each part of an answer's quality in [0, 1], those left out that the labels do not allow.

    caption   CIDEr-D over `cider_full`
    objects   share of labelled things named
    truthful  share of named things that are there; 1 where nothing is named
    hazards   share of near hazards named
    sides     share of sides right
    brief     1 up to `words_full` words, then words_full / words; 0 for nothing said
    """
    counts = parts.counts
    found: dict[str, float] = {}
    if parts.caption is not None:
        found["caption"] = min(1.0, parts.caption / settings.cider_full)
    if counts.labelled:
        found["objects"] = counts.recalled / counts.labelled
    if parts.judged:
        found["truthful"] = 1.0 - counts.invented / counts.named if counts.named else 1.0
    if counts.hazards:
        found["hazards"] = counts.hazards_named / counts.hazards
    if counts.sided:
        found["sides"] = counts.sided_right / counts.sided
    found["brief"] = min(1.0, settings.words_full / counts.words) if counts.words else 0.0
    return found


def overall(parts: QualityParts, settings: QualityConfig) -> float:
    """The weighted mean, in [0, 1], of the components that there are (weights: `settings`)."""
    found = components(parts, settings)
    weights = {name: getattr(settings, name) for name in found}
    total = sum(weights.values())
    return sum(weights[name] * value for name, value in found.items()) / total if total else 0.0
