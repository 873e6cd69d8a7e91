"""What a picture is like before anything in it is named: blur, exposure, contrast, edges, strokes, change.

Pure arithmetic over a few thousand of its pixels, well under a millisecond; green stands for
brightness, of which it is the largest part. Knows neither objects nor routers.
"""

import math

import numpy as np
from numpy.typing import NDArray

from engine.core.camera import Image
from engine.core.glance import ImageStatistics
from engine.perception.camera_health import BLURRED, lines_of, sharpness_of

SHARP = (
    0.5  # share of the coarse energy that is left at one column in a picture full of fine detail
)
FULL_CONTRAST = 128.0  # grey levels, standard deviation: half black, half white
EDGE = 24.0  # grey levels between neighbours that make an edge: well above a camera's noise
ROWS, COLUMNS = 48, 640  # of the strips that strokes are looked for in
STROKE = 32.0  # grey levels; print is darker than its page by more
BLOCK = 32  # columns of a strip that are judged at once
STROKES = 2  # as many rises and as many falls within a block are close together
THUMB_ROWS, THUMB_COLUMNS = 6, 8

Thumb = NDArray[np.float32]  # (THUMB_ROWS, THUMB_COLUMNS) mean grey levels


class ImageGauge:
    """Measures pictures and remembers the last one, for `change`; to be used from one thread."""

    def __init__(self) -> None:
        self._last: Thumb | None = None

    def reset(self) -> None:
        """The next picture has nothing to do with the last."""
        self._last = None

    def measure(self, image: Image) -> ImageStatistics:
        """Measure (height, width, 3).

        blur      0 in a picture full of fine detail, 1 where `engine.perception.camera_health`
        calls it blurred, by the
                  logarithm of the energy of its steps over one column as a share of that over eight
        exposure  mean level
        contrast  standard deviation of the levels over `FULL_CONTRAST`
        edges     share of neighbouring pixels, in the coarse grid, that differ by more than `EDGE`
        strokes   share of short strips with several strong rises and falls close together: high where
                  there is print, but also where there are leaves, fences or gravel. It reads nothing.
        change    mean difference of the levels from the last picture measured
        """
        lines = lines_of(image)
        thumb = _thumb(lines)
        last, self._last = self._last, thumb
        change = 1.0 if last is None else float(np.abs(thumb - last).mean()) / 255
        return ImageStatistics(
            blur=_unit(
                math.log(SHARP / max(sharpness_of(lines), 1e-9)) / math.log(SHARP / BLURRED)
            ),
            exposure=_unit(float(lines.mean()) / 255),
            contrast=_unit(float(lines.std()) / FULL_CONTRAST),
            edges=_edges(lines),
            strokes=_strokes(image),
            change=_unit(change),
        )


def _edges(lines: NDArray[np.float32]) -> float:
    across = np.abs(np.diff(lines, axis=1)) > EDGE
    down = np.abs(np.diff(lines, axis=0)) > EDGE
    return float(across.sum() + down.sum()) / max(1, across.size + down.size)


def _strokes(image: Image) -> float:
    height, width = image.shape[:2]
    row_step, column_step = max(1, height // ROWS), max(1, width // COLUMNS)
    strips = image[::row_step, ::column_step, 1].astype(np.int16)
    steps = np.diff(strips, axis=1)
    blocks = steps.shape[1] // BLOCK
    if blocks == 0:
        return 0.0
    steps = steps[:, : blocks * BLOCK].reshape(len(steps), blocks, BLOCK)
    rises = np.count_nonzero(steps > STROKE, axis=2)
    falls = np.count_nonzero(steps < -STROKE, axis=2)
    return float((np.minimum(rises, falls) >= STROKES).mean())


def _thumb(lines: NDArray[np.float32]) -> Thumb:
    """Block means; a picture with fewer lines or columns than the thumb repeats them."""
    rows = np.linspace(0, len(lines), THUMB_ROWS + 1).astype(int)[:-1]
    columns = np.linspace(0, lines.shape[1], THUMB_COLUMNS + 1).astype(int)[:-1]
    sums = np.add.reduceat(np.add.reduceat(lines, rows, axis=0), columns, axis=1)
    heights = np.maximum(1, np.diff(np.append(rows, len(lines))))
    widths = np.maximum(1, np.diff(np.append(columns, lines.shape[1])))
    thumb: Thumb = sums / (heights[:, None] * widths[None, :])
    return thumb


def _unit(value: float) -> float:
    return min(1.0, max(0.0, value))
