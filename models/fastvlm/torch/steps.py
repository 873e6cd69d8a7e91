"""One step of writing, on the device: from the last token to the next, with nothing read back.

`Steps` is what torch_parts.py runs or captures. Here it is in torch's own operations, for any device;
triton_steps.py has it for a graphics card.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from models.fastvlm.torch.qwen2 import Qwen2


@dataclass(frozen=True)
class State:
    """Where writing has come to: the last known token (1,) and its place (1,), all tokens `written`
    (slots,) by place, int64; and the `logits` (1, words) that it was chosen by, where they are kept for a
    choice that the device cannot make."""

    token: Tensor
    place: Tensor
    written: Tensor
    logits: Tensor | None

    @classmethod
    def new(cls, net: Qwen2, *, keep_logits: bool) -> "State":
        device = net.words.device
        one, words = torch.zeros(1, device=device, dtype=torch.int64), len(net.words)
        logits = torch.zeros((1, words), device=device, dtype=net.words.dtype)
        return cls(one, one.clone(), one.repeat(net.slots), logits if keep_logits else None)


class Steps(Protocol):
    """Both take and leave everything in the State and the network's cache."""

    def choose(self, row: Tensor) -> None:
        """The largest logit of the hidden row (1, width) becomes the token at the next place."""

    def step(self, span: int) -> None:
        """Read the token, at its place among the first `span` slots, and choose the next."""


class TorchSteps:
    """`Steps` in torch's operations."""

    def __init__(self, net: Qwen2, state: State) -> None:
        self._net, self._state = net, state

    def choose(self, row: Tensor) -> None:
        """See Steps."""
        state, logits = self._state, self._net.logits(row)
        if state.logits is not None:
            state.logits.copy_(logits)
        torch.argmax(logits, -1, out=state.token)
        state.place.add_(1)
        state.written.index_copy_(0, state.place, state.token)

    def step(self, span: int) -> None:
        """See Steps."""
        x = self._net.words.index_select(0, self._state.token)
        self.choose(self._net.step(x, self._state.place, span))
