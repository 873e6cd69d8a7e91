"""What FastVLM's two halves are, whichever runtime runs them.

The adapter makes pixels and token ids; an encoder makes features of the pixels, and a decoder writes
from ids and features. Both know nothing of pictures, prompts or words.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Encoder(Protocol):
    """The vision tower and the projector."""

    side_px: int
    precision: str  # of the weights: fp32, fp16, bf16, int8, q4f16
    provider: str  # what it runs on, in the runtime's own word: cpu, cuda, tensorrt

    def encode(self, pixels: NDArray[np.float32]) -> Any:
        """Features (tokens, width) of pixels (1, 3, side_px, side_px) in [0, 1], as an array that
        NumPy and torch can read without copying where they share the memory."""


class Decoder(Protocol):
    """The language model, greedy. To be used from one thread."""

    precision: str
    provider: str

    def write(self, ids: Sequence[int], features: Any, limit: int) -> Iterator[int]:
        """At most `limit` tokens after the prompt `ids`, in which each image token stands for a row of
        `features` (tokens, width). Ends behind an end token, which is yielded. A decoder may run ahead
        of what was taken; closing the iterator leaves it ready for the next prompt.

        Raises engine.core.errors.PromptTooLong where the prompt and `limit` do not fit, and what its
        runtime raises.
        """
