"""The synthetic camera, scene and probes that the latency experiments put around the engine.

The engine's loops, detector, localizer, alerts, log and mixer run as in any session. Only the
detector's result is replaced by the scene's truth, after the detector has done all its work, so
that the number of alerts does not depend on its weights.
"""

import bisect
import itertools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from engine.alerts.policy import AlertPolicy
from engine.app.subsystems import Session
from engine.core.camera import Frame, Image, Intrinsics, Pose
from engine.core.glance import Box, Detection, Obstacle, Truth
from engine.core.ports import Clock, Detector, Sink
from engine.core.sound import Samples
from engine.core.utterance import Utterance

# Empty frames before each person, so that the last alert and its 0.75 s of silence pass.
QUIET_S = 1.05
SHOWN_S = 0.55  # with a person in view, who is announced in the first frame
JITTER_S = 0.005  # of the camera, so that frames and blocks of sound are not synchronised
PERSON_M, PERSON_HEIGHT_M, PERSON_WIDTH_M = 2.5, 1.7, 0.5
ROUNDING_S = 1e-4  # the log's times have four decimals


class SyntheticCamera:
    """A live camera: `count` frames, `fps` a second, stamped with the time of capture.

    The stamp is when the frame was due, not when a thread read it: a late reader counts as latency.
    """

    name = "synthetic"
    live = True

    def __init__(
        self, images: Sequence[Image], camera: Intrinsics, fps: float, count: int, clock: Clock
    ) -> None:
        self.fps = fps
        self._images = images
        self._camera = camera
        self._clock = clock
        self._start_s: float | None = None
        self._offsets_s = np.random.default_rng(0).uniform(0.0, JITTER_S, count)
        self._seq = 0

    def read(self) -> Frame | None:
        if self._seq >= len(self._offsets_s):
            return None
        if self._start_s is None:
            self._start_s = self._clock.now()
        seq = self._seq
        self._seq += 1
        due_s = self._start_s + seq / self.fps + float(self._offsets_s[seq])
        self._clock.sleep(max(0.0, due_s - self._clock.now()))
        return Frame(self._images[seq % len(self._images)], due_s, seq, self._camera)

    def truth(self, seq: int) -> Truth | None:
        return None

    def __len__(self) -> int:
        return len(self._offsets_s)

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Scene:
    """The frames of one alert: first empty ones, then a person straight ahead."""

    quiet: int  # frames
    shown: int
    person: Detection

    @classmethod
    def at(cls, fps: float, camera: Intrinsics) -> "Scene":
        """The scene as seen by `camera` at `fps`."""
        width_px = camera.fx * PERSON_WIDTH_M / PERSON_M
        height_px = camera.fy * PERSON_HEIGHT_M / PERSON_M
        box = Box(
            camera.cx - width_px / 2,
            camera.cy - height_px / 2,
            camera.cx + width_px / 2,
            camera.cy + height_px / 2,
        )
        return cls(
            math.ceil(QUIET_S * fps), math.ceil(SHOWN_S * fps), Detection("person", 0.9, box, 1)
        )

    @property
    def frames(self) -> int:
        return self.quiet + self.shown

    def seen(self, seq: int) -> tuple[Detection, ...]:
        return (self.person,) if seq % self.frames >= self.quiet else ()


@dataclass(frozen=True, slots=True)
class AlertMoments:
    """When one alert passed each step of the watch loop, on the host's clock."""

    alert: int
    scene: int
    captured_s: float
    begun_s: float  # the detector received the frame
    detected_s: float
    located_s: float  # the alert policy received the obstacles


