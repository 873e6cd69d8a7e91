"""Prepares FastVLM's inputs: the pixels of an image and the token ids of a prompt.

An image is padded with black to a square, resized (bicubic) and scaled to [0, 1]; no mean or
standard deviation is applied. Knows no network.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

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


def default_side_px(processor: Any) -> int:
    """The image side that the checkpoint's processor is configured for."""
    size = processor.image_processor.size
    return int(size.get("height") or size.get("shortest_edge"))


class Prompts:
    """Token ids of prompts about images of one size, by the checkpoint's chat template and
    tokenizer. Caches the most recent prompts."""

    def __init__(self, processor: Any, side_px: int) -> None:
        self._processor = processor
        self._image_tokens = (side_px // int(processor.patch_size)) ** 2
        self.ids: Callable[[str], tuple[int, ...]] = lru_cache(maxsize=64)(self._ids)

    def _ids(self, prompt: str) -> tuple[int, ...]:
        """A user turn with an image and `prompt` (may be empty), and the start of the answer's
        turn."""
        content: list[dict[str, str]] = [{"type": "image"}]
        if prompt:
            content.append({"type": "text", "text": prompt})
        chat: str = self._processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True
        )
        mark = self._processor.image_token
        return tuple(
            self._processor.tokenizer(chat.replace(mark, mark * self._image_tokens))["input_ids"]
        )
