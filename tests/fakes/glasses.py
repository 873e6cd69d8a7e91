"""A scripted link to live glasses, and a clock that the test sets."""

from typing import Any

from engine.core.errors import LinkLost
from engine.devices.aria.live import (
    DeviceStatus,
    LiveGlasses,
)
from engine.devices.aria.receiver import Receiver
from tests.fakes import aria as made
from tests.fakes.aria import GEN1


class Clock:
    """The host's clock, set by the test. Waiting advances it at once."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.waits: list[float] = []

    def now(self) -> float:
        return self.now_s

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now_s += seconds


class Link:
    """A link that fails `fails` times, then opens; `receiver` is the engine's."""

    name = "glasses"
    imu = "imu-left"

    def __init__(self, generation: made.Generation = GEN1, fails: int = 0) -> None:
        self.calibration = made.device_calibration(generation)
        self.fails = fails
        self.opened = self.closed = 0
        self.receiver = Receiver(lambda: 0.0)
        self.found: DeviceStatus | None = DeviceStatus(80, False, 30.0)

    def open(self, receiver: Receiver) -> Any:
        self.opened += 1
        if self.fails:
            self.fails -= 1
            raise LinkLost("nobody answers")
        self.receiver = receiver
        return self.calibration

    def status(self) -> DeviceStatus | None:
        return self.found

    def close(self) -> None:
        self.closed += 1


def live(link: Link, clock: Clock, side_cameras: bool = False) -> LiveGlasses:
    return LiveGlasses(link, side_cameras, False, clock.now, clock.wait)
