"""Scores the answers over a dataset: the `quality` of a session's summary.

Knows labels, boxes and texts, and nothing of how the answers were made. Images are not kept. The
work grows linearly with their number.
"""

import contextlib
import importlib.util
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.config import QualityConfig
from engine.core.answer import Description
from engine.core.errors import MissingPart
from engine.core.glance import Box, Glance, Obstacle, Truth
from engine.core.preferences import Language
from engine.evaluation.quality import Judge, captions_of, judge_all, overall
from engine.language.nouns import Vocabulary


@dataclass(frozen=True, slots=True)
class ScoredAnswer:
    """One described image: its labels, and what was said. `answer` is the part of `text` that the
    answering tier worded."""

    truth: Truth
    width: int
    height: int
    obstacles: tuple[Obstacle, ...]
    scene: str
    text: str
    answer: str


class Scorer:
    """Scores answers against a manifest's labels, over the labels that the detector knows.

    `hfov_deg` is the field of view along the longer side; it determines a labelled box's side.
    Raises MissingPart at the start, not after the run, if pycocotools is not installed.
    """

    def __init__(
        self,
        labels: tuple[str, ...],
        language: Language,
        hfov_deg: float = 70.0,
        weights: QualityConfig | None = None,
    ) -> None:
        if importlib.util.find_spec("pycocotools") is None:
            raise MissingPart(
                "source=dataset: expected pycocotools to score the boxes with, found none; "
                "install it with: pip install pycocotools"
            )
        self._known = labels
        self._language: Language = language
        self._hfov_deg = hfov_deg
        self._weights = weights or QualityConfig()
        self._answers: list[ScoredAnswer] = []

    def add(self, truth: Truth | None, glance: Glance, description: Description) -> None:
        """Add a described image. One without labels (`truth` None) does not count."""
        if truth is None:
            return
        worded = [beat.text for beat in description.beats if beat.tier == description.tier]
        self._answers.append(
            ScoredAnswer(
                truth,
                glance.frame.width,
                glance.frame.height,
                glance.obstacles,
                description.scene.label,
                description.text,
                " ".join(worded) or description.text,
            )
        )

    def quality(self) -> dict[str, Any]:
        """The figures so far. A figure that the manifest's labels do not allow is left out.

        n               images
        labels          the scored labels: those of the manifest's boxes that the detector knows
        map50, map50_95 COCO's definition, in [0, 1]
        scene_top1      share of the labelled scenes that the classifier got right
        caption_cider   mean CIDEr-D in [0, 10] of what the answering tier worded (needs two images)
        object_recall, hallucination_rate, side_accuracy, hazard_recall: see `_naming`
        answer_quality  mean of `engine.evaluation.quality.overall` of what the answering tier
                        worded
        answer_words    its mean length
        """
        boxed = [scored for scored in self._answers if scored.truth.boxes is not None]
        scenes = [scored for scored in self._answers if scored.truth.scene is not None]
        captioned = [scored for scored in self._answers if scored.truth.captions]
        figures: dict[str, Any] = {"n": len(self._answers)}
        if boxed:
            found = {label for scored in boxed for label, _ in scored.truth.boxes or ()}
            labels = [label for label in self._known if label in found]
            figures["labels"] = labels
            figures |= _mean_average_precision(boxed, labels)
            figures |= self._naming(boxed, labels)
        if scenes:
            right = sum(scored.scene == scored.truth.scene for scored in scenes)
            figures["scene_top1"] = right / len(scenes)
        if len(captioned) > 1:
            scores = captions_of([p.answer for p in captioned], [p.truth for p in captioned])
            figures["caption_cider"] = sum(score or 0.0 for score in scores) / len(scores)
        if boxed or captioned:
            judged = judge_all(
                [
                    (scored.truth, scored.width, scored.height, scored.answer)
                    for scored in self._answers
                ],
                self._known,
                self._language,
                self._hfov_deg,
            )
            marks = [overall(parts, self._weights) for parts in judged if parts.judged]
            figures["answer_quality"] = sum(marks) / len(marks)
            words = [parts.counts.words for parts in judged]
            figures["answer_words"] = sum(words) / len(words)
        return {k: round(v, 4) if isinstance(v, float) else v for k, v in figures.items()}

    def _naming(self, answers: Sequence[ScoredAnswer], labels: list[str]) -> dict[str, float]:
        """Counted over pairs of an image and a kind of thing. Several of one kind count once.

        object_recall       of the kinds labelled (with `labels`), the share that the text names
        hallucination_rate  of the kinds named, the share not labelled. Any kind that the detector
                            or the dataset has a label for can be named, so a dataset that labels
                            only some objects makes the rate too high. A crowd counts as labelled.
        side_accuracy       of the kinds labelled and named with a side (left, ahead, right), the
                            share whose largest box, taken as the nearest, lies on that side
        hazard_recall       of the near hazards labelled, the share that the text names
        """
        boxed = {label for scored in answers for label, _ in scored.truth.boxes or ()}
        vocabulary = Vocabulary(dict.fromkeys([*self._known, *sorted(boxed)]), self._language)
        judge = Judge(vocabulary, labels, self._hfov_deg)
        counts = [judge.count(p.truth, p.width, p.height, p.text) for p in answers]
        shares = {
            "object_recall": ("recalled", "labelled"),
            "hallucination_rate": ("unlabelled", "named"),
            "side_accuracy": ("sided_right", "sided"),
            "hazard_recall": ("hazards_named", "hazards"),
        }
        found: dict[str, float] = {}
        for name, (part, whole) in shares.items():
            of = sum(getattr(count, whole) for count in counts)
            if of:
                found[name] = sum(getattr(count, part) for count in counts) / of
        return found


def _mean_average_precision(answers: Sequence[ScoredAnswer], labels: list[str]) -> dict[str, float]:
    """`map50` and `map50_95` by pycocotools: 101 recall points, at most 100 boxes an image; crowds
    are ignored. Empty if `labels` is."""
    if not labels:
        return {}
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    number = {label: index for index, label in enumerate(labels, start=1)}
    truths: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for image, scored in enumerate(answers):
        for crowd, boxes in enumerate((scored.truth.boxes or (), scored.truth.ignored)):
            truths += [_annotation(image, number[k], b, crowd) for k, b in boxes if k in number]
        found += [
            _annotation(image, number[item.label], item.box, 0) | {"score": item.score}
            for item in scored.obstacles
            if item.label in number
        ]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress and a table
        sides = []
        for annotations in (truths, found):
            for index, annotation in enumerate(annotations, start=1):
                annotation["id"] = index  # from 1: pycocotools takes 0 for "no match"
            coco = COCO()
            coco.dataset = {
                "images": [{"id": image} for image in range(len(answers))],
                "categories": [{"id": index, "name": label} for label, index in number.items()],
                "annotations": annotations,
            }
            coco.createIndex()
            sides.append(coco)
        evaluation = COCOeval(*sides, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {"map50": float(evaluation.stats[1]), "map50_95": float(evaluation.stats[0])}


def _annotation(image: int, category: int, box: Box, crowd: int) -> dict[str, Any]:
    return {
        "image_id": image,
        "category_id": category,
        "bbox": [box.x1, box.y1, box.width, box.height],
        "area": box.area,
        "iscrowd": crowd,
    }
