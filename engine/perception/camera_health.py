"""Whether the camera sees enough for silence to mean "nothing there": covered, dark, blurred, stalled.

`CameraHealth` remembers since when; the rest is pure. A frame costs a few thousand pixels, not all of them.
Knows nothing of what is in the picture, and says nothing: it only gives names to what is wrong.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engine.core.camera import Frame, Image

Trouble = Literal["covered", "dark", "blurred", "stalled"]
Lines = NDArray[np.float32]

ROWS, COLUMNS = 48, 160  # of the grey picture that is judged
COARSE = 8  # columns; finer and coarser steps than this tell a blur from an edge
# Of the 255 levels. A covered lens is flat or black; a night street has lamps in it.
BLACK = 4.0
FLAT = 2.5
NOISE = 3.0
DARK = 16.0
BRIGHT = 40.0  # the brightest hundredth of a picture that is not too dark
# A step edge has 1/8 of its coarse energy left at one column; blurred over the coarse width, 1/64.
BLURRED = 1 / 45
SLACK = 1.25  # it has to be better by this factor before it is well again
BAD_S = 1.5  # a turn of the head smears for less
WELL_S = 1.0
STALLED_S = 2.0  # no camera gives the same picture twice, noise included


@dataclass(frozen=True, slots=True)
class Look:
    """What a picture is like: mean, spread (over COARSE columns) and 99th percentile of its grey levels
    (0 to 255), and the energy of its steps over one column as a share of that over COARSE columns."""

    mean: float
    spread: float
    bright: float
    sharpness: float


def lines_of(image: Image) -> Lines:
    """(rows, columns) of green, about ROWS x COLUMNS: lines picked out, neighbours in a line averaged,
    which takes noise away and leaves the blur that matters."""
    height, width = image.shape[:2]
    step, bin_px = max(1, height // ROWS), max(1, width // COLUMNS)
    picked = image[::step, : width // bin_px * bin_px, 1]
    lines: Lines = picked[:, ::bin_px].astype(np.float32)
    for place in range(1, bin_px):  # many times faster than a mean over a third axis
        lines += picked[:, place::bin_px]
    lines /= bin_px
    return lines


def look_at(lines: Lines) -> Look:
    """Judge the lines of a picture."""
    width = lines.shape[1]
    columns = max(1, width // COARSE)
    starts = np.arange(columns) * width // columns
    blocks = np.add.reduceat(lines, starts, axis=1) / np.diff(starts, append=width)
    return Look(
        float(lines.mean()),
        float(np.std(blocks)),
        float(np.percentile(lines, 99)),
        sharpness_of(lines),
    )


def sharpness_of(lines: Lines) -> float:
    """The energy of steps over one column as a share of that over COARSE columns. A tiny or an even
    picture is sharp: there is no edge to be blurred.

    White noise of variance v adds 2 v to a step's energy and 6 v to that of a step between steps, which
    a blurred edge has next to none of: a third of the latter is what noise may have put in. So may
    gravel or leaves, but with more than the NOISE that a camera makes.
    """
    coarse = _energy(lines, COARSE)
    if coarse <= FLAT**2:
        return 1.0
    bends = np.diff(lines, n=2, axis=1)
    noise = float(np.square(bends).mean()) / 3 if bends.size else 0.0
    return max(0.0, _energy(lines, 1) - min(noise, 2 * NOISE**2)) / coarse


def _energy(lines: Lines, apart: int) -> float:
    """Mean square of the steps between columns `apart`."""
    if lines.shape[1] <= apart:
        return 0.0
    return float(np.square(lines[:, apart:] - lines[:, :-apart]).mean())


def trouble_of(look: Look, slack: float = 1.0) -> Trouble | None:
    """What is wrong with a picture; with a `slack` above 1, what might still be."""
    if look.mean <= BLACK * slack or look.spread <= FLAT * slack:
        return "covered"
    if look.mean <= DARK * slack and look.bright <= BRIGHT * slack:
        return "dark"
    return "blurred" if look.sharpness <= BLURRED * slack else None


class CameraHealth:
    """What is wrong with the camera's view, with hysteresis; to be used from one thread.

    `judge` tells the look of a picture; it is a parameter so that tests can do without pictures.
    """

    def __init__(self, judge: Callable[[Lines], Look] = look_at) -> None:
        self._judge = judge
        self.reset()

    def reset(self) -> None:
        """The next picture has nothing to do with the last."""
        self.trouble: Trouble | None = None
        self._suspect: Trouble | None = None
        self._since_s = math.inf  # when the suspect appeared
        self._bad_s = -math.inf  # when the trouble was last seen
        self._lines: Lines | None = None
        self._changed_s = math.inf  # when the picture last changed

    @property
    def sees(self) -> bool:
        """Whether silence may mean that nothing is there."""
        return self.trouble is None

    def changed(self, frame: Frame, live: bool) -> bool:
        """Take in a frame; return whether `trouble` is another than before. Only a `live` camera can
        stall: a photo stands still by nature."""
        now_s = frame.time_s
        lines = lines_of(frame.image)
        look = self._judge(lines)
        found = trouble_of(look)
        if found is None and live and self._stands_still(lines, now_s):
            found = "stalled"
        before = self.trouble
        if found is not None:
            if found != self._suspect:
                self._suspect, self._since_s = found, now_s
            # a stall has been waited for already
            if found == "stalled" or now_s - self._since_s >= BAD_S:
                self.trouble = found
        else:
            self._suspect = None
        if found is not None or trouble_of(look, SLACK) == self.trouble:
            self._bad_s = now_s
        elif self.trouble is not None and now_s - self._bad_s >= WELL_S:
            self.trouble = None
        return self.trouble != before

    def _stands_still(self, lines: Lines, now_s: float) -> bool:
        last, self._lines = self._lines, lines
        if last is None or last.shape != lines.shape or not np.array_equal(last, lines):
            self._changed_s = now_s
        return now_s - self._changed_s >= STALLED_S
