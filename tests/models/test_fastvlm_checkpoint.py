"""Apple's FastVLM layout, written small and at random, read into transformers' own FastVLM."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import quiet_offline
from models.fastvlm.checkpoint import (
    UNUSED,
    apple_config,
    apple_name,
    load_checkpoint,
    load_processor,
)
from models.fastvlm.inputs import Prompts, default_side_px, square_pixels
from tests.fakes.tiny import save_processor

quiet_offline()
SIZES: dict[str, Any] = {"layers": (1, 2, 1, 1, 1), "embed_dims": (16, 16, 32, 32, 64)}
WIDTH, WORDS = 32, 151936
CONFIG: dict[str, Any] = {
    "architectures": ["LlavaQwen2ForCausalLM"],
    "model_type": "llava_qwen2",
    "mm_hidden_size": 128,
    "mm_projector_type": "mlp2x_gelu",
    "mm_vision_tower": "mobileclip_l_1024",
    "hidden_size": WIDTH,
    "intermediate_size": 48,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1000000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "bos_token_id": 151643,
    "eos_token_id": 151645,
    "vocab_size": WORDS,
}
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")  # ids 151643 to 151645


def in_apples_tower(name: str) -> str:
    """A timm tensor's name as Apple has it, written without a look at the loader."""
    stages = {"0": 0, "1": 2, "2": 4, "3": 7, "4": 10}
    if found := re.match(r"stages\.(\d)\.(blocks|downsample|pos_emb)\.(.*)", name):
        stage, part, rest = found.groups()
        before = {"blocks": 0, "downsample": 2 if stage in "34" else 1, "pos_emb": 1}[part]
        name = f"network.{stages[stage] - before}.{rest}"
        if part == "downsample":
            name = name.replace("proj.0.reparam_conv", "proj.0.lkb_reparam")
    for ours, apples in (
        ("stem", "patch_embed"),
        ("final_conv", "conv_exp"),
        ("se.fc1", "se.reduce"),
        ("se.fc2", "se.expand"),
        ("mlp", "convffn"),
        (".gamma", ""),
    ):
        name = name.replace(ours, apples)
    return f"model.vision_tower.vision_tower.model.{name}"


@pytest.fixture(scope="module")
def parts() -> tuple[Any, Any, Any]:
    """(encoder, projector, decoder) at random: the independent composition."""
    import timm
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(4)
    encoder: Any = timm.create_model("fastvit_mci3", num_classes=0, inference_mode=True, **SIZES)
    for weight in encoder.parameters():
        if weight.dim() == 4:
            torch.nn.init.kaiming_normal_(weight)
    projector = torch.nn.Sequential(
        torch.nn.Linear(128, WIDTH), torch.nn.GELU(), torch.nn.Linear(WIDTH, WIDTH)
    )
    keys = (
        "hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers",
        "num_key_value_heads", "rms_norm_eps", "rope_theta", "vocab_size", "tie_word_embeddings",
    )  # fmt: skip
    decoder = Qwen2ForCausalLM(Qwen2Config(**{key: CONFIG[key] for key in keys}))
    return encoder.eval(), projector.eval(), decoder.eval()


def save_tokenizer(folder: Path) -> None:
    """Qwen2's files, with bytes for words and its special tokens at their own ids."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {word: place for place, word in enumerate(alphabet)}
    words |= {f"<unused {place}>": place for place in range(len(alphabet), 151643)}
    raw: Any = Tokenizer(models.BPE(vocab=words, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    raw.add_special_tokens([*SPECIAL])
    build: Any = PreTrainedTokenizerFast
    build(
        tokenizer_object=raw, eos_token="<|im_end|>", pad_token="<|endoftext|>",
        additional_special_tokens=[*SPECIAL],
    ).save_pretrained(str(folder))  # fmt: skip


@pytest.fixture(scope="module")
def apple(tmp_path_factory: pytest.TempPathFactory, parts: tuple[Any, Any, Any]) -> Path:
    import torch
    from safetensors.torch import save_file

    encoder, projector, decoder = parts
    folder = tmp_path_factory.mktemp("apple")
    state = {in_apples_tower(name): tensor for name, tensor in encoder.state_dict().items()}
    state |= {f"model.mm_projector.{name}": t for name, t in projector.state_dict().items()}
    state |= decoder.state_dict()
    state[UNUSED] = torch.zeros(128, 768)
    save_file({n: t.contiguous() for n, t in state.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    save_tokenizer(folder)
    return folder


@pytest.fixture(scope="module")
def loaded(apple: Path) -> tuple[Any, Any]:
    import torch

    return load_checkpoint(apple, torch.float32)


def test_it_gives_the_logits_of_its_own_parts(
    loaded: tuple[Any, Any], parts: tuple[Any, Any, Any]
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
def test_a_picture_is_padded_resized_and_scaled_and_nothing_else(
    loaded: tuple[Any, Any], side_px: int, shape: tuple[int, int]
) -> None:
    """Pixel for pixel by the definition, and as transformers' own processor but for its rounding."""
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
def test_the_prompt_is_qwens_chat(loaded: tuple[Any, Any], side_px: int, images: int) -> None:
    processor, _ = loaded
    assert default_side_px(processor) == 1024
    start, end = 151644, 151645

    def words(text: str) -> list[int]:
        ids: list[int] = processor.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    assert Prompts(processor, side_px).ids("Look.") == (
        start, *words("system\nYou are a helpful assistant."), end, *words("\n"),
        start, *words("user\n"), *[151646] * images, *words("\nLook."), end, *words("\n"),
        start, *words("assistant\n"),
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
def test_what_does_not_fit_is_named(
    apple: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None], named: str
) -> None:
    import torch

    with pytest.raises(ValueError, match=named):
        load_checkpoint(changed(apple, tmp_path, change), torch.float32)


def test_names_that_no_fastvlm_has_are_refused() -> None:
    assert apple_name(UNUSED) is None
    for name in ("model.mm_projector.1.weight", "visual.proj", "model.extra.weight"):
        with pytest.raises(ValueError, match=name.replace(".", r"\.")):
            apple_name(name)


def test_a_tokenizer_of_another_model_is_refused(apple: Path, tmp_path: Path) -> None:
    """One with more words than the weights have, and one in which an image is another word."""
    for path in apple.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    small = CONFIG | {"vocab_size": 151000}
    (tmp_path / "config.json").write_text(json.dumps(small), encoding="utf-8")
    with pytest.raises(ValueError, match="tokenizer of 151647 tokens for weights of 151000"):
        load_processor(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    save_processor(tmp_path)  # of 300 words
    with pytest.raises(ValueError, match=r"<image> is \d+, not 151646"):
        load_processor(tmp_path)


def test_the_larger_model_is_its_configuration_alone() -> None:
    """FastVLM-1.5B: every tensor in its place and of its shape, with no memory for any."""
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
        published = {in_apples_tower(name): t for name, t in encoder.state_dict().items()}
        published |= decoder.state_dict()
        for layer, width in ((0, 3072), (2, 1536)):
            published[f"model.mm_projector.{layer}.weight"] = torch.empty(1536, width)
            published[f"model.mm_projector.{layer}.bias"] = torch.empty(1536)
        state = {str(apple_name(name)): tensor for name, tensor in published.items()}
        model = FastVlmForConditionalGeneration(apple_config(larger, state))
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert shapes == {name: tuple(tensor.shape) for name, tensor in state.items()}
    assert sum(tensor.numel() for tensor in state.values()) > 1.6e9
