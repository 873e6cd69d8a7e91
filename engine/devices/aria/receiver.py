"""Where a link to live glasses puts its records, from threads of its SDK, and the engine takes them.

Holds the newest picture of each camera and no other, the head's pose over the last second, and what the
microphones heard. Must not know any SDK.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.core.camera import Pose
from engine.core.report import StreamCount
from engine.devices.aria.streams import MicrophoneBlocks, Tally, TimeMap
from engine.perception.head_pose import HeadTracker, ImuSample

POSES, POSE_S = 128, 0.01  # so many, so far apart: more than a second of them
MICROPHONE_HZ = 48_000  # of both generations


@dataclass(frozen=True, slots=True)
class Taken:
    """A raw picture that came, when it was taken and when it came, on the host's clock."""

    pixels: NDArray[np.uint8]
    taken_s: float
    came_s: float
    device_s: float


class Receiver:
    """Where a link's threads put records. Holds the newest picture of each camera and no other; may be
    called from any thread. `motions` converts IMU records once the calibration is known."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._changed = threading.Condition()
        self._map = TimeMap()
        self._newest: dict[str, Taken] = {}
        self._tallies: dict[str, Tally] = {}
        self._head = HeadTracker()
        self._poses: deque[tuple[float, Pose]] = deque(maxlen=POSES)
        self._sound = MicrophoneBlocks(MICROPHONE_HZ)
        self.motions: Callable[[Any], ImuSample] | None = None
        self.failure: str | None = None

    def picture(self, camera: str, pixels: NDArray[np.uint8], device_ns: int, number: int) -> None:
        """A picture came; one that nobody has taken yet is overtaken. The pixels are copied, because
        the SDK uses its buffer again."""
        came_s = self._now()
        with self._changed:
            tally = self._tally(camera)
            taken_s = self._map.arrived(device_ns * 1e-9, came_s)
            tally.take(number, came_s - taken_s)
            if camera in self._newest:
                tally.overtaken()
            self._newest[camera] = Taken(
                np.array(pixels, np.uint8), taken_s, came_s, device_ns * 1e-9
            )
            self._changed.notify_all()

    def motion(self, records: Sequence[Any]) -> None:
        """Samples of the IMU came."""
        came_s = self._now()
        with self._changed:
            tally = self._tally("imu")
            for record in records:
                time_s = record.capture_timestamp_ns * 1e-9
                tally.take(latency_s=came_s - self._map.arrived(time_s, came_s))
                if self.motions is not None:
                    self._head.add(self.motions(record))
            if not records:
                return
            felt_s = records[-1].capture_timestamp_ns * 1e-9
            if self._poses and felt_s - self._poses[-1][0] < POSE_S:
                return
            pose = self._head.pose()
            if pose is not None:
                self._poses.append((felt_s, pose))

    def sound(
        self, samples: Sequence[int], channels: int, full_scale: float, device_ns: int
    ) -> None:
        """The microphones heard something, the last of it at `device_ns`."""
        came_s = self._now()
        with self._changed:
            taken_s = self._map.arrived(device_ns * 1e-9, came_s)
            self._tally("mic").take(latency_s=came_s - taken_s)
            self._sound.hear(samples, channels, full_scale, taken_s)

    def failed(self, why: str) -> None:
        """The link is lost."""
        with self._changed:
            self.failure = self.failure or why
            self._changed.notify_all()

    def take(self, camera: str, timeout_s: float = 0.0) -> Taken | None:
        """The newest picture of `camera`, once; waits for one until it comes or the link fails."""
        with self._changed:
            self._changed.wait_for(
                lambda: camera in self._newest or self.failure is not None, timeout_s
            )
            return self._newest.pop(camera, None)

    def pose(self, device_s: float) -> Pose | None:
        """The head's pose at a moment of the device's time: the last felt before or at it."""
        with self._changed:
            felt = [pose for time_s, pose in self._poses if time_s <= device_s]
            return felt[-1] if felt else self._poses[0][1] if self._poses else None

    def read(self) -> NDArray[np.int16] | None:
        """The next block of sound, 16 kHz mono; None where there is none yet."""
        with self._changed:
            return self._sound.read()

    @property
    def time_s(self) -> float:
        """When the last sample of the block that was read last was taken, on the host's clock."""
        with self._changed:
            return self._sound.time_s

    def counts(self) -> tuple[StreamCount, ...]:
        with self._changed:
            return tuple(tally.count() for tally in self._tallies.values())

    def again(self) -> None:
        """A new link: a fresh map of the clocks and a head to be felt anew; counts go on."""
        with self._changed:
            self._map, self._head, self.failure = TimeMap(), HeadTracker(), None
            self._newest.clear()
            self._poses.clear()

    def _tally(self, name: str) -> Tally:
        return self._tallies.setdefault(name, Tally(name))
