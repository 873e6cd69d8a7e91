"""Live glasses of either generation: the newest picture, on the host's clock, whatever link brings it.

A link (`aria`, `aria_gen2`) hands records to a `Receiver`; `LiveGlasses` gives frames to the engine,
says what the wearer has to know of the glasses, and takes up a lost link again. Must not know any SDK.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from engine.core.camera import Frame
from engine.core.errors import InputError, LinkLost, SourceLost, SourceSays
from engine.core.glance import Truth
from engine.core.report import StreamCount
from engine.devices.aria import lenses as glasses
from engine.devices.aria.lenses import RGB, Eye, Undistorted
from engine.devices.aria.receiver import Receiver, Taken

FPS = 10.0  # of the profiles that the SDK's samples use; how often frames come is for them to say
WAIT_S = 0.25  # how long one wait for a picture lasts, so that a link that failed is noticed
LOST_S = 1.5  # without a picture; the engine itself would say "camera" half a second later
ATTEMPTS = 5
AGAIN_S = (1.0, 2.0, 4.0, 8.0, 8.0)  # before each attempt
STATUS_S = 30.0  # how often battery and heat are asked for
LOW_PERCENT, CHARGED_PERCENT = 15, 20  # low is said at the one, and again once the other was passed
HOT_C, COOL_C = 43.0, 40.0  # skin that is touched for long is burnt from 43 on (ISO 13732-1)


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

    def open(self, receiver: Receiver) -> Any:
        """Begin to stream into `receiver`; return the device's calibration. Raises LinkLost."""
        ...

    def condition(self) -> Condition | None:
        """How the glasses are; None where they do not say."""
        ...

    def close(self) -> None:
        """Stop streaming; never raises."""
        ...


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
