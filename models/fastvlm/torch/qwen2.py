"""Qwen2's network over a static key-value cache, in few kernels: what one captured graph replays.

Takes its weights from transformers' model, joined so that a layer multiplies four times and not seven;
the model goes on using the same memory, or loses its weights where they are rounded to 4 bits. Every
shape is fixed by the caller, nothing is read back, and the same lines run uncaptured on a CPU. Knows
nothing of images, tokens' meaning or streams.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, cast

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from models.fastvlm.torch.int4_weights import Int4Weights

    Weight: TypeAlias = Tensor | Int4Weights


class Qwen2:
    """`slots` is the length of the cache. For one sequence, so there is no batch dimension.

    Takes transformers' language model and head, to `device` and in `dtype`; with `four_bits` all weights
    but the embeddings are rounded. Raises ValueError for a variant of Qwen2 that this is not.
    """

    def __init__(
        self,
        language: Any,
        head: Any,
        slots: int,
        device: str,
        dtype: torch.dtype,
        four_bits: bool = False,
    ) -> None:
        config = language.config
        if set(config.layer_types) != {"full_attention"} or config.hidden_act != "silu":
            raise ValueError("expected a Qwen2 with full attention and silu")
        self.slots = slots
        layers = (
            language.layers
        )  # moved one by one: rounded, all of them have room where halves had not
        self.words: Tensor = language.embed_tokens.to(device, dtype).weight.data  # (words, width)
        self.head: Weight = _weight([head.to(device, dtype).weight], four_bits)
        self.norm: Tensor = language.norm.to(device, dtype).weight
        self.epsilon = float(config.rms_norm_eps)
        self.queries = int(config.num_attention_heads)
        self.keys = int(config.num_key_value_heads)
        self.inner = int(layers[0].mlp.down_proj.weight.shape[1])
        self.layers = [_Layer(layer.to(device, dtype), four_bits) for layer in layers]
        places = torch.arange(slots, device=device)
        rotary = language.rotary_emb.to(device)
        cos, sin = rotary(torch.zeros(1, device=device), places[None])  # (1, slots, size)
        self.size = int(cos.shape[-1])  # of a head
        # one half, as the other turns alike; in fp32
        self.turns = tuple(each[0, :, : self.size // 2].contiguous() for each in (cos, sin))
        sin[..., : self.size // 2].neg_()  # so that turning is x cos + swapped x sin
        # Values are in one block with queries and keys, and turn by nothing.
        self._cos = torch.stack([cos[0], torch.ones_like(cos[0])], 1).to(dtype)  # (slots, 2, size)
        self._sin = torch.stack([sin[0], torch.zeros_like(sin[0])], 1).to(dtype)
        self._kinds = torch.tensor(
            [0] * (self.queries + self.keys) + [1] * self.keys, device=device
        )
        self._places = places
        self.cache = torch.zeros(
            (len(self.layers), 2 * self.keys, slots, self.size), device=device, dtype=dtype
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
        """(n, words) of hidden rows (n, width), by weights that are not rounded."""
        return F.linear(self._normed(x, self.norm), cast(Tensor, self.head))

    def clear(self, first: int, last: int) -> None:
        """Forget what the slots from `first` to before `last` hold. Unseen slots weigh nothing, but
        what overflowed there would spread all the same."""
        self.cache[:, :, first:last].zero_()

    def _run(self, x: Tensor, places: Tensor, span: int, mask: Tensor | None) -> Tensor:
        cos = self._cos[places][:, self._kinds]  # (n, heads, size)
        sin = self._sin[places][:, self._kinds]
        rows = len(x)
        for layer, cache in zip(self.layers, self.cache, strict=True):
            heads = F.linear(self._normed(x, layer.before), _whole(layer.qkv), layer.bias)
            heads = heads.view(rows, -1, self.size)
            heads = torch.addcmul(heads * cos, heads.roll(self.size // 2, -1), sin)
            queries, fresh = heads.split([self.queries, 2 * self.keys], 1)
            cache.index_copy_(1, places, fresh.transpose(0, 1))
            seen = fresh.transpose(0, 1) if mask is None else cache[:, :span]
            x.addmm_(self._attend(queries, seen, mask), _whole(layer.out).t())
            both = F.linear(self._normed(x, layer.between), _whole(layer.gate_up))
            gate, up = both.split(self.inner, 1)
            x.addmm_(F.silu(gate) * up, _whole(layer.down).t())
        return x

    def _attend(self, queries: Tensor, seen: Tensor, mask: Tensor | None) -> Tensor:
        """(n, queries * size). Several queries share a key, which is never repeated in memory."""
        rows = len(queries)
        shared = self.queries // self.keys
        keys, values = seen.split(self.keys)  # (keys, slots, size) each
        if mask is not None:
            # One row: two small products took 10 microseconds a layer less than the attention kernel
            # that torch has for a mask (H100, by its profiler).
            q = queries.reshape(self.keys, shared, self.size)
            scores = torch.baddbmm(
                mask.expand(self.keys, shared, -1), q, keys.transpose(1, 2), alpha=self.size**-0.5
            )
            return torch.bmm(torch.softmax(scores, -1), values).view(rows, -1)
        q = queries.view(rows, self.keys, shared, self.size).permute(1, 2, 0, 3)
        k, v = (part[:, None].expand(-1, shared, -1, -1) for part in (keys, values))
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return out.permute(2, 0, 1, 3).reshape(rows, -1)

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), weight, self.epsilon)


class _Layer:
    """One layer's tensors, joined where they multiply the same input."""

    def __init__(self, layer: Any, four_bits: bool) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        inputs = (attention.q_proj, attention.k_proj, attention.v_proj)
        self.qkv = _weight([part.weight for part in inputs], four_bits)
        self.bias = joined([part.bias for part in inputs])
        self.out = _weight([attention.o_proj.weight], four_bits)
        self.gate_up = _weight([mlp.gate_proj.weight, mlp.up_proj.weight], four_bits)
        self.down = _weight([mlp.down_proj.weight], four_bits)
        self.before: Tensor = layer.input_layernorm.weight
        self.between: Tensor = layer.post_attention_layernorm.weight


def joined(parameters: list[Any]) -> Tensor:
    """One tensor of all rows, in which the parameters then live: nothing is held twice."""
    if len(parameters) == 1:
        return parameters[0].data
    whole = torch.cat([parameter.data for parameter in parameters])
    first = 0
    for parameter in parameters:
        parameter.data = whole[first : first + len(parameter)]
        first += len(parameter)
    return whole


def _weight(parameters: list[Any], four_bits: bool) -> Weight:
    """All rows as one weight; in 4 bits the parameters are left empty, if nothing else needs them."""
    whole = joined(parameters)
    if not four_bits:
        return cast(Tensor, whole)
    from models.fastvlm.torch.int4_weights import Int4Weights  # needs Triton

    for parameter in parameters:
        parameter.data = whole.new_empty(0)
    return Int4Weights(whole)


def _whole(weight: Weight) -> Tensor:
    return weight if isinstance(weight, Tensor) else weight.whole()
