"""Live glasses of either generation: the newest picture, on the host's clock, whatever link brings it.

A link (`aria`, `aria_gen2`) hands records to a `Receiver` from threads of its SDK; `LiveGlasses` gives
frames to the engine, says what the wearer has to know of the glasses, and takes up a lost link again.
Must not know any SDK.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.devices import glasses
from engine.devices.glasses import RGB, Eye, Undistorted
from engine.devices.streams import MicrophoneBlocks, Tally, TimeMap
from engine.errors import InputError, LinkLost, SourceLost, SourceSays
from engine.motion import Head, Motion
from engine.types import Frame, Pose, StreamCount, Truth

FPS = 10.0  # of the profiles that the SDK's samples use; how often frames come is for them to say
WAIT_S = 0.25  # how long one wait for a picture lasts, so that a link that failed is noticed
LOST_S = 1.5  # without a picture; the engine itself would say "camera" half a second later
ATTEMPTS = 5
AGAIN_S = (1.0, 2.0, 4.0, 8.0, 8.0)  # before each attempt
STATUS_S = 30.0  # how often battery and heat are asked for
LOW_PERCENT, CHARGED_PERCENT = 15, 20  # low is said at the one, and again once the other was passed
HOT_C, COOL_C = 43.0, 40.0  # skin that is touched for long is burnt from 43 on (ISO 13732-1)
POSES = 128  # more than a second of them
MICROPHONE_HZ = 48_000  # of both generations


@dataclass(frozen=True, slots=True)
class Condition:
    """How the glasses are: charge in percent, and degrees at the skin."""

    battery_percent: int
    charging: bool
    skin_c: float
    throttled: bool = False  # they have begun to do less, so as to cool


class Link(Protocol):
    """One generation's SDK. Every method is called from one thread."""

    name: str
    imu: str  # whose samples it hands over

    def open(self, receiver: "Receiver") -> Any:
        """Begin to stream into `receiver`; return the device's calibration. Raises LinkLost."""
        ...

    def condition(self) -> Condition | None:
        """How the glasses are; None where they do not say."""
        ...

    def close(self) -> None:
        """Stop streaming; never raises."""
        ...


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
        self._head = Head()
        self._poses: deque[tuple[float, Pose]] = deque(maxlen=POSES)
        self._sound = MicrophoneBlocks(MICROPHONE_HZ)
        self.motions: Callable[[Any], Motion] | None = None
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
                    self._head.feel(self.motions(record))
            pose = self._head.pose()
            if pose is not None and records:
                self._poses.append((records[-1].capture_timestamp_ns * 1e-9, pose))

    def sound(self, samples: Sequence[int], channels: int, full_scale: float) -> None:
        """The microphones heard something."""
        with self._changed:
            self._tally("mic").take()
            self._sound.hear(samples, channels, full_scale)

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

    def counts(self) -> tuple[StreamCount, ...]:
        with self._changed:
            return tuple(tally.count() for tally in self._tallies.values())

    def again(self) -> None:
        """A new link: a fresh map of the clocks and a head to be felt anew; counts go on."""
        with self._changed:
            self._map, self._head, self.failure = TimeMap(), Head(), None
            self._newest.clear()
            self._poses.clear()

    def _tally(self, name: str) -> Tally:
        return self._tallies.setdefault(name, Tally(name))


