"""Learns the height of an object from metric depth maps.

A depth map arrives late, for a frame that was processed long ago. But an object keeps its height,
so all its later observations are localised better. Knows boxes and cameras, but neither tracks nor
the depth model. Pure except for `BoxHistory`; no threads.
"""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from engine.core.camera import Camera, Frame
from engine.core.glance import Box, DepthMap, Detection
from engine.perception.camera import direction, range_per_depth
from engine.perception.classes import ObjectKind
from engine.perception.geometry import BoxGeometry

# Relative sigma of zero-shot depth. The image does not show the focal length, so such a network
# guesses it from its training set. Users have reported errors of 10 to 20 % from this alone to its
# publisher; also, the training scenes were rendered. The error is the same in every frame, so more
# frames do not reduce it.
DEPTH_SPREAD = 0.25
MAX_CORRECTION = 2.0  # standard deviations; a larger difference comes from another object's depth
KEEP_S = 10.0  # on one slow core a depth map takes seconds
MIN_WEIGHT = 0.2  # least weight of a new measurement in the learnt height
MIDDLE_SHARE = 0.5  # share of a box's width and height in which its depth is read
MIN_VALID_SHARE = 0.5  # share of the pixels there that must have a depth
MIN_DEPTH_M = 0.1  # below the near limit of any lens: not a valid depth


@dataclass(frozen=True, slots=True)
class VisibleBox:
    """The box of an object that was complete and not occluded; `height` is as in `BoxGeometry`."""

    track: int
    label: str
    box: Box
    height: float


@dataclass(frozen=True, slots=True)
class HeightEstimate:
    """An object's height from depth, averaged over `count` measurements."""

    height_m: float
    count: int = 1

    def updated(self, height_m: float) -> "HeightEstimate":
        """The estimate after one more measurement: first the mean of all, later a running mean over
        about five. The mean is of logarithms, because depth errors are factors."""
        weight = max(MIN_WEIGHT, 1.0 / (self.count + 1))
        return HeightEstimate(self.height_m * (height_m / self.height_m) ** weight, self.count + 1)

    def fused_with(self, prior: ObjectKind) -> ObjectKind:
        """`prior` with the inverse-variance mean of both heights' logarithms. Where the two
        disagree by more than their spreads allow, the spread grows to cover it, as in
        `engine.perception.geometry.fused`."""
        both = math.hypot(prior.spread, DEPTH_SPREAD)
        log_ratio = math.log(self.height_m / prior.height_m)
        log_ratio = min(MAX_CORRECTION * both, max(-MAX_CORRECTION * both, log_ratio))
        return replace(
            prior,
            height_m=prior.height_m * math.exp((prior.spread / both) ** 2 * log_ratio),
            spread=prior.spread * DEPTH_SPREAD / both * max(1.0, abs(log_ratio) / both),
        )


@dataclass(frozen=True, slots=True)
class _FrameBoxes:
    """The fully visible boxes of one frame."""

    seq: int
    time_s: float
    camera: Camera
    pitch_deg: float
    visible: tuple[VisibleBox, ...]


class BoxHistory:
    """The fully visible boxes of the last KEEP_S, kept until the depth of their frame is known."""

    def __init__(self) -> None:
        self._frames: deque[_FrameBoxes] = deque()

    def clear(self) -> None:
        self._frames.clear()

    def add(
        self,
        frame: Frame,
        detections: Sequence[Detection],
        measured: Sequence[BoxGeometry],
        camera: Camera,
        pitch_deg: float,
    ) -> None:
        """Keep the detections that are complete and not occluded; `measured` is their geometry."""
        while self._frames and not 0.0 <= frame.time_s - self._frames[0].time_s <= KEEP_S:
            self._frames.popleft()
        boxes = [item.box for item in measured]
        visible = tuple(
            VisibleBox(detection.track, detection.label, item.box, item.height)
            for detection, item in zip(detections, measured, strict=True)
            if not item.is_cut and _is_unoccluded(item.box, boxes)
        )
        self._frames.append(_FrameBoxes(frame.seq, frame.time_s, camera, pitch_deg, visible))

    def heights_m(self, depth: DepthMap) -> Iterator[tuple[VisibleBox, float]]:
        """The height of each box that was fully visible in the depth map's frame."""
        found = next((frame for frame in self._frames if frame.seq == depth.seq), None)
        if found is None:
            return
        for item in found.visible:
            depth_m = _median_depth_m(depth, item.box, found.camera)
            if depth_m is not None:
                ground_m = along_ground_m(depth_m, item.box, found.camera, found.pitch_deg)
                yield item, ground_m * item.height


def along_ground_m(depth_m: float, box: Box, camera: Camera, pitch_deg: float) -> float:
    """Converts depth along the axis to distance along the ground, at the middle of `box`."""
    x_px, y_px = box.centre_x, (box.y1 + box.y2) / 2
    drop = direction(x_px, y_px, camera, pitch_deg).drop
    return depth_m * range_per_depth(x_px, y_px, camera) / math.hypot(1.0, drop)


def _is_unoccluded(box: Box, boxes: Sequence[Box]) -> bool:
    """Whether no box that extends lower, and so stands nearer, covers any of the middle of
    `box`."""
    middle = _middle(box)
    return not any(
        other.y2 > box.y2
        and min(other.x2, middle.x2) > max(other.x1, middle.x1)
        and min(other.y2, middle.y2) > max(other.y1, middle.y1)
        for other in boxes
    )


def _middle(box: Box) -> Box:
    """The middle of a box, which shows more of the object and less of its background."""
    x, y = box.width * (1 - MIDDLE_SHARE) / 2, box.height * (1 - MIDDLE_SHARE) / 2
    return Box(box.x1 + x, box.y1 + y, box.x2 - x, box.y2 - y)


def _median_depth_m(depth: DepthMap, box: Box, camera: Camera) -> float | None:
    """The median of the valid depths in the middle of `box`; None if too few are valid. The map
    may have any resolution; `box` is in the camera's pixels."""
    rows, columns = depth.metres.shape
    middle = _middle(box)
    top, bottom = _cells(middle.y1, middle.y2, camera.height, rows)
    left, right = _cells(middle.x1, middle.x2, camera.width, columns)
    cells = depth.metres[top:bottom, left:right]
    valid = cells[np.isfinite(cells) & (cells >= MIN_DEPTH_M)]
    if valid.size < MIN_VALID_SHARE * cells.size or valid.size == 0:
        return None
    return float(np.median(valid))


def _cells(low_px: float, high_px: float, size_px: int, cells: int) -> tuple[int, int]:
    """The slice of a row of `cells` that covers pixels low to high; at least one cell."""
    first = min(cells - 1, max(0, math.floor(low_px * cells / size_px)))
    return first, min(cells, max(first + 1, math.ceil(high_px * cells / size_px)))
