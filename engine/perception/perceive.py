"""The quick tier's steps: a frame in, a glance out. No threads, no devices, no words."""

import itertools

from engine.core.camera import Frame
from engine.core.glance import Glance, Mark
from engine.core.ports import Clock, Detector
from engine.perception.localize import Localizer
from engine.perception.side_cameras import SideCameras


def perceive(
    detector: Detector,
    locator: Localizer,
    frame: Frame,
    wall: Clock,
    around: SideCameras | None = None,
) -> Glance:
    """Detect, track and place what is in `frame`, nearest concern first, and what the side cameras see
    `around` it. Marks: detect, locate, and aside where there is an `around`."""
    begin = Mark("begin", wall.now())
    detections = detector.detect(frame)
    detected = Mark("detect", wall.now())
    obstacles = locator.localize(frame, detections)
    ordered = tuple(sorted(obstacles, key=lambda item: -item.priority))
    marks = (begin, detected, Mark("locate", wall.now()))
    if around is None:
        return Glance(frame, ordered, None, marks)
    aside = around.update(frame, ordered)
    return Glance(frame, ordered, None, (*marks, Mark("aside", wall.now())), aside)


def stages_ms(marks: tuple[Mark, ...]) -> dict[str, float]:
    """Milliseconds from each mark to the next, under the later one's name."""
    return {
        later.stage: (later.time_s - earlier.time_s) * 1000
        for earlier, later in itertools.pairwise(marks)
    }
