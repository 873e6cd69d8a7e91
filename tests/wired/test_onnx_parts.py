"""FastVLM exported to ONNX and run: the same tokens as transformers' own, on the provider that was
asked for or not at all."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.devices.sample import sample_photo
from engine.errors import ConfigError, DescriberFailed, MissingPart, PromptTooLong
from models import quiet_offline
from models.__main__ import main
from models.fastvlm.checkpoint import load_checkpoint
from models.fastvlm.export_onnx import export_decoder, export_encoder
from models.fastvlm.exports import Form, describe, find_form, write_form
from models.fastvlm.greedy import Greedy
from models.fastvlm.onnx_graph import quantise
from models.fastvlm.onnx_parts import PRECISIONS, open_decoder, open_encoder, open_session
from models.packs import POCKET
from tests.wired.test_fastvlm_checkpoint import apple, parts

__all__ = ["apple", "parts"]  # fixtures
quiet_offline()
LIMIT = 16


class Case(NamedTuple):
    """A checkpoint, a prompt with a street photo, and what transformers makes of both in fp32."""

    folder: Path
    model: Any
    greedy: Greedy
    side_px: int
    pixels: NDArray[np.float32]
    ids: list[int]
    features: NDArray[np.float32]
    tokens: list[int]


@pytest.fixture(scope="module", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCENE_ARIA_HOME", str(tmp_path_factory.mktemp("home")))
        yield


def generated(model: Any, inputs: Any, **settings: Any) -> list[int]:
    import torch

    with torch.inference_mode():
        out = model.generate(**inputs, max_new_tokens=LIMIT, do_sample=False, **settings)
    tokens: list[int] = out[0, inputs["input_ids"].shape[1] :].tolist()
    return tokens


def case(folder: Path, side_px: int) -> tuple[Case, Any]:
    import torch
    from PIL import Image

    processor, model = load_checkpoint(folder, torch.float32)
    side = {"height": side_px, "width": side_px}
    processor.image_processor.size = processor.image_processor.crop_size = side
    turn = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is"}]}]
    text = processor.apply_chat_template(turn, add_generation_prompt=True)
    photo = Image.open(sample_photo())
    inputs = processor(text=text, images=photo, return_tensors="pt")
    inputs.pop("token_type_ids", None)
    with torch.inference_mode():
        features = model.model.get_image_features(inputs["pixel_values"]).pooler_output[0]
    found = Case(
        folder,
        model,
        Greedy.of(model.generation_config),
        side_px,
        inputs["pixel_values"].numpy(),
        inputs["input_ids"][0].tolist(),
        features.numpy(),
        generated(model, inputs),
    )
    return found, inputs


@pytest.fixture(scope="module")
def pocket() -> tuple[Case, Any]:
    found, inputs = case(POCKET / "describer", 224)
    for precision in PRECISIONS:
        exported(found, Form("onnx", "decoder", precision))
    return found, inputs


@pytest.fixture(scope="module")
def tiny(apple: Path) -> Case:
    return case(apple, 128)[0]


def exported(of: Case, form: Form) -> Path:
    def write(folder: Path) -> None:
        if form.side_px is None:
            export_decoder(of.model, form.precision, folder)
        else:
            export_encoder(of.model, form.precision, form.side_px, folder)

    return write_form(of.folder, form, describe(of.model), write)


def spread(got: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """How far off, root mean square, as a share of the expected's own spread."""
    return float(np.sqrt(np.mean((got - expected) ** 2)) / expected.std())


@pytest.mark.parametrize("precision", list(PRECISIONS))
def test_the_pocket_describer_writes_the_same_tokens_in_every_precision(
    pocket: tuple[Case, Any], precision: str
) -> None:
    of, _ = pocket
    decoder = open_decoder(of.folder, precision, "cpu", of.greedy)
    got = list(decoder.write(of.ids, of.features, LIMIT))
    assert len(of.tokens) > 5
    if precision in ("fp32", "fp16"):
        assert got == of.tokens
    else:  # here all agree wholly; the arithmetic of fewer bits differs between processors
        alike = [a == b for a, b in zip(got, of.tokens, strict=False)]
        assert sum(alike) / len(of.tokens) >= 0.5
    assert (decoder.precision, decoder.provider) == (precision, "cpu")


