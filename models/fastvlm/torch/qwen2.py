"""Qwen2 with a static key-value cache and few kernels, so that it can be captured into CUDA graphs.

Takes its weights from transformers' model and concatenates them, so that a layer has four products
instead of seven. The model shares the concatenated memory, or loses its weights if they are
quantized to 4 bits. All shapes are fixed by the caller and nothing is read back to the host; on a
CPU the same code runs uncaptured. Knows nothing of images, text or streams.
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
    """Qwen2 for one sequence (no batch dimension), with a cache for `slots` tokens.

    Moves transformers' language model and head to `device` and `dtype`; with `int4`, all weights
    but the embeddings are quantized. Raises ValueError for an unsupported variant of Qwen2.
    """

    def __init__(
        self,
        language: Any,
        head: Any,
        slots: int,
        device: str,
        dtype: torch.dtype,
        int4: bool = False,
    ) -> None:
        config = language.config
        if set(config.layer_types) != {"full_attention"} or config.hidden_act != "silu":
            raise ValueError("expected a Qwen2 with full attention and silu")
        self.slots = slots
        # Layers are moved one by one: all fit quantized on a GPU that may not hold them in fp16.
        layers = language.layers
        self.embeddings: Tensor = language.embed_tokens.to(
            device, dtype
        ).weight.data  # (vocabulary, width)
        self.head: Weight = _weight([head.to(device, dtype).weight], int4)
        self.norm: Tensor = language.norm.to(device, dtype).weight
        self.epsilon = float(config.rms_norm_eps)
        self.queries = int(config.num_attention_heads)
        self.keys = int(config.num_key_value_heads)
        self.inner = int(layers[0].mlp.down_proj.weight.shape[1])
        self.layers = [_Layer(layer.to(device, dtype), int4) for layer in layers]
        positions = torch.arange(slots, device=device)
        rotary = language.rotary_emb.to(device)
        cos, sin = rotary(torch.zeros(1, device=device), positions[None])  # (1, slots, size)
        self.size = int(cos.shape[-1])  # of a head
        # (cos, sin) of the first half of a head, in fp32; the second half has the same angles
        self.rotations = tuple(each[0, :, : self.size // 2].contiguous() for each in (cos, sin))
        sin[..., : self.size // 2].neg_()  # so that the rotation is x cos + swapped x sin
        # Queries, keys and values are one block; values are rotated by zero.
        self._cos = torch.stack([cos[0], torch.ones_like(cos[0])], 1).to(dtype)  # (slots, 2, size)
        self._sin = torch.stack([sin[0], torch.zeros_like(sin[0])], 1).to(dtype)
        self._is_value = torch.tensor(
            [0] * (self.queries + self.keys) + [1] * self.keys, device=device
        )
        self._positions = positions
        self.cache = torch.zeros(
            (len(self.layers), 2 * self.keys, slots, self.size), device=device, dtype=dtype
        )  # for each layer the keys, then the values

    def read(self, x: Tensor) -> Tensor:
        """Hidden rows (n, width) of the embedded prompt x (n, width), which fills the first n
        slots. x is overwritten. Padding after the prompt's end does not affect the rows before
        it."""
        return self._run(x, self._positions[: len(x)], 0, None)

    def step(self, x: Tensor, position: Tensor, span: int) -> Tensor:
        """The hidden row (1, width) of one embedded token x (1, width) at slot `position` (1,). It
        attends to all slots up to its own, which must be among the first `span`. x is
        overwritten."""
        later = self._positions[:span] > position
        mask = torch.zeros(1, span, device=x.device, dtype=x.dtype)
        return self._run(x, position, span, mask.masked_fill_(later, float("-inf")))

    def logits(self, x: Tensor) -> Tensor:
        """(n, vocabulary) of hidden rows (n, width); for weights that are not quantized."""
        return F.linear(self._normed(x, self.norm), cast(Tensor, self.head))

    def clear(self, first: int, end: int) -> None:
        """Zero the slots from `first` to before `end`. Masked slots have weight zero, but an
        infinity or NaN in them would still spread."""
        self.cache[:, :, first:end].zero_()

    def _run(self, x: Tensor, positions: Tensor, span: int, mask: Tensor | None) -> Tensor:
        cos = self._cos[positions][:, self._is_value]  # (n, heads, size)
        sin = self._sin[positions][:, self._is_value]
        rows = len(x)
        for layer, cache in zip(self.layers, self.cache, strict=True):
            heads = F.linear(self._normed(x, layer.attention_norm), _matrix(layer.qkv), layer.bias)
            heads = heads.view(rows, -1, self.size)
            heads = torch.addcmul(heads * cos, heads.roll(self.size // 2, -1), sin)
            queries, fresh = heads.split([self.queries, 2 * self.keys], 1)
            cache.index_copy_(1, positions, fresh.transpose(0, 1))
            seen = fresh.transpose(0, 1) if mask is None else cache[:, :span]
            x.addmm_(self._attend(queries, seen, mask), _matrix(layer.out).t())
            gate_up = F.linear(self._normed(x, layer.mlp_norm), _matrix(layer.gate_up))
            gate, up = gate_up.split(self.inner, 1)
            x.addmm_(F.silu(gate) * up, _matrix(layer.down).t())
        return x

    def _attend(self, queries: Tensor, seen: Tensor, mask: Tensor | None) -> Tensor:
        """(n, queries * size). Grouped-query attention, without copies of the shared keys."""
        rows = len(queries)
        shared = self.queries // self.keys
        keys, values = seen.split(self.keys)  # (keys, slots, size) each
        if mask is not None:
            # One row: two small products took 10 microseconds per layer less than torch's attention
            # kernel with a mask (H100, torch's profiler).
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
    """One layer's tensors, concatenated where they multiply the same input."""

    def __init__(self, layer: Any, int4: bool) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        inputs = (attention.q_proj, attention.k_proj, attention.v_proj)
        self.qkv = _weight([part.weight for part in inputs], int4)
        self.bias = concatenated([part.bias for part in inputs])
        self.out = _weight([attention.o_proj.weight], int4)
        self.gate_up = _weight([mlp.gate_proj.weight, mlp.up_proj.weight], int4)
        self.down = _weight([mlp.down_proj.weight], int4)
        self.attention_norm: Tensor = layer.input_layernorm.weight
        self.mlp_norm: Tensor = layer.post_attention_layernorm.weight


def concatenated(parameters: list[Any]) -> Tensor:
    """One tensor of all rows. The parameters become views of it, so that nothing is held twice."""
    if len(parameters) == 1:
        return parameters[0].data
    whole = torch.cat([parameter.data for parameter in parameters])
    first = 0
    for parameter in parameters:
        parameter.data = whole[first : first + len(parameter)]
        first += len(parameter)
    return whole


def _weight(parameters: list[Any], int4: bool) -> Weight:
    """All rows as one weight. In 4 bits, the parameters are emptied to free their memory."""
    whole = concatenated(parameters)
    if not int4:
        return cast(Tensor, whole)
    from models.fastvlm.torch.int4_weights import Int4Weights  # needs Triton

    for parameter in parameters:
        parameter.data = whole.new_empty(0)
    return Int4Weights(whole)


def _matrix(weight: Weight) -> Tensor:
    return weight if isinstance(weight, Tensor) else weight.dequantized()
