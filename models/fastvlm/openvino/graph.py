"""Builds an OpenVINO graph of FastVLM's language model (Qwen2), with the key-value cache as its
state.

Built operation by operation from the weights. Nothing is traced, so it does not depend on the
release of torch or transformers; and each operation has the form that OpenVINO's CPU plugin fuses:
rotary embedding, norm, attention with its cache, products with compressed weights.

    ids       (1, T) int64     features (N, width)        one row for each image token of `ids`
    cos, sin  (1, 1, T, head)  mask     (1, 1, T, seen)   added to the attention scores
    beam      (1,) int32, 0    logits   (1, vocabulary)   of the last row only
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.fastvlm.openvino.weights import weight_constant

END = 2**31 - 1  # end of a slice: up to the last element


def decoder_graph(model: Any, precision: str) -> Any:
    """An openvino.Model of the language model in transformers' FastVLM, with weights in
    `precision`.

    Raises ValueError for another architecture.
    """
    _check_supported(model.config.text_config)
    return _Builder(model, precision).build()


def _check_supported(text: Any) -> None:
    for what, expected, got in (
        ("model_type", "qwen2", text.model_type),
        ("hidden_act", "silu", text.hidden_act),
        ("rope_type", "default", text.rope_parameters["rope_type"]),
        ("layer_types", ["full_attention"], sorted(set(text.layer_types))),
    ):
        if got != expected:
            raise ValueError(f"{what}: expected {expected}, got {got}")


class _Builder:
    """A graph under construction: the inputs that all layers read, and their cache updates."""

    def __init__(self, model: Any, precision: str) -> None:
        import openvino as ov

        text = model.config.text_config
        self._model, self._precision = model, precision
        self._heads, self._kv_heads = text.num_attention_heads, text.num_key_value_heads
        self._size = model.model.language_model.layers[0].self_attn.head_dim
        self._ids = _input("ids", [1, -1], ov.Type.i64)
        self._features = _input("features", [-1, text.hidden_size])
        self._cos = _input("cos", [1, 1, -1, self._size])
        self._sin = _input("sin", [1, 1, -1, self._size])
        self._mask = _input("mask", [1, 1, -1, -1])
        self._beam = _input("beam", [1], ov.Type.i32)  # the plugin needs it to fuse the cache
        self._cache_updates: list[Any] = []

    def build(self) -> Any:
        import openvino as ov
        from openvino import opset13 as op

        text, head = self._model.model.language_model, self._model.lm_head.weight
        table = self._constant(text.embed_tokens.weight)
        rows = self._embeddings(table)
        for index, layer in enumerate(text.layers):
            attended = self._attention(index, layer.self_attn, _norm(rows, layer.input_layernorm))
            if index == len(text.layers) - 1:  # only the last row is needed for the next token
                rows, attended = (
                    op.slice(each, [-1], [END], [1], [1]) for each in (rows, attended)
                )
            rows = op.add(rows, self._linear(attended, layer.self_attn.o_proj))
            normed = _norm(rows, layer.post_attention_layernorm)
            gate = op.swish(self._linear(normed, layer.mlp.gate_proj))
            raised = op.multiply(gate, self._linear(normed, layer.mlp.up_proj))
            rows = op.add(rows, self._linear(raised, layer.mlp.down_proj))
        head_table = table if head is text.embed_tokens.weight else self._constant(head)
        logits = op.matmul(_norm(rows, text.norm), head_table, False, True)
        logits = op.reshape(logits, np.array([1, -1]), False)
        logits.output(0).set_names({"logits"})
        inputs = [self._ids, self._features, self._cos, self._sin, self._mask, self._beam]
        return ov.Model([op.result(logits)], self._cache_updates, inputs, "decoder")

    def _constant(self, weight: Any) -> Any:
        return weight_constant(_array(weight), self._precision)

    def _linear(self, rows: Any, module: Any) -> Any:
        from openvino import opset13 as op

        return op.matmul(rows, self._constant(module.weight), False, True)

    def _embeddings(self, table: Any) -> Any:
        """Embeddings (1, T, width); image tokens take the rows of the features, in order."""
        from openvino import opset13 as op

        image = op.equal(self._ids, op.constant(np.int64(self._model.config.image_token_id)))
        count = op.cumsum(op.convert(image, "i64"), op.constant(np.int64(1)))
        row = op.maximum(op.subtract(count, op.constant(np.int64(1))), op.constant(np.int64(0)))
        axis = op.constant(np.int64(0))
        return op.select(
            op.unsqueeze(image, op.constant(np.array([2]))),
            op.gather(self._features, row, axis),
            op.gather(table, self._ids, axis),
        )

    def _attention(self, layer: int, attention: Any, rows: Any) -> Any:
        """(1, T, heads * size), before the output projection."""
        from openvino import opset13 as op

        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        weight = np.concatenate([_array(each.weight) for each in projections])
        bias = np.concatenate([_array(each.bias) for each in projections])
        product = op.matmul(rows, weight_constant(weight, self._precision), False, True)
        product = op.add(product, op.constant(bias[None, None]))
        parts = op.variadic_split(
            product, op.constant(np.int64(2)), np.array([len(each.bias) for each in projections])
        )
        query = self._rotated(self._by_head(parts.output(0), self._heads))
        key = self._rotated(self._by_head(parts.output(1), self._kv_heads))
        value = self._by_head(parts.output(2), self._kv_heads)
        attended = op.scaled_dot_product_attention(
            query,
            self._for_each_head(self._with_past(f"key.{layer}", key)),
            self._for_each_head(self._with_past(f"value.{layer}", value)),
            self._mask,
        )
        order = op.constant(np.array([0, 2, 1, 3]))
        return op.reshape(op.transpose(attended, order), np.array([0, 0, -1]), True)

    def _by_head(self, rows: Any, heads: int) -> Any:
        from openvino import opset13 as op

        shape = np.array([0, 0, heads, self._size])
        return op.transpose(op.reshape(rows, shape, True), op.constant(np.array([0, 2, 1, 3])))

    def _rotated(self, rows: Any) -> Any:
        """Rotary position embedding of (1, heads, T, size); the two halves are paired, as in
        Qwen2."""
        from openvino import opset13 as op

        half = self._size // 2
        first, second = (
            op.slice(rows, [start], [stop], [1], [3]) for start, stop in ((0, half), (half, END))
        )
        swapped = op.concat([op.multiply(second, op.constant(np.float32(-1))), first], -1)
        return op.add(op.multiply(rows, self._cos), op.multiply(swapped, self._sin))

    def _with_past(self, name: str, new: Any) -> Any:
        """(1, kv heads, seen, size): the cache `name` with `new` appended, which updates the
        cache."""
        import openvino as ov
        from openvino import opset13 as op
        from openvino.op import util

        info = util.VariableInfo()
        info.variable_id, info.data_type = name, ov.Type.f32
        info.data_shape = ov.PartialShape([1, self._kv_heads, -1, self._size])
        variable = util.Variable(info)
        empty = op.constant(np.zeros((1, self._kv_heads, 0, self._size), np.float32))
        past = op.gather(op.read_value(empty, variable), self._beam, op.constant(np.int64(0)))
        whole = op.concat([past, new], 2)
        self._cache_updates.append(op.assign(whole, variable))
        return whole

    def _for_each_head(self, shared: Any) -> Any:
        """(1, heads, seen, size) from (1, kv heads, seen, size): grouped-query attention."""
        from openvino import opset13 as op

        times = self._heads // self._kv_heads
        if times == 1:
            return shared
        seen = op.gather(
            op.shape_of(shared, "i64"), op.constant(np.array([2])), op.constant(np.int64(0))
        )
        before = op.constant(np.array([1, self._kv_heads, times]))
        shape = op.concat([before, seen, op.constant(np.array([self._size]))], 0)
        wide = op.broadcast(
            op.unsqueeze(shared, op.constant(np.array([2]))), shape, broadcast_spec="BIDIRECTIONAL"
        )
        return op.reshape(wide, np.array([0, self._heads, -1, self._size]), True)


def _norm(rows: Any, norm: Any) -> Any:
    """RMS norm (Zhang and Sennrich 2019)."""
    from openvino import opset13 as op

    squares = op.power(rows, op.constant(np.float32(2)))
    mean = op.reduce_mean(squares, op.constant(np.array([-1])), True)
    root = op.sqrt(op.add(mean, op.constant(np.float32(norm.variance_epsilon))))
    scaled = op.multiply(rows, op.divide(op.constant(np.float32(1)), root))
    return op.multiply(op.constant(_array(norm.weight)[None, None]), scaled)


def _array(weight: Any) -> NDArray[np.float32]:
    values: NDArray[np.float32] = weight.detach().float().numpy()
    return values


def _input(name: str, shape: list[int], kind: Any = None) -> Any:
    import openvino as ov
    from openvino import opset13 as op

    node = op.parameter(ov.PartialShape(shape), ov.Type.f32 if kind is None else kind, name)
    node.output(0).set_names({name})
    return node
