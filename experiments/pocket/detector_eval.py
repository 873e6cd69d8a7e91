"""Judges the pocket detector on the `val` pictures and chooses its thresholds there.

What is found can be wrong only on pictures whose set humans boxed completely for the label
(`JUDGED`), and outside COCO's crowds, which nobody boxed one by one. What is missed is counted over
every box that a human drew. Average precision is COCO's (101 recalls, IoU 0.50 to 0.95); intervals are
95 % bootstraps over pictures.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from engine.classes import HURTS, kind_of
from experiments.pocket.detector_data import load_image
from experiments.pocket.detector_labels import JUDGED, LABELS, Sample, read_samples
from models.detector import NMS_IOU

Floats = NDArray[np.float64]
IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
LOWEST_CONFIDENCE = 0.001
THRESHOLD_RANGE = (0.2, 0.6)
# Of labels with too few boxes to choose by: high enough that what it cannot judge stays quiet.
DEFAULT_THRESHOLD, ENOUGH_BOXES = 0.35, 10
# A missed hazard is worse than an invented one, which costs trust. The project's choice.
MISSED = 1.5
RESAMPLES = 400
TALL = 0.2  # share of the frame's height from which a person is near enough to matter
LOW = 1 / 3  # of the frame's height: what ends above that stands in nobody's way


@dataclass(frozen=True)
class Scored:
    """One label's detections over all pictures, best first: which `picture` [n], `score` [n].

    On judged pictures, whether it hits a box, `hit` [n, 10] at each IoU, or is `wrong` [n, 10], and how
    many boxes there are, `truth` [pictures]. On all pictures, `tall` [n] says which detections hit, at IoU
    0.5, a box taller than `TALL`, `low` which hit one that reaches below `LOW`; each picture has
    `tall_truth` and `low_truth` [pictures] of them."""

    picture: NDArray[np.int64]
    score: Floats
    hit: NDArray[np.bool_]
    wrong: NDArray[np.bool_]
    truth: NDArray[np.int64]
    tall: NDArray[np.bool_]
    tall_truth: NDArray[np.int64]
    low: NDArray[np.bool_]
    low_truth: NDArray[np.int64]


def overlaps(some: Floats, others: Floats) -> Floats:
    """Intersection over union of every pair of boxes x1, y1, x2, y2: [some, others]."""
    low = np.maximum(some[:, None, :2], others[None, :, :2])
    high = np.minimum(some[:, None, 2:], others[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (some, others)]
    return np.asarray(shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-12))


def match(found: Floats, truth: Floats) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Greedy one-to-one matching of boxes, best first: whether each hits at each IoU [found, 10],
    and which box it hits at IoU 0.5 (-1 for none)."""
    hit = np.zeros((len(found), len(IOUS)), bool)
    which = np.full(len(found), -1)
    table = overlaps(found, truth)
    for level, least in enumerate(IOUS if len(truth) else ()):
        free = np.ones(len(truth), bool)
        for row in range(len(found)):
            best = int(np.argmax(np.where(free, table[row], -1)))
            if free[best] and table[row, best] >= least:
                free[best], hit[row, level] = False, True
                if level == 0:
                    which[row] = best
    return hit, which


def read_crowds(root: Path) -> dict[Path, list[tuple[str, Floats]]]:
    """COCO's crowd boxes by picture: label, and corners [4] in shares."""
    folder = root / "boxes_coco"
    crowds = {}
    for line in (folder / "manifest.jsonl").open(encoding="utf-8"):
        row = json.loads(line)
        size = np.array([row["width"], row["height"]] * 2, np.float64)
        crowds[folder / row["file"]] = [
            (label, np.array([x, y, x + width, y + height]) / size)
            for label, x, y, width, height in row["crowd_boxes"]
        ]
    return crowds


def in_crowd(found: Floats, crowds: list[Floats]) -> NDArray[np.bool_]:
    """Whether the share of each box [n, 4] that is in one of `crowds` reaches each IoU [n, 10]: how COCO's
    own evaluation tells which detections it passes over."""
    inside = np.zeros(len(found))
    for crowd in crowds:
        low, high = np.maximum(found[:, :2], crowd[:2]), np.minimum(found[:, 2:], crowd[2:])
        shared = np.prod(np.clip(high - low, 0, None), axis=1)
        inside = np.maximum(
            inside, shared / np.prod(found[:, 2:] - found[:, :2], axis=1).clip(1e-12)
        )
    return np.asarray(inside[:, None] >= IOUS)


