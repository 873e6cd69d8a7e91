"""Detects a camera that cannot be relied on: covered, dark, blurred or stalled.

While there is a fault, silence does not mean that the path is free. `CameraHealth` keeps the state;
the rest is pure. Reads only a few thousand pixels. Knows nothing of objects or speech.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engine.core.camera import Frame, Image

CameraFault = Literal["covered", "dark", "blurred", "stalled"]
Scanlines = NDArray[np.float32]

ROWS, COLUMNS = 48, 160  # of the sampled grey image
COARSE = 8  # columns; the ratio of fine to coarse steps tells a blurred edge from a sharp one
# Grey levels, out of 255. A covered lens gives a flat or black image; a night street has lamps.
BLACK = 4.0
FLAT = 2.5
NOISE = 3.0
DARK = 16.0
BRIGHT = 40.0  # least 99th percentile of an image that is not too dark
# A sharp edge keeps 1/8 of its coarse energy at one column; one blurred over COARSE columns, 1/64.
BLURRED = 1 / 45
HYSTERESIS = 1.25  # a fault ends only when the image is better than its limit by this factor
FAULT_S = 1.5  # a turn of the head blurs the image for less
RECOVERED_S = 1.0
STALLED_S = 2.0  # no live camera repeats an image exactly, because of noise


@dataclass(frozen=True, slots=True)
class ImageQuality:
    """Mean, spread (over COARSE columns) and 99th percentile of the grey levels (0 to 255), and the
    energy of steps over one column as a share of that over COARSE columns."""

    mean: float
    spread: float
    bright: float
    sharpness: float


def scanlines_of(image: Image) -> Scanlines:
    """(rows, columns) of the green channel, about ROWS x COLUMNS. Rows are sampled, and neighbours
    in a row averaged, which reduces noise and keeps any blur that matters."""
    height, width = image.shape[:2]
    step, bin_px = max(1, height // ROWS), max(1, width // COLUMNS)
    picked = image[::step, : width // bin_px * bin_px, 1]
    lines: Scanlines = picked[:, ::bin_px].astype(np.float32)
    for offset in range(1, bin_px):  # many times faster than a mean over a third axis
        lines += picked[:, offset::bin_px]
    lines /= bin_px
    return lines


def quality_of(lines: Scanlines) -> ImageQuality:
    """Measure the scanlines of an image."""
    width = lines.shape[1]
    columns = max(1, width // COARSE)
    starts = np.arange(columns) * width // columns
    blocks = np.add.reduceat(lines, starts, axis=1) / np.diff(starts, append=width)
    return ImageQuality(
        float(lines.mean()),
        float(np.std(blocks)),
        float(np.percentile(lines, 99)),
        sharpness_of(lines),
    )


def sharpness_of(lines: Scanlines) -> float:
    """The energy of steps over one column as a share of that over COARSE columns. 1 for a tiny or
    flat image, which has no edge that could be blurred.

    White noise of variance v adds 2 v to the energy of steps and 6 v to that of second differences,
    to which a blurred edge adds almost nothing. So a third of the latter is subtracted as noise,
    but no more than a camera's NOISE, because gravel and leaves look the same.
    """
    coarse = _energy(lines, COARSE)
    if coarse <= FLAT**2:
        return 1.0
    bends = np.diff(lines, n=2, axis=1)
    noise = float(np.square(bends).mean()) / 3 if bends.size else 0.0
    return max(0.0, _energy(lines, 1) - min(noise, 2 * NOISE**2)) / coarse


def _energy(lines: Scanlines, distance: int) -> float:
    """Mean square of the differences between pixels `distance` columns apart."""
    if lines.shape[1] <= distance:
        return 0.0
    return float(np.square(lines[:, distance:] - lines[:, :-distance]).mean())


def fault_of(quality: ImageQuality, margin: float = 1.0) -> CameraFault | None:
    """The fault of an image. A `margin` above 1 also finds an image that only nearly has one."""
    if quality.mean <= BLACK * margin or quality.spread <= FLAT * margin:
        return "covered"
    if quality.mean <= DARK * margin and quality.bright <= BRIGHT * margin:
        return "dark"
    return "blurred" if quality.sharpness <= BLURRED * margin else None


class CameraHealth:
    """The camera's current fault, with debounce and hysteresis; to be used from one thread.

    `measure` gives the quality of an image; it is a parameter so that tests can do without images.
    """

    def __init__(self, measure: Callable[[Scanlines], ImageQuality] = quality_of) -> None:
        self._measure = measure
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next frame is unrelated to the last."""
        self.fault: CameraFault | None = None
        self._suspected: CameraFault | None = None
        self._suspected_s = math.inf  # since when
        self._faulty_s = -math.inf  # when the current fault was last seen
        self._lines: Scanlines | None = None
        self._changed_s = math.inf  # when the image last changed

    @property
    def is_good(self) -> bool:
        """Whether silence may mean that nothing is there."""
        return self.fault is None

    def update(self, frame: Frame, live: bool) -> bool:
        """Process a frame; return whether `fault` has changed. Only a `live` camera can stall: a
        photo never changes."""
        now_s = frame.time_s
        lines = scanlines_of(frame.image)
        quality = self._measure(lines)
        found = fault_of(quality)
        if found is None and live and self._is_stalled(lines, now_s):
            found = "stalled"
        before = self.fault
        if found is not None:
            if found != self._suspected:
                self._suspected, self._suspected_s = found, now_s
            # a stall has been debounced already
            if found == "stalled" or now_s - self._suspected_s >= FAULT_S:
                self.fault = found
        else:
            self._suspected = None
        if found is not None or fault_of(quality, HYSTERESIS) == self.fault:
            self._faulty_s = now_s
        elif self.fault is not None and now_s - self._faulty_s >= RECOVERED_S:
            self.fault = None
        return self.fault != before

    def _is_stalled(self, lines: Scanlines, now_s: float) -> bool:
        last, self._lines = self._lines, lines
        if last is None or last.shape != lines.shape or not np.array_equal(last, lines):
            self._changed_s = now_s
        return now_s - self._changed_s >= STALLED_S
