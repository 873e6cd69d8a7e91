"""Boxes of a detector in a picture: which of them are shown, and as what.

Arrays only, for every library that runs a detector. Knows no network.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

# A detection below its label's threshold still keeps a track through blur or occlusion, down to this
# score (ByteTrack's second association: Zhang et al. 2022, section 3.2).
LEAST_SCORE = 0.1
MOST_BOXES = 100
# Threshold of class-agnostic non-maximum suppression. An object must not be announced twice, as two
# boxes or as "bus" and "truck"; people side by side overlap less. Ultralytics' default, 0.7 within
# each class, is meant for average precision.
NMS_IOU = 0.55
# A part of a vehicle looks like a vehicle: a weaker box is dropped if this share of it lies in a
# stronger box of the same group. Only for vehicles: a child in front of an adult, or a car in front
# of a bus, is another object, and losing it is worse than counting a bus twice.
PART_OF = 0.8
VEHICLES = (frozenset({"bus", "truck"}), frozenset({"car"}))


class Boxes(NamedTuple):
    """`corners` (n, 4) are x1, y1, x2, y2 in the picture's pixels, `scores` (n,) lie in 0 to 1, and
    `classes` (n,) number the labels; the strongest box is the first."""

    corners: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]

    def only(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> "Boxes":
        """The boxes that `rows` selects."""
        return Boxes(self.corners[rows], self.scores[rows], self.classes[rows])


def suppressed(boxes: Boxes) -> Boxes:
    """The boxes without those that overlap a stronger one, of any label, by more than NMS_IOU."""
    if len(boxes.scores) < 2:
        return boxes
    sizes = boxes.corners[:, 2:] - boxes.corners[:, :2]
    places: Any = np.concatenate([boxes.corners[:, :2], sizes], axis=1)
    scores: Any = boxes.scores
    rows = cv2.dnn.NMSBoxes(places, scores, 0.0, NMS_IOU)
    return boxes.only(np.asarray(rows, np.int64).ravel()[:MOST_BOXES])


def without_parts(boxes: Boxes, labels: Sequence[str]) -> Boxes:
    """The boxes without those that are parts of stronger ones; see PART_OF. `labels`: the name of
    each class."""
    groups = _groups(tuple(labels))[boxes.classes]
    parts = np.zeros(len(groups), bool)
    for group in range(len(VEHICLES)):
        rows = np.flatnonzero(groups == group)
        if len(rows) > 1:
            stronger = boxes.scores[rows][None, :] > boxes.scores[rows][:, None]
            within = _share_within(boxes.corners[rows]) >= PART_OF
            parts[rows] = (stronger & within).any(axis=1)
    return boxes.only(~parts) if parts.any() else boxes


@lru_cache(maxsize=8)
def _groups(labels: tuple[str, ...]) -> NDArray[np.int64]:
    """The index in VEHICLES of each label; -1 for one that is no vehicle."""
    found = [[label in group for group in VEHICLES] for label in labels]
    return np.array([row.index(True) if any(row) else -1 for row in found], np.int64)


def _share_within(corners: NDArray[np.float32]) -> NDArray[Any]:
    """The share of box i that lies in box j, as (n, n)."""
    return np.asarray(common_areas(corners, corners) / areas(corners)[:, None])


def iou(first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
    """Intersection over union of every box of `first` (n, 4) with every one of `second` (m, 4)."""
    common = common_areas(first, second)
    return np.asarray(common / (areas(first)[:, None] + areas(second)[None] - common))


def common_areas(first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
    """The area (n, m) that every box of `first` has in common with every one of `second`."""
    corners = np.minimum(first[:, None, 2:], second[None, :, 2:])
    sides = np.maximum(0.0, corners - np.maximum(first[:, None, :2], second[None, :, :2]))
    return np.asarray(sides[..., 0] * sides[..., 1])


def areas(boxes: NDArray[Any]) -> NDArray[Any]:
    """The area (n,) of each box, never 0."""
    return np.asarray(np.maximum(1e-9, np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)))
