"""A checkpoint in Apple's layout, small and random, loaded into transformers' own FastVLM."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.fastvlm.checkpoint import (
    UNUSED,
    apple_config,
    apple_name,
    load_model,
)
from models.fastvlm.inputs import square_pixels
from models.fastvlm.processor import load_chat, load_processor
from tests.fakes.fastvlm import CONFIG, SPECIAL, Parts, apple_tensor_name, load_checkpoint
from tests.fakes.tiny import save_processor

pytestmark = pytest.mark.weights


@pytest.fixture(scope="module")
def loaded(apple: Path) -> tuple[Any, Any]:
    import torch

    return load_checkpoint(apple, torch.float32)


def test_the_loaded_model_gives_the_logits_of_its_parts(
    loaded: tuple[Any, Any], parts: Parts
) -> None:
    import torch

    processor, model = loaded
    encoder, projector, decoder = parts
    image = np.random.default_rng(1).integers(0, 256, (60, 100, 3), np.uint8)
    chat = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Hi"}]}],
        add_generation_prompt=True,
    )
    inputs = processor(text=chat, images=image, return_tensors="pt")
    with torch.inference_mode():
        got = model(input_ids=inputs["input_ids"], pixel_values=inputs["pixel_values"]).logits
        features = encoder.forward_features(inputs["pixel_values"]).flatten(2).transpose(1, 2)
        words = decoder.get_input_embeddings()(inputs["input_ids"])
        words[inputs["input_ids"] == processor.image_token_id] = projector(features)[0]
        expected = decoder(inputs_embeds=words).logits
    assert features.shape[1] == 256
    assert got.std() > 1e-3
    assert torch.allclose(got, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("side_px", [256, 512, 1024])
@pytest.mark.parametrize("shape", [(108, 192), (192, 108), (640, 480), (1024, 1024), (37, 1025)])
def test_an_image_is_only_padded_resized_and_scaled(
    loaded: tuple[Any, Any], side_px: int, shape: tuple[int, int]
) -> None:
    """Exactly by the definition, and like transformers' processor except for its rounding."""
    from PIL import Image

    height, width = shape
    image = np.random.default_rng(2).integers(0, 256, (height, width, 3), np.uint8)
    longer = max(shape)
    square = np.zeros((longer, longer, 3), np.uint8)
    top, left = (longer - height) // 2, (longer - width) // 2
    square[top : top + height, left : left + width] = image
    resized = Image.fromarray(square).resize((side_px, side_px), Image.Resampling.BICUBIC)
    got = square_pixels(image, side_px)
    assert got.shape == (1, 3, side_px, side_px)
    assert got.flags.c_contiguous
    expected = np.asarray(resized).transpose(2, 0, 1).astype(np.float64) / 255
    assert np.abs(got[0] - expected).max() < 1e-6
    if side_px == 1024:
        other = loaded[0].image_processor(image, return_tensors="np")["pixel_values"]
        assert np.abs(got - other).max() <= 3 / 255
        assert np.abs(got - other).mean() <= 0.05 / 255


@pytest.mark.parametrize(("side_px", "images"), [(256, 16), (512, 64), (1024, 256)])
def test_the_prompt_is_qwen2s_chat(
    apple: Path, loaded: tuple[Any, Any], side_px: int, images: int
) -> None:
    processor, _ = loaded
    chat = load_chat(apple)
    assert (chat.side_px, chat.patch_px) == (1024, 64)
    start, end = 151644, 151645

    def ids_of(text: str) -> list[int]:
        ids: list[int] = processor.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    assert chat.ids("Look.", side_px) == (
        start, *ids_of("system\nYou are a helpful assistant."), end, *ids_of("\n"),
        start, *ids_of("user\n"), *[151646] * images, *ids_of("\nLook."), end, *ids_of("\n"),
        start, *ids_of("assistant\n"),
    )  # fmt: skip
    tokens = processor.tokenizer.convert_tokens_to_ids([*SPECIAL, "<image>"])
    assert tokens == [151643, 151644, 151645, 151646]


def changed(apple: Path, folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    from safetensors.torch import load_file, save_file

    state = load_file(apple / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors")
    for path in apple.glob("*.json"):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def drop(state: dict[str, Any]) -> None:
    del state["model.layers.1.mlp.up_proj.weight"]


def add(state: dict[str, Any]) -> None:
    state["model.vision_tower.vision_tower.model.network.11.0.layer_scale"] = state[UNUSED].clone()


def misshape(state: dict[str, Any]) -> None:
    state["model.mm_projector.0.weight"] = state["model.mm_projector.0.weight"][:, :-1].clone()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (drop, r"missing.*layers\.1\.mlp\.up_proj\.weight"),
        (add, r"unexpected.*network\.11"),
        (misshape, r"mismatched.*multi_modal_projector\.linear_1\.weight"),
    ],
)
def test_tensors_that_do_not_fit_are_named(
    apple: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None], named: str
) -> None:
    import torch

    with pytest.raises(ValueError, match=named):
        load_model(changed(apple, tmp_path, change), torch.float32)


def test_names_that_no_fastvlm_has_are_refused() -> None:
    assert apple_name(UNUSED) is None
    for name in ("model.mm_projector.1.weight", "visual.proj", "model.extra.weight"):
        with pytest.raises(ValueError, match=name.replace(".", r"\.")):
            apple_name(name)


def test_a_tokenizer_of_another_model_is_refused(apple: Path, tmp_path: Path) -> None:
    """It has more tokens than the weights, or another id for the image token."""
    for path in apple.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    small = CONFIG | {"vocab_size": 151000}
    (tmp_path / "config.json").write_text(json.dumps(small), encoding="utf-8")
    with pytest.raises(ValueError, match="tokenizer of 151647 tokens for weights of 151000"):
        load_processor(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    save_processor(tmp_path)  # of 300 tokens
    with pytest.raises(ValueError, match=r"<image> is \d+, not 151646"):
        load_processor(tmp_path)


def test_the_larger_model_differs_only_in_its_configuration() -> None:
    """FastVLM-1.5B: every tensor has its place and shape; on the meta device, so without memory."""
    import torch
    from transformers import FastVlmForConditionalGeneration, Qwen2Config, Qwen2ForCausalLM

    larger = CONFIG | {
        "hidden_size": 1536, "intermediate_size": 8960, "num_attention_heads": 12,
        "num_hidden_layers": 28, "num_key_value_heads": 2, "mm_hidden_size": 3072,
    }  # fmt: skip
    with torch.device("meta"):
        import timm

        encoder: Any = timm.create_model("fastvit_mci3", num_classes=0, inference_mode=True)
        keys = set(Qwen2Config().to_dict()) & set(larger) - {"architectures", "model_type"}
        decoder = Qwen2ForCausalLM(Qwen2Config(**{key: larger[key] for key in keys}))
        published = {apple_tensor_name(name): t for name, t in encoder.state_dict().items()}
        published |= decoder.state_dict()
        for layer, width in ((0, 3072), (2, 1536)):
            published[f"model.mm_projector.{layer}.weight"] = torch.empty(1536, width)
            published[f"model.mm_projector.{layer}.bias"] = torch.empty(1536)
        state = {str(apple_name(name)): tensor for name, tensor in published.items()}
        model = FastVlmForConditionalGeneration(apple_config(larger, state))
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert shapes == {name: tuple(tensor.shape) for name, tensor in state.items()}
    assert sum(tensor.numel() for tensor in state.values()) > 1.6e9
