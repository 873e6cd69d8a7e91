"""Matches the pocket detector's boxes to human boxes, label by label. Knows no model.

A detection counts as wrong only on images whose set humans boxed completely for the label
(`JUDGED`), and outside COCO's crowds, whose members are not boxed. Misses are counted over every
box that a human drew.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.pocket.detector_labels import JUDGED, LABELS, Sample
from models.runtime.boxes import iou

Floats = NDArray[np.float64]
IOUS = np.linspace(0.5, 0.95, 10)
TALL = 0.2  # share of the frame's height from which on a person is near enough to matter
LOW = 1 / 3  # of the frame's height: a box that ends above this line is not in the way


@dataclass(frozen=True)
class LabelMatches:
    """One label's detections over all images, best first: their `picture` [n] and `score` [n].

    On judged images: whether a detection hits a box, `hit` [n, 10] at each IoU, or is `wrong` [n,
    10], and the number of boxes, `truth` [images]. On all images: `tall` [n] says which
    detections hit, at IoU 0.5, a box taller than `TALL`, and `low` which hit one that reaches below
    `LOW`; `tall_truth` and `low_truth` [images] count such boxes.
    """

    picture: NDArray[np.int64]
    score: Floats
    hit: NDArray[np.bool_]
    wrong: NDArray[np.bool_]
    truth: NDArray[np.int64]
    tall: NDArray[np.bool_]
    tall_truth: NDArray[np.int64]
    low: NDArray[np.bool_]
    low_truth: NDArray[np.int64]


def match(found: Floats, truth: Floats) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Greedy one-to-one matching, best first: whether each detection hits at each IoU [found, 10],
    and which box it hits at IoU 0.5 (-1 for none).
    """
    hit = np.zeros((len(found), len(IOUS)), bool)
    which = np.full(len(found), -1)
    table = iou(found, truth)
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
    """COCO's crowd boxes by image: label, and corners [4] in shares."""
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
    """Whether the share of each box [n, 4] inside one of `crowds` reaches each IoU [n, 10]. COCO's
    own evaluation ignores such detections.
    """
    inside = np.zeros(len(found))
    for crowd in crowds:
        low, high = np.maximum(found[:, :2], crowd[:2]), np.minimum(found[:, 2:], crowd[2:])
        shared = np.prod(np.clip(high - low, 0, None), axis=1)
        inside = np.maximum(
            inside, shared / np.prod(found[:, 2:] - found[:, :2], axis=1).clip(1e-12)
        )
    return np.asarray(inside[:, None] >= IOUS)


def score_labels(
    samples: list[Sample],
    detections: list[tuple[NDArray[np.int64], Floats, Floats]],
    crowds: dict[Path, list[tuple[str, Floats]]],
) -> dict[str, LabelMatches]:
    """Match detections to boxes for every label with at least one box on a judged image."""
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
            scored[label] = LabelMatches(
                where, score, hits, wrongs, truth, talls, tall_truth, lows, low_truth
            )
    return scored
