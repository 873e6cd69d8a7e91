"""FastVLM's language model (Qwen2) as one OpenVINO graph that keeps its keys and values itself.

Built operation by operation from the weights. Nothing is traced, so a release of torch or
transformers changes nothing here; and each operation has the form that OpenVINO's processor plugin
fuses: rotary embedding, norm, attention with its cache, products with small weights.

    ids       (1, T) int64     features (N, width)        a row for each image token of `ids`
    cos, sin  (1, 1, T, head)  mask     (1, 1, T, seen)   added to the attention's scores
    beam      (1,) int32, 0    logits   (1, vocabulary)   of the last row alone
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.fastvlm.openvino.weights import stored

END = 2**31 - 1  # of a slice: to its last element


def decoder_graph(model: Any, precision: str) -> Any:
    """openvino.Model of the language model in transformers' FastVLM, its weights in `precision`.

    Raises ValueError for a language model of another make.
    """
    _check(model.config.text_config)
    return _Builder(model, precision).whole()


def _check(text: Any) -> None:
    for what, expected, got in (
        ("model_type", "qwen2", text.model_type),
        ("hidden_act", "silu", text.hidden_act),
        ("rope_type", "default", text.rope_parameters["rope_type"]),
        ("layer_types", ["full_attention"], sorted(set(text.layer_types))),
    ):
        if got != expected:
            raise ValueError(f"{what}: expected {expected}, got {got}")


class _Builder:
    """One graph in the making: the inputs that every layer reads, and the cache that they leave."""

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
        self._beam = _input("beam", [1], ov.Type.i32)  # the plugin fuses no cache without it
        self._kept: list[Any] = []

    def whole(self) -> Any:
        import openvino as ov
        from openvino import opset13 as op

        text, head = self._model.model.language_model, self._model.lm_head.weight
        table = self._stored(text.embed_tokens.weight)
        rows = self._merged(table)
        for place, layer in enumerate(text.layers):
            seen = self._attended(place, layer.self_attn, _norm(rows, layer.input_layernorm))
            if place == len(text.layers) - 1:  # only its last row is asked for the next word
                rows, seen = (op.slice(each, [-1], [END], [1], [1]) for each in (rows, seen))
            rows = op.add(rows, self._linear(seen, layer.self_attn.o_proj))
            inside = _norm(rows, layer.post_attention_layernorm)
            gate = op.swish(self._linear(inside, layer.mlp.gate_proj))
            raised = op.multiply(gate, self._linear(inside, layer.mlp.up_proj))
            rows = op.add(rows, self._linear(raised, layer.mlp.down_proj))
        words = table if head is text.embed_tokens.weight else self._stored(head)
        logits = op.matmul(_norm(rows, text.norm), words, False, True)
        logits = op.reshape(logits, np.array([1, -1]), False)
        logits.output(0).set_names({"logits"})
        inputs = [self._ids, self._features, self._cos, self._sin, self._mask, self._beam]
        return ov.Model([op.result(logits)], self._kept, inputs, "decoder")

    def _stored(self, weight: Any) -> Any:
        return stored(_array(weight), self._precision)

    def _linear(self, rows: Any, module: Any) -> Any:
        from openvino import opset13 as op

        return op.matmul(rows, self._stored(module.weight), False, True)

    def _merged(self, table: Any) -> Any:
        """Embeddings (1, T, width), each image token's row taken from the features, in order."""
        from openvino import opset13 as op

        image = op.equal(self._ids, op.constant(np.int64(self._model.config.image_token_id)))
        count = op.cumsum(op.convert(image, "i64"), op.constant(np.int64(1)))
        place = op.maximum(op.subtract(count, op.constant(np.int64(1))), op.constant(np.int64(0)))
        first = op.constant(np.int64(0))
        return op.select(
            op.unsqueeze(image, op.constant(np.array([2]))),
            op.gather(self._features, place, first),
            op.gather(table, self._ids, first),
        )

    def _attended(self, place: int, attention: Any, rows: Any) -> Any:
        """(1, T, heads * size), before the output's projection."""
        from openvino import opset13 as op

        three = (attention.q_proj, attention.k_proj, attention.v_proj)
        weight = np.concatenate([_array(each.weight) for each in three])
        bias = np.concatenate([_array(each.bias) for each in three])
        product = op.matmul(rows, stored(weight, self._precision), False, True)
        product = op.add(product, op.constant(bias[None, None]))
        parts = op.variadic_split(
            product, op.constant(np.int64(2)), np.array([len(each.bias) for each in three])
        )
        query = self._turned(self._by_head(parts.output(0), self._heads))
        key = self._turned(self._by_head(parts.output(1), self._kv_heads))
        value = self._by_head(parts.output(2), self._kv_heads)
        seen = op.scaled_dot_product_attention(
            query,
            self._for_each_head(self._with_past(f"key.{place}", key)),
            self._for_each_head(self._with_past(f"value.{place}", value)),
            self._mask,
        )
        order = op.constant(np.array([0, 2, 1, 3]))
        return op.reshape(op.transpose(seen, order), np.array([0, 0, -1]), True)

    def _by_head(self, rows: Any, heads: int) -> Any:
        from openvino import opset13 as op

        shape = np.array([0, 0, heads, self._size])
        return op.transpose(op.reshape(rows, shape, True), op.constant(np.array([0, 2, 1, 3])))

    def _turned(self, rows: Any) -> Any:
        """Rotary position embedding: (1, heads, T, size), halves paired as in Qwen2."""
        from openvino import opset13 as op

        half = self._size // 2
        first, second = (
            op.slice(rows, [start], [stop], [1], [3]) for start, stop in ((0, half), (half, END))
        )
        swapped = op.concat([op.multiply(second, op.constant(np.float32(-1))), first], -1)
        return op.add(op.multiply(rows, self._cos), op.multiply(swapped, self._sin))

    def _with_past(self, name: str, new: Any) -> Any:
        """(1, kv heads, seen, size): what was kept before, and `new` behind it, which is now kept."""
        import openvino as ov
        from openvino import opset13 as op
        from openvino.op import util

        info = util.VariableInfo()
        info.variable_id, info.data_type = name, ov.Type.f32
        info.data_shape = ov.PartialShape([1, self._kv_heads, -1, self._size])
        variable = util.Variable(info)
        nothing = op.constant(np.zeros((1, self._kv_heads, 0, self._size), np.float32))
        past = op.gather(op.read_value(nothing, variable), self._beam, op.constant(np.int64(0)))
        whole = op.concat([past, new], 2)
        self._kept.append(op.assign(whole, variable))
        return whole

    def _for_each_head(self, few: Any) -> Any:
        """(1, heads, seen, size) of (1, kv heads, seen, size): each serves its share of the heads."""
        from openvino import opset13 as op

        times = self._heads // self._kv_heads
        if times == 1:
            return few
        seen = op.gather(
            op.shape_of(few, "i64"), op.constant(np.array([2])), op.constant(np.int64(0))
        )
        before = op.constant(np.array([1, self._kv_heads, times]))
        shape = op.concat([before, seen, op.constant(np.array([self._size]))], 0)
        wide = op.broadcast(
            op.unsqueeze(few, op.constant(np.array([2]))), shape, broadcast_spec="BIDIRECTIONAL"
        )
        return op.reshape(wide, np.array([0, self._heads, -1, self._size]), True)


def _norm(rows: Any, norm: Any) -> Any:
    """Root mean square norm (Zhang and Sennrich 2019)."""
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
