"""What FastVLM is given: the pixels of a picture and the ids of a prompt.

The pixels by their definition: the picture is padded with black to a square, resized (bicubic) and
scaled to 0 to 1, with no mean or deviation. Knows no network.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray


def square_pixels(image: NDArray[np.uint8], side_px: int) -> NDArray[np.float32]:
    """(1, 3, side_px, side_px) in [0, 1] of a picture (height, width, 3)."""
    from PIL import Image

    def padded(picture: Image.Image, width: int, height: int) -> Image.Image:
        if picture.size == (width, height):
            return picture
        square = Image.new("RGB", (width, height))
        square.paste(picture, ((width - picture.width) // 2, (height - picture.height) // 2))
        return square

    # Pillow resizes a picture's rows, then its columns. Rows of black need not be resized, so a wide
    # picture is padded between the two: the same pixels in half the time.
    picture = Image.fromarray(image)
    longer = max(picture.size)
    bicubic = Image.Resampling.BICUBIC
    picture = padded(picture, longer, picture.height).resize((side_px, picture.height), bicubic)
    picture = padded(picture, side_px, longer).resize((side_px, side_px), bicubic)
    pixels = np.empty((1, 3, side_px, side_px), np.float32)
    np.divide(np.asarray(picture).transpose(2, 0, 1)[None], np.float32(255), out=pixels)
    return pixels


def own_side_px(processor: Any) -> int:
    """The side that a checkpoint's own processor gives."""
    size = processor.image_processor.size
    return int(size.get("height") or size.get("shortest_edge"))


class Prompts:
    """Ids of the prompts for pictures of one side, by the checkpoint's chat and tokenizer. What was
    asked before is remembered."""

    def __init__(self, processor: Any, side_px: int) -> None:
        self._processor = processor
        self._images = (side_px // int(processor.patch_size)) ** 2  # tokens of a picture
        self.ids: Callable[[str], tuple[int, ...]] = lru_cache(maxsize=64)(self._ids)

    def _ids(self, prompt: str) -> tuple[int, ...]:
        """A user's turn of a picture and `prompt`, which may be empty, and the answer's beginning."""
        content: list[dict[str, str]] = [{"type": "image"}]
        if prompt:
            content.append({"type": "text", "text": prompt})
        chat: str = self._processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True
        )
        mark = self._processor.image_token
        return tuple(
            self._processor.tokenizer(chat.replace(mark, mark * self._images))["input_ids"]
        )