def detect_all(
    model: Any, samples: list[Sample], size: int
) -> list[tuple[NDArray[np.int64], Floats, Floats]]:
    """Runs an Ultralytics model on pictures of `size` pixels along the longer side, with the engine's
    limit to overlap, label by label: per picture classes [n], scores [n] and boxes [n, 4] in shares."""
    detections = []
    for sample in tqdm(samples, "evaluate", mininterval=5):
        image = load_image(sample, size)
        height, width = image.shape[:2]
        if abs(width / height - sample.aspect) > 0.02:  # stored squashed
            scale = size / max(sample.aspect, 1.0)
            image = cv2.resize(image, (round(scale * sample.aspect), round(scale)))
        bgr = np.ascontiguousarray(image[:, :, ::-1])
        result = model.predict(
            bgr, imgsz=size, conf=LOWEST_CONFIDENCE, iou=NMS_IOU, max_det=100, verbose=False
        )[0].boxes
        classes = result.cls.cpu().numpy().astype(np.int64)
        detections.append(
            (classes, *(t.cpu().double().numpy() for t in (result.conf, result.xyxyn)))
        )
    return detections


def score_labels(
    samples: list[Sample],
    detections: list[tuple[NDArray[np.int64], Floats, Floats]],
    crowds: dict[Path, list[tuple[str, Floats]]],
) -> dict[str, Scored]:
    """Matches detections to boxes for every label with at least one box on a judged picture."""
    scored = {}
    for number, label in enumerate(LABELS):
        parts: list[tuple[Any, ...]] = []
        truth, tall_truth, low_truth = (np.zeros(len(samples), np.int64) for _ in range(3))
        for picture, (sample, (classes, scores, boxes)) in enumerate(
            zip(samples, detections, strict=True)
        ):
            judged = label in JUDGED.get(sample.set_name, ())
            real = sample.boxes[sample.classes == number].astype(np.float64)
            if not judged and not len(real):
                continue
            is_tall, is_low = real[:, 3] - real[:, 1] > TALL, real[:, 3] > LOW
            truth[picture] = len(real) * judged
            tall_truth[picture], low_truth[picture] = is_tall.sum(), is_low.sum()
            order = np.flatnonzero(classes == number)
            order = order[np.argsort(-scores[order], kind="stable")]
            hit, which = match(boxes[order], real)
            tall, low = (np.append(kind, False)[which] for kind in (is_tall, is_low))
            of_label = [box for name, box in crowds.get(sample.path, ()) if name == label]
            wrong = ~hit & ~in_crowd(boxes[order], of_label) & judged
            where = np.full(len(order), picture)
            parts.append((where, scores[order], hit & judged, wrong, tall, low))
        if truth.sum():
            columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
            best = np.argsort(-columns[1], kind="stable")
            where, score, hits, wrongs, talls, lows = (column[best] for column in columns)
            scored[label] = Scored(
                where, score, hits, wrongs, truth, talls, tall_truth, lows, low_truth
            )
    return scored


def average_precision(label: Scored, times: Floats, levels: slice = slice(None)) -> float:
    """Mean over IoU `levels` of COCO's 101-point average precision; `times` [pictures] is how often
    each picture counts."""
    boxes = float(times @ label.truth)
    if boxes == 0:
        return float("nan")
    weight = times[label.picture][:, None]
    hits = np.cumsum(weight * label.hit[:, levels], axis=0)
    wrong = np.cumsum(weight * label.wrong[:, levels], axis=0)
    precision = hits / np.maximum(hits + wrong, 1e-12)
    precision = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    values = []
    for level in range(hits.shape[1]):
        at = np.searchsorted(hits[:, level] / boxes, RECALLS, side="left")
        padded = np.append(precision[:, level], 0.0)
        values.append(padded[at].mean())
    return float(np.mean(values))


def choose_threshold(name: str, label: Scored) -> float:
    """The score with the best F at IoU 0.5 (van Rijsbergen's, which counts recall MISSED times as much as
    precision for what can hurt), within `THRESHOLD_RANGE` and where at least one in three is right; the
    highest of the range where none is so: what is mostly invented stays quiet."""
    if label.truth.sum() < ENOUGH_BOXES or not len(label.score):
        return DEFAULT_THRESHOLD
    low, high = THRESHOLD_RANGE
    hits = np.cumsum(label.hit[:, 0])
    told = hits + np.cumsum(label.wrong[:, 0])
    weight = MISSED**2 if kind_of(name).hazard >= HURTS else 1.0
    score = (1 + weight) * hits / (told + weight * label.truth.sum())
    score[(hits * 3 < told) | (label.score < low)] = 0.0
    best = int(np.argmax(score))
    return round(float(min(label.score[best], high)), 3) if score[best] > 0 else high


def tall_recall(label: Scored, threshold: float, times: Floats) -> float:
    """Share of the boxes taller than `TALL` that are found at the threshold."""
    return _found(label, label.tall, label.tall_truth, threshold, times)


