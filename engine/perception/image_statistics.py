"""Image statistics for the routers: blur, exposure, contrast, edges, strokes, change.

Arithmetic over a few thousand pixels, well under a millisecond. The green channel stands for the
brightness, to which it contributes most. Knows neither objects nor routers.
"""

import math

import numpy as np
from numpy.typing import NDArray

from engine.core.camera import Image
from engine.core.glance import ImageStatistics
from engine.perception.camera_health import BLURRED, scanlines_of, sharpness_of

SHARP = 0.5  # `sharpness_of` an image full of fine detail
FULL_CONTRAST = 128.0  # standard deviation of grey levels: half black, half white
EDGE = 24.0  # minimum difference of neighbours at an edge, in grey levels: well above camera noise
ROWS, COLUMNS = 48, 640  # of the strips in which strokes are counted
STROKE = 32.0  # grey levels; the contrast of print is larger
BLOCK = 32  # columns of a strip that are counted together
STROKES = 2  # least number of rises, and of falls, in a block with strokes
THUMB_ROWS, THUMB_COLUMNS = 6, 8

Thumbnail = NDArray[np.float32]  # (THUMB_ROWS, THUMB_COLUMNS) mean grey levels


class ImageGauge:
    """Measures images and keeps the last one for `change`; to be used from one thread."""

    def __init__(self) -> None:
        self._last: Thumbnail | None = None

    def reset(self) -> None:
        """Forget the last image: the next one is unrelated to it."""
        self._last = None

    def measure(self, image: Image) -> ImageStatistics:
        """Measure an image (height, width, 3).

        blur      0 in an image full of fine detail, 1 at the limit of `camera_health`; logarithmic
                  in the sharpness
        exposure  mean grey level
        contrast  standard deviation of the grey levels, over `FULL_CONTRAST`
        edges     share of neighbouring pixels in the scanlines that differ by more than `EDGE`
        strokes   share of short strips with several strong rises and falls close together: high for
                  print, but also for leaves, fences or gravel. No text is recognised.
        change    mean difference of grey levels from the last image measured
        """
        lines = scanlines_of(image)
        thumbnail = _thumbnail(lines)
        last, self._last = self._last, thumbnail
        change = 1.0 if last is None else float(np.abs(thumbnail - last).mean()) / 255
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


def _thumbnail(lines: NDArray[np.float32]) -> Thumbnail:
    """Block means; an image with fewer rows or columns than the thumbnail repeats them."""
    rows = np.linspace(0, len(lines), THUMB_ROWS + 1).astype(int)[:-1]
    columns = np.linspace(0, lines.shape[1], THUMB_COLUMNS + 1).astype(int)[:-1]
    sums = np.add.reduceat(np.add.reduceat(lines, rows, axis=0), columns, axis=1)
    heights = np.maximum(1, np.diff(np.append(rows, len(lines))))
    widths = np.maximum(1, np.diff(np.append(columns, lines.shape[1])))
    thumbnail: Thumbnail = sums / (heights[:, None] * widths[None, :])
    return thumbnail


def _unit(value: float) -> float:
    return min(1.0, max(0.0, value))
