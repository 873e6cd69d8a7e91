"""Follows detections from frame to frame: ByteTrack with camera-motion compensation.

Written from Zhang et al. 2022 (ByteTrack: weak detections only continue tracks), Aharon et al. 2022
(BoT-SORT: predictions follow the camera's motion) and Yang et al. 2023 (C-BIoU: enlarged boxes for
what moves irregularly). Lifetimes and speeds are in seconds, so that dropped frames and slow machines
change little. Knows arrays only: no network, no names of labels.
"""

from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.core.camera import Frame, Image
from models.runtime.appearance import colours, differences
from models.runtime.boxes import areas, common_areas, iou
from models.runtime.camera_motion import CameraMotion, Transform
from models.runtime.kalman import Motion

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

UNTRACKED = 0  # no track has this number
LOST_S = 2.0  # an unmatched track is kept this long, as the localizer keeps it
DEFAULT_STEP_S = 1 / 30  # assumed where a frame is not later than the last
# A detection may continue a track if their boxes overlap by this intersection over union; more where
# the labels differ, which is mostly another object, but may be one that is hard to name.
OVERLAP, OVERLAP_WEAK, OVERLAP_OTHER_LABEL = 0.2, 0.3, 0.4
OTHER_LABEL = 0.5  # factor on the similarity of a pair with different labels
SURE = 0.5  # a track is confirmed when the scores of its detections add up to this
# What begins mostly within an object with the same label may be a part of it that was detected twice.
# It must be seen this much surer, which takes a few frames. Whoever is really there is in the same
# place as the object that is already known.
PART_SHARE, PART_SURE = 0.6, 1.5
# In the last association boxes are enlarged on each side by this share of their size, and this share
# of the picture's longer side.
ENLARGED_SHARE, ENLARGED_OF_PICTURE = 0.3, 0.02
# There, their sizes must fit: the smaller width and height, as a product of shares of the larger ones.
SAME_SIZE = 0.4
# A track that was out of sight for LOOKED_AWAY_S is continued only by what has its colours. Of the
# same object in windows over photos 98 % differ by less, of others with the same label 26 %.
LOOKED_AWAY_S = 0.3
OTHER_COLOURS = 0.35
COLOURS_WEIGHT = 0.2  # of a new observation in a track's colours


class Camera(Protocol):
    """Estimates the camera's motion, as `CameraMotion` does."""

    def update(self, frame: Frame, boxes: Floats) -> Transform | None: ...

    def reset(self) -> None: ...


@dataclass(slots=True)
class _Tracks:
    """The tracks, one row each. `confirmed`: seen twice or more, and SURE; `evidence`: the sum of its
    scores, less where it may be a part; `matched`: seen in the last frame."""

    motion: Motion
    number: Ints
    label: Ints
    colours: Floats
    seen_s: Floats
    evidence: Floats
    confirmed: Flags
    matched: Flags

    def only(self, keep: Flags) -> "_Tracks":
        return self._with(self.motion.only(keep), lambda name: getattr(self, name)[keep])

    def and_also(self, more: "_Tracks") -> "_Tracks":
        return self._with(
            self.motion.and_also(more.motion),
            lambda name: np.concatenate([getattr(self, name), getattr(more, name)]),
        )

    def _with(self, motion: Motion, column: Any) -> "_Tracks":
        return _Tracks(motion, *(column(field.name) for field in fields(self)[1:]))


@dataclass(frozen=True, slots=True)
class _Found:
    """The detections of a frame: corners (n, 4), scores, labels and colours of each."""

    boxes: Floats
    scores: Floats
    labels: Ints
    colours: Floats
    image: Image
    time_s: float

    def tracks(self, rows: Ints, first_number: int, confirmed: bool) -> _Tracks:
        """New tracks of the detections `rows`."""
        count = len(rows)
        return _Tracks(
            Motion.of(self.boxes[rows]),
            np.arange(first_number, first_number + count),
            self.labels[rows],
            self.colours[rows],
            np.full(count, self.time_s),
            self.scores[rows],
            np.full(count, confirmed),
            np.ones(count, bool),
        )

    def are_parts(self, rows: Ints, known: Ints) -> Flags:
        """Which of the detections `rows` may be parts of the detections `known`."""
        share = common_areas(self.boxes[rows], self.boxes[known]) / areas(self.boxes[rows])[:, None]
        same_label = self.labels[rows][:, None] == self.labels[known][None]
        return np.asarray((same_label & (share >= PART_SHARE)).any(axis=1))


