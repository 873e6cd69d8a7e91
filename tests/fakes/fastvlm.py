"""FastVLM checkpoints for tests, and what transformers computes with them.

`save_apple_checkpoint` writes a small random one in Apple's layout. `Reference` asks transformers'
own model, against which every runtime is compared.
"""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.devices.video.sample import sample_photo

SIZES: dict[str, Any] = {"layers": (1, 2, 1, 1, 1), "embed_dims": (16, 16, 32, 32, 64)}
WIDTH, VOCABULARY = 32, 151936
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
    "vocab_size": VOCABULARY,
}
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")  # ids 151643 to 151645
UNUSED = "model.vision_tower.vision_tower.model.head.proj"
APPLE_SIDE_PX = 128  # of the images that tests give the small encoder
NEW_TOKENS = 16
Parts = tuple[Any, Any, Any]  # encoder, projector, decoder


def apple_tensor_name(name: str) -> str:
    """A timm tensor's name in Apple's checkpoints; written independently of the loader."""
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


def random_parts() -> Parts:
    """(encoder, projector, decoder) with random weights, composed without transformers' FastVLM."""
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
    """Qwen2's tokenizer files, with single bytes as tokens and its special tokens at their ids."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate(alphabet)}
    vocabulary |= {f"<unused {index}>": index for index in range(len(alphabet), 151643)}
    raw: Any = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    raw.add_special_tokens([*SPECIAL])
    build: Any = PreTrainedTokenizerFast
    build(
        tokenizer_object=raw, eos_token="<|im_end|>", pad_token="<|endoftext|>",
        additional_special_tokens=[*SPECIAL],
    ).save_pretrained(str(folder))  # fmt: skip


def save_apple_checkpoint(folder: Path, parts: Parts) -> None:
    """Write `parts` as a checkpoint in Apple's layout."""
    import torch
    from safetensors.torch import save_file

    encoder, projector, decoder = parts
    state = {apple_tensor_name(name): tensor for name, tensor in encoder.state_dict().items()}
    state |= {f"model.mm_projector.{name}": t for name, t in projector.state_dict().items()}
    state |= decoder.state_dict()
    state[UNUSED] = torch.zeros(128, 768)
    save_file({n: t.contiguous() for n, t in state.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    save_tokenizer(folder)


def load_checkpoint(folder: Path, dtype: Any) -> tuple[Any, Any]:
    """(processor, model) of a checkpoint, by transformers."""
    from models.fastvlm.checkpoint import load_model
    from models.fastvlm.processor import load_processor

    return load_processor(folder), load_model(folder, dtype)


class Prompt(NamedTuple):
    """A decoder's inputs, and the pixels from which transformers made the features."""

    ids: list[int]
    pixels: NDArray[np.float32]
    features: NDArray[np.float32]


class Reference:
    """A checkpoint in transformers' own FastVLM, in fp32, for images of `side_px`."""

    def __init__(self, folder: Path, side_px: int) -> None:
        import torch

        from models.fastvlm.greedy import Greedy

        self.folder, self.side_px = folder, side_px
        self.processor, self.model = load_checkpoint(folder, torch.float32)
        side = {"height": side_px, "width": side_px}
        self.processor.image_processor.size = self.processor.image_processor.crop_size = side
        self.greedy = Greedy.of(self.model.generation_config)
        self.image_id = int(self.model.config.image_token_id)

    def prompt(self, picture: Any, text: str = "What is ahead?") -> Prompt:
        """The inputs for an image and a question."""
        import torch

        turn = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}]
        chat = self.processor.apply_chat_template(turn, add_generation_prompt=True)
        inputs = self.processor(text=chat, images=picture, return_tensors="pt")
        pixels = inputs["pixel_values"]
        with torch.inference_mode():
            features = self.model.model.get_image_features(pixels).pooler_output[0]
        return Prompt(inputs["input_ids"][0].tolist(), pixels.numpy(), features.numpy())

    def expected(self, prompt: Prompt, **settings: Any) -> list[int]:
        """The tokens that `generate` gives, at most NEW_TOKENS."""
        import torch

        ids = torch.tensor([prompt.ids])
        with torch.inference_mode():
            written = self.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                pixel_values=torch.from_numpy(prompt.pixels),
                max_new_tokens=NEW_TOKENS,
                do_sample=False,
                **settings,
            )
        tokens: list[int] = written[0, ids.shape[1] :].tolist()
        return tokens


def pictures() -> list[Any]:
    """Noise, a gradient, two blocks of colour, and a photo of a street."""
    from PIL import Image

    noise = np.random.default_rng(5).integers(0, 256, (90, 120, 3), np.uint8)
    gradient = np.broadcast_to(np.arange(160, dtype=np.uint8)[None, :, None], (120, 160, 3))
    blocks = np.zeros((100, 100, 3), np.uint8)
    blocks[:, :50], blocks[60:, 50:] = (200, 30, 30), (20, 180, 240)
    drawn = [Image.fromarray(np.ascontiguousarray(each)) for each in (noise, gradient, blocks)]
    return [*drawn, Image.open(sample_photo())]
