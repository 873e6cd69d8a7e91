"""Prepares FastVLM's input: the pixels of an image.

An image is padded with black to a square, resized (bicubic) and scaled to [0, 1]; no mean or
standard deviation is applied. Knows no network.
"""

import numpy as np
from numpy.typing import NDArray


def square_pixels(image: NDArray[np.uint8], side_px: int) -> NDArray[np.float32]:
    """(1, 3, side_px, side_px) in [0, 1] of an image (height, width, 3)."""
    from PIL import Image

    def padded(picture: Image.Image, width: int, height: int) -> Image.Image:
        if picture.size == (width, height):
            return picture
        square = Image.new("RGB", (width, height))
        square.paste(picture, ((width - picture.width) // 2, (height - picture.height) // 2))
        return square

    # Pillow resizes rows first, then columns. Black rows need no resizing, so a wide image is
    # padded between the two steps: the same pixels in half the time.
    picture = Image.fromarray(image)
    longer = max(picture.size)
    bicubic = Image.Resampling.BICUBIC
    picture = padded(picture, longer, picture.height).resize((side_px, picture.height), bicubic)
    picture = padded(picture, side_px, longer).resize((side_px, side_px), bicubic)
    pixels = np.empty((1, 3, side_px, side_px), np.float32)
    np.divide(np.asarray(picture).transpose(2, 0, 1)[None], np.float32(255), out=pixels)
    return pixels
