"""The per-frame step of the quick tier: from a frame to a glance. No threads, no devices."""

from dataclasses import dataclass, field

from engine.core.camera import Frame
from engine.core.glance import Detection, Glance, Mark
from engine.core.ports import Clock, DepthWorker, Detector
from engine.perception.camera_health import CameraHealth
from engine.perception.localize import Localizer
from engine.perception.side_cameras import SideCameras


@dataclass
class Tally:
    """How many there were so far."""

    count: int = 0


@dataclass(frozen=True)
class Perception:
    """Everything that processes frames; to be used from one thread. `side_cameras` and `depth` are
    None if they are off."""

    detector: Detector
    localizer: Localizer
    wall: Clock
    side_cameras: SideCameras | None = None
    depth: DepthWorker | None = None
    camera_health: CameraHealth = field(default_factory=CameraHealth)
    unusable: Tally = field(default_factory=Tally)

    def perceive(self, frame: Frame) -> Glance:
        """Detect, track and localize the obstacles of `frame`, and those that only side cameras
        see, each by descending priority. Marks: begin, detect, locate, and aside for side
        cameras."""
        begin = Mark("begin", self.wall.now())
        detections = self.usable(self.detector.detect(frame))
        detected = Mark("detect", self.wall.now())
        obstacles = self.localizer.localize(frame, detections)
        ordered = tuple(sorted(obstacles, key=lambda item: -item.priority))
        marks = (begin, detected, Mark("locate", self.wall.now()))
        if self.side_cameras is None:
            return Glance(frame, ordered, None, marks)
        side_obstacles = self.side_cameras.update(frame, ordered)
        return Glance(
            frame, ordered, None, (*marks, Mark("aside", self.wall.now())), side_obstacles
        )

    def usable(self, detections: tuple[Detection, ...]) -> tuple[Detection, ...]:
        """`detections` without those that are not finite, which `unusable` counts."""
        kept = tuple(detection for detection in detections if detection.is_finite)
        self.unusable.count += len(detections) - len(kept)
        return kept

    def reset(self) -> None:
        """Forget all tracks: the next frame is unrelated to the last."""
        self.detector.reset()
        self.localizer.reset()
        if self.side_cameras is not None:
            self.side_cameras.reset()
        self.camera_health.reset()
