"""FastVLM's two halves in torch: static shapes and buffers, so that a graphics card replays captured
graphs, and the same functions run uncaptured on a CPU.

On a card both halves work on one stream of their own, beside the detector's. Knows nothing of
pictures, prompts or words.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.core.errors import MissingPart
from models.fastvlm.greedy import Greedy
from models.fastvlm.torch.cuda_graphs import FOUR_BITS, Part, side_stream
from models.fastvlm.torch.fusing import fused
from models.fastvlm.torch.qwen2 import Qwen2
from models.fastvlm.torch.steps import State, Steps, TorchSteps
from models.fastvlm.tower import features_of
from models.fastvlm.validate import refuse_misfits

LONGEST_PROMPT = 1536  # tokens: a picture of 2048 pixels a side (1024) and what is asked of it
PROMPT_STEP = 64  # a prompt is read as if its length were a multiple of this,
SPAN_STEP = 128  # and written behind within a multiple of this: a graph for each
BURST = 4  # tokens, about a clause, for which a graphics card is waited for once


def open_encoder(
    model: Any, device: str, precision: str, side_px: int, *, capture: bool | None = None
) -> "TorchEncoder":
    """The vision tower and projector of transformers' FastVLM `model`, moved and fused in place.
    `capture`: into a CUDA graph; None is where there is CUDA. Raises MissingPart."""
    return TorchEncoder(model, device, precision, side_px, capture)


def open_decoder(
    model: Any,
    device: str,
    precision: str,
    greedy: Greedy,
    *,
    limit: int,
    capture: bool | None = None,
    kernels: bool | None = None,
) -> "TorchDecoder":
    """The language model of transformers' FastVLM `model`, moved and joined in place, for answers of
    at most `limit` tokens. `capture`: into CUDA graphs, and BURST tokens are computed ahead of the
    taker; None is where there is CUDA. `kernels`: steps by Triton's; None is where there are Triton and
    a card that it is made for. Raises MissingPart."""
    return TorchDecoder(model, device, precision, greedy, limit, capture, kernels)


def _has_kernels(device: str) -> bool:
    """Whether the card is one of those that Triton is made for, and Triton is there."""
    return (
        device == "cuda"
        and find_spec("triton") is not None
        and torch.cuda.get_device_capability() >= (8, 0)
    )


def span_of(length: int, limit: int) -> int:
    """How many slots of the cache a step may look at: of a prompt and its answer, padded."""
    return -(-(length + limit) // SPAN_STEP) * SPAN_STEP


class TorchEncoder(Part):
    """The vision tower and the projector; `start_s` is what warming up and capturing took."""

    def __init__(
        self, model: Any, device: str, precision: str, side_px: int, capture: bool | None
    ) -> None:
        super().__init__(device, precision, capture)
        self.side_px = side_px
        wrapper = model.model.vision_tower.to(device)  # before a run that half precision makes slow
        wrapper.timm_model = fused(wrapper.timm_model, side_px)
        # on a processor, channels_last was seen to crash
        layout = torch.channels_last if device == "cuda" else torch.contiguous_format
        self._tower = wrapper.to(device, self._dtype, memory_format=layout).timm_model
        self._projector = model.model.multi_modal_projector.to(device, self._dtype)
        self._layout = layout
        self._pixels = torch.zeros((1, 3, side_px, side_px), device=device)
        self._features = torch.empty(0)
        self._run = self._ready(self._look)

    def encode(self, pixels: NDArray[np.float32]) -> Tensor:
        """See models.fastvlm.ports.Encoder; the features are there when it returns."""
        with torch.inference_mode(), self._on():
            self._pixels.copy_(torch.from_numpy(np.ascontiguousarray(pixels)))
            self._run()
            features = self._features.clone()
            if self.provider == "cuda":
                side_stream().synchronize()
        return features

    def _look(self) -> None:
        pixels = self._pixels.to(self._dtype, memory_format=self._layout)
        self._features = features_of(self._tower, self._projector, pixels)


class TorchDecoder(Part):
    """Reads a prompt at a padded length, then writes one token a step, each chosen on the device.

    `start_s` is what first runs and captures have taken so far: the first prompt, and one much longer
    or shorter than those before, add to it; see `warm_up`.
    """

    def __init__(
        self,
        model: Any,
        device: str,
        precision: str,
        greedy: Greedy,
        limit: int,
        capture: bool | None,
        kernels: bool | None,
    ) -> None:
        super().__init__(device, precision, capture)
        with_kernels = _has_kernels(device) if kernels is None else kernels
        if precision == FOUR_BITS and not with_kernels:
            raise MissingPart(
                f"models.describer.precision={FOUR_BITS}: in torch it needs Triton and a graphics card of "
                "compute capability 8.0 or more; on a processor use models.describer.runtime=openvino "
                "or onnx"
            )
        language = model.model.language_model
        self._image = int(model.config.image_token_index)
        self._greedy = greedy
        # A card computes ahead of the taker; a processor would keep the taker waiting.
        self._ahead = self._captures and greedy.plain
        self._burst = BURST if self._ahead else 1
        self.longest = min(
            int(language.config.max_position_embeddings), LONGEST_PROMPT + limit
        )  # tokens of a prompt and its answer together
        slots = -(-self.longest // SPAN_STEP) * SPAN_STEP
        self._net = Qwen2(
            language, model.lm_head, slots, device, self._dtype, precision == FOUR_BITS
        )
        self._state = State.new(self._net, keep_logits=not greedy.plain)
        if with_kernels:
            from models.fastvlm.torch.triton_steps import TritonSteps

            self._steps: Steps = TritonSteps(self._net, self._state)
        else:
            self._steps = TorchSteps(self._net, self._state)
        width = self._net.words.shape[1]
        self._prompt = torch.zeros((slots, width), device=device, dtype=self._dtype)
        self._arrived = torch.zeros(slots, dtype=torch.int64, pin_memory=device == "cuda")
        self._read_runs: dict[int, Callable[[], None]] = {}
        self._step_runs: dict[int, Callable[[], None]] = {}

    def warm_up(self, lengths: Sequence[int], limit: int) -> None:
        """Capture what prompts of these lengths and answers of up to `limit` tokens need."""
        for length in lengths:
            if length + limit <= self.longest:
                self._runs(length, limit)

    def write(self, ids: Sequence[int], features: Any, limit: int) -> Iterator[int]:
        """See models.fastvlm.ports.Decoder."""
        refuse_misfits(ids, features, limit, context=self.longest, image_id=self._image)
        return self._write(list(ids), features, limit)

    def _write(self, ids: list[int], features: Any, limit: int) -> Generator[int, None, None]:
        read, step = self._runs(len(ids), limit)
        with torch.inference_mode(), self._on():
            self._embed(ids, features)
            read()
            self._net.clear(len(ids), span_of(len(ids), limit))
        arrive, computed = self._fetch(len(ids), 1), 1
        while True:
            count = min(self._burst, limit - computed)
            after = None
            if self._ahead and count:
                after = self._advance(step, len(ids) + computed, count)
            for token in arrive() if self._greedy.plain else [self._choose(ids)]:
                yield token
                if token in self._greedy.ends:
                    return
            if not count:
                return
            arrive = after or self._advance(step, len(ids) + computed, count)
            computed += count

    def _embed(self, ids: list[int], features: Any) -> None:
        """The prompt's rows; zeros behind it, as what was there could have overflowed."""
        device = self.provider
        asked = torch.tensor(ids, device=device)
        places = [place for place, token in enumerate(ids) if token == self._image]
        self._prompt.zero_()
        self._prompt[: len(ids)] = self._net.words[asked]
        rows = torch.as_tensor(features).to(device, self._dtype)
        self._prompt.index_copy_(0, torch.tensor(places, device=device, dtype=torch.int64), rows)
        self._state.place.fill_(len(ids) - 1)

    def _advance(self, step: Callable[[], None], first: int, count: int) -> Callable[[], list[int]]:
        with torch.inference_mode(), self._on():
            for _ in range(count):
                step()
        return self._fetch(first, count)

    def _fetch(self, first: int, count: int) -> Callable[[], list[int]]:
        """What waits for the tokens at `count` places from `first` on and gives them."""
        span = slice(first, first + count)
        with torch.inference_mode(), self._on():
            self._arrived[span].copy_(self._state.written[span], non_blocking=True)
            event = torch.cuda.Event() if self.provider == "cuda" else None
            if event is not None:
                event.record()

        def arrive() -> list[int]:
            if event is not None:
                event.synchronize()
            return list(self._arrived[span].tolist())

        return arrive

    def _choose(self, ids: list[int]) -> int:
        """The next token by rules that the device does not know; `ids` grows by it."""
        assert self._state.logits is not None  # kept where the rules are not plain
        with torch.inference_mode(), self._on():
            token = self._greedy.choose(self._state.logits[0].float().cpu().numpy(), ids)
            self._state.token.fill_(token)
        ids.append(token)
        return token

    def _runs(self, length: int, limit: int) -> tuple[Callable[[], None], Callable[[], None]]:
        """What reads a prompt of `length` tokens, and what takes one step behind it."""
        padded = min(-(-length // PROMPT_STEP) * PROMPT_STEP, self._net.slots)
        span = span_of(length, limit)
        first = not self._read_runs
        if padded not in self._read_runs or span not in self._step_runs:
            with torch.inference_mode(), self._on():
                self._state.place.zero_()  # a first run must not use what a longer prompt left
        if padded not in self._read_runs:
            self._read_runs[padded] = self._ready(lambda: self._read(padded))
        if span not in self._step_runs:
            self._step_runs[span] = self._ready(lambda: self._steps.step(span))
        if first and self._captures:  # other questions about the same picture are about as long
            self.warm_up([length + PROMPT_STEP, length + 2 * PROMPT_STEP], limit)
        return self._read_runs[padded], self._step_runs[span]

    def _read(self, padded: int) -> None:
        rows = self._net.read(self._prompt[:padded])
        self._steps.choose(rows.index_select(0, self._state.place))
