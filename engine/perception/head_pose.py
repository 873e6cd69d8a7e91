"""How the wearer's head is held and moves, from an inertial sensor: pitch, turning, walking.

Pure but for what `Head` remembers; knows no device. Axes are the head's: x right, y down, z ahead, so
that a level head at rest feels (0, -9.81, 0) m/s², the push of what holds it up.
"""

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.core.camera import Pose

Vector = NDArray[np.float64]

GRAVITY_M_S2 = 9.80665
# A complementary filter (Mahony et al. 2008, without its bias term): the gyroscope for what is quick,
# the accelerometer for what lasts. It corrects with this time constant where it feels gravity alone,
# and more slowly the more else it feels.
CORRECT_S = 1.0
TRUSTED_M_S2 = 1.0
STILL_SIGMA_DEG = 1.0  # calibration and how the glasses sit
SHAKEN_SIGMA_DEG = 3.0  # a walker's steps and the turns between
UNSETTLED_SIGMA_DEG = 12.0  # before the first second is over
SETTLED_S = 1.0
THIN_S = 0.01  # samples are averaged over so long first: sensors give a thousand a second
GAP_S = 0.25  # no samples for so long: what was known is old
GAIT_S = 1.5  # two steps and more
# Deviation of the vertical acceleration at the head: 0.1 to 0.3 m/s² in standing, 1.5 and more at a
# usual pace.
WALKS_M_S2, STANDS_M_S2 = 0.7, 0.45
TURN_S = 0.1  # over which turning is averaged
LEAST_M_S2 = 0.1  # falling freely, it feels no direction
STILL = np.array([0.0, -1.0, 0.0])


@dataclass(frozen=True, slots=True)
class Motion:
    """One sample: m/s² as an accelerometer feels them and rad/s, in the head's axes."""

    time_s: float
    accelerated_m_s2: tuple[float, float, float]
    turned_rad_s: tuple[float, float, float]


class Head:
    """Follows the head from sample to sample; to be used from one thread."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all: another head, or another moment."""
        self._batch: list[Motion] = []
        self._newest_s = -math.inf
        self._up: Vector | None = None
        self._since_s = 0.0
        self._last_s = -math.inf
        self._heading_deg = 0.0
        self._walking = False
        self._vertical: deque[tuple[float, float]] = deque()
        self._turns: deque[tuple[float, float]] = deque()
        self._shaken = 0.0

    def feel(self, sample: Motion) -> None:
        """Take in a sample. One that is not later than the last is passed over, as is one that is not
        made of numbers."""
        numbers = (sample.time_s, *sample.accelerated_m_s2, *sample.turned_rad_s)
        if sample.time_s <= self._newest_s or not all(map(math.isfinite, numbers)):
            return
        self._newest_s = sample.time_s
        self._batch.append(sample)
        if sample.time_s - self._last_s >= THIN_S:
            felt = np.mean([each.accelerated_m_s2 for each in self._batch], axis=0)
            turned = np.mean([each.turned_rad_s for each in self._batch], axis=0)
            self._batch.clear()
            self._follow(sample.time_s, felt, turned)

    def _follow(self, now_s: float, felt: Vector, turned: Vector) -> None:
        """One step of the filter, up to `now_s`."""
        step_s = now_s - self._last_s
        length = float(np.linalg.norm(felt))
        if self._up is None or step_s > GAP_S:
            heading_deg = self._heading_deg
            self.reset()
            self._heading_deg, self._newest_s = heading_deg, now_s
            self._up = felt / length if length > LEAST_M_S2 else STILL
            self._since_s = now_s
            step_s = 0.0
        self._last_s = now_s
        self._up = _turned(self._up, turned, step_s)
        excess = abs(length - GRAVITY_M_S2)
        gain = min(1.0, step_s / CORRECT_S / (1.0 + (excess / TRUSTED_M_S2) ** 2))
        if length > LEAST_M_S2:
            self._up = self._up + gain * (felt / length - self._up)
        self._up = self._up / np.linalg.norm(self._up)
        self._shaken += (excess - self._shaken) * min(1.0, step_s / CORRECT_S)
        # to the right is clockwise seen from above: against the right-hand turn about the upward axis
        turning_deg_s = -math.degrees(float(turned @ self._up))
        self._heading_deg += turning_deg_s * step_s
        self._note(now_s, turning_deg_s, float(felt @ self._up))

    def _note(self, now_s: float, turning_deg_s: float, vertical_m_s2: float) -> None:
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
        """As of the last sample; None before the first."""
        if self._up is None:
            return None
        if self._last_s - self._since_s < SETTLED_S:
            sigma_deg = UNSETTLED_SIGMA_DEG
        else:
            shaken = min(1.0, self._shaken / TRUSTED_M_S2)
            sigma_deg = STILL_SIGMA_DEG + shaken * (SHAKEN_SIGMA_DEG - STILL_SIGMA_DEG)
        return Pose(
            pitch_deg=math.degrees(math.asin(max(-1.0, min(1.0, float(self._up[2]))))),
            pitch_sigma_deg=sigma_deg,
            heading_deg=self._heading_deg,
            turning_deg_s=sum(value for _, value in self._turns) / len(self._turns),
            walking=self._walking,
        )


def _turned(fixed: Vector, rate_rad_s: Vector, step_s: float) -> Vector:
    """A direction that stands still in the world, as the axes turn at `rate_rad_s` about it for
    `step_s` (Rodrigues' formula; exact at a steady rate)."""
    angle = float(np.linalg.norm(rate_rad_s)) * step_s
    if angle == 0.0:
        return fixed
    axis = rate_rad_s * step_s / angle
    turned: Vector = (
        fixed * math.cos(angle)
        - np.cross(axis, fixed) * math.sin(angle)
        + axis * float(axis @ fixed) * (1.0 - math.cos(angle))
    )
    return turned
