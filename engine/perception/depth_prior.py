"""What metric depth teaches of a thing: how tall it is. Pure but for `Memory`; no threads, no tracks.

Depth comes late, for a frame that has long been looked at. How tall a thing is stays true, so every
later look at it is placed better. Knows boxes and cameras, not who measured.
"""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from engine.core.camera import Camera, Frame
from engine.core.glance import Box, DepthMap, Detection
from engine.perception.camera import direction, off_axis
from engine.perception.classes import Kind
from engine.perception.geometry import cut_sides, extent

# Of a zero-shot depth, as a share; the picture's scale hides the focal length, which such a network
# guesses from what it was trained on: users tell its publisher of 10 to 20 % from that alone, and the
# training scenes were rendered ones. It errs alike in every frame, so that many looks are no surer.
DEPTH_SPREAD = 0.25
AT_MOST = 2.0  # standard deviations by which a size may be told off: more is another thing's depth
KEEP_S = 10.0  # on one slow core a map takes seconds
LEARNS = 0.2  # least share of a new look in what was learnt
MIDDLE = 0.5  # share of a box, in width and height, in which its depth is looked up
LEAST_SHARE = 0.5  # so many pixels there must have a depth
LEAST_M = 0.1  # nearer than any lens sees sharply: no depth at all


@dataclass(frozen=True, slots=True)
class Look:
    """A thing that was whole and in full view: its box and its extent upwards."""

    track: int
    label: str
    box: Box
    tall: float


@dataclass(frozen=True, slots=True)
class Lesson:
    """How tall a thing is by its depth, averaged over so many looks."""

    height_m: float
    looks: int = 1

    def and_now(self, height_m: float) -> "Lesson":
        """With one more look: the mean of all at first, then of some five; of logarithms, since errors
        of depth are factors."""
        share = max(LEARNS, 1.0 / (self.looks + 1))
        return Lesson(self.height_m * (height_m / self.height_m) ** share, self.looks + 1)

    def applied(self, prior: Kind) -> Kind:
        """`prior` with the height that it and this lesson say together, weighed by inverse variances of
        their logarithms. Where they disagree by more than their spreads allow, the spread is stretched
        to cover it, as in `engine.perception.geometry.fused`."""
        both = math.hypot(prior.spread, DEPTH_SPREAD)
        apart = math.log(self.height_m / prior.height_m)
        apart = min(AT_MOST * both, max(-AT_MOST * both, apart))
        return replace(
            prior,
            height_m=prior.height_m * math.exp((prior.spread / both) ** 2 * apart),
            spread=prior.spread * DEPTH_SPREAD / both * max(1.0, abs(apart) / both),
        )


@dataclass(frozen=True, slots=True)
class Remembered:
    """What one frame showed whole."""

    seq: int
    time_s: float
    camera: Camera
    pitch_deg: float
    looks: tuple[Look, ...]


class Memory:
    """What was seen in the frames of the last KEEP_S, until their depth is known."""

    def __init__(self) -> None:
        self._frames: deque[Remembered] = deque()

    def clear(self) -> None:
        self._frames.clear()

    def note(
        self,
        frame: Frame,
        detections: tuple[Detection, ...],
        boxes: list[Box],
        camera: Camera,
        pitch_deg: float,
    ) -> None:
        """Keep what is whole of `detections`, whose `boxes` are clipped to the picture."""
        while self._frames and not 0.0 <= frame.time_s - self._frames[0].time_s <= KEEP_S:
            self._frames.popleft()
        looks = tuple(
            Look(item.track, item.label, box, extent(box, camera, pitch_deg)[0])
            for item, box in zip(detections, boxes, strict=True)
            if not any(cut_sides(box, camera)) and in_full_view(box, boxes)
        )
        self._frames.append(Remembered(frame.seq, frame.time_s, camera, pitch_deg, looks))

    def heights_m(self, depth: DepthMap) -> Iterator[tuple[Look, float]]:
        """How tall each thing is that was whole in the depth's frame, where it has a depth."""
        found = next((frame for frame in self._frames if frame.seq == depth.seq), None)
        if found is None:
            return
        for look in found.looks:
            ahead_m = middle_m(depth, look.box, found.camera)
            if ahead_m is not None:
                away_m = along_ground_m(ahead_m, look.box, found.camera, found.pitch_deg)
                yield look, away_m * look.tall


def in_full_view(box: Box, boxes: list[Box]) -> bool:
    """Whether nothing that reaches lower, and so stands nearer, covers any of the box's middle."""
    mid = middle_of(box)
    return not any(
        other.y2 > box.y2
        and min(other.x2, mid.x2) > max(other.x1, mid.x1)
        and min(other.y2, mid.y2) > max(other.y1, mid.y1)
        for other in boxes
    )


def middle_of(box: Box) -> Box:
    """The middle of a box, where there is more of the thing than of what is behind it."""
    x, y = box.width * (1 - MIDDLE) / 2, box.height * (1 - MIDDLE) / 2
    return Box(box.x1 + x, box.y1 + y, box.x2 - x, box.y2 - y)


def middle_m(depth: DepthMap, box: Box, camera: Camera) -> float | None:
    """Metres along the camera's axis to the middle of `box`: the median of what is a depth at all.
    None where too little is. The map may have any resolution; `box` is in the camera's pixels."""
    rows, columns = depth.metres.shape
    mid = middle_of(box)
    top, foot = _span(mid.y1, mid.y2, camera.height, rows)
    left, right = _span(mid.x1, mid.x2, camera.width, columns)
    cells = depth.metres[top:foot, left:right]
    known = cells[np.isfinite(cells) & (cells >= LEAST_M)]
    if known.size < LEAST_SHARE * cells.size or known.size == 0:
        return None
    return float(np.median(known))


def along_ground_m(ahead_m: float, box: Box, camera: Camera, pitch_deg: float) -> float:
    """From metres along the camera's axis to metres along the ground, at the middle of `box`."""
    x_px, y_px = box.centre_x, (box.y1 + box.y2) / 2
    drop = direction(x_px, y_px, camera, pitch_deg).drop
    return ahead_m * off_axis(x_px, y_px, camera) / math.hypot(1.0, drop)


def _span(low: float, high: float, size: int, cells: int) -> tuple[int, int]:
    """Pixels low to high of `size` as cells of a coarser or finer row; one cell at the least."""
    first = min(cells - 1, max(0, math.floor(low * cells / size)))
    return first, min(cells, max(first + 1, math.ceil(high * cells / size)))
