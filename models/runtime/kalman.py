"""Predicts boxes: one Kalman filter of constant velocity for each coordinate of each box.

The coordinates are the centre and the logarithms of width and height. They are filtered
independently, as in SORT (Bewley et al. 2016). Times are in seconds; spreads of places are in heights
of the box.
"""

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from models.runtime.camera_motion import Transform

Floats = NDArray[np.float64]

# Standard deviations for the centre (in heights of the box) and for the logarithm of its size.
MEASURED = np.array([0.05, 0.05, 0.1, 0.1])
DRIFT = np.array([0.6, 0.6, 0.6, 0.6])  # of the value, after one second
ACCELERATION = np.array([0.5, 0.5, 0.25, 0.25])  # of the rate, after one second
FIRST_RATE = np.array([2.0, 2.0, 0.5, 0.5])  # of an unknown rate, per second


@dataclass(slots=True)
class Motion:
    """The state of n boxes, arrays (n, 4) each: values, their rates per second, and the variances of
    value and rate and their covariance."""

    value: Floats
    rate: Floats
    value_var: Floats
    covar: Floats
    rate_var: Floats

    @classmethod
    def of(cls, boxes: Floats) -> "Motion":
        """The state of boxes (n, 4) that were seen once."""
        value = _state(boxes)
        scale = _scale(value) ** 2
        none = np.zeros_like(value)
        return cls(value, none, MEASURED**2 * scale, none.copy(), FIRST_RATE**2 * scale)

    @property
    def boxes(self) -> Floats:
        """The boxes (n, 4) as corners."""
        half = np.exp(self.value[:, 2:]) / 2
        return np.concatenate([self.value[:, :2] - half, self.value[:, :2] + half], axis=1)

    def predict(self, step_s: float) -> None:
        """Move all boxes by `step_s` seconds."""
        scale = _scale(self.value) ** 2
        self.value = self.value + self.rate * step_s
        self.value_var = (
            self.value_var
            + 2 * step_s * self.covar
            + step_s**2 * self.rate_var
            + DRIFT**2 * scale * step_s
        )
        self.covar = self.covar + step_s * self.rate_var
        self.rate_var = self.rate_var + ACCELERATION**2 * scale * step_s

    def warp(self, camera: Transform) -> None:
        """Move all boxes with the picture, which `camera` (2, 3) maps from the last frame to this."""
        (a, b, right), (c, d, down) = camera.tolist()
        turned = np.array([[a, c], [b, d]])
        self.value[:, :2] = np.dot(self.value[:, :2], turned) + np.array([right, down])
        self.value[:, 2:] += math.log(max(1e-6, abs(a * d - b * c))) / 2
        self.rate[:, :2] = np.dot(self.rate[:, :2], turned)

    def correct(self, rows: NDArray[np.int64], boxes: Floats) -> None:
        """Update the states `rows` (k,) by the measured `boxes` (k, 4)."""
        error = _state(boxes) - self.value[rows]
        value_var, covar = self.value_var[rows], self.covar[rows]
        total = value_var + MEASURED**2 * _scale(self.value[rows]) ** 2
        gain, rate_gain = value_var / total, covar / total
        self.value[rows] += gain * error
        self.rate[rows] += rate_gain * error
        self.value_var[rows] = (1 - gain) * value_var
        self.rate_var[rows] -= rate_gain * covar
        self.covar[rows] = (1 - gain) * covar

    def only(self, keep: NDArray[np.bool_]) -> "Motion":
        return Motion(*(getattr(self, field.name)[keep] for field in fields(self)))

    def and_also(self, more: "Motion") -> "Motion":
        names = [field.name for field in fields(self)]
        return Motion(
            *(np.concatenate([getattr(self, name), getattr(more, name)]) for name in names)
        )


def _state(boxes: Floats) -> Floats:
    sizes = boxes[:, 2:] - boxes[:, :2]
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, np.log(sizes)], axis=1)


def _scale(value: Floats) -> Floats:
    """The unit of each coordinate: the box's height for the centre, 1 for the logarithms."""
    height = np.exp(value[:, 3:])
    one = np.ones_like(height)
    return np.concatenate([height, height, one, one], axis=1)
