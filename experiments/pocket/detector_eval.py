"""Evaluates the pocket detector on the `val` images and chooses its thresholds there.

Average precision is COCO's (101 recalls, IoU 0.50 to 0.95); intervals are 95 % bootstraps over
images.
"""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from engine.perception.classes import kind_of
from experiments.pocket.detector_data import load_image
from experiments.pocket.detector_labels import JUDGED, LABELS, Sample, read_samples
from experiments.pocket.detector_match import Floats, LabelMatches, read_crowds, score_labels
from models.runtime.boxes import NMS_IOU

RECALLS = np.linspace(0, 1, 101)
LOWEST_CONFIDENCE = 0.001
THRESHOLD_RANGE = (0.2, 0.6)
# For labels with too few boxes to choose a threshold: high, so that they are rarely detected.
DEFAULT_THRESHOLD, ENOUGH_BOXES = 0.35, 10
# A missed hazard is worse than an invented one, which costs trust. Chosen by the project.
MISSED = 1.5
RESAMPLES = 400


def detect_all(
    model: Any, samples: list[Sample], size: int
) -> list[tuple[NDArray[np.int64], Floats, Floats]]:
    """Run an Ultralytics model on images of `size` pixels along the longer side, with the
    engine's non-maximum suppression, label by label.

    Per image: classes [n], scores [n] and boxes [n, 4] in shares.
    """
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


def average_precision(label: LabelMatches, times: Floats, levels: slice = slice(None)) -> float:
    """Mean over IoU `levels` of COCO's 101-point average precision; `times` [images] weights each
    image.
    """
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


def choose_threshold(name: str, label: LabelMatches) -> float:
    """The score with the best F measure at IoU 0.5, within `THRESHOLD_RANGE`.

    For objects that can hurt, recall counts MISSED times as much as precision (van Rijsbergen's F).
    At least one detection in three must be right; where no threshold achieves that, the highest is
    used, so that a mostly wrong label is not reported.
    """
    if label.truth.sum() < ENOUGH_BOXES or not len(label.score):
        return DEFAULT_THRESHOLD
    low, high = THRESHOLD_RANGE
    hits = np.cumsum(label.hit[:, 0])
    detected = hits + np.cumsum(label.wrong[:, 0])
    weight = MISSED**2 if kind_of(name).may_hurt else 1.0
    score = (1 + weight) * hits / (detected + weight * label.truth.sum())
    score[(hits * 3 < detected) | (label.score < low)] = 0.0
    best = int(np.argmax(score))
    return round(float(min(label.score[best], high)), 3) if score[best] > 0 else high


def tall_recall(label: LabelMatches, threshold: float, times: Floats) -> float:
    """The share of the tall boxes that are found at the threshold."""
    return _found(label, label.tall, label.tall_truth, threshold, times)


def tall_by_set(
    label: LabelMatches, threshold: float, samples: list[Sample]
) -> dict[str, dict[str, int]]:
    """The number of tall boxes in each set, and how many of them are found."""
    counts = {}
    for name in sorted({sample.set_name for sample in samples}):
        times = np.array([float(sample.set_name == name) for sample in samples])
        if boxes := int(times @ label.tall_truth):
            found = _hits(label, label.tall, threshold, times)
            counts[name] = {"boxes": boxes, "found": int(found)}
    return counts


def hazard_recall(
    scored: dict[str, LabelMatches], confidence: dict[str, float], times: Floats
) -> float:
    """The share of low boxes that can hurt (`ObjectKind.may_hurt`) found at the thresholds.

    The mean over labels with enough boxes, since poles alone are half of all boxes.
    """
    shares = [
        _found(label, label.low, label.low_truth, confidence[name], times)
        for name, label in scored.items()
        if kind_of(name).may_hurt and label.truth.sum() >= ENOUGH_BOXES
    ]
    return float(np.nanmean(shares))


def _found(
    label: LabelMatches,
    hits: NDArray[np.bool_],
    boxes: NDArray[np.int64],
    threshold: float,
    times: Floats,
) -> float:
    """The share of `boxes` [images] that `hits` [n] finds at the threshold; NaN if there are
    none.
    """
    there = float(times @ boxes)
    return _hits(label, hits, threshold, times) / there if there else float("nan")


def _hits(label: LabelMatches, hits: NDArray[np.bool_], threshold: float, times: Floats) -> float:
    """The number of `hits` [n] at the threshold, weighted by image."""
    return float(times[label.picture][hits & (label.score >= threshold)].sum())


def with_interval(measure: Any, pictures: int, seed: int) -> dict[str, Any]:
    """`measure(times)` on the images, with its 95 % bootstrap interval."""
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


def label_figures(label: LabelMatches, threshold: float) -> dict[str, Any]:
    """One label's row of figures."""
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