class LiveGlasses:
    """Frames of the RGB camera, newest only. Raises InputError where the glasses cannot be reached.

    `read` raises SourceSays for what the wearer has to hear while frames go on coming (a lost link and
    its return, a low battery, heat), and SourceLost when ATTEMPTS to take up the link have failed.
    """

    live = True
    fps = FPS

    def __init__(
        self,
        link: Link,
        side_cameras: bool,
        undistort: bool,
        now: Callable[[], float],
        wait: Callable[[float], None],
    ) -> None:
        self.name = link.name
        self._link = link
        self._now = now
        self._wait = wait
        self._receiver = Receiver(now)
        self._seq = 0
        self._last_s = -float("inf")
        self._fresh_s = now()
        self._asked_s = now()
        self._lost = self._closed = self._low = self._hot = False
        self._say: deque[SourceSays] = deque()
        try:
            with glasses.hushed():
                calibration = link.open(self._receiver)
        except LinkLost as error:
            link.close()
            raise InputError(str(error)) from error
        eye = glasses.eye(calibration, RGB)
        if eye is None:
            raise InputError(f"{self.name}: expected {RGB} in their calibration, got none")
        self._picture: Eye | Undistorted = eye
        if undistort:
            self._picture = glasses.undistorted(eye)
        labels = glasses.side_labels(calibration) if side_cameras else []
        sides = [glasses.eye(calibration, label) for label in labels]
        self._sides = [side for side in sides if side is not None]
        self.aside = tuple(side.label for side in self._sides)
        self._receiver.motions = glasses.motions(calibration, link.imu)
        self._ask()

    def read(self) -> Frame | None:
        while not self._closed:
            if self._say:
                raise self._say.popleft()
            if self._lost:
                self._take_up()
                continue
            taken = self._receiver.take(RGB, WAIT_S)
            now_s = self._now()
            if taken is not None:
                self._fresh_s = now_s
                if now_s - self._asked_s >= STATUS_S:
                    self._ask()
                return self._frame(taken)
            why = self._receiver.failure
            if why is not None or now_s - self._fresh_s >= LOST_S:
                self._lost = True
                why = why or f"no picture for {LOST_S:g} s"
                self._say.append(SourceSays("glasses_lost", f"{self.name}: {why}", "trying again"))
        return None

    def _frame(self, taken: Taken) -> Frame:
        # rising, though the map of the clocks may settle by a little
        self._last_s = max(self._last_s + 1e-6, taken.taken_s)
        pose = self._receiver.pose(taken.device_s)
        frame = self._picture.frame(taken.pixels, self._last_s, self._seq, pose, self._side())
        self._seq += 1
        return frame

    def _side(self) -> Frame | None:
        if not self._sides:
            return None
        eye = self._sides[self._seq % len(self._sides)]
        taken = self._receiver.take(eye.label)
        return None if taken is None else eye.frame(taken.pixels, taken.taken_s, self._seq)

    def _take_up(self) -> None:
        """Try to open the link again, ATTEMPTS times, each after a longer wait."""
        why = ""
        for wait_s in AGAIN_S[:ATTEMPTS]:
            if self._closed:
                return
            self._link.close()
            self._wait(wait_s)
            self._receiver.again()
            try:
                self._link.open(self._receiver)
            except LinkLost as error:
                why = str(error)
                continue
            self._lost = False
            self._fresh_s = self._now()
            self._say.append(SourceSays("glasses_back", f"{self.name}: streaming again", "went on"))
            return
        raise SourceLost(
            f"{self.name}: expected the glasses back, got none after {ATTEMPTS} attempts ({why}); run: "
            "python -m engine.doctor aria"
        )

    def _ask(self) -> None:
        """How the glasses are; what is new of that is said once."""
        self._asked_s = self._now()
        found = self._link.condition()
        if found is None:
            return
        low = not found.charging and found.battery_percent <= LOW_PERCENT
        if low and not self._low:
            detail = f"{self.name}: battery at {found.battery_percent} %"
            self._say.append(SourceSays("glasses_low", detail, "said so"))
        self._low = low or (self._low and found.battery_percent < CHARGED_PERCENT)
        hot = found.throttled or found.skin_c >= HOT_C
        if hot and not self._hot:
            detail = f"{self.name}: {found.skin_c:.0f} degrees at the skin"
            self._say.append(SourceSays("glasses_hot", detail, "said so"))
        self._hot = hot or (self._hot and found.skin_c > COOL_C)

    def microphone(self) -> Receiver:
        """What the glasses hear, as a wake word wants it."""
        return self._receiver

    def counts(self) -> tuple[StreamCount, ...]:
        return self._receiver.counts()

    def truth(self, seq: int) -> Truth | None:
        return None

    def __len__(self) -> int:
        return 0

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._link.close()