def test_the_pocket_encoder_goes_with_either_decoder(pocket: tuple[Case, Any]) -> None:
    import torch

    from models.fastvlm import torch_parts

    of, _ = pocket
    exported(of, Form("onnx", "encoder", "fp32", of.side_px))
    encoder = open_encoder(of.folder, "fp32", of.side_px)
    features = encoder.encode(of.pixels)
    assert features.shape == of.features.shape
    assert spread(features, of.features) < 1e-4
    encoder.encode(np.zeros_like(of.pixels))  # must not overwrite what was given
    _, model = load_checkpoint(of.folder, torch.float32)
    for decoder in (
        open_decoder(of.folder, "fp32", "cpu", of.greedy),
        torch_parts.open_decoder(model, "cpu", "fp32", of.greedy, limit=LIMIT),
    ):
        assert list(decoder.write(of.ids, features, LIMIT)) == of.tokens


def test_a_checkpoint_in_apples_layout_writes_the_same_tokens(tiny: Case) -> None:
    for part, side_px in (("encoder", tiny.side_px), ("decoder", None)):
        exported(tiny, Form("onnx", part, "fp32", side_px))  # type: ignore[arg-type]
    features = open_encoder(tiny.folder, "fp32", tiny.side_px).encode(tiny.pixels)
    assert spread(features, tiny.features) < 1e-4
    decoder = open_decoder(tiny.folder, "fp32", "cpu", tiny.greedy)
    assert list(decoder.write(tiny.ids, features, LIMIT)) == tiny.tokens


@pytest.mark.parametrize(("precision", "off"), [("fp16", 0.01), ("int8", 0.05), ("q4f16", 0.2)])
def test_apples_encoder_in_fewer_bits_is_off_by_little(
    tiny: Case, precision: str, off: float
) -> None:
    exported(tiny, Form("onnx", "encoder", precision, tiny.side_px))
    features = open_encoder(tiny.folder, precision, tiny.side_px).encode(tiny.pixels)
    assert spread(features, tiny.features) < off


def test_the_settings_of_generation_are_kept(pocket: tuple[Case, Any]) -> None:
    of, inputs = pocket
    expected = generated(of.model, inputs, repetition_penalty=1.5, no_repeat_ngram_size=1)
    assert expected != of.tokens
    decoder = open_decoder(of.folder, "fp32", "cpu", Greedy(of.greedy.ends, 1.5, 1))
    assert list(decoder.write(of.ids, of.features, LIMIT)) == expected


def test_a_prompt_leaves_nothing_behind_for_the_next(pocket: tuple[Case, Any]) -> None:
    of, _ = pocket
    decoder = open_decoder(of.folder, "fp32", "cpu", of.greedy)
    words = [i for i in of.ids if i != of.model.config.image_token_id]
    none = np.zeros((0, of.features.shape[1]), np.float32)
    longer = list(decoder.write(words * 20, none, LIMIT))  # more than the first buffers hold
    assert longer != of.tokens
    broken = decoder.write(of.ids, of.features * np.nan, LIMIT)  # as an overflow would leave it
    next(broken)
    begun = decoder.write(of.ids, of.features, LIMIT)
    assert [next(begun), next(begun)] == of.tokens[:2]
    begun.close()  # type: ignore[attr-defined]
    for _ in range(2):
        assert list(decoder.write(of.ids, of.features, LIMIT)) == of.tokens
    assert list(decoder.write(of.ids, of.features, 3)) == of.tokens[:3]


def test_what_does_not_fit_is_refused(pocket: tuple[Case, Any]) -> None:
    of, _ = pocket
    decoder = open_decoder(of.folder, "fp32", "cpu", of.greedy)
    with pytest.raises(PromptTooLong, match="512"):
        decoder.write(of.ids * 9, of.features, LIMIT)
    with pytest.raises(DescriberFailed, match="49 image tokens, and the picture 48"):
        decoder.write(of.ids, of.features[1:], LIMIT)


