"""Follows detections from frame to frame: ByteTrack with camera-motion compensation.

Written from Zhang et al. 2022 (ByteTrack) and Aharon et al. 2022 (BoT-SORT, section 3.2): detections
above a threshold are associated first, the weak ones only with tracks that are still unmatched.
Lifetimes and speeds are in seconds, so that dropped frames and slow machines change nothing. Knows
arrays only: no detector, no labels.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from engine.core.camera import Frame
from models.runtime.camera_motion import CameraMotion, Transform
from models.runtime.kalman import Motion

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LOST_S = 1.0  # an unmatched track is kept this long: ByteTrack's 30 frames at 30 a second
DEFAULT_STEP_S = 1 / 30  # assumed where two frames have the same time
# Least similarities of the three associations, ByteTrack's: intersection over union times score for
# tracks and for unconfirmed tracks, intersection over union alone for weak detections.
MATCH, MATCH_UNCONFIRMED, MATCH_WEAK = 0.2, 0.3, 0.5


@dataclass(slots=True)
class _Tracks:
    """The tracks, one row each: `motion` predicts the box, `number` is the track's id, `seen_s` when
    it was last matched, `confirmed` whether it was matched twice."""

    motion: Motion
    number: Ints
    seen_s: Floats
    confirmed: NDArray[np.bool_]
    matched: NDArray[np.bool_]  # in the last frame

    @classmethod
    def of(cls, boxes: Floats, numbers: Ints, time_s: float, confirmed: bool) -> "_Tracks":
        """New tracks of the boxes (n, 4)."""
        count = len(boxes)
        return cls(
            Motion.of(boxes),
            numbers,
            np.full(count, time_s),
            np.full(count, confirmed),
            np.ones(count, bool),
        )

    def only(self, keep: NDArray[np.bool_]) -> "_Tracks":
        return _Tracks(
            self.motion.only(keep),
            *(getattr(self, field.name)[keep] for field in fields(self)[1:]),
        )

    def with_more(self, other: "_Tracks") -> "_Tracks":
        return _Tracks(
            self.motion.with_more(other.motion),
            *(
                np.concatenate([getattr(self, field.name), getattr(other, field.name)])
                for field in fields(self)[1:]
            ),
        )


class Tracker:
    """Gives detections the ids of tracks; to be used from one thread.

    A detection with a score of at least `threshold` can begin a track, one of at least `weak` can
    only continue one. A track that begins in the first frame, or after a gap in which all tracks
    ended, is returned at once, any other when it is seen a second time in the next frame.
    """

    def __init__(self, threshold: float, weak: float) -> None:
        self._threshold, self._weak = threshold, min(weak, threshold / 2)
        self._camera = CameraMotion()
        self.reset()

    def reset(self) -> None:
        """Forget all tracks; numbers begin again at 1."""
        self._camera.reset()
        self._tracks = _Tracks.of(np.empty((0, 4)), np.empty(0, np.int64), 0.0, False)
        self._next = 1
        self._time_s: float | None = None

    def update(self, boxes: Floats, scores: Floats, frame: Frame) -> Ints:
        """The tracked detections of `frame` as rows (k, 2): index of the detection, id of its track.

        `boxes` (n, 4) are corners (x1, y1, x2, y2) in pixels, `scores` (n,). Boxes that are empty or
        not finite are ignored. `frame` gives the picture, the time and, where known, the head's pose.
        """
        boxes, scores = np.asarray(boxes, float).reshape(-1, 4), np.asarray(scores, float)
        sound = usable(boxes, scores)
        strong = np.flatnonzero(sound & (scores >= self._threshold))
        weak = np.flatnonzero(sound & (scores >= self._weak) & (scores < self._threshold))
        self._predict(frame, self._camera.update(frame, boxes[sound]))
        tracks = self._tracks
        tracks_matched = tracks.matched.copy()
        tracks.matched[:] = False
        found: list[tuple[int, int]] = []
        time_s = frame.time_s

        def associate(rows: Ints, columns: Ints, least: float, by_score: bool) -> Ints:
            """Match tracks `rows` with detections `columns`; return the unmatched detections."""
            similarity = iou(tracks.motion.boxes[rows], boxes[columns])
            if by_score:
                similarity = similarity * scores[columns]
            pairs = assigned(similarity, least)
            at, seen = rows[pairs[:, 0]], columns[pairs[:, 1]]
            tracks.motion.correct(at, boxes[seen])
            tracks.seen_s[at], tracks.confirmed[at], tracks.matched[at] = time_s, True, True
            found.extend(zip(seen.tolist(), tracks.number[at].tolist(), strict=True))
            return np.setdiff1d(columns, seen)

        fresh = np.flatnonzero(~tracks.confirmed)
        left = associate(np.flatnonzero(tracks.confirmed), strong, MATCH, by_score=True)
        continued = np.flatnonzero(tracks.confirmed & tracks_matched & ~tracks.matched)
        associate(continued, weak, MATCH_WEAK, by_score=False)
        left = associate(fresh, left, MATCH_UNCONFIRMED, by_score=True)
        alive = tracks.matched | (tracks.confirmed & (time_s - tracks.seen_s <= LOST_S))
        self._tracks = tracks.only(alive)
        found.extend(self._begin(boxes, left, time_s))
        return np.array(sorted(found), np.int64).reshape(-1, 2)

    def _predict(self, frame: Frame, camera: Transform | None) -> None:
        """Move all tracks to the time of `frame`."""
        step_s = 0.0 if self._time_s is None else frame.time_s - self._time_s
        self._time_s = frame.time_s
        self._tracks.motion.predict(step_s if step_s > 0.0 else DEFAULT_STEP_S)
        if camera is not None:
            self._tracks.motion.warp(camera)

    def _begin(self, boxes: Floats, rows: Ints, time_s: float) -> list[tuple[int, int]]:
        """Begin tracks for the detections `rows`; return those to be shown at once."""
        at_once = len(self._tracks.number) == 0
        numbers = np.arange(self._next, self._next + len(rows))
        self._next += len(rows)
        self._tracks = self._tracks.with_more(_Tracks.of(boxes[rows], numbers, time_s, at_once))
        return list(zip(rows.tolist(), numbers.tolist(), strict=True)) if at_once else []


def usable(boxes: Floats, scores: Floats) -> NDArray[np.bool_]:
    """Which boxes (n, 4) are finite and not empty, with a finite score."""
    finite = np.isfinite(boxes).all(axis=1) & np.isfinite(scores)
    with np.errstate(invalid="ignore"):
        return finite & (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])


def iou(first: Floats, second: Floats) -> Floats:
    """Intersection over union of every box of `first` (n, 4) with every one of `second` (m, 4)."""
    corners = np.minimum(first[:, None, 2:], second[None, :, 2:])
    sides = np.maximum(0.0, corners - np.maximum(first[:, None, :2], second[None, :, :2]))
    common = sides[..., 0] * sides[..., 1]
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (first, second)]
    return np.asarray(common / np.maximum(1e-9, areas[0][:, None] + areas[1][None] - common))


def assigned(similarity: Floats, least: float) -> Ints:
    """The pairs (k, 2) of rows and columns with the largest sum of similarities, each at least
    `least`."""
    if similarity.size == 0:
        return np.empty((0, 2), np.int64)
    import lap

    _, columns, _ = lap.lapjv(1.0 - similarity, extend_cost=True, cost_limit=1.0 - least)
    rows = np.flatnonzero(columns >= 0)
    return np.column_stack([rows, columns[rows]]).astype(np.int64)
