"""Estimates how the camera's motion moved the picture, and only where the estimate explains it.

An estimate is used if corners outside the detected boxes agree on it, if it is within bounds, and if
it makes the last picture match this one better than no motion does. Everything else counts as "the
camera did not move", which is right for a fixed camera and harmless for a slow one.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.core.camera import Frame, Image

Floats = NDArray[np.float64]
Transform = NDArray[np.float64]  # (2, 3), maps a pixel of the last picture to one of this

SIDE_PX = 110  # the picture's longer side for the estimate: enough to follow a turning head
CORNERS: dict[str, Any] = {"maxCorners": 60, "qualityLevel": 0.01, "minDistance": 5, "blockSize": 3}
LEAST_CORNERS = 10
AGREEING_SHARE = 0.3  # of the corners that were followed
AGREEING_PX = 1.0
SPREAD_SHARE = 0.25  # the agreeing corners' standard deviation, as a share of the picture's side
MAX_SHIFT = 0.35  # of the picture's side: a fast turn between two frames
MAX_ZOOM = 1.25
MAX_ROLL_DEG = 15.0
EXPLAINS = 0.8  # the pictures' difference after the motion, as a share of that before it


class CameraMotion:
    """Compares each frame with the one before; to be used from one thread."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the last frame."""
        self._last: NDArray[np.uint8] | None = None
        self._corners: NDArray[np.float32] | None = None

    def update(self, frame: Frame, boxes: Floats) -> Transform | None:
        """How the picture moved since the last frame, in pixels of `frame`; None if it did not, or if
        nothing is known. `boxes` (n, 4) are the objects in `frame`, whose own motion is ignored in
        the next call."""
        small, factor = shrunk(frame.image)
        last, corners = self._last, self._corners
        self._last = small
        self._corners = _corners(small, boxes / factor)
        if last is None or corners is None or last.shape != small.shape:
            return None
        found = _estimate(last, small, corners)
        if found is None:
            return None
        found[:, 2] *= factor
        return found


def shrunk(image: Image) -> tuple[NDArray[np.uint8], float]:
    """The grey picture with SIDE_PX on its longer side, and the factor back to pixels of `image`."""
    height, width = image.shape[:2]
    factor = max(1.0, max(height, width) / SIDE_PX)
    step = max(1, int(factor / 4))  # area averages over at most 4 to 8 pixels: the rest is skipped
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    small = cv2.resize(image[::step, ::step], size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)), factor


def _corners(small: NDArray[np.uint8], boxes: Floats) -> NDArray[np.float32] | None:
    """Corners (n, 1, 2) outside the boxes."""
    mask = np.full(small.shape, 255, np.uint8)
    for x1, y1, x2, y2 in np.clip(boxes, 0, max(small.shape)).astype(int).tolist():
        mask[y1 : y2 + 1, x1 : x2 + 1] = 0
    found = cv2.goodFeaturesToTrack(small, mask=mask, **CORNERS)
    return None if found is None or len(found) < LEAST_CORNERS else np.asarray(found)


def _estimate(
    last: NDArray[np.uint8], small: NDArray[np.uint8], corners: NDArray[np.float32]
) -> Transform | None:
    moved, followed, _ = cv2.calcOpticalFlowPyrLK(last, small, corners, None)
    good = followed.ravel() == 1
    if good.sum() < LEAST_CORNERS:
        return None
    before, after = corners[good, 0], moved[good, 0]
    found, agree = cv2.estimateAffinePartial2D(
        before, after, method=cv2.RANSAC, ransacReprojThreshold=AGREEING_PX
    )
    if found is None:
        return None
    agreeing = agree.ravel() == 1
    if agreeing.sum() < max(LEAST_CORNERS, AGREEING_SHARE * len(agreeing)):
        return None
    if not _is_possible(found, small.shape) or not _explains(found, last, small):
        return None
    return np.asarray(found, float)


def _is_possible(found: Transform, shape: Sequence[int]) -> bool:
    height, width = shape[:2]
    middle = np.array([width / 2, height / 2])
    shift = np.abs(found[:, :2] @ middle + found[:, 2] - middle)
    zoom = float(np.hypot(found[0, 0], found[1, 0]))
    roll_deg = abs(np.degrees(np.arctan2(found[1, 0], found[0, 0])))
    return bool(
        shift.max() <= MAX_SHIFT * max(height, width)
        and 1 / MAX_ZOOM <= zoom <= MAX_ZOOM
        and roll_deg <= MAX_ROLL_DEG
    )


def _explains(found: Transform, last: NDArray[np.uint8], small: NDArray[np.uint8]) -> bool:
    """Whether `last`, moved, differs less from `small` than `last` as it is."""
    size = (small.shape[1], small.shape[0])
    moved = cv2.warpAffine(last, found, size, flags=cv2.INTER_LINEAR)
    inside = cv2.warpAffine(np.full_like(last, 255), found, size, flags=cv2.INTER_NEAREST)
    with_motion = cv2.mean(cv2.absdiff(moved, small), inside)[0]
    without = cv2.mean(cv2.absdiff(last, small), inside)[0]
    return bool(with_motion <= EXPLAINS * without)
