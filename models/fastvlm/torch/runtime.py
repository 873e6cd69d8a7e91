"""FastVLM's encoder and decoder in torch, with static shapes and buffers: a GPU replays captured
CUDA graphs, and a CPU runs the same functions uncaptured.

On a GPU both use one stream, separate from the detector's. Knows nothing of images, prompts or
text.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.core.errors import MissingPart
from models.fastvlm.decoder_inputs import check_decoder_inputs
from models.fastvlm.greedy import Greedy
from models.fastvlm.image_features import image_features
from models.fastvlm.torch.cuda_graphs import INT4, CapturedPart, side_stream
from models.fastvlm.torch.fusing import fused
from models.fastvlm.torch.qwen2 import Qwen2
from models.fastvlm.torch.steps import DecodeSteps, DecodingState, TorchSteps

LONGEST_PROMPT = 1536  # tokens: an image of 2048 pixels per side (1024 tokens) and a question
PROMPT_STEP = 64  # prompts are padded to a multiple of this; there is one graph for each length
SPAN_STEP = 128  # the part of the cache that a step uses is a multiple of this; one graph for each
BURST = 4  # tokens (about a clause) that a GPU computes before the host waits for them


def open_encoder(
    model: Any, device: str, precision: str, side_px: int, *, capture: bool | None = None
) -> "TorchEncoder":
    """The vision tower and projector of transformers' FastVLM `model`, moved and fused in place.
    `capture`: use a CUDA graph; None means on CUDA. Raises MissingPart."""
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
    """The language model of transformers' FastVLM `model`, moved and concatenated in place, for
    answers of at most `limit` tokens.

    `capture`: use CUDA graphs, and compute BURST tokens ahead of the caller; None means on CUDA.
    `kernels`: use the Triton kernels; None means if Triton is installed and supports the GPU.
    Raises MissingPart.
    """
    return TorchDecoder(model, device, precision, greedy, limit, capture, kernels)


def _has_kernels(device: str) -> bool:
    """Whether Triton is installed and supports the GPU."""
    return (
        device == "cuda"
        and find_spec("triton") is not None
        and torch.cuda.get_device_capability() >= (8, 0)
    )


def span_of(length: int, limit: int) -> int:
    """How many slots of the cache the steps use: those of a prompt and its answer, padded."""
    return -(-(length + limit) // SPAN_STEP) * SPAN_STEP


class TorchEncoder(CapturedPart):
    """An Encoder. `start_s`: seconds that the first run and the capture took."""

    def __init__(
        self, model: Any, device: str, precision: str, side_px: int, capture: bool | None
    ) -> None:
        super().__init__(device, precision, capture)
        self.side_px = side_px
        # On the device first: the run that fusing needs would be slow in fp16 on a CPU.
        wrapper = model.model.vision_tower.to(device)
        wrapper.timm_model = fused(wrapper.timm_model, side_px)
        # channels_last has crashed on a CPU
        layout = torch.channels_last if device == "cuda" else torch.contiguous_format
        self._tower = wrapper.to(device, self._dtype, memory_format=layout).timm_model
        self._projector = model.model.multi_modal_projector.to(device, self._dtype)
        if device == "cpu":  # where an image may take seconds
            for layer in self._tower.modules():
                layer.register_forward_pre_hook(self._raise_if_stopped)
        self._layout = layout
        self._pixels = torch.zeros((1, 3, side_px, side_px), device=device)
        self._features = torch.empty(0)
        self._run = self._prepare(self._forward)

    def encode(self, pixels: NDArray[np.float32]) -> Tensor:
        """See models.fastvlm.ports.Encoder; the features are complete when it returns."""
        with torch.inference_mode(), self._on_stream():
            self._pixels.copy_(torch.from_numpy(np.ascontiguousarray(pixels)))
            self._run()
            features = self._features.clone()
            if self.provider == "cuda":
                side_stream().synchronize()
        return features

    def _forward(self) -> None:
        pixels = self._pixels.to(self._dtype, memory_format=self._layout)
        self._features = image_features(self._tower, self._projector, pixels)


class TorchDecoder(CapturedPart):
    """A Decoder: reads a prompt at a padded length, then generates tokens one by one on the device.

    `start_s`: seconds that first runs and captures have taken so far. The first prompt adds to it,
    and so does any prompt of a new padded length; see `warm_up`.
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
        if precision == INT4 and not with_kernels:
            raise MissingPart(
                f"models.describer.precision={INT4}: in torch it needs Triton and a graphics card of "
                "compute capability 8.0 or more; on a processor use models.describer.runtime=openvino "
                "or onnx"
            )
        language = model.model.language_model
        self._image_id = int(model.config.image_token_index)
        self._greedy = greedy
        # A GPU computes ahead of the caller; a CPU would make the caller wait.
        self._computes_ahead = self._captures and greedy.plain
        self._burst = BURST if self._computes_ahead else 1
        # Tokens of a prompt and its answer together
        self.longest = min(int(language.config.max_position_embeddings), LONGEST_PROMPT + limit)
        slots = -(-self.longest // SPAN_STEP) * SPAN_STEP
        self._net = Qwen2(language, model.lm_head, slots, device, self._dtype, precision == INT4)
        self._state = DecodingState.new(self._net, keep_logits=not greedy.plain)
        if with_kernels:
            from models.fastvlm.torch.triton_steps import TritonSteps

            self._steps: DecodeSteps = TritonSteps(self._net, self._state)
        else:
            self._steps = TorchSteps(self._net, self._state)
        width = self._net.embeddings.shape[1]
        self._prompt = torch.zeros((slots, width), device=device, dtype=self._dtype)
        self._arrived = torch.zeros(slots, dtype=torch.int64, pin_memory=device == "cuda")
        self._read_runs: dict[int, Callable[[], None]] = {}
        self._step_runs: dict[int, Callable[[], None]] = {}

    def warm_up(self, lengths: Sequence[int], limit: int) -> None:
        """Capture the graphs for prompts of these lengths and answers of up to `limit` tokens."""
        for length in lengths:
            if length + limit <= self.longest:
                self._runs(length, limit)

    def write(self, ids: Sequence[int], features: Any, limit: int) -> Iterator[int]:
        """See models.fastvlm.ports.Decoder."""
        check_decoder_inputs(ids, features, limit, context=self.longest, image_id=self._image_id)
        return self._generate(list(ids), features, limit)

    def _generate(self, ids: list[int], features: Any, limit: int) -> Generator[int, None, None]:
        read, step = self._runs(len(ids), limit)
        with torch.inference_mode(), self._on_stream():
            self._embed(ids, features)
            read()
            self._net.clear(len(ids), span_of(len(ids), limit))
        arrive, computed = self._fetch(len(ids), 1), 1
        while True:
            count = min(self._burst, limit - computed)
            next_burst = None
            if self._computes_ahead and count:
                next_burst = self._advance(step, len(ids) + computed, count)
            for token in arrive() if self._greedy.plain else [self._choose(ids)]:
                yield token
                if token in self._greedy.ends:
                    return
            if not count:
                return
            arrive = next_burst or self._advance(step, len(ids) + computed, count)
            computed += count

    def _embed(self, ids: list[int], features: Any) -> None:
        """Fill the prompt buffer: embeddings and features, then zeros over what an earlier prompt
        left."""
        device = self.provider
        tokens = torch.tensor(ids, device=device)
        image_rows = [row for row, token in enumerate(ids) if token == self._image_id]
        self._prompt.zero_()
        self._prompt[: len(ids)] = self._net.embeddings[tokens]
        rows = torch.as_tensor(features).to(device, self._dtype)
        self._prompt.index_copy_(
            0, torch.tensor(image_rows, device=device, dtype=torch.int64), rows
        )
        self._state.position.fill_(len(ids) - 1)

    def _advance(self, step: Callable[[], None], first: int, count: int) -> Callable[[], list[int]]:
        with torch.inference_mode(), self._on_stream():
            for _ in range(count):
                step()
        return self._fetch(first, count)

    def _fetch(self, first: int, count: int) -> Callable[[], list[int]]:
        """Start the transfer of `count` tokens from position `first` on; the returned function
        waits for them."""
        span = slice(first, first + count)
        with torch.inference_mode(), self._on_stream():
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
        """Choose the next token on the host, by the repetition rules, and append it to `ids`."""
        assert self._state.logits is not None  # kept unless `greedy` is plain
        with torch.inference_mode(), self._on_stream():
            token = self._greedy.choose(self._state.logits[0].float().cpu().numpy(), ids)
            self._state.token.fill_(token)
        ids.append(token)
        return token

    def _runs(self, length: int, limit: int) -> tuple[Callable[[], None], Callable[[], None]]:
        """(function that reads a prompt of `length` tokens, function that takes one step after
        it)."""
        padded = min(-(-length // PROMPT_STEP) * PROMPT_STEP, self._net.slots)
        span = span_of(length, limit)
        first = not self._read_runs
        if padded not in self._read_runs or span not in self._step_runs:
            with torch.inference_mode(), self._on_stream():
                self._state.position.zero_()  # a first run must not use a longer prompt's position
        if padded not in self._read_runs:
            self._read_runs[padded] = self._prepare(lambda: self._read(padded))
        if span not in self._step_runs:
            self._step_runs[span] = self._prepare(lambda: self._steps.step(span))
        if first and self._captures:  # for other questions about the image, of similar length
            self.warm_up([length + PROMPT_STEP, length + 2 * PROMPT_STEP], limit)
        return self._read_runs[padded], self._step_runs[span]

    def _read(self, padded: int) -> None:
        rows = self._net.read(self._prompt[:padded])
        self._steps.choose(rows.index_select(0, self._state.position))