class Tracker:
    """Gives detections the numbers of tracks; to be used from one thread.

    A detection with a score of at least `threshold` can begin a track, one of at least `weak` only
    continue one. A track that begins while there are no others is returned at once, any other when it
    is seen again in the next frames, until it is sure. `camera` estimates the camera's motion.
    """

    def __init__(self, threshold: float, weak: float, camera: Camera | None = None) -> None:
        self._threshold, self._weak = threshold, min(weak, threshold / 2)
        self._camera = CameraMotion() if camera is None else camera
        self.reset()

    def reset(self) -> None:
        """Forget all tracks; numbers begin again at 1."""
        self._camera.reset()
        self._next = 1
        self._time_s: float | None = None
        self._tracks: _Tracks | None = None

    def update(
        self, boxes: NDArray[Any], scores: NDArray[Any], classes: NDArray[Any], frame: Frame
    ) -> Ints:
        """The tracked detections of `frame` as rows (k, 2): index of the detection, number of its
        track.

        `boxes` (n, 4) are corners (x1, y1, x2, y2) in pixels; `scores` and `classes` (n,) belong to
        them. Empty boxes are left out, and those that are not finite get the number UNTRACKED. `frame`
        gives the picture, the time and, where known, the head's pose.
        """
        boxes = np.asarray(boxes, float).reshape(-1, 4)
        scores, time_s = np.asarray(scores, float), frame.time_s
        finite = np.isfinite(boxes).all(axis=1) & np.isfinite(scores)
        with np.errstate(invalid="ignore"):
            full = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        rows = np.flatnonzero(finite & full & (scores >= self._weak))
        found = _Found(
            boxes[rows],
            scores[rows],
            np.asarray(classes, np.int64)[rows],
            colours(frame.image, boxes[rows]),
            frame.image,
            time_s,
        )
        moved = self._camera.update(frame, found.boxes)
        step_s = 0.0 if self._time_s is None else time_s - self._time_s
        self._time_s = time_s
        strong = np.flatnonzero(found.scores >= self._threshold)
        pairs: list[tuple[int, int]] = []
        tracks = self._tracks
        if tracks is not None:
            gone_s = time_s - tracks.seen_s
            tracks = tracks.only((gone_s >= 0.0) & (gone_s <= LOST_S))
            tracks.motion.predict(step_s if step_s > 0.0 else DEFAULT_STEP_S)
            if moved is not None:
                tracks.motion.warp(moved)
            strong, pairs = _continued(tracks, found, strong)
            tracks = tracks.only(tracks.matched | tracks.confirmed)
        alone = tracks is None or len(tracks.number) == 0
        begun = found.tracks(strong, self._next, confirmed=alone)
        if not alone:
            known = np.array([row for row, _ in pairs], np.int64)
            begun.evidence -= (PART_SURE - SURE) * found.are_parts(strong, known)
        self._next += len(strong)
        self._tracks = begun if tracks is None else tracks.and_also(begun)
        if alone:
            pairs += zip(strong.tolist(), begun.number.tolist(), strict=True)
        shown = [(int(rows[row]), number) for row, number in pairs]
        shown += [(row, UNTRACKED) for row in np.flatnonzero(~finite).tolist()]
        return np.array(sorted(shown), np.int64).reshape(-1, 2)


