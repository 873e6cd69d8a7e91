"""The names in the decoder's ONNX graph, and the error of quantized weights."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from models.fastvlm.export.onnx import export_decoder
from models.fastvlm.onnx.graph import quantize

pytestmark = pytest.mark.weights


def test_every_layer_has_two_named_cache_tensors(tmp_path: Path) -> None:
    import onnx
    from transformers import Qwen2Config, Qwen2ForCausalLM

    text = Qwen2Config(  # FastVLM-0.5B with smaller widths and vocabulary
        num_hidden_layers=24, num_attention_heads=14, num_key_value_heads=2, hidden_size=224,
        intermediate_size=32, vocab_size=64, max_position_embeddings=32,
    )  # fmt: skip
    qwen2 = Qwen2ForCausalLM(text)
    model = SimpleNamespace(
        config=SimpleNamespace(text_config=text, image_token_id=9),
        model=SimpleNamespace(language_model=qwen2.model),
        lm_head=qwen2.lm_head,
    )
    export_decoder(model, "int8", tmp_path)
    graph = onnx.load(tmp_path / "model.onnx", load_external_data=False).graph
    cache = [f"{layer}.{kind}" for layer in range(24) for kind in ("key", "value")]
    assert len(cache) == 48
    named = [value.name for value in graph.input]
    assert named[-48:] == [f"past_key_values.{name}" for name in cache]
    assert named[:-48] == ["input_ids", "image_features", "attention_mask"]
    assert [value.name for value in graph.output][-48:] == [f"present.{name}" for name in cache]


@pytest.mark.parametrize(("bits", "steps"), [(4, 7), (8, 127)])
def test_quantized_weights_are_within_half_a_step(bits: int, steps: int) -> None:
    weight = np.random.default_rng(0).normal(size=(6, 64)).astype(np.float32)
    weight[0, :32] = 0
    codes, scales = quantize(weight, bits)
    assert codes.shape == (6, 2, 4 * bits)
    if bits == 4:
        codes = np.stack([codes & 15, codes >> 4], axis=-1).reshape(6, 2, 32)
    back = (codes.astype(np.float32) - (steps + 1)) * scales[..., None]
    error = np.abs(back - weight.reshape(6, 2, 32))
    peak = np.abs(weight.reshape(6, 2, 32)).max(axis=2, keepdims=True)
    assert np.all(error <= peak / (steps + 1) * 1.001)  # a whole step only opposite the peak value
    assert np.median(error / np.maximum(peak, 1e-9)) < 0.5 / (steps + 1)
