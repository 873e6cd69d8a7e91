"""Live glasses of either generation as a source of frames, on the host's clock.

A link (gen1.py, gen2.py) hands records to a `Receiver`. `LiveGlasses` gives frames to the engine,
tells the wearer about the state of the glasses, and reconnects a lost link. Must not know any SDK.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from engine.core.camera import Frame
from engine.core.errors import InputError, LinkLost, SourceLost, SourceNotice
from engine.core.glance import Truth
from engine.core.report import StreamCount
from engine.devices.aria import lenses
from engine.devices.aria.lenses import RGB, CalibratedCamera, RectifiedCamera
from engine.devices.aria.receiver import RawFrame, Receiver

FPS = 10.0  # nominal, of the profiles in the SDK's samples; the glasses set the real rate
WAIT_S = 0.25  # one wait for a frame; short, so that a failed link is noticed
LOST_S = 1.5  # without a frame, the link counts as lost; the engine reports the camera 0.5 s later
ATTEMPTS = 5
RETRY_S = (1.0, 2.0, 4.0, 8.0, 8.0)  # back-off before each attempt
STATUS_S = 30.0  # interval between checks of battery and temperature
# A low battery is announced at the first value, and again only after the second was passed.
LOW_PERCENT, CHARGED_PERCENT = 15, 20
HOT_C, COOL_C = 43.0, 40.0  # prolonged contact burns skin from 43 degrees (ISO 13732-1)


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """Battery charge in percent, and temperature at the skin in degrees Celsius."""

    battery_percent: int
    charging: bool
    skin_c: float
    throttled: bool = False  # the glasses have slowed down to cool


class Link(Protocol):
    """The SDK of one generation. All methods are called from one thread."""

    name: str
    imu: str  # label of the IMU whose samples it delivers

    def open(self, receiver: Receiver) -> Any:
        """Start streaming into `receiver`; return the device's calibration. Raises LinkLost."""
        ...

    def status(self) -> DeviceStatus | None:
        """The status of the glasses; None if they do not report it."""
        ...

    def close(self) -> None:
        """Stop streaming. Never raises."""
        ...


class LiveGlasses:
    """A `Source` of the newest RGB frames. Raises InputError if the glasses cannot be reached.

    `read` raises SourceNotice for what the wearer has to know (the link was lost or is back, the
    battery is low, the glasses are hot); reading goes on after it. It raises SourceLost when
    ATTEMPTS to reconnect have failed.
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
        self._status_checked_s = now()
        self._lost = self._closed = self._low = self._hot = False
        self._notices: deque[SourceNotice] = deque()
        try:
            with lenses.silenced():
                calibration = link.open(self._receiver)
        except LinkLost as error:
            link.close()
            raise InputError(str(error)) from error
        calibrated_camera = lenses.calibrated_camera(calibration, RGB)
        if calibrated_camera is None:
            raise InputError(f"{self.name}: expected {RGB} in their calibration, got none")
        self._camera: CalibratedCamera | RectifiedCamera = calibrated_camera
        if undistort:
            self._camera = lenses.rectified(calibrated_camera)
        labels = lenses.side_labels(calibration) if side_cameras else []
        sides = [lenses.calibrated_camera(calibration, label) for label in labels]
        self._sides = [side for side in sides if side is not None]
        self.side_camera_labels = tuple(side.label for side in self._sides)
        self._receiver.to_imu_sample = lenses.to_imu_sample(calibration, link.imu)
        self._check_status()

    def read(self) -> Frame | None:
        while not self._closed:
            if self._notices:
                raise self._notices.popleft()
            if self._lost:
                self._reconnect()
                continue
            raw = self._receiver.take(RGB, WAIT_S)
            now_s = self._now()
            if raw is not None:
                self._fresh_s = now_s
                if now_s - self._status_checked_s >= STATUS_S:
                    self._check_status()
                return self._frame(raw)
            reason = self._receiver.failure
            if reason is not None or now_s - self._fresh_s >= LOST_S:
                self._lost = True
                reason = reason or f"no picture for {LOST_S:g} s"
                self._notices.append(
                    SourceNotice("glasses_lost", f"{self.name}: {reason}", "trying again")
                )
        return None

    def _frame(self, raw: RawFrame) -> Frame:
        # Time stamps must rise, although the clock mapping may still settle.
        self._last_s = max(self._last_s + 1e-6, raw.captured_s)
        pose = self._receiver.pose(raw.device_s)
        frame = self._camera.frame(raw.pixels, self._last_s, self._seq, pose, self._side())
        self._seq += 1
        return frame

    def _side(self) -> Frame | None:
        if not self._sides:
            return None
        calibrated_camera = self._sides[self._seq % len(self._sides)]
        raw = self._receiver.take(calibrated_camera.label)
        return (
            None if raw is None else calibrated_camera.frame(raw.pixels, raw.captured_s, self._seq)
        )

    def _reconnect(self) -> None:
        """Reopen the link, ATTEMPTS times at most, with back-off."""
        reason = ""
        for wait_s in RETRY_S[:ATTEMPTS]:
            if self._closed:
                return
            self._link.close()
            self._wait(wait_s)
            self._receiver.reset()
            try:
                self._link.open(self._receiver)
            except LinkLost as error:
                reason = str(error)
                continue
            self._lost = False
            self._fresh_s = self._now()
            self._notices.append(
                SourceNotice("glasses_back", f"{self.name}: streaming again", "went on")
            )
            return
        raise SourceLost(
            f"{self.name}: expected the glasses back, got none after {ATTEMPTS} attempts ({reason}); "
            "run: python -m engine.doctor aria"
        )

    def _check_status(self) -> None:
        """Announce a low battery or high temperature once."""
        self._status_checked_s = self._now()
        found = self._link.status()
        if found is None:
            return
        low = not found.charging and found.battery_percent <= LOW_PERCENT
        if low and not self._low:
            detail = f"{self.name}: battery at {found.battery_percent} %"
            self._notices.append(SourceNotice("glasses_low", detail, "said so"))
        self._low = low or (self._low and found.battery_percent < CHARGED_PERCENT)
        hot = found.throttled or found.skin_c >= HOT_C
        if hot and not self._hot:
            detail = f"{self.name}: {found.skin_c:.0f} degrees at the skin"
            self._notices.append(SourceNotice("glasses_hot", detail, "said so"))
        self._hot = hot or (self._hot and found.skin_c > COOL_C)

    def microphone(self) -> Receiver:
        """The glasses' microphone in blocks for a wake word engine."""
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
