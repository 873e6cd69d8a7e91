"""The floor: the least time that FastVLM could take on this machine.

It is the larger of bytes over measured bandwidth and operations over measured rate. The work is
counted on the checkpoint's own networks (`AnswerWork`); the device's limits are measured with one
large copy or read and one large matrix product (`DeviceLimits`). Knows no recipe.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from models.devices import synchronise
from models.fastvlm.image_features import image_features

# Bytes per weight; 4-bit weights have a half-precision scale for every group of 64.
WEIGHT_BYTES = {
    "fp32": 4.0, "fp16": 2.0, "bf16": 2.0, "int8": 1.0, "int4": 0.5 + 2 / 64,
    "q4f16": 0.5 + 2 / 64,
}  # fmt: skip
CACHE_BYTES = 2  # per cached number: no runtime here stores less than half precision
READ_BYTES = {"cuda": 1 << 30, "cpu": 1 << 29}  # far larger than any cache
SIDE = {"cuda": 8192, "cpu": 2048}  # of the square matrices
TURNS = 5


@dataclass(frozen=True, slots=True)
class DeviceLimits:
    """The measured bandwidth and arithmetic rates of a device."""

    bytes_s: float
    operations_s: dict[str, float]  # by precision; two for a multiplication and its addition

    def ms(self, read_bytes: float, operations: float, precision: str) -> float:
        """The least milliseconds for this number of bytes and operations. Weights below half
        precision may use the fastest measured precision; half precision counts as bf16 if it was
        not measured.
        """
        rates = self.operations_s
        small = WEIGHT_BYTES[precision] < 2
        rate = max(rates.values()) if small else rates.get(precision, rates["bf16"])
        return 1000 * max(read_bytes / self.bytes_s, operations / rate)


@dataclass(frozen=True, slots=True)
class AnswerWork:
    """The work of one answer. Counts only parameters that are read: of the embedding, a few rows."""

    encoder_parameters: int  # with the projector
    encoder_operations: dict[int, int]  # by the image's side in pixels
    decoder_parameters: int
    cache_numbers: int  # per token

    def floor(
        self,
        machine: DeviceLimits,
        side_px: int,
        prompt: int,
        tokens: int,
        precisions: tuple[str, str],
    ) -> "Floor":
        """The floor of an answer of `tokens` after `prompt` tokens; `precisions` of the encoder's
        and the decoder's weights.
        """
        encoder, decoder = precisions
        weights = self.decoder_parameters * WEIGHT_BYTES[decoder]
        cached = self.cache_numbers * CACHE_BYTES
        each = 2 * self.decoder_parameters  # a multiplication and an addition for every weight
        steps = [
            machine.ms(weights + cached * (prompt + step), each, decoder)
            for step in range(1, tokens)
        ]
        return Floor(
            machine.ms(
                self.encoder_parameters * WEIGHT_BYTES[encoder],
                self.encoder_operations[side_px],
                encoder,
            ),
            machine.ms(weights, each * prompt, decoder),
            sum(steps) / len(steps) if steps else 0.0,
            tokens,
        )


@dataclass(frozen=True, slots=True)
class Floor:
    """The least milliseconds for these weights, by step."""

    encoder_ms: float
    prefill_ms: float
    token_ms: float
    tokens: int

    @property
    def total_ms(self) -> float:
        return self.encoder_ms + self.prefill_ms + self.token_ms * (self.tokens - 1)


def work_of(model: Any, sides: tuple[int, ...]) -> AnswerWork:
    """Count the work on the networks of transformers' FastVLM `model`, whose tower is moved to
    the meta device.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    text = model.config.text_config
    tower, projector = model.model.vision_tower, model.model.multi_modal_projector
    tower, projector = tower.timm_model.to("meta"), projector.to("meta")
    operations = {}
    for side in sides:
        pixels = torch.empty(1, 3, side, side, dtype=torch.bfloat16, device="meta")
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            image_features(tower, projector, pixels)
        operations[side] = counter.get_total_flops()
    embedding = model.get_input_embeddings().weight.numel()
    head = model.lm_head.weight.numel()
    layers = _numbers(model.model.language_model) - embedding
    size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return AnswerWork(
        _numbers(tower) + _numbers(projector),
        operations,
        layers + head,
        2 * text.num_hidden_layers * text.num_key_value_heads * size,
    )


def _numbers(module: Any) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def measure_limits(device: str) -> DeviceLimits:
    """Measure the bandwidth and rates of `device`, with torch's present number of threads."""
    import torch

    precisions = {"fp32": torch.float32, "bf16": torch.bfloat16}
    if device == "cuda":
        precisions["fp16"] = torch.float16
    side = SIDE[device]
    rates = {}
    for name, dtype in precisions.items():
        left, right = (torch.ones(side, side, dtype=dtype, device=device) for _ in range(2))
        seconds = _fastest_s(lambda a=left, b=right: a @ b, device)  # type: ignore[misc]
        rates[name] = 2 * side**3 / seconds
    whole = torch.ones(side, side, dtype=torch.int8, device=device)
    with suppress(RuntimeError):  # not every card supports it
        rates["int8"] = 2 * side**3 / _fastest_s(lambda: torch._int_mm(whole, whole.t()), device)
    block = torch.zeros(READ_BYTES[device] // 4, device=device)
    if device == "cuda":
        other = torch.empty_like(block)
        moved = 2 * READ_BYTES[device]  # read and written
        seconds = _fastest_s(lambda: other.copy_(block), device)
    else:
        moved = READ_BYTES[device]
        seconds = min(_fastest_s(block.sum, device), _fastest_s(block.max, device))
    return DeviceLimits(moved / seconds, rates)


def _fastest_s(work: Callable[[], Any], device: str) -> float:
    best = float("inf")
    for _ in range(TURNS + 1):  # the first warms up, and is never the fastest
        synchronise(device)
        begin = time.perf_counter()
        work()
        synchronise(device)
        best = min(best, time.perf_counter() - begin)
    return best