def _continued(tracks: _Tracks, found: _Found, strong: Ints) -> tuple[Ints, list[tuple[int, int]]]:
    """Continue `tracks` by the detections; return the strong ones that are left, and the pairs of
    detection and track number."""
    was_seen, fresh = tracks.matched.copy(), np.flatnonzero(~tracks.confirmed)
    known = np.flatnonzero(tracks.confirmed)
    weak = np.delete(np.arange(len(found.boxes)), strong)
    tracks.matched[:] = False
    pairs: list[tuple[int, int]] = []

    def associate(rows: Ints, columns: Ints, least: float, enlarged: bool) -> Ints:
        """Match tracks `rows` with detections `columns`; return the detections that are left."""
        if not rows.size or not columns.size:
            return columns
        similarity = _similarity(tracks, found, rows, columns, least, enlarged)
        matches = assigned(similarity)
        if not matches.size:
            return columns
        at, seen = rows[matches[:, 0]], columns[matches[:, 1]]
        tracks.motion.correct(at, found.boxes[seen])
        tracks.label[at] = found.labels[seen]
        tracks.colours[at] += COLOURS_WEIGHT * (found.colours[seen] - tracks.colours[at])
        tracks.seen_s[at], tracks.matched[at] = found.time_s, True
        tracks.evidence[at] += found.scores[seen]
        tracks.confirmed[at] |= tracks.evidence[at] >= SURE
        shown = tracks.confirmed[at]
        pairs.extend(zip(seen[shown].tolist(), tracks.number[at[shown]].tolist(), strict=True))
        return columns[~np.isin(columns, seen)]

    strong = associate(known, strong, OVERLAP, False)
    left = known[~tracks.matched[known]]
    associate(left[was_seen[left]], weak, OVERLAP_WEAK, False)
    strong = associate(left[~tracks.matched[left]], strong, OVERLAP, True)
    strong = associate(fresh, strong, OVERLAP, True)
    return strong, pairs


def _similarity(
    tracks: _Tracks, found: _Found, rows: Ints, columns: Ints, least: float, enlarged: bool
) -> Floats:
    """How well detections `columns` continue tracks `rows`, as (rows, columns); 0: they do not."""
    expected, seen = tracks.motion.boxes[rows], found.boxes[columns]
    if enlarged:
        px = ENLARGED_OF_PICTURE * max(found.image.shape)
        overlap = iou(_enlarged(expected, px), _enlarged(seen, px))
        overlap = np.where(_same_size(expected, seen) >= SAME_SIZE, overlap, 0.0)
    else:
        overlap = iou(expected, seen)
    same_label = tracks.label[rows][:, None] == found.labels[columns][None]
    away = found.time_s - tracks.seen_s[rows] > LOOKED_AWAY_S
    other = differences(tracks.colours[rows], found.colours[columns]) > OTHER_COLOURS
    possible = (overlap >= np.where(same_label, least, OVERLAP_OTHER_LABEL)) & ~(
        away[:, None] & other
    )
    # of two boxes of one object, the surer one continues the track
    preference = overlap * found.scores[columns] * np.where(same_label, 1.0, OTHER_LABEL)
    return np.where(possible, preference, 0.0)


def _enlarged(boxes: Floats, px: float) -> Floats:
    more = ENLARGED_SHARE * (boxes[:, 2:] - boxes[:, :2]) + px
    return np.concatenate([boxes[:, :2] - more, boxes[:, 2:] + more], axis=1)


def _same_size(first: Floats, second: Floats) -> Floats:
    """The intersection over the enclosing box of every pair if their centres were at one place."""
    one, other = ((boxes[:, 2:] - boxes[:, :2]) for boxes in (first, second))
    ratios = np.minimum(one[:, None], other[None]) / np.maximum(one[:, None], other[None])
    return np.asarray(ratios.prod(axis=2))


def assigned(similarity: Floats) -> Ints:
    """The pairs (k, 2) of rows and columns with the largest sum of similarities; none with 0."""
    if not similarity.any():
        return np.empty((0, 2), np.int64)
    import lap

    _, columns, _ = lap.lapjv(1.0 - similarity, extend_cost=True, cost_limit=1.0 - 1e-9)
    rows = np.flatnonzero(columns >= 0)
    pairs = np.column_stack([rows, columns[rows]]).astype(np.int64)
    return pairs[similarity[pairs[:, 0], pairs[:, 1]] > 0.0]
