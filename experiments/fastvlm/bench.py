"""The test bench of all recipes: one image, one prompt and one clock.

`Bench` holds the checkpoint and prepares the question. It loads transformers' model only for
recipes that use it.
"""

import ctypes
import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.core.errors import MissingPart, in_one_line
from experiments.fastvlm.random_weights import PROMPT
from models import quiet_offline
from models.devices import choose_dtype, precision_name, synchronise
from models.fastvlm.chat import Chat
from models.fastvlm.checkpoint import load_model
from models.fastvlm.greedy import Greedy
from models.fastvlm.inputs import square_pixels
from models.fastvlm.processor import load_chat

T = TypeVar("T")


@dataclass(frozen=True)
class Question:
    """The input of a recipe, on the host."""

    pixels: NDArray[np.float32]  # (1, 3, side, side), 0 to 1
    ids: tuple[int, ...]  # the prompt, in which each image token stands for one feature

    @property
    def side_px(self) -> int:
        return int(self.pixels.shape[-1])


@dataclass(frozen=True, slots=True)
class TimedAnswer:
    """Token ids on the host, and when each arrived, in milliseconds from the question."""

    tokens: tuple[int, ...]
    encoded_ms: float  # when the image's features were ready
    known_ms: tuple[float, ...]

    def prefill_ms(self) -> float:
        """From the image's features to the first token."""
        return self.known_ms[0] - self.encoded_ms

    def token_ms(self, count: int) -> float:
        """The mean time of each token after the first, of `count`; 0 for a single token."""
        return (self.known_ms[count - 1] - self.known_ms[0]) / max(1, count - 1)


class OpenRecipe(Protocol):
    """A recipe whose models are loaded."""

    # Whether each token arrives as it is generated, so that a long answer contains the times of
    # shorter ones.
    streams: bool

    def prepare(self, question: Question) -> None:
        """Prepare for questions of this size."""

    def answer(self, question: Question, count: int) -> TimedAnswer:
        """Write exactly `count` tokens."""

    def note(self) -> str:
        """A remark for the table, or an empty string."""


@dataclass
class Bench:
    """The checkpoint in `folder`, for answers of at most `limit` tokens.

    Without `ends`, end tokens are ignored: every recipe writes the requested number of tokens.
    """

    folder: Path
    device: str
    threads: int | None
    limit: int
    prompt: str = PROMPT
    ends: bool = False
    _loaded: dict[str, Any] = field(default_factory=dict)
    _chat: Chat | None = None

    def model(self, precision: str, use: str) -> Any:
        """transformers' FastVLM on the CPU. Only recipes of one kind of `use` may share, move and
        modify it.
        """
        from models.fastvlm.torch.cuda_graphs import dtype_of

        key = f"{use} {precision}"
        if key not in self._loaded:
            self.forget()
            dtype = dtype_of(precision)
            self._loaded[key] = self._read(lambda folder: load_model(folder, dtype))
        return self._loaded[key]

    @property
    def chat(self) -> Chat:
        """The checkpoint's chat."""
        if self._chat is None:
            self._chat = self._read(load_chat)
        return self._chat

    def greedy(self) -> Greedy:
        """Greedy decoding with the checkpoint's generation settings."""
        asked = self.chat.greedy
        return asked if self.ends else replace(asked, ends=frozenset())

    def question(self, side_px: int, picture: NDArray[np.uint8] | None = None) -> Question:
        """The prompt and an image (height, width, 3) prepared for FastVLM; random blocks if
        `picture` is None.
        """
        patch = self.chat.patch_px
        if side_px % patch:
            raise MissingPart(f"--image-size: expected multiples of {patch}, got {side_px}")
        image = blocks() if picture is None else picture
        return Question(square_pixels(image, side_px), self.chat.ids(self.prompt, side_px))

    def forget(self) -> None:
        """Free the loaded model and all unused memory."""
        self._loaded.clear()
        release(self.device)

    def _read(self, load: Callable[[Path], T]) -> T:
        quiet_offline()
        try:
            return load(self.folder)
        except Exception as error:  # safetensors, tokenizers and transformers have their own
            raise MissingPart(
                f"--checkpoint {self.folder}: expected FastVLM in Apple's layout or transformers', "
                f"got {in_one_line(error)}"
            ) from None


def eager_precision(device: str) -> str:
    """The precision of the baseline recipe: fp16 as in the original analysis. A CPU, which would
    emulate fp16, uses bf16 if it has bf16 instructions, else fp32.
    """
    return precision_name(choose_dtype(device, large=True))


def blocks(seed: int = 0) -> NDArray[np.uint8]:
    """A random image (480, 640, 3) of coloured blocks."""
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), np.uint8)
    return np.ascontiguousarray(coarse.repeat(40, axis=0).repeat(40, axis=1))


class Stamps:
    """A stopwatch in milliseconds, which waits for the device's pending work."""

    def __init__(self, device: str) -> None:
        self._device = device
        synchronise(device)
        self._begin_s = time.perf_counter()

    def now(self, *, wait: bool = True) -> float:
        if wait:
            synchronise(self._device)
        return (time.perf_counter() - self._begin_s) * 1000


def release(device: str) -> None:
    """Return freed memory to the device and the system, if they support it."""
    import torch

    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):  # not glibc
        return