def tall_by_set(
    label: Scored, threshold: float, samples: list[Sample]
) -> dict[str, dict[str, int]]:
    """Of each set's boxes taller than `TALL`, how many there are and how many are found."""
    counts = {}
    for name in sorted({sample.set_name for sample in samples}):
        times = np.array([float(sample.set_name == name) for sample in samples])
        if boxes := int(times @ label.tall_truth):
            found = round(tall_recall(label, threshold, times) * boxes)
            counts[name] = {"boxes": boxes, "found": found}
    return counts


def hazard_recall(scored: dict[str, Scored], confidence: dict[str, float], times: Floats) -> float:
    """Of what can hurt (engine.classes.HURTS) and reaches below `LOW`, the share that is found at the
    thresholds: the mean over labels with enough boxes, as poles alone are half of all boxes."""
    shares = [
        _found(label, label.low, label.low_truth, confidence[name], times)
        for name, label in scored.items()
        if kind_of(name).hazard >= HURTS and label.truth.sum() >= ENOUGH_BOXES
    ]
    return float(np.nanmean(shares))


def _found(
    label: Scored,
    hits: NDArray[np.bool_],
    boxes: NDArray[np.int64],
    threshold: float,
    times: Floats,
) -> float:
    """Share of `boxes` [pictures] that `hits` [n] finds at the threshold; nan where there are none."""
    found = float(times[label.picture][hits & (label.score >= threshold)].sum())
    there = float(times @ boxes)
    return found / there if there else float("nan")


def with_interval(measure: Any, pictures: int, seed: int) -> dict[str, Any]:
    """`measure(times)` on the pictures as they are, and its 95 % bootstrap interval."""
    rng = np.random.default_rng(seed)
    draws = [
        measure(
            np.bincount(rng.integers(pictures, size=pictures), minlength=pictures).astype(float)
        )
        for _ in range(RESAMPLES)
    ]
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    value = measure(np.ones(pictures))
    return {"value": round(value, 4), "interval_95": [round(float(low), 4), round(float(high), 4)]}


def label_figures(label: Scored, threshold: float) -> dict[str, Any]:
    """One label's row of the figures."""
    ones = np.ones(len(label.truth))
    kept = label.score >= threshold
    hits, wrong = (int(some[kept, 0].sum()) for some in (label.hit, label.wrong))
    boxes = int(label.truth.sum())
    return {
        "boxes": boxes,
        "pictures": int((label.truth > 0).sum()),
        "ap50": round(average_precision(label, ones, slice(0, 1)), 4),
        "ap50_95": round(average_precision(label, ones), 4),
        "recall": round(hits / boxes, 4),
        "precision": round(hits / max(hits + wrong, 1), 4),
    }


def evaluate_model(
    model: Any, root: Path, size: int, seed: int
) -> tuple[dict[str, float], dict[str, Any]]:
    """Thresholds by label and every figure of `detector.json`, at `size` pixels."""
    samples = read_samples(root, "val", seed)
    scored = score_labels(samples, detect_all(model, samples, size), read_crowds(root))
    confidence = dict.fromkeys(LABELS, DEFAULT_THRESHOLD)
    confidence |= {name: choose_threshold(name, label) for name, label in scored.items()}
    first = slice(0, 1)

    def mean_over(least: int, levels: slice) -> Any:
        kept = [label for label in scored.values() if label.truth.sum() >= least]
        return lambda t: float(np.nanmean([average_precision(x, t, levels) for x in kept]))

    measures: dict[str, Any] = {
        "map50": mean_over(1, first),
        "map50_95": mean_over(1, slice(None)),
        "map50_of_labels_with_10_boxes": mean_over(ENOUGH_BOXES, first),
        "person_ap50": lambda t: average_precision(scored["person"], t, first),
        "door_ap50": lambda t: average_precision(scored["door"], t, first),
        "tall_person_recall": lambda t: tall_recall(scored["person"], confidence["person"], t),
        "low_hazard_recall": lambda t: hazard_recall(scored, confidence, t),
    }
    figures: dict[str, Any] = {
        name: with_interval(m, len(samples), seed)
        for name, m in tqdm(measures.items(), "bootstrap")
    }
    figures["tall_people"] = tall_by_set(scored["person"], confidence["person"], samples)
    figures["val_pictures"] = sum(sample.set_name in JUDGED for sample in samples)
    figures["val_pictures_for_recall"] = len(samples)
    figures["labels_without_val_boxes"] = [name for name in LABELS if name not in scored]
    figures["labels"] = {n: label_figures(label, confidence[n]) for n, label in scored.items()}
    figures["note"] = (
        "What is missed is counted over every human box, what is invented where humans boxed completely. "
        f"Thresholds were chosen on these val pictures (best F1, F{MISSED} for what can hurt, within 0.2 "
        f"to 0.6; {DEFAULT_THRESHOLD} below {ENOUGH_BOXES} boxes), so recall and precision at them flatter."
    )
    return confidence, figures
