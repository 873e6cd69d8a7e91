"""The buffer between a link's SDK threads and the engine.

It holds the newest frame of each camera, the head's pose over the last second, and pending
microphone samples. It must not know any SDK.
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
from engine.devices.aria.streams import MicrophoneBlocks, StreamCounter, TimeMap
from engine.perception.head_pose import HeadTracker, ImuSample

POSES, POSE_S = 128, 0.01  # poses kept and their spacing: more than a second
MICROPHONE_HZ = 48_000  # of both generations


@dataclass(frozen=True, slots=True)
class RawFrame:
    """An undecoded frame with its capture and arrival times on the host's clock; `device_s` is the
    capture time on the device's clock."""

    pixels: NDArray[np.uint8]
    captured_s: float
    arrived_s: float
    device_s: float


class Receiver:
    """Takes records from the SDK's threads and hands them to the engine. Thread-safe.

    `to_imu_sample` converts IMU records, once the calibration is known.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._changed = threading.Condition()
        self._map = TimeMap()
        self._newest: dict[str, RawFrame] = {}
        self._counters: dict[str, StreamCounter] = {}
        self._head = HeadTracker()
        self._poses: deque[tuple[float, Pose]] = deque(maxlen=POSES)
        self._sound = MicrophoneBlocks(MICROPHONE_HZ)
        self.to_imu_sample: Callable[[Any], ImuSample] | None = None
        self.failure: str | None = None

    def picture(self, camera: str, pixels: NDArray[np.uint8], device_ns: int, number: int) -> None:
        """Store a frame; it replaces one that has not been read. The pixels are copied, because the
        SDK reuses its buffer."""
        arrived_s = self._now()
        with self._changed:
            counter = self._counter(camera)
            captured_s = self._map.arrived(device_ns * 1e-9, arrived_s)
            counter.take(number, arrived_s - captured_s)
            if camera in self._newest:
                counter.overwritten()
            self._newest[camera] = RawFrame(
                np.array(pixels, np.uint8), captured_s, arrived_s, device_ns * 1e-9
            )
            self._changed.notify_all()

    def motion(self, records: Sequence[Any]) -> None:
        """Store IMU samples."""
        arrived_s = self._now()
        with self._changed:
            counter = self._counter("imu")
            for record in records:
                time_s = record.capture_timestamp_ns * 1e-9
                counter.take(latency_s=arrived_s - self._map.arrived(time_s, arrived_s))
                if self.to_imu_sample is not None:
                    self._head.add(self.to_imu_sample(record))
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
        """Store interleaved microphone samples, the last one captured at `device_ns`."""
        arrived_s = self._now()
        with self._changed:
            captured_s = self._map.arrived(device_ns * 1e-9, arrived_s)
            self._counter("mic").take(latency_s=arrived_s - captured_s)
            self._sound.hear(samples, channels, full_scale, captured_s)

    def failed(self, why: str) -> None:
        """Note that the link is lost, and why."""
        with self._changed:
            self.failure = self.failure or why
            self._changed.notify_all()

    def take(self, camera: str, timeout_s: float = 0.0) -> RawFrame | None:
        """The newest frame of `camera`, once. Waits for one, a failure or the timeout."""
        with self._changed:
            self._changed.wait_for(
                lambda: camera in self._newest or self.failure is not None, timeout_s
            )
            return self._newest.pop(camera, None)

    def pose(self, device_s: float) -> Pose | None:
        """The head's pose at a time of the device's clock: the last one at or before it."""
        with self._changed:
            past = [pose for time_s, pose in self._poses if time_s <= device_s]
            return past[-1] if past else self._poses[0][1] if self._poses else None

    def read(self) -> NDArray[np.int16] | None:
        """The next block of sound, 16 kHz mono; None if there is none yet."""
        with self._changed:
            return self._sound.read()

    @property
    def time_s(self) -> float:
        """Capture time of the last sample of the last block read, on the host's clock."""
        with self._changed:
            return self._sound.time_s

    def counts(self) -> tuple[StreamCount, ...]:
        with self._changed:
            return tuple(counter.count() for counter in self._counters.values())

    def reset(self) -> None:
        """Prepare for a new link: clear the clock mapping and the head pose, keep the counts."""
        with self._changed:
            self._map, self._head, self.failure = TimeMap(), HeadTracker(), None
            self._newest.clear()
            self._poses.clear()

    def _counter(self, name: str) -> StreamCounter:
        return self._counters.setdefault(name, StreamCounter(name))