class StagedDetector:
    """The session's detector, whose result is replaced by the scene's truth after it has run.

    Calls `clear` at the first frame of each scene, to end the last alert.
    """

    def __init__(
        self, inner: Detector, scene: Scene, clock: Clock, clear: Callable[[], None]
    ) -> None:
        self.card = inner.card
        self.labels = inner.labels
        self._inner = inner
        self._scene = scene
        self._clock = clock
        self._clear = clear
        self.number = -1  # of the current scene
        self.captured_s = self.begun_s = self.detected_s = 0.0

    def detect(self, frame: Frame) -> tuple[Detection, ...]:
        self.captured_s, self.begun_s = frame.time_s, self._clock.now()
        self._inner.detect(frame)
        self.detected_s = self._clock.now()
        if frame.seq // self._scene.frames != self.number:
            self.number = frame.seq // self._scene.frames
            self._clear()
        return self._scene.seen(frame.seq)

    def expect(self, frame: Frame) -> None:
        self._inner.expect(frame)

    def reset(self) -> None:
        self._inner.reset()


class ProbeAlertPolicy(AlertPolicy):
    """The engine's alert policy, which also records the moments of each alert."""

    def watch(self, detector: StagedDetector, clock: Clock) -> None:
        self._staged, self._clock = detector, clock
        self.moments: list[AlertMoments] = []

    def warn(
        self,
        obstacles: tuple[Obstacle, ...],
        now_s: float,
        camera_is_good: bool = True,
        pose: Pose | None = None,
    ) -> tuple[Utterance, ...]:
        located_s, detector = self._clock.now(), self._staged
        alerts = super().warn(obstacles, now_s, camera_is_good, pose)
        times_s = (detector.captured_s, detector.begun_s, detector.detected_s, located_s)
        self.moments += [AlertMoments(alert.id, detector.number, *times_s) for alert in alerts]
        return alerts


class ProbeSink:
    """The session's sink, which also records when it received each block that is not silent."""

    def __init__(self, inner: Sink, clock: Clock) -> None:
        self.name = inner.name
        self.paced = inner.paced
        self._inner = inner
        self._clock = clock
        self.loud_s: list[float] = []

    def write(self, block: Samples) -> None:
        if block.any():
            self.loud_s.append(self._clock.now())
        self._inner.write(block)

    def close(self) -> None:
        self._inner.close()


def staged(session: Session, source: SyntheticCamera, sink: ProbeSink) -> Session:
    """The session behind another camera and in front of another sink, without the keyboard."""
    return replace(
        session,
        feed=replace(session.feed, source=source),
        speech=replace(session.speech, sink=sink),
        keys=replace(session.keys, keyboard=False),
    )


@dataclass(frozen=True, slots=True)
class Timing:
    """The latency from a frame's capture to the first sample of its alert, by step."""

    wait_ms: float  # until the detector received the frame
    detect_ms: float
    locate_ms: float
    queue_ms: float  # wording, then waiting for the mixer's next block
    sink_ms: float  # log and screen, until the sink received the block

    @property
    def total_ms(self) -> float:
        return self.wait_ms + self.detect_ms + self.locate_ms + self.queue_ms + self.sink_ms


def timing(moments: AlertMoments, started_s: float, sunk_s: float) -> Timing:
    """The steps between the moments of one alert."""
    times_s = (
        moments.captured_s,
        moments.begun_s,
        moments.detected_s,
        moments.located_s,
        started_s,
        sunk_s,
    )
    spans = [1000 * (later - earlier) for earlier, later in itertools.pairwise(times_s)]
    return Timing(*spans)


def timings(
    log: Path, start_s: float, moments: Sequence[AlertMoments], loud_s: Sequence[float]
) -> tuple[list[Timing], int]:
    """Returns (timings of the alerts that were heard, number of those that were not).

    `log` is the session's log, whose times count from `start_s` on the host's clock. An alert's
    first sample is in the first block that is not silent after the start that the log gives.
    """
    began: dict[int, float] = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if record["type"] == "utterance" and record["started_t"] is not None:
            began[int(record["id"])] = start_s + float(record["started_t"])
    found: list[Timing] = []
    for item in moments:
        started_s = began.get(item.alert)
        if started_s is None:
            continue
        place = bisect.bisect_left(loud_s, started_s - ROUNDING_S)
        if place < len(loud_s):
            found.append(timing(item, started_s, loud_s[place]))
    return found, len(moments) - len(found)
