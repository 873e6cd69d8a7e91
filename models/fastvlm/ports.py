"""The interfaces of FastVLM's encoder and decoder, which every runtime implements.

The describer makes pixels and token ids. An encoder turns pixels into features; a decoder generates
tokens from ids and features. Neither knows images, prompts or text.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Encoder(Protocol):
    """The vision tower and the projector."""

    side_px: int
    precision: str  # of the weights: fp32, fp16, bf16, int8, q4f16
    provider: str  # the device, in the runtime's own term: cpu, cuda, tensorrt

    def encode(self, pixels: NDArray[np.float32]) -> Any:
        """Features (tokens, width) of pixels (1, 3, side_px, side_px) in [0, 1], as an array that
        NumPy and torch can read, without a copy where they share the memory."""

    def stop(self) -> None:
        """Stop, from any thread: `encode` in progress raises as soon as it can, and so does every
        later one."""


class Decoder(Protocol):
    """The language model with greedy decoding. To be used from one thread."""

    precision: str
    provider: str

    def write(self, ids: Sequence[int], features: Any, limit: int) -> Iterator[int]:
        """Yield at most `limit` tokens after the prompt `ids`. Each image token in the prompt
        stands for one row of `features` (tokens, width).

        Stops after yielding an end-of-sequence token. A decoder may compute ahead of the caller;
        closing the iterator leaves it ready for the next prompt.

        Raises engine.core.errors.PromptTooLong if the prompt and `limit` do not fit, and whatever
        its runtime raises.
        """

    def stop(self) -> None:
        """Stop, from any thread: the step in progress raises as soon as it can, and so does every
        later one."""