def test_every_layer_has_its_two_cache_tensors_by_name(tmp_path: Path) -> None:
    import onnx
    from transformers import Qwen2Config, Qwen2ForCausalLM

    text = Qwen2Config(  # FastVLM-0.5B's, but for its widths and words
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


def test_what_cannot_be_exported_is_refused(tiny: Case, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="multiple of 32, got 48"):
        export_decoder(tiny.model, "int8", tmp_path)
    with pytest.raises(ValueError, match="got bf16"):
        export_decoder(tiny.model, "bf16", tmp_path)
    with pytest.raises(ValueError, match="got int4"):
        export_encoder(tiny.model, "int4", 128, tmp_path)


@pytest.mark.parametrize(("bits", "steps"), [(4, 7), (8, 127)])
def test_quantised_weights_are_within_half_a_step(bits: int, steps: int) -> None:
    weight = np.random.default_rng(0).normal(size=(6, 64)).astype(np.float32)
    weight[0, :32] = 0
    codes, scales = quantise(weight, bits)
    assert codes.shape == (6, 2, 4 * bits)
    if bits == 4:
        codes = np.stack([codes & 15, codes >> 4], axis=-1).reshape(6, 2, 32)
    back = (codes.astype(np.float32) - (steps + 1)) * scales[..., None]
    error = np.abs(back - weight.reshape(6, 2, 32))
    peak = np.abs(weight.reshape(6, 2, 32)).max(axis=2, keepdims=True)
    assert np.all(error <= peak / (steps + 1) * 1.001)  # a whole step only opposite the peak
    assert np.median(error / np.maximum(peak, 1e-9)) < 0.5 / (steps + 1)


@pytest.mark.parametrize(
    ("provider", "library"), [("cuda", "onnxruntime-gpu"), ("tensorrt", "libnvinfer")]
)
def test_a_provider_that_is_not_here_is_never_replaced(
    pocket: tuple[Case, Any], provider: Any, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    of, _ = pocket
    with pytest.raises(MissingPart, match=library) as refused:
        open_decoder(of.folder, "fp16", provider, of.greedy)
    assert "\n" not in str(refused.value)
    # As on a machine with the library for graphics cards and no graphics card: it falls back.
    names = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)
    with (
        pytest.warns(UserWarning, match="not in available"),
        pytest.raises(MissingPart, match=f"did not start.*{library}"),
    ):
        open_decoder(of.folder, "fp16", provider, of.greedy)


def test_without_the_library_it_says_what_to_install(
    pocket: tuple[Case, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingPart, match=r"install onnxruntime .*\[onnx\]"):
        open_decoder(pocket[0].folder, "fp32")


def test_a_precision_that_a_graphics_card_lacks_is_refused(pocket: tuple[Case, Any]) -> None:
    with pytest.raises(ConfigError, match="expected a precision of fp16, q4f16, got int8"):
        open_decoder(pocket[0].folder, "int8", "cuda")


def test_a_damaged_export_is_refused_in_one_line(pocket: tuple[Case, Any]) -> None:
    of, _ = pocket
    with pytest.raises(MissingPart, match=r"python -m models export .*--image-size 448"):
        open_encoder(of.folder, "fp32", 448)
    folder = exported(of, Form("onnx", "decoder", "int8"))
    for name in ("model.onnx", "model.onnx.data"):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(MissingPart, match=r"expected \d+ bytes"):
            find_form(of.folder, Form("onnx", "decoder", "int8"))
        with pytest.raises(MissingPart, match="expected an exported model") as refused:
            open_session(folder, "cpu", None)
        assert "\n" not in str(refused.value)
        (folder / name).write_bytes(whole)
    open_session(folder, "cpu", None)


def test_the_command_writes_it_or_says_what_to_install(
    pocket: tuple[Case, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    of, _ = pocket
    form = Form("onnx", "decoder", "int4")
    asked = form.command(of.folder).split()[3:]
    shutil.rmtree(find_form(of.folder, form))
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "models.fastvlm.export_onnx", None)  # as where onnx is missing
        assert main(asked) == 2
    assert "pip install -e '.[onnx]'" in capsys.readouterr().out
    assert main(asked) == 0
    assert find_form(of.folder, form)
