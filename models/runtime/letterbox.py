"""Fits pictures into the input of a detector, as Ultralytics' LetterBox does: scaled, and padded
with grey. Knows no network."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.core.camera import Image

GREY = 114  # Ultralytics' padding in training
SCALE = np.float32(1 / 255)


@dataclass(frozen=True)
class Letterbox:
    """A picture of `source` (height, width) pixels becomes `inner` pixels, at `top` and `left` in an
    input of `outer` pixels."""

    source: tuple[int, int]
    inner: tuple[int, int]
    outer: tuple[int, int]
    top: int
    left: int

    def pixels(self, image: Image) -> NDArray[np.float32]:
        """The input (1, 3, height, width) in 0 to 1 of an image (height, width, 3)."""
        if self.inner != self.source:
            image = cv2.resize(image, self.inner[::-1], interpolation=cv2.INTER_LINEAR)
        bottom = self.outer[0] - self.inner[0] - self.top
        right = self.outer[1] - self.inner[1] - self.left
        if bottom or right or self.top or self.left:
            image = cv2.copyMakeBorder(
                image, self.top, bottom, self.left, right, cv2.BORDER_CONSTANT, value=(GREY,) * 3
            )
        pixels = np.empty((1, 3, *self.outer), np.float32)
        for channel, plane in enumerate(cv2.split(image)):  # a fifth of blobFromImage's time
            np.multiply(plane, SCALE, out=pixels[0, channel])
        return pixels

    def to_source(self, corners: NDArray[np.float32]) -> NDArray[np.float32]:
        """Corners (n, 4) in the input as corners in the picture, clipped to it."""
        height, width = self.source
        factors = (width / self.inner[1], height / self.inner[0])
        offsets = np.array((self.left, self.top) * 2, np.float32)
        moved = (corners - offsets) * np.array(factors * 2, np.float32)
        clipped: NDArray[np.float32] = np.clip(moved, 0, np.array((width, height) * 2, np.float32))
        return clipped


@lru_cache(maxsize=64)
def letterbox(source: tuple[int, int], limits: tuple[int, int], stride: int | None) -> Letterbox:
    """The letterbox of pictures of `source` (height, width) pixels, as large as fits into `limits`.
    Its sides are the next multiples of `stride`, or the limits if that is None."""
    ratio = min(limits[0] / source[0], limits[1] / source[1])
    inner = (max(round(source[0] * ratio), 1), max(round(source[1] * ratio), 1))
    spare = [limit - length for limit, length in zip(limits, inner, strict=True)]
    if stride is not None:
        spare = [length % stride for length in spare]
    outer = (inner[0] + spare[0], inner[1] + spare[1])
    return Letterbox(source, inner, outer, round(spare[0] / 2 - 0.1), round(spare[1] / 2 - 0.1))
