"""Answer quality: counts an answer's text against an image's labels, then weighs the parts.

Knows texts and labels, and nothing of how an answer was made. The parts are reported separately, so
that a reader can judge without the weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.config import QualityConfig
from engine.core.glance import Box, Truth
from engine.core.preferences import Language
from engine.evaluation.cider import cider_d
from engine.language.nouns import Vocabulary
from engine.perception.camera import pinhole
from engine.perception.classes import kind_of
from engine.perception.geometry import measure_box

NEAR_SHARE = 0.01  # a box that covers less of the image's area is far away


@dataclass(frozen=True, slots=True)
class Counts:
    """What one text names of one image, counted in kinds of things. Several of one kind count once.

    labelled       kinds labelled in the image, among the scored labels; `recalled` of them are
                   named
    named          kinds named; `unlabelled` of them have no box, and of those `invented` are not
                   named by a human caption either
    sided          kinds labelled and named with a side; for `sided_right` of them the side is that
                   of the largest box
    hazards        kinds labelled that are near and dangerous; `hazards_named` of them are named
    words          length of the text
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
    """An answer's counts and its caption similarity: CIDEr-D in [0, 10], None without captions.
    `judged` is false without boxes and captions: then it is unknown which objects are invented."""

    counts: Counts
    caption: float | None = None
    judged: bool = True


class Judge:
    """Counts what texts say about images, over the labels in `scored`. `hfov_deg`, the field of
    view along the longer side, determines a box's side."""

    def __init__(self, vocabulary: Vocabulary, scored: Sequence[str], hfov_deg: float) -> None:
        self._vocabulary = vocabulary
        self._scored = frozenset(scored)
        self._hfov_deg = hfov_deg

    def count(self, truth: Truth, width: int, height: int, text: str) -> Counts:
        """Count `text` against `truth`, the labels of an image of width x height pixels."""
        thing = self._vocabulary.thing
        boxes = truth.boxes or ()
        boxed = {thing(label) for label, _ in (*boxes, *truth.ignored)}
        mentions = self._vocabulary.mentions
        captioned = {mention.thing for text in truth.captions for mention in mentions(text)}
        said = mentions(text)
        named = {mention.thing for mention in said}
        labelled = {thing(label) for label, _ in boxes if label in self._scored}
        hazards = {
            thing(label)
            for label, box in boxes
            if label in self._scored
            and kind_of(label).may_hurt
            and box.area >= NEAR_SHARE * width * height
        }
        sided = sided_right = 0
        for kind in labelled & named:
            side = next((m.side for m in said if m.thing == kind and m.side), None)
            if side is not None:
                of_kind = [box for label, box in boxes if thing(label) == kind]
                sided += 1
                sided_right += side == self._side(of_kind, width, height)
        return Counts(
            labelled=len(labelled),
            recalled=len(labelled & named),
            named=len(named),
            unlabelled=len(named - boxed),
            invented=len(named - boxed - captioned),
            sided=sided,
            sided_right=sided_right,
            hazards=len(hazards),
            hazards_named=len(hazards & named),
            words=len(text.split()),
        )

    def _side(self, boxes: Sequence[Box], width: int, height: int) -> str:
        largest = max(boxes, key=lambda box: box.area)
        return measure_box(largest, pinhole(width, height, self._hfov_deg)).side


def captions_of(texts: Sequence[str], truths: Sequence[Truth]) -> list[float | None]:
    """CIDEr-D of each text whose image has captions, over the set of all such images; None for the
    others. With fewer than two such images all are None: with one image, all words are equally
    rare."""
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
    """The parts of each answer, given as labels, width and height in pixels, and text. The scored
    labels are those that at least one box has and that the detector knows (`known`)."""
    boxed = {label for truth, *_ in answers for label, _ in truth.boxes or ()}
    vocabulary = Vocabulary(dict.fromkeys([*known, *sorted(boxed)]), language)
    judge = Judge(vocabulary, [label for label in known if label in boxed], hfov_deg)
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
    """Each part of an answer's quality in [0, 1]. A part that the labels do not allow is left out.

    caption   CIDEr-D divided by `cider_full`, at most 1
    objects   share of the labelled kinds that are named
    truthful  share of the named kinds that are not invented; 1 if nothing is named
    hazards   share of the near hazards that are named
    sides     share of the sides that are right
    brief     1 up to `words_full` words, then words_full / words; 0 for an empty text
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
    """The weighted mean of the components that exist, in [0, 1]; `settings` holds the weights."""
    found = components(parts, settings)
    weights = {name: getattr(settings, name) for name in found}
    total = sum(weights.values())
    return sum(weights[name] * value for name, value in found.items()) / total if total else 0.0
