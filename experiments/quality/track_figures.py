"""What the tracks of a clip are worth: their number, how long they hold, what can be said of them."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.core.camera import Frame, Image
from engine.core.glance import Detection, Obstacle
from engine.core.report import ModelCard
from engine.perception.localize import Localizer
from experiments.quality.track_clips import Clip, Seen
from models.detector import Follows, TrackingDetector, least_confidence
from models.runtime.boxes import Boxes

NOWHERE = ModelCard("clip", "none", "cpu", "none", "fp32")
MakeTracker = Callable[[float], Follows]  # of the score from which a track may begin


@dataclass(slots=True)
class Figures:
    """Sums over clips. `switches`: an object's track has another number than before; `takeovers`: a
    track is another object's than before. Sightings of what is no labelled object do not count."""

    objects: int = 0
    ids: int = 0
    person_ids: int = 0
    sightings: int = 0
    with_ttc: int = 0
    switches: int = 0
    takeovers: int = 0
    ms: list[float] = field(default_factory=list)  # of the tracker, each frame

    def as_dict(self) -> dict[str, float | int | None]:
        """For the last line: `ms` is the median of a frame."""
        names = ("objects", "ids", "person_ids", "sightings", "with_ttc", "switches", "takeovers")
        figures: dict[str, float | int | None] = {name: getattr(self, name) for name in names}
        return figures | {"ms": round(float(np.median(self.ms)), 2) if self.ms else None}


class _Stored:
    """A network that returns the clip's boxes."""

    end2end = False
    precision = "fp32"
    image_size = 0

    def __init__(self, clip: Clip) -> None:
        self.labels = clip.labels
        self._boxes = {id(seen.frame.image): seen.boxes for seen in clip.seen}

    def find(self, image: Image) -> Boxes:
        return self._boxes[id(image)]


class _Timed:
    """A tracker whose processor time is kept."""

    def __init__(self, tracker: Follows, ms: list[float]) -> None:
        self._tracker = tracker
        self._ms = ms

    def update(
        self, boxes: NDArray[Any], scores: NDArray[Any], classes: NDArray[Any], frame: Frame
    ) -> NDArray[np.int64]:
        begin_s = time.thread_time()
        rows = self._tracker.update(boxes, scores, classes, frame)
        self._ms.append((time.thread_time() - begin_s) * 1000)
        return rows

    def reset(self) -> None:
        self._tracker.reset()


def follow(clip: Clip, make: MakeTracker, figures: Figures) -> list[tuple[Obstacle, ...]]:
    """Track and localize `clip`, and add to `figures`; return the obstacles of each frame."""
    tracker = _Timed(make(least_confidence(clip.confidence)), figures.ms)
    detector = TrackingDetector(_Stored(clip), clip.confidence, NOWHERE, tracker)
    localizer, shown = Localizer(), list[tuple[Obstacle, ...]]()
    track_of, object_of = dict[int, int](), dict[int, int]()
    for seen in clip.seen:
        detections = detector.detect(seen.frame)
        obstacles = localizer.localize(seen.frame, detections)
        shown.append(obstacles)
        for detection, obstacle in zip(detections, obstacles, strict=True):
            number = _object_of(detection, seen)
            if number == -1:
                continue
            figures.sightings += 1
            figures.with_ttc += obstacle.ttc_s is not None
            if number is None:
                continue
            figures.switches += track_of.get(number, detection.track) != detection.track
            figures.takeovers += object_of.get(detection.track, number) != number
            track_of[number], object_of[detection.track] = detection.track, number
    everything = [item for frame in shown for item in frame]
    figures.objects += len(track_of)
    figures.ids += len({item.track for item in everything})
    figures.person_ids += len({item.track for item in everything if item.label == "person"})
    return shown


def _object_of(detection: Detection, seen: Seen) -> int | None:
    """The number of the object that a detection belongs to, None where objects are not known."""
    if seen.objects is None:
        return None
    box = detection.box
    same = (seen.boxes.corners == np.array([box.x1, box.y1, box.x2, box.y2], np.float32)).all(
        axis=1
    )
    return seen.objects[int(np.argmax(same))]
