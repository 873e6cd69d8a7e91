"""`Steps` on a graphics card, in Triton's kernels: two, five a layer, and two for the choice.

Rows stay in fp32 from the embedding to the logits; the cache is Qwen2's own, so that prompts are read by
torch. Sizes of blocks were tried out on an H100 (see experiments/results/fastvlm.md).
"""

from typing import Any

import torch
import triton
from torch import Tensor

from models.fastvlm.torch import triton_kernels as kernels
from models.fastvlm.torch.int4_weights import Int4Weights
from models.fastvlm.torch.qwen2 import Qwen2
from models.fastvlm.torch.steps import State

COLUMNS = 1024  # read at once, of each half of a row
SLOTS = 512  # of the cache
PAIRS = 4  # rows a program, of queries and keys; as many again are turned with them
GATE_PAIRS = 8
ROWS = 4
WORDS = 16
WARPS = 4
HEADS_WARPS = 16
HOPPER = (9, 0)  # from here on a kernel may start before the one before it has ended


class TritonSteps:
    """See models.fastvlm.torch.steps.Steps."""

    def __init__(self, net: Qwen2, state: State) -> None:
        self._net, self._state = net, state
        width, device = net.words.shape[1], net.words.device
        self._x, self._seen = _row(width, device), _row(net.queries * net.size, device)
        self._queries, self._inner = torch.empty_like(self._seen), _row(net.inner, device)
        programs = triton.cdiv(len(net.words), WORDS)
        self._best = _row(programs, device)
        self._which = torch.empty(programs, device=device, dtype=torch.int32)
        self._early: dict[str, Any] = {"PDL": False}
        if device.type == "cuda" and torch.cuda.get_device_capability(device) >= HOPPER:
            self._early = {"PDL": True, "launch_pdl": True}

    def choose(self, row: Tensor) -> None:
        """See Steps."""
        self._x.copy_(row[0])
        self._choose()

    def step(self, span: int) -> None:
        """See Steps."""
        net = self._net
        width = len(self._x)
        kernels.embed[(1,)](
            self._x, net.words, self._state.token, WIDTH=width,
            BLOCK=triton.next_power_of_2(width), **self._early,
        )  # fmt: skip
        for layer, cache in zip(net.layers, net.cache, strict=True):
            self._attend(layer, cache, span)
            self._add(self._seen, layer.out)
            kernels.gate[(triton.cdiv(net.inner, GATE_PAIRS),)](
                self._inner, self._x, layer.between, net.epsilon, *_weights(layer.gate_up),
                INNER=net.inner, K=width, BLOCK=_columns(width), PAIRS=GATE_PAIRS,
                GROUP=_group(layer.gate_up), num_warps=WARPS, **self._early,
            )  # fmt: skip
            self._add(self._inner, layer.down)
        self._choose()

    def _attend(self, layer: Any, cache: Tensor, span: int) -> None:
        net, state = self._net, self._state
        width = len(self._x)
        shape: dict[str, Any] = {"KEYS": net.keys, "SIZE": net.size}
        turning = (net.queries + 2 * net.keys) * net.size // 2
        kernels.attention_inputs[(triton.cdiv(turning, PAIRS),)](
            self._queries, cache, self._x, layer.before, net.epsilon, *_weights(layer.qkv), layer.bias,
            *net.turns, state.place, net.slots, HEADS=net.queries, K=width, BLOCK=_columns(width),
            PAIRS=PAIRS, GROUP=_group(layer.qkv), num_warps=WARPS, **shape, **self._early,
        )  # fmt: skip
        kernels.attend[(net.queries,)](
            self._seen, self._queries, cache, state.place, net.slots, net.size**-0.5, span,
            SHARED=net.queries // net.keys, BLOCK=min(SLOTS, triton.next_power_of_2(span)),
            num_warps=HEADS_WARPS, **shape, **self._early,
        )  # fmt: skip

    def _add(self, inputs: Tensor, weight: Any) -> None:
        width, count = len(self._x), len(inputs)
        kernels.add_product[(triton.cdiv(width, ROWS),)](
            self._x, inputs, *_weights(weight), WIDTH=width, K=count, BLOCK=_columns(count),
            ROWS=ROWS, GROUP=_group(weight), num_warps=WARPS, **self._early,
        )  # fmt: skip

    def _choose(self) -> None:
        net, state = self._net, self._state
        width, words = len(self._x), len(net.words)
        kept = state.logits if state.logits is not None else self._best
        kernels.score_words[(len(self._best),)](
            kept, self._best, self._which, self._x, net.norm, net.epsilon, *_weights(net.head),
            WORDS=words, K=width, BLOCK=_columns(width), ROWS=WORDS, GROUP=_group(net.head),
            KEEP=state.logits is not None, num_warps=WARPS, **self._early,
        )  # fmt: skip
        kernels.take_best[(1,)](
            state.token, state.place, state.written, self._best, self._which, len(self._best),
            BLOCK=triton.next_power_of_2(len(self._best)), num_warps=16, **self._early,
        )  # fmt: skip


def _row(count: int, device: torch.device) -> Tensor:
    return torch.empty(count, device=device, dtype=torch.float32)


def _columns(count: int) -> int:
    return int(min(COLUMNS, triton.next_power_of_2(count // 2)))


def _weights(weight: Any) -> tuple[Tensor, Tensor]:
    """What the kernels take: the weight twice where there are no scales."""
    return (weight.codes, weight.scales) if isinstance(weight, Int4Weights) else (weight, weight)


def _group(weight: Any) -> int:
    return weight.group if isinstance(weight, Int4Weights) else 0
