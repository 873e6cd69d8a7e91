"""DecodeSteps on an NVIDIA GPU, with Triton kernels: one for the embedding, five per layer, two for
the choice of the token.

Rows stay in fp32 from the embedding to the logits. The cache is that of `Qwen2`, so that torch
reads the prompts. Block sizes were tuned on an H100 (see experiments/results/fastvlm.md).
"""

from typing import Any

import torch
import triton
from torch import Tensor

from models.fastvlm.torch import triton_kernels as kernels
from models.fastvlm.torch.int4_weights import Int4Weights
from models.fastvlm.torch.qwen2 import Qwen2
from models.fastvlm.torch.steps import DecodingState

COLUMNS = 1024  # of each half of a row, read at once
SLOTS = 512  # of the cache, read at once
PAIRS = 4  # row pairs of queries, keys and values a program; rotation combines the rows of a pair
GATE_PAIRS = 8  # pairs of a gate and an up row a program
ROWS = 4  # a program of `add_product`
VOCABULARY_ROWS = 16  # a program of `score_tokens`
WARPS = 4
ATTENTION_WARPS = 16
HOPPER = (9, 0)  # compute capability from which a kernel can start before its predecessor has ended


class TritonSteps:
    """See models.fastvlm.torch.steps.DecodeSteps."""

    def __init__(self, net: Qwen2, state: DecodingState) -> None:
        self._net, self._state = net, state
        width, device = net.embeddings.shape[1], net.embeddings.device
        self._x, self._attended = _row(width, device), _row(net.queries * net.size, device)
        self._queries, self._inner = torch.empty_like(self._attended), _row(net.inner, device)
        programs = triton.cdiv(len(net.embeddings), VOCABULARY_ROWS)
        self._best = _row(programs, device)
        self._which = torch.empty(programs, device=device, dtype=torch.int32)
        self._launch: dict[str, Any] = {"PDL": False}
        if device.type == "cuda" and torch.cuda.get_device_capability(device) >= HOPPER:
            self._launch = {"PDL": True, "launch_pdl": True}

    def choose(self, row: Tensor) -> None:
        """See DecodeSteps."""
        self._x.copy_(row[0])
        self._choose()

    def step(self, span: int) -> None:
        """See DecodeSteps."""
        net = self._net
        width = len(self._x)
        kernels.embed[(1,)](
            self._x, net.embeddings, self._state.token, WIDTH=width,
            BLOCK=triton.next_power_of_2(width), **self._launch,
        )  # fmt: skip
        for layer, cache in zip(net.layers, net.cache, strict=True):
            self._attend(layer, cache, span)
            self._add(self._attended, layer.out)
            kernels.gate[(triton.cdiv(net.inner, GATE_PAIRS),)](
                self._inner, self._x, layer.mlp_norm, net.epsilon, *_weights(layer.gate_up),
                INNER=net.inner, K=width, BLOCK=_columns(width), PAIRS=GATE_PAIRS,
                GROUP=_group(layer.gate_up), num_warps=WARPS, **self._launch,
            )  # fmt: skip
            self._add(self._inner, layer.down)
        self._choose()

    def _attend(self, layer: Any, cache: Tensor, span: int) -> None:
        net, state = self._net, self._state
        width = len(self._x)
        shape: dict[str, Any] = {"KEYS": net.keys, "SIZE": net.size}
        pairs = (net.queries + 2 * net.keys) * net.size // 2
        kernels.attention_inputs[(triton.cdiv(pairs, PAIRS),)](
            self._queries, cache, self._x, layer.attention_norm, net.epsilon,
            *_weights(layer.qkv), layer.bias, *net.rotations, state.position, net.slots,
            HEADS=net.queries, K=width, BLOCK=_columns(width),
            PAIRS=PAIRS, GROUP=_group(layer.qkv), num_warps=WARPS, **shape, **self._launch,
        )  # fmt: skip
        kernels.attend[(net.queries,)](
            self._attended, self._queries, cache, state.position, net.slots, net.size**-0.5, span,
            SHARED=net.queries // net.keys, BLOCK=min(SLOTS, triton.next_power_of_2(span)),
            num_warps=ATTENTION_WARPS, **shape, **self._launch,
        )  # fmt: skip

    def _add(self, inputs: Tensor, weight: Any) -> None:
        width, count = len(self._x), len(inputs)
        kernels.add_product[(triton.cdiv(width, ROWS),)](
            self._x, inputs, *_weights(weight), WIDTH=width, K=count, BLOCK=_columns(count),
            ROWS=ROWS, GROUP=_group(weight), num_warps=WARPS, **self._launch,
        )  # fmt: skip

    def _choose(self) -> None:
        net, state = self._net, self._state
        width, vocabulary = len(self._x), len(net.embeddings)
        logits = state.logits if state.logits is not None else self._best
        kernels.score_tokens[(len(self._best),)](
            logits, self._best, self._which, self._x, net.norm, net.epsilon, *_weights(net.head),
            VOCABULARY=vocabulary, K=width, BLOCK=_columns(width), ROWS=VOCABULARY_ROWS,
            GROUP=_group(net.head), KEEP=state.logits is not None, num_warps=WARPS, **self._launch,
        )  # fmt: skip
        kernels.take_best[(1,)](
            state.token, state.position, state.written, self._best, self._which, len(self._best),
            BLOCK=triton.next_power_of_2(len(self._best)), num_warps=16, **self._launch,
        )  # fmt: skip


def _row(count: int, device: torch.device) -> Tensor:
    return torch.empty(count, device=device, dtype=torch.float32)


def _columns(count: int) -> int:
    return int(min(COLUMNS, triton.next_power_of_2(count // 2)))


def _weights(weight: Any) -> tuple[Tensor, Tensor]:
    """(weights, scales) for the kernels; the weights twice if there are no scales."""
    return (weight.codes, weight.scales) if isinstance(weight, Int4Weights) else (weight, weight)


def _group(weight: Any) -> int:
    return weight.group if isinstance(weight, Int4Weights) else 0
