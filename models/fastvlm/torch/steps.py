"""One decoding step on the device: from the last token to the next, with nothing read back to the
host.

`runtime.py` runs or captures it. `TorchSteps` uses torch's operations and runs on any device;
`triton_steps.py` is for NVIDIA GPUs.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from models.fastvlm.torch.qwen2 import Qwen2


@dataclass(frozen=True)
class DecodingState:
    """The state of generation, on the device."""

    token: Tensor  # (1,) int64: the last token
    position: Tensor  # (1,) int64: its slot in the cache
    written: Tensor  # (slots,) int64: all tokens by position
    logits: Tensor | None  # (1, vocabulary): kept if the host chooses the token

    @classmethod
    def new(cls, net: Qwen2, *, keep_logits: bool) -> "DecodingState":
        device = net.embeddings.device
        one, vocabulary = torch.zeros(1, device=device, dtype=torch.int64), len(net.embeddings)
        logits = torch.zeros((1, vocabulary), device=device, dtype=net.embeddings.dtype)
        return cls(one, one.clone(), one.repeat(net.slots), logits if keep_logits else None)


class DecodeSteps(Protocol):
    """The operations of a step. Both read and update only the DecodingState and the network's
    cache."""

    def choose(self, row: Tensor) -> None:
        """Make the argmax of the logits of the hidden row (1, width) the token at the next
        position."""

    def step(self, span: int) -> None:
        """Run the network on the token and choose the next; `span` slots of the cache are in
        use."""


class TorchSteps:
    """DecodeSteps with torch's operations."""

    def __init__(self, net: Qwen2, state: DecodingState) -> None:
        self._net, self._state = net, state

    def choose(self, row: Tensor) -> None:
        """See DecodeSteps."""
        state, logits = self._state, self._net.logits(row)
        if state.logits is not None:
            state.logits.copy_(logits)
        torch.argmax(logits, -1, out=state.token)
        state.position.add_(1)
        state.written.index_copy_(0, state.position, state.token)

    def step(self, span: int) -> None:
        """See DecodeSteps."""
        x = self._net.embeddings.index_select(0, self._state.token)
        self.choose(self._net.step(x, self._state.position, span))
