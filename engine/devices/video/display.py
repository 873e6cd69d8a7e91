"""How a video's pictures are shown: turned and mirrored by its display matrix, with square pixels.

Must not know where the numbers come from.
"""

import struct
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from engine.core.camera import Image
from engine.devices.video.images import MAX_PIXELS, MAX_SIDE_PX

SKEWED = 0.02  # FFmpeg takes a rotation within one degree for a quarter turn
MOST_STRETCHED = 4  # H.264 names pixels up to 2:1; beyond 4:1 a ratio is a mistake


@dataclass(frozen=True, slots=True)
class Orientation:
    """How the stored picture becomes the shown one: first transposed, then mirrored."""

    transposed: bool = False
    mirrored: bool = False  # left and right swapped
    flipped: bool = False  # top and bottom swapped

    def apply(self, pixels: Image) -> Image:
        """The shown picture (h, w, 3) of a stored one."""
        if self.transposed:
            pixels = pixels.transpose(1, 0, 2)
        if self.mirrored:
            pixels = pixels[:, ::-1]
        return pixels[::-1] if self.flipped else pixels


def orientation_of(matrix: bytes) -> Orientation:
    """The orientation of a display matrix: nine little-endian int32 a b u c d v x y w, where
    x' = a x + c y and y' = b x + d y, y down (ISO/IEC 14496-12, 8.3.2; FFmpeg's display.h).

    A matrix of zeros states nothing and is ignored, as are shifts and scales. Raises ValueError if
    the matrix is neither a quarter turn nor a mirroring.
    """
    a, b, u, c, d, v, *_ = struct.unpack("<9i", matrix)
    if not any((a, b, c, d)):
        return Orientation()
    turned = abs(b) > abs(a)
    large, small = ((b, c), (a, d)) if turned else ((a, d), (b, c))
    limit = SKEWED * min(map(abs, large))
    if u or v or 0 in large or max(map(abs, small)) > limit:
        raise ValueError(f"a b c d = {' '.join(f'{n / 65536:.3g}' for n in (a, b, c, d))}")
    x, y = (c, b) if turned else (a, d)
    return Orientation(turned, x < 0, y < 0)


def square_size(width: int, height: int, pixel_aspect: Fraction | None) -> tuple[int, int]:
    """The size in square pixels of a stored picture whose pixels are `pixel_aspect` times as wide as
    high; None or 0 means that they are square.

    The shorter axis of a pixel is kept, unless the picture would become too large. Raises
    ValueError if the ratio makes no sense.
    """
    if not pixel_aspect or pixel_aspect == 1:
        return width, height
    if not Fraction(1, MOST_STRETCHED) <= pixel_aspect <= MOST_STRETCHED:
        raise ValueError(f"{pixel_aspect.numerator}:{pixel_aspect.denominator}")
    stretch = float(pixel_aspect)
    wide, high = width * max(1.0, stretch), height * max(1.0, 1.0 / stretch)
    if max(wide, high) > MAX_SIDE_PX or wide * high > MAX_PIXELS:
        wide, high = width * min(1.0, stretch), height * min(1.0, 1.0 / stretch)
    return max(1, round(wide)), max(1, round(high))


def shown(pixels: Image, orientation: Orientation) -> Image:
    """The shown picture, contiguous and read-only, as a Frame needs it."""
    upright = np.ascontiguousarray(orientation.apply(pixels))
    upright.setflags(write=False)
    return upright
