"""Estimates how the camera's motion moved the picture, and only where the estimate explains it.

An estimate is used if corners outside the detected boxes agree on it, if it is within bounds, and if
it makes the last picture match this one clearly better than no motion does. Where an inertial sensor
measures the head's pose, the estimate must agree with it, and the pose replaces one that fails.
Otherwise the camera counts as still, which is right for a fixed camera and harmless for a slow one.
"""

import math
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.core.camera import Frame, Image
from models.runtime.pose_shift import pose_shift

Floats = NDArray[np.float64]
Picture = NDArray[np.uint8]
Transform = NDArray[np.float64]  # (2, 3): maps a pixel of the last picture to one of this

SIDE_PX = 110  # longer side of the compared pictures: enough to follow a turning head
OVERSAMPLED = 2  # pixels averaged along each side of one of them; the others are skipped
CORNERS: dict[str, Any] = {"maxCorners": 60, "qualityLevel": 0.01, "minDistance": 5, "blockSize": 3}
FLOW: dict[str, Any] = {"winSize": (15, 15), "maxLevel": 2}
LEAST_CORNERS = 10
AGREEING_SHARE = 0.3  # of the corners; a fast turn takes most of them out of sight or confuses them
# A corner agrees within a pixel, and a fast turn shifts the picture's sides more than its middle.
AGREEING_PX, AGREEING_PER_PX = 1.0, 0.05
SPREAD = 0.35  # of the picture's width and height: agreeing corners on one object do not count
MAX_SHIFT = 0.45  # of the picture's width and height: of less in common little is known
MAX_ZOOM = 1.25
MAX_ROLL_DEG = 15.0
EXPLAINS = 0.8  # the pictures' difference after the motion, as a share of the one before it
POSE_PX, POSE_SHARE = 3.0, 0.25  # largest disagreement with the measured pose


class CameraMotion:
    """Compares each frame with the one before; to be used from one thread."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the last frame."""
        self._frame: Frame | None = None
        self._grey = np.zeros((0, 0), np.uint8)
        self._corners: NDArray[np.float32] | None = None

    def update(self, frame: Frame, boxes: Floats) -> Transform | None:
        """How the picture moved since the last frame, in pixels of `frame`; None if it did not, or if
        nothing is known. `boxes` (n, 4) are the objects in `frame`: the next call ignores what moves
        in them."""
        grey, factor = shrunk(frame.image)
        last, last_grey, corners = self._frame, self._grey, self._corners
        self._frame, self._grey = frame, grey
        self._corners = _corners(grey, boxes / factor)
        if last is None or last_grey.shape != grey.shape:
            return None
        turned = pose_shift(last, frame)
        moved = None
        if corners is not None:
            guess = _shift(last_grey, grey) if turned is None else turned / factor
            moved = _estimate(last_grey, grey, corners, guess)
        if turned is not None and not _agree(moved, turned / factor, grey):
            moved = np.column_stack([np.eye(2), turned / factor])
        if moved is not None:
            moved[:, 2] *= factor
        return moved


def shrunk(image: Image) -> tuple[Picture, float]:
    """The grey picture with SIDE_PX on its longer side, and the factor back to pixels of `image`."""
    height, width = image.shape[:2]
    factor = max(height, width) / SIDE_PX
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    more = (size[0] * OVERSAMPLED, size[1] * OVERSAMPLED)
    samples = cv2.resize(image, more, interpolation=cv2.INTER_NEAREST)
    small = cv2.resize(samples, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)), factor


def _corners(grey: Picture, boxes: Floats) -> NDArray[np.float32] | None:
    """Corners (n, 1, 2) outside the boxes, None if there are too few."""
    mask = np.full(grey.shape, 255, np.uint8)
    for x1, y1, x2, y2 in np.clip(boxes, 0, SIDE_PX).astype(int).tolist():
        mask[y1 : y2 + 1, x1 : x2 + 1] = 0
    found = cv2.goodFeaturesToTrack(grey, mask=mask, **CORNERS)
    return None if found is None or len(found) < LEAST_CORNERS else np.asarray(found)


def _shift(last: Picture, grey: Picture) -> Floats:
    """The shift (x, y) that fits the whole picture best, by phase correlation."""
    window = _hanning(grey.shape[1], grey.shape[0])
    shift, _ = cv2.phaseCorrelate(last.astype(np.float32), grey.astype(np.float32), window)
    return np.array(shift)


@lru_cache(maxsize=4)
def _hanning(width: int, height: int) -> NDArray[np.float32]:
    return np.asarray(cv2.createHanningWindow((width, height), cv2.CV_32F))


def _estimate(
    last: Picture, grey: Picture, corners: NDArray[np.float32], guess: Floats
) -> Transform | None:
    """The similarity transform that most corners follow, None if it fails a check. `guess` is the
    shift at which the search for each corner begins."""
    moved, followed, _ = cv2.calcOpticalFlowPyrLK(
        last, grey, corners, corners + guess.astype(np.float32),
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW, **FLOW,
    )  # fmt: skip
    good = followed.ravel() == 1
    if np.count_nonzero(good) < LEAST_CORNERS:
        return None
    within_px = AGREEING_PX + AGREEING_PER_PX * float(np.hypot(*guess))
    found, agree = cv2.estimateAffinePartial2D(
        corners[good], moved[good], method=cv2.RANSAC, ransacReprojThreshold=within_px
    )
    if found is None:
        return None
    agreeing = corners[good][agree.ravel() == 1, 0]
    if len(agreeing) < max(LEAST_CORNERS, AGREEING_SHARE * len(corners)):
        return None
    spread = np.ptp(agreeing, axis=0) >= SPREAD * np.array([grey.shape[1], grey.shape[0]])
    possible = spread.all() and _is_possible(found, grey) and _explains(found, last, grey)
    return np.asarray(found, float) if possible else None


def _is_possible(moved: Transform, grey: Picture) -> bool:
    zoom = float(np.hypot(moved[0, 0], moved[1, 0]))
    roll_deg = abs(np.degrees(np.arctan2(moved[1, 0], moved[0, 0])))
    return bool(
        (np.abs(_centre_shift(moved, grey)) <= MAX_SHIFT * np.array(grey.shape[::-1])).all()
        and 1 / MAX_ZOOM <= zoom <= MAX_ZOOM
        and roll_deg <= MAX_ROLL_DEG
    )


def _centre_shift(moved: Transform, grey: Picture) -> Floats:
    centre = np.array([grey.shape[1] / 2, grey.shape[0] / 2])
    return np.asarray(moved[:, :2] @ centre + moved[:, 2] - centre)


def _explains(moved: Transform, last: Picture, grey: Picture) -> bool:
    """Whether `last`, once moved, differs clearly less from `grey` than it does unmoved, where both
    show something."""
    height, width = grey.shape
    predicted = cv2.warpAffine(last, moved, (width, height), flags=cv2.INTER_LINEAR)
    across, down = (math.ceil(shift) for shift in np.abs(_centre_shift(moved, grey)))
    columns, rows = slice(across, width - across), slice(down, height - down)
    here = grey[rows, columns]
    with_motion = cv2.norm(predicted[rows, columns], here, cv2.NORM_L1)
    return bool(with_motion <= EXPLAINS * cv2.norm(last[rows, columns], here, cv2.NORM_L1))


def _agree(moved: Transform | None, turned: Floats, grey: Picture) -> bool:
    """Whether an estimate, or no motion, is near the measured shift."""
    shift = np.zeros(2) if moved is None else _centre_shift(moved, grey)
    return bool(np.hypot(*(shift - turned)) <= POSE_PX + POSE_SHARE * np.hypot(*turned))
