"""Builds the ONNX graph of FastVLM's language model, Qwen2 (Yang et al. 2024), node by node.

`export/onnx.py`, `export_decoder`, lists its inputs and outputs.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from models.fastvlm.onnx.graph import CONTRIB, Graph

# The output projection keeps 8 bits even if the other matrices have 4: an error there changes the
# chosen token directly, and it is only one of 169 products (24 layers).
LOGIT_BITS = 8


class Qwen2Graph:
    """Writes transformers' Qwen2 in `model` into `graph`."""

    def __init__(self, model: Any, graph: Graph) -> None:
        text = model.config.text_config
        self.graph = graph
        self.text = text
        self.image_id = int(model.config.image_token_id)
        self.tied = bool(text.tie_word_embeddings)
        self.state = model.model.language_model.state_dict()
        self.words = model.lm_head.weight
        self.heads = int(text.num_attention_heads)
        self.kv_heads = int(text.num_key_value_heads)
        self.head_size = (
            int(self.state["layers.0.self_attn.k_proj.weight"].shape[0]) // self.kv_heads
        )

    def write(self) -> None:
        """Write the whole graph. Call it once."""
        graph, width = self.graph, int(self.text.hidden_size)
        layers = range(int(self.text.num_hidden_layers))
        x, table = self._embedded()
        lengths = self._lengths()
        delta = ""  # output of the last attention or MLP block, to be added to x
        for layer in layers:
            normed, x = self._norm(x, delta, f"layers.{layer}.input_layernorm")
            delta = self._attention(normed, layer, lengths)
            normed, x = self._norm(x, delta, f"layers.{layer}.post_attention_layernorm")
            delta = self._mlp(normed, layer)
        normed, _ = self._norm(x, delta, "norm")
        last = graph.weight("last", np.array(-1))
        self._logits(graph.node("Gather", normed, last, name="last_row", axis=1), table)
        cache = [f"{layer}.{kind}" for layer in layers for kind in ("key", "value")]
        int64, float32 = TensorProto.INT64, TensorProto.FLOAT
        graph.save(
            [
                helper.make_tensor_value_info("input_ids", int64, [1, "n"]),
                helper.make_tensor_value_info("image_features", float32, ["rows", width]),
                helper.make_tensor_value_info("attention_mask", int64, [1, "total"]),
                *(self._cache(f"past_key_values.{name}", "past") for name in cache),
            ],
            [
                helper.make_tensor_value_info("logits", float32, [1, self.words.shape[0]]),
                helper.make_tensor_value_info("next_ids", int64, [1, 1]),
                *(self._cache(f"present.{name}", "present") for name in cache),
            ],
        )

    def _cache(self, name: str, length: str) -> Any:
        shape = [1, self.kv_heads, length, self.head_size]
        return helper.make_tensor_value_info(name, self.graph.type, shape)

    def _array(self, name: str) -> NDArray[np.float32]:
        array: NDArray[np.float32] = self.state[name].detach().float().numpy()
        return array

    def _embedded(self) -> tuple[str, str]:
        """(embeddings (1, n, width) with the image tokens' replaced by features, embedding
        table)."""
        graph = self.graph
        words = self._array("embed_tokens.weight")
        if graph.bits is not None:  # the table is only a lookup: fp16 loses almost nothing
            words = words.astype(np.float16)
        table = graph.weight("embed_tokens.weight", words, keep=graph.bits is not None)
        rows = graph.node("Gather", table, "input_ids", name="words.rows")
        embedded = graph.node("Cast", rows, name="words", to=graph.type)
        image = graph.weight("image.id", np.array(self.image_id))
        is_image = graph.node("Equal", "input_ids", image, name="image.is")
        ones = graph.node("Cast", is_image, name="image.ones", to=TensorProto.INT64)
        count = graph.node(
            "CumSum", ones, graph.weight("image.axis", np.array(1)), name="image.count"
        )
        one = graph.weight("image.one", np.array(1))
        place = graph.node("Sub", count, one, name="image.place")
        first = graph.node("Max", place, graph.weight("image.zero", np.array(0)), name="image.row")
        features = graph.node("Gather", "image_features", first, name="image.features")
        cast = graph.node("Cast", features, name="image.rows", to=graph.type)
        width = graph.weight("image.width", np.array([-1]))
        mask = graph.node("Unsqueeze", is_image, width, name="image.mask")
        return graph.node("Where", mask, cast, embedded, name="embedded"), table

    def _lengths(self) -> tuple[str, ...]:
        """(last position (1,), number of tokens (), cosines, sines), as GroupQueryAttention takes
        them."""
        graph = self.graph
        axis = graph.weight("mask.axis", np.array([1]))
        total = graph.node("ReduceSum", "attention_mask", axis, name="mask.sum", keepdims=0)
        last = graph.node("Sub", total, graph.weight("mask.one", np.array(1)), name="mask.last")
        shape = graph.node("Shape", "attention_mask", name="mask.shape")
        count = graph.node(
            "Gather", shape, graph.weight("mask.second", np.array(1)), name="mask.size"
        )
        # Rotary position embedding (Su et al. 2021): each pair of a head has its own frequency.
        theta = float(self.text.rope_parameters["rope_theta"])
        frequencies = theta ** -(np.arange(0, self.head_size, 2) / self.head_size)
        angles = np.outer(np.arange(self.text.max_position_embeddings), frequencies)
        return (
            graph.node("Cast", last, name="position.last", to=TensorProto.INT32),
            graph.node("Cast", count, name="position.count", to=TensorProto.INT32),
            graph.weight("cosines", np.cos(angles)),
            graph.weight("sines", np.sin(angles)),
        )

    def _norm(self, x: str, delta: str, name: str) -> tuple[str, str]:
        """(RMS norm of x + delta, x + delta)."""
        graph, epsilon = self.graph, float(self.text.rms_norm_eps)
        scale = graph.weight(f"{name}.weight", self._array(f"{name}.weight"))
        if not delta:
            normed = graph.node(
                "SimplifiedLayerNormalization", x, scale, name=name, axis=-1, epsilon=epsilon
            )
            return normed, x
        graph.nodes(
            "SkipSimplifiedLayerNormalization",
            (x, delta, scale),
            (name, "", "", f"{name}.sum"),
            name,
            CONTRIB,
            epsilon=epsilon,
        )
        return name, f"{name}.sum"

    def _attention(self, x: str, layer: int, lengths: tuple[str, ...]) -> str:
        graph, prefix = self.graph, f"layers.{layer}.self_attn"
        parts = [f"{prefix}.{part}_proj" for part in "qkv"]
        qkv = graph.linear(
            x,
            f"{prefix}.qkv_proj",
            np.concatenate([self._array(f"{part}.weight") for part in parts]),
            np.concatenate([self._array(f"{part}.bias") for part in parts]),
        )
        past = f"past_key_values.{layer}.key", f"past_key_values.{layer}.value"
        graph.nodes(
            "GroupQueryAttention",
            (qkv, "", "", *past, *lengths),
            (prefix, f"present.{layer}.key", f"present.{layer}.value"),
            prefix,
            CONTRIB,
            num_heads=self.heads,
            kv_num_heads=self.kv_heads,
            scale=1 / math.sqrt(self.head_size),
            do_rotary=1,
        )
        return graph.linear(prefix, f"{prefix}.o_proj", self._array(f"{prefix}.o_proj.weight"))

    def _mlp(self, x: str, layer: int) -> str:
        graph, prefix = self.graph, f"layers.{layer}.mlp"
        gate, up, down = (f"{prefix}.{part}_proj" for part in ("gate", "up", "down"))
        gated = graph.linear(x, gate, self._array(f"{gate}.weight"))
        sigmoid = graph.node("Sigmoid", gated, name=f"{gate}.sigmoid")
        silu = graph.node("Mul", gated, sigmoid, name=f"{gate}.silu")
        raised = graph.linear(x, up, self._array(f"{up}.weight"))
        both = graph.node("Mul", silu, raised, name=f"{prefix}.both")
        return graph.linear(both, down, self._array(f"{down}.weight"))

    def _logits(self, last: str, table: str) -> None:
        """Write `logits` and `next_ids` from the last hidden row (1, width)."""
        graph = self.graph
        words = self.words.detach().float().numpy()
        if graph.bits is not None:
            scores = graph.linear(last, "lm_head", words, bits=LOGIT_BITS)
        else:
            if not self.tied:
                table = graph.weight("lm_head.weight", words)
            scores = graph.node("Gemm", last, table, name="lm_head", transB=1)
        graph.node("Cast", scores, name="logits", to=TensorProto.FLOAT)
        graph.node("ArgMax", "logits", name="next_ids", axis=1, keepdims=1)
