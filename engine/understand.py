"""The quick tier's steps: a frame in, a glance out. No threads, no devices, no words."""

import itertools

from engine.locate import Locator
from engine.ports import Clock, Detector
from engine.types import Frame, Glance, Mark


def look(detector: Detector, locator: Locator, frame: Frame, wall: Clock) -> Glance:
    """Detect, track and place what is in `frame`, nearest concern first. Marks: detect, locate."""
    begin = Mark("begin", wall.now())
    detections = detector.detect(frame)
    detected = Mark("detect", wall.now())
    obstacles = locator.locate(frame, detections)
    ordered = tuple(sorted(obstacles, key=lambda item: -item.priority))
    return Glance(frame, ordered, None, (begin, detected, Mark("locate", wall.now())))


def stages_ms(marks: tuple[Mark, ...]) -> dict[str, float]:
    """Milliseconds from each mark to the next, under the later one's name."""
    return {
        later.stage: (later.time_s - earlier.time_s) * 1000
        for earlier, later in itertools.pairwise(marks)
    }
