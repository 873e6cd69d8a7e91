"""The clips that tracks are measured on, each with its detections before tracking.

Three kinds: videos, whose objects are not labelled; walks, rendered while the head turns, with a
simulated detector; and windows moved by hand over photos whose objects are labelled. The last two
know which object each detection belongs to. Must not know the tracker.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.core.camera import Frame, Image, Pose
from engine.core.glance import Box
from engine.devices.video.video import VideoSource
from experiments.walks.detector import Noise, SimulatedDetector
from experiments.walks.render import Renderer
from experiments.walks.scenes import STREET, drawn
from experiments.walks.world import HeadTurn
from models.detector import TrackingDetector
from models.runtime.boxes import Boxes, iou, without_parts

FPS = 15.0
WINDOW = (640, 480)
WINDOW_SHARE = 0.6  # of the photo's sides: the rest is room to move in
IS_OBJECT_IOU = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A frame and its detections before tracking, and the number of the object that each belongs to,
    -1 for none. `objects` is None where nothing is known of the objects."""

    frame: Frame
    boxes: Boxes
    objects: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Clip:
    """Frames in order. `labels` and `confidence` are as in a detector."""

    name: str
    seen: tuple[Seen, ...]
    labels: tuple[str, ...]
    confidence: dict[str, float]

    def every(self, step: int) -> "Clip":
        """The clip as a camera of a fraction of the rate sees it."""
        return replace(self, seen=self.seen[::step])

    def without_pose(self) -> "Clip":
        """The clip without an inertial sensor."""
        return replace(
            self,
            seen=tuple(replace(one, frame=replace(one.frame, pose=None)) for one in self.seen),
        )


def video(path: Path, detector: TrackingDetector, frames: int, name: str) -> Clip:
    """The first `frames` frames of a video file."""
    source, seen = VideoSource(path), list[Seen]()
    while len(seen) < frames and (frame := source.read()) is not None:
        seen.append(Seen(frame, _found(detector, frame.image)))
    source.close()
    return Clip(name, tuple(seen), detector.labels, detector.confidence)


def walk_with_head_turns(number: int, photos: Sequence[Image], seed: int) -> Clip:
    """A drawn walk of 12 s; every few seconds the head turns to one side and back, at up to 250
    degrees a second, as an inertial sensor measures."""
    dice = random.Random(f"turns/{seed}/{number}")
    turns = _turns(dice, (1.0, 3.5, 6.0, 8.5))
    walk = replace(drawn(number + 1, seed)[number], duration_s=12.0, head_turns=turns)
    noise = Noise(ghosts=3.0, swaps=0.0)
    detector = SimulatedDetector(walk, noise, FPS, f"turns/{seed}/{number}")
    renderer = Renderer(walk, photos, seed)
    labels = tuple(sorted({label for label, *_ in STREET}))
    numbers = {thing: index for index, thing in enumerate(walk.things)}
    seen = []
    for seq in range(round(walk.duration_s * FPS)):
        time_s = seq / FPS
        found = detector.detect(time_s)
        turn_deg, pitch_deg = walk.head_deg(time_s)
        pose = Pose(pitch_deg, 1.0, turn_deg, 0.0, True)
        things = [detector.things[item.track] for item in found]
        boxes = Boxes(
            np.array([_corners(item.box) for item in found], np.float32).reshape(-1, 4),
            # as a detector's: most are sure, some are too weak to begin a track
            np.array([min(0.95, max(0.11, dice.gauss(0.6, 0.2))) for _ in found], np.float32),
            np.array([labels.index(item.label) for item in found], np.int64),
        )
        seen.append(
            Seen(
                Frame(renderer.image(time_s), time_s, seq, walk.camera, pose=pose),
                boxes,
                tuple(-1 if thing is None else numbers[thing] for thing in things),
            )
        )
    return Clip(f"walk {number}", tuple(seen), labels, {})


def head_turns(number: int, seed: int, duration_s: float) -> tuple[HeadTurn, ...]:
    """Turns of the head every three seconds of walk `number`."""
    starts_s = tuple(1.0 + 3.0 * turn for turn in range(int(duration_s / 3.0)))
    return _turns(random.Random(f"turns/{seed}/{number}"), starts_s)


def _turns(dice: random.Random, starts_s: Sequence[float]) -> tuple[HeadTurn, ...]:
    return tuple(
        HeadTurn(start_s, dice.uniform(0.7, 2.0), dice.choice((-1, 1)) * dice.uniform(15.0, 60.0))
        for start_s in starts_s
    )


def hand_held(
    name: str, photo: Image, objects: Sequence[Box], detector: TrackingDetector, seed: int
) -> Clip:
    """4 s of a window that a hand moves over `photo`: it pans to a side and back, drifts and shakes.
    `objects` are the labelled boxes in pixels of the photo."""
    dice = random.Random(f"hand/{seed}/{name}")
    height, width = photo.shape[:2]
    size = np.array([width, height]) * WINDOW_SHARE
    room = (np.array([width, height]) - size) / 2
    waves = [
        (dice.uniform(0.3, 0.8), 0.55, dice.uniform(0, 6.3), dice.uniform(0, 6.3)),
        (dice.uniform(1.0, 2.0), 0.25, dice.uniform(0, 6.3), dice.uniform(0, 6.3)),
        (dice.uniform(3.0, 6.0), 0.08, dice.uniform(0, 6.3), dice.uniform(0, 6.3)),
    ]
    seen = []
    for seq in range(round(4 * FPS)):
        time_s = seq / FPS
        sway = sum(
            share * np.sin(2 * math.pi * hz * time_s + np.array([phase_x, phase_y]))
            for hz, share, phase_x, phase_y in waves
        )
        middle = np.array([width, height]) / 2 + room * np.clip(sway, -1, 1)
        corner, scale = middle - size / 2, WINDOW[0] / size[0]
        out = (WINDOW[0], round(size[1] * scale))
        move = np.array([[scale, 0, -corner[0] * scale], [0, scale, -corner[1] * scale]])
        image = np.asarray(cv2.warpAffine(photo, move, out, flags=cv2.INTER_CUBIC), np.uint8)
        image.flags.writeable = False
        boxes = _found(detector, image)
        there = np.array([_corners(item) for item in objects]).reshape(-1, 4)
        there = (there - np.tile(corner, 2)) * scale
        numbers = _objects_at(boxes.corners.astype(float), there, out)
        seen.append(Seen(Frame(image, time_s, seq), boxes, numbers))
    return Clip(f"hand-held {name}", tuple(seen), detector.labels, detector.confidence)


def _found(detector: TrackingDetector, image: Image) -> Boxes:
    """The detector's boxes in a picture."""
    return without_parts(detector.network.find(image), detector.labels)


def _objects_at(
    boxes: NDArray[np.float64], objects: NDArray[np.float64], size: tuple[int, int]
) -> tuple[int, ...]:
    """Which object each box is, by overlap within the picture; -1 for none. An object is the box that
    overlaps it most, and no other."""
    numbers = np.full(len(boxes), -1)
    inside = np.clip(objects, 0, np.array([*size, *size]))
    for number, overlaps in enumerate(iou(inside, boxes)):
        best = int(np.argmax(overlaps)) if len(overlaps) else 0
        if len(overlaps) and overlaps[best] >= IS_OBJECT_IOU:
            numbers[best] = number
    return tuple(numbers.tolist())


def _corners(box: Box) -> tuple[float, float, float, float]:
    return box.x1, box.y1, box.x2, box.y2
