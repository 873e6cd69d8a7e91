"""Qwen2's network over a static key-value cache, in few kernels: what one captured graph replays.

Takes its weights from transformers' model, joined so that a layer multiplies four times and not seven;
the model goes on using the same memory. Every shape is fixed by the caller, nothing is read back, and
the same lines run uncaptured on a CPU. Knows nothing of images, tokens' meaning or streams.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class Qwen2:
    """`slots` is the length of the cache. For one sequence, so there is no batch dimension.

    Takes transformers' language model and head, on their device and in their precision. Raises
    ValueError for a variant of Qwen2 that this is not.
    """

    def __init__(self, language: Any, head: Any, slots: int) -> None:
        config = language.config
        if set(config.layer_types) != {"full_attention"} or config.hidden_act != "silu":
            raise ValueError("expected a Qwen2 with full attention and silu")
        self.slots = slots
        self.words: Tensor = language.embed_tokens.weight  # (words, width)
        self._head: Tensor = head.weight
        self._norm: Tensor = language.norm.weight
        self._epsilon = float(config.rms_norm_eps)
        self._queries = int(config.num_attention_heads)
        self._keys = int(config.num_key_value_heads)
        self._layers = [_Layer(layer) for layer in language.layers]
        device, dtype = self.words.device, self.words.dtype
        self._inner = int(language.layers[0].mlp.down_proj.weight.shape[1])
        places = torch.arange(slots, device=device)
        cos, sin = language.rotary_emb(
            torch.zeros(1, device=device), places[None]
        )  # (1, slots, size)
        self._size = int(cos.shape[-1])  # of a head
        sin[..., : self._size // 2].neg_()  # so that turning is x cos + swapped x sin
        # Values are in one block with queries and keys, and turn by nothing.
        self._cos = torch.stack([cos[0], torch.ones_like(cos[0])], 1).to(dtype)  # (slots, 2, size)
        self._sin = torch.stack([sin[0], torch.zeros_like(sin[0])], 1).to(dtype)
        self._turns = torch.tensor(
            [0] * (self._queries + self._keys) + [1] * self._keys, device=device
        )
        self._places = places
        self._cache = torch.zeros(
            (len(self._layers), 2 * self._keys, slots, self._size), device=device, dtype=dtype
        )  # of each layer the keys, then the values

    def read(self, x: Tensor) -> Tensor:
        """Hidden rows (n, width) of the embedded prompt x (n, width), which fills the first n slots.
        x is overwritten. Rows behind the prompt's end change nothing before them."""
        return self._run(x, self._places[: len(x)], 0, None)

    def step(self, x: Tensor, place: Tensor, span: int) -> Tensor:
        """The hidden row (1, width) of one embedded token x (1, width) at slot `place` (1,), which
        sees all slots up to its own; these must lie within the first `span`. x is overwritten."""
        unseen = self._places[:span] > place
        mask = torch.zeros(1, span, device=x.device, dtype=x.dtype)
        return self._run(x, place, span, mask.masked_fill_(unseen, float("-inf")))

    def logits(self, x: Tensor) -> Tensor:
        """(n, words) of hidden rows (n, width)."""
        return F.linear(self._normed(x, self._norm), self._head)

    def clear(self, first: int, last: int) -> None:
        """Forget what the slots from `first` to before `last` hold. Unseen slots weigh nothing, but
        what overflowed there would spread all the same."""
        self._cache[:, :, first:last].zero_()

    def _run(self, x: Tensor, places: Tensor, span: int, mask: Tensor | None) -> Tensor:
        cos = self._cos[places][:, self._turns]  # (n, heads, size)
        sin = self._sin[places][:, self._turns]
        rows = len(x)
        for layer, cache in zip(self._layers, self._cache, strict=True):
            heads = F.linear(self._normed(x, layer.before), layer.qkv, layer.bias)
            heads = heads.view(rows, -1, self._size)
            heads = torch.addcmul(heads * cos, heads.roll(self._size // 2, -1), sin)
            queries, fresh = heads.split([self._queries, 2 * self._keys], 1)
            cache.index_copy_(1, places, fresh.transpose(0, 1))
            seen = fresh.transpose(0, 1) if mask is None else cache[:, :span]
            x.addmm_(self._attend(queries, seen, mask), layer.out.t())
            gate, up = F.linear(self._normed(x, layer.between), layer.gate_up).split(self._inner, 1)
            x.addmm_(F.silu(gate) * up, layer.down.t())
        return x

    def _attend(self, queries: Tensor, seen: Tensor, mask: Tensor | None) -> Tensor:
        """(n, queries * size). Several queries share a key, which is never repeated in memory."""
        rows = len(queries)
        shared = self._queries // self._keys
        keys, values = seen.split(self._keys)  # (keys, slots, size) each
        if mask is not None:
            # One row: two small products took 10 microseconds a layer less than the attention kernel
            # that torch has for a mask (H100, by its profiler).
            q = queries.reshape(self._keys, shared, self._size)
            scores = torch.baddbmm(
                mask.expand(self._keys, shared, -1), q, keys.transpose(1, 2), alpha=self._size**-0.5
            )
            return torch.bmm(torch.softmax(scores, -1), values).view(rows, -1)
        q = queries.view(rows, self._keys, shared, self._size).permute(1, 2, 0, 3)
        k, v = (part[:, None].expand(-1, shared, -1, -1) for part in (keys, values))
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return out.permute(2, 0, 1, 3).reshape(rows, -1)

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), weight, self._epsilon)


class _Layer:
    """One layer's tensors, joined where they multiply the same input."""

    def __init__(self, layer: Any) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        inputs = (attention.q_proj, attention.k_proj, attention.v_proj)
        self.qkv = joined([part.weight for part in inputs])
        self.bias = joined([part.bias for part in inputs])
        self.out: Tensor = attention.o_proj.weight
        self.gate_up = joined([mlp.gate_proj.weight, mlp.up_proj.weight])
        self.down: Tensor = mlp.down_proj.weight
        self.before: Tensor = layer.input_layernorm.weight
        self.between: Tensor = layer.post_attention_layernorm.weight


def joined(parameters: list[Any]) -> Tensor:
    """One tensor of all rows, in which the parameters then live: nothing is held twice."""
    whole = torch.cat([parameter.data for parameter in parameters])
    first = 0
    for parameter in parameters:
        parameter.data = whole[first : first + len(parameter)]
        first += len(parameter)
    return whole
