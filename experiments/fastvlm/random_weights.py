"""Writes random weights of FastVLM's true architecture in Apple's layout, to measure speed.

`python -m experiments.fastvlm.random_weights --out DIR` writes config.json, model.safetensors and a
tokenizer as `apple/FastVLM-0.5B` has them: every tensor's name and shape comes from building the
same networks with timm and transformers and renaming their tensors. The output is noise, but it is
finite in half precision at every size, and no end token is ever the most likely, so that every
recipe writes the requested number of tokens. The tokenizer knows the words of the benchmark's and
the engine's English prompts, so that a prompt is as long as with Qwen2's own tokenizer.
"""

import json
import re
import sys
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from engine.language.pack import TEMPLATES
from experiments.common import add_seed, command_parser
from models import quiet_offline
from models.fastvlm.checkpoint import (
    APPLE,
    DOWNSAMPLES,
    POSITIONS,
    STAGES,
    TOWER,
    UNUSED,
    apple_name,
)
from models.fastvlm.processor import SYSTEM

PROMPT = "Describe this image briefly."  # as in the original analysis
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
FIRST_SPECIAL = 151643  # Qwen2's; tokens from this id on are never the most likely
WIDENING = 2  # in timm: the last convolution's channels over the last stage's
CLIP = 768  # of the unused CLIP head
NOTE = "scene_aria_random"  # the key in config.json that marks a folder of this kind
INVERSE = (
    (r"^stem\.", "patch_embed."),
    (r"^final_conv\.", "conv_exp."),
    (r"\.se\.fc1\.", ".se.reduce."),
    (r"\.se\.fc2\.", ".se.expand."),
    (r"\.mlp\.", ".convffn."),
    (r"(downsample\.proj\.0)\.reparam_conv\.", r"\1.lkb_reparam."),
    (r"\.gamma$", ""),
)


@dataclass(frozen=True)
class Architecture:
    """All sizes that determine the shapes. The defaults are FastVLM-0.5B's: FastViTHD and
    Qwen2-0.5B.
    """

    layers: tuple[int, ...] = (2, 12, 24, 4, 2)
    embed_dims: tuple[int, ...] = (96, 192, 384, 768, 1536)
    hidden_size: int = 896
    intermediate_size: int = 4864
    num_attention_heads: int = 14
    num_key_value_heads: int = 2
    num_hidden_layers: int = 24
    vocab_size: int = 151936

    def settings(self) -> dict[str, Any]:
        """The content of config.json."""
        text = {
            key: getattr(self, key)
            for key in (
                "hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads",
                "num_hidden_layers", "vocab_size",
            )
        }  # fmt: skip
        return {
            "architectures": ["LlavaQwen2ForCausalLM"],
            "model_type": APPLE,
            **text,
            "mm_hidden_size": WIDENING * self.embed_dims[-1],
            "mm_projector_type": "mlp2x_gelu",
            "mm_vision_tower": "mobileclip_l_1024",
            "hidden_act": "silu",
            "max_position_embeddings": 32768,
            "rms_norm_eps": 1e-6,
            "rope_theta": 1000000.0,
            "tie_word_embeddings": False,
            "bos_token_id": FIRST_SPECIAL,
            "eos_token_id": FIRST_SPECIAL + 2,
            "torch_dtype": "bfloat16",
        }


TRUE = Architecture()
SMALL = Architecture(
    (1, 2, 1, 1, 1), (16, 16, 32, 32, 64), hidden_size=64, intermediate_size=128,
    num_attention_heads=2, num_key_value_heads=1, num_hidden_layers=2,
)  # fmt: skip


def tower_name(name: str) -> str:
    """Apple's name of timm's FastViT tensor `name`."""
    if found := re.match(r"stages\.(\d)\.(blocks|downsample|pos_emb)\.(.+)", name):
        parts = {"blocks": STAGES, "downsample": DOWNSAMPLES, "pos_emb": POSITIONS}
        places = {stage: place for place, stage in parts[found[2]].items()}
        place, rest = places[int(found[1])], found[3]
        if found[2] == "downsample":
            rest = rest.replace("proj.0.reparam_conv", "proj.0.lkb_reparam")
        name = f"network.{place}.{rest}"
    for pattern, replacement in INVERSE:
        name = re.sub(pattern, replacement, name)
    return TOWER + name


def shapes(architecture: Architecture) -> dict[str, Any]:
    """Apple's name → an empty tensor of the right shape and type, for every tensor."""
    import timm
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    settings = architecture.settings()
    text = {key: settings[key] for key in settings if hasattr(architecture, key)}
    with torch.device("meta"):
        tower: Any = timm.create_model(
            "fastvit_mci3", num_classes=0, inference_mode=True,
            layers=architecture.layers, embed_dims=architecture.embed_dims,
        )  # fmt: skip
        decoder = Qwen2ForCausalLM(Qwen2Config(**text, tie_word_embeddings=False))
        wide, width = settings["mm_hidden_size"], architecture.hidden_size
        projector = torch.nn.Sequential(
            torch.nn.Linear(wide, width), torch.nn.GELU(), torch.nn.Linear(width, width)
        )
        found = {UNUSED: torch.empty(wide, CLIP)}
    for theirs, tensor in tower.state_dict().items():
        name = tower_name(theirs)
        if apple_name(name) != f"model.vision_tower.timm_model.{theirs}":
            raise AssertionError(f"{theirs} became {name}, which is read as {apple_name(name)}")
        found[name] = tensor
    found |= {f"model.mm_projector.{name}": t for name, t in projector.state_dict().items()}
    return found | dict(decoder.state_dict())


