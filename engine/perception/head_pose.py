"""Head pose from an inertial sensor: pitch, heading, rate of turn, and whether the wearer walks.

`HeadTracker` keeps the state; knows no device. The axes are the head's: x right, y down, z ahead. A
level head at rest measures (0, -9.81, 0) m/s², the force that holds it up.
"""

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.core.camera import Pose

Vector = NDArray[np.float64]

GRAVITY_M_S2 = 9.80665
# A complementary filter (Mahony et al. 2008, without its bias term): the gyroscope gives fast
# changes, the accelerometer the slow ones. Corrections have this time constant while only gravity
# is measured, and a longer one the more other acceleration there is.
CORRECT_S = 1.0
TRUSTED_M_S2 = 1.0
STILL_SIGMA_DEG = 1.0  # calibration, and how the glasses sit
SHAKEN_SIGMA_DEG = 3.0  # steps of a walker, and the turns in between
UNSETTLED_SIGMA_DEG = 12.0  # during the first second
SETTLED_S = 1.0
THIN_S = 0.01  # samples are averaged over this period first: sensors send a thousand a second
GAP_S = 0.25  # after a gap this long the old orientation is discarded
GAIT_S = 1.5  # at least two steps
# Standard deviation of the head's vertical acceleration: 0.1 to 0.3 m/s² when standing, 1.5 or
# more at a usual pace.
WALKS_M_S2, STANDS_M_S2 = 0.7, 0.45
TURN_S = 0.1  # the rate of turn is averaged over this period
MIN_FORCE_M_S2 = 0.1  # in free fall the sensor measures no direction
LEVEL = np.array([0.0, -1.0, 0.0])


@dataclass(frozen=True, slots=True)
class ImuSample:
    """One sample: specific force in m/s², as an accelerometer measures it, and angular rate in
    rad/s, in the head's axes."""

    time_s: float
    force_m_s2: tuple[float, float, float]
    rate_rad_s: tuple[float, float, float]


class HeadTracker:
    """Tracks the head's orientation; to be used from one thread."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next sample is unrelated to the last."""
        self._batch: list[ImuSample] = []
        self._newest_s = -math.inf
        self._up: Vector | None = None
        self._since_s = 0.0
        self._last_s = -math.inf
        self._heading_deg = 0.0
        self._walking = False
        self._vertical: deque[tuple[float, float]] = deque()
        self._turns: deque[tuple[float, float]] = deque()
        self._shaken_m_s2 = 0.0

    def add(self, sample: ImuSample) -> None:
        """Process a sample. Ignores one that is not later than the last or has numbers that are not
        finite."""
        numbers = (sample.time_s, *sample.force_m_s2, *sample.rate_rad_s)
        if sample.time_s <= self._newest_s or not all(map(math.isfinite, numbers)):
            return
        self._newest_s = sample.time_s
        self._batch.append(sample)
        if sample.time_s - self._last_s >= THIN_S:
            force = np.mean([each.force_m_s2 for each in self._batch], axis=0)
            rate = np.mean([each.rate_rad_s for each in self._batch], axis=0)
            self._batch.clear()
            self._step(sample.time_s, force, rate)

    def _step(self, now_s: float, force: Vector, rate: Vector) -> None:
        """Advance the filter to `now_s`."""
        step_s = now_s - self._last_s
        length = float(np.linalg.norm(force))
        if self._up is None or step_s > GAP_S:
            heading_deg = self._heading_deg
            self.reset()
            self._heading_deg, self._newest_s = heading_deg, now_s
            self._up = force / length if length > MIN_FORCE_M_S2 else LEVEL
            self._since_s = now_s
            step_s = 0.0
        self._last_s = now_s
        self._up = _rotated(self._up, rate, step_s)
        excess = abs(length - GRAVITY_M_S2)
        gain = min(1.0, step_s / CORRECT_S / (1.0 + (excess / TRUSTED_M_S2) ** 2))
        if length > MIN_FORCE_M_S2:
            self._up = self._up + gain * (force / length - self._up)
        self._up = self._up / np.linalg.norm(self._up)
        self._shaken_m_s2 += (excess - self._shaken_m_s2) * min(1.0, step_s / CORRECT_S)
        # to the right is clockwise seen from above: negative about the upward axis
        turning_deg_s = -math.degrees(float(rate @ self._up))
        self._heading_deg += turning_deg_s * step_s
        self._update_windows(now_s, turning_deg_s, float(force @ self._up))

    def _update_windows(self, now_s: float, turning_deg_s: float, vertical_m_s2: float) -> None:
        for kept, value, span_s in (
            (self._turns, turning_deg_s, TURN_S),
            (self._vertical, vertical_m_s2, GAIT_S),
        ):
            kept.append((now_s, value))
            while now_s - kept[0][0] > span_s:
                kept.popleft()
        spread = float(np.std([value for _, value in self._vertical]))
        self._walking = spread > (STANDS_M_S2 if self._walking else WALKS_M_S2)

    def pose(self) -> Pose | None:
        """The pose at the last sample; None before the first."""
        if self._up is None:
            return None
        if self._last_s - self._since_s < SETTLED_S:
            sigma_deg = UNSETTLED_SIGMA_DEG
        else:
            shaken = min(1.0, self._shaken_m_s2 / TRUSTED_M_S2)
            sigma_deg = STILL_SIGMA_DEG + shaken * (SHAKEN_SIGMA_DEG - STILL_SIGMA_DEG)
        return Pose(
            pitch_deg=math.degrees(math.asin(max(-1.0, min(1.0, float(self._up[2]))))),
            pitch_sigma_deg=sigma_deg,
            heading_deg=self._heading_deg,
            turning_deg_s=sum(value for _, value in self._turns) / len(self._turns),
            walking=self._walking,
        )


def _rotated(fixed: Vector, rate_rad_s: Vector, step_s: float) -> Vector:
    """A direction fixed in the world, in axes that rotated at `rate_rad_s` for `step_s` (Rodrigues'
    formula; exact at a constant rate)."""
    angle = float(np.linalg.norm(rate_rad_s)) * step_s
    if angle == 0.0:
        return fixed
    axis = rate_rad_s * step_s / angle
    rotated: Vector = (
        fixed * math.cos(angle)
        - np.cross(axis, fixed) * math.sin(angle)
        + axis * float(axis @ fixed) * (1.0 - math.cos(angle))
    )
    return rotated