def values(name: str, like: Any, generator: Any) -> Any:
    """Random values of one tensor on the CPU, scaled so that activations stay near one."""
    import torch

    if not like.is_floating_point():
        return torch.zeros(like.shape, dtype=like.dtype)
    if name.endswith(("running_var", "norm.weight", "bn.weight")):
        return torch.ones(like.shape)
    if name == UNUSED or name.endswith(("bias", "running_mean")):
        return torch.zeros(like.shape)
    if "layer_scale" in name:
        return torch.full(like.shape, 0.1)  # so that the sum over 44 blocks stays small
    fan_in = like[0].numel()
    tensor = torch.empty(like.shape).normal_(generator=generator)
    if "embed_tokens" in name:
        return tensor.mul_(0.02)  # Qwen2's initializer_range
    tensor.mul_((fan_in / (2 if like.dim() == 4 else 1)) ** -0.5)  # convolutions feed a GELU
    if like.dim() == 4 and ("token_mixer" in name or re.search(r"network\.[69]\.", name)):
        tensor.mul_(0.1)
        tensor[..., like.shape[2] // 2, like.shape[3] // 2] += 1.0  # the folded skip connection
    if name == "lm_head.weight":
        tensor[FIRST_SPECIAL:] = 0.0  # a logit of 0 is never the largest of 150,000
    return tensor


def made_up(number: int) -> str:
    """A word of three syllables, different for each number below 85 ** 3."""
    syllables = [f"{c}{v}" for c in "bdfghjklmnprstvwz" for v in "aeiou"]
    places = (number // len(syllables) ** 2, number // len(syllables), number)
    return "".join(syllables[place % len(syllables)] for place in places)


def save_tokenizer(folder: Path, vocabulary: int = FIRST_SPECIAL) -> None:
    """Write a tokenizer with Qwen2's special tokens at their own ids, bytes and the words of all
    prompts.

    The rest of the vocabulary is made-up words, so that speaking the noise takes as long as
    speaking text.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw: Any = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=2000, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    english = TEMPLATES / "en"
    ours = [path.read_text("utf-8") for path in sorted(english.glob("prompts/*.j2"))]
    places = (english / "scenes.json").read_text("utf-8")  # what {{ place }} may be
    texts = [f"system\n{SYSTEM}", "user\n", PROMPT, "assistant\n", *ours, places]
    raw.train_from_iterator(texts * 9, trainer)
    model = json.loads(raw.to_str())["model"]
    words = model["vocab"]
    blank = raw.pre_tokenizer.pre_tokenize_str(" ")[0][0]  # as written in the vocabulary
    more = (word for word in map(made_up, count()) if blank + word not in words)
    free = range(len(words), vocabulary)
    words = words | {blank + word: place for place, word in zip(free, more, strict=False)}
    merges = [tuple(pair) for pair in model["merges"]]
    whole: Any = Tokenizer(models.BPE(vocab=words, merges=merges))
    whole.pre_tokenizer = raw.pre_tokenizer
    whole.decoder = decoders.ByteLevel()
    whole.add_special_tokens([*SPECIAL])
    build: Any = PreTrainedTokenizerFast
    build(
        tokenizer_object=whole, eos_token=SPECIAL[2], pad_token=SPECIAL[0],
        additional_special_tokens=[*SPECIAL],
    ).save_pretrained(str(folder))  # fmt: skip


def write_weights(
    folder: Path, architecture: Architecture = TRUE, seed: int = 0, console: Console | None = None
) -> Path:
    """Write the checkpoint to `folder`, with tensors in bf16 as Apple's are; returns the folder."""
    import torch
    from safetensors.torch import save_file

    quiet_offline()
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    wanted = shapes(architecture)
    total = sum(tensor.numel() for tensor in wanted.values())
    with Progress(console=console, transient=True, disable=console is None) as progress:
        task = progress.add_task(f"{total / 1e6:.0f} M random numbers", total=total)
        state = {}
        for name, like in wanted.items():
            made = values(name, like, generator)
            state[name] = made.bfloat16() if made.is_floating_point() else made
            progress.advance(task, like.numel())
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    save_tokenizer(folder)
    settings = architecture.settings() | {NOTE: seed}
    (folder / "config.json").write_text(json.dumps(settings, indent=1), encoding="utf-8")
    return folder


def is_random(folder: Path) -> bool:
    """Whether `folder` was written by this module."""
    config = folder / "config.json"
    return config.is_file() and NOTE in json.loads(config.read_text(encoding="utf-8"))


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("experiments.fastvlm.random_weights", __doc__)
    parser.add_argument("--out", type=Path, required=True, help="the folder to write (1.5 GB)")
    add_seed(parser)
    parser.add_argument("--small", action="store_true", help="only a few layers, for a trial run")
    args = parser.parse_args(arguments)
    console = Console(highlight=False)
    try:
        write_weights(args.out, SMALL if args.small else TRUE, args.seed, console)
    except OSError as error:
        print(
            f"experiments.fastvlm.random_weights: --out {args.out}: {error.strerror or error}",
            file=sys.stderr,
        )
        return 2
    size = (args.out / "model.safetensors").stat().st_size
    console.print(f"{args.out}: {size / 1e6:.0f} MB of random weights", soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
