"""FastVLM checkpoints on disk to transformers' own FastVLM: (processor, model), whole or not at all.

Two layouts: the one that transformers saves, and the one in which Apple publishes (LLaVA's names, its
configuration, no processor). Apple's is mapped here name by name, so that no code out of a checkpoint
is ever run. Knows nothing of frames or prompts.
"""

import json
import re
from pathlib import Path
from typing import Any

APPLE = "llava_qwen2"  # `model_type` of Apple's configuration
# In Apple's network list: what each part is called in timm's FastViT. An index is a stage's blocks, a
# downsampling or a positional encoding, in this order (FastViTHD, Vasu et al. 2024).
STAGES = {0: 0, 2: 1, 4: 2, 7: 3, 10: 4}
DOWNSAMPLES = {1: 1, 3: 2, 5: 3, 8: 4}
POSITIONS = {6: 3, 9: 4}
TOWER = "model.vision_tower.vision_tower.model."
UNUSED = f"{TOWER}head.proj"  # the encoder's CLIP head, which FastVLM never calls
RENAMED = (
    (r"^patch_embed\.", "stem."),
    (r"^conv_exp\.", "final_conv."),
    (r"\.se\.reduce\.", ".se.fc1."),
    (r"\.se\.expand\.", ".se.fc2."),
    (r"\.convffn\.", ".mlp."),
    (r"\.lkb_reparam\.", ".reparam_conv."),
    (r"\.(layer_scale(?:_\d)?)$", r".\1.gamma"),
)
PIXELS_PER_TOKEN = 64
PICTURE_PX = 1024  # `mobileclip_l_1024`
IMAGE_ID = 151646  # of `<image>`: the first after Qwen2's own tokens
SYSTEM = "You are a helpful assistant."  # of the conversation that Apple trained on ("qwen_2")
CHAT = (
    f"<|im_start|>system\n{SYSTEM}<|im_end|>\n"
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>\n{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def load_checkpoint(folder: Path, dtype: Any) -> tuple[Any, Any]:
    """(processor, model) of either layout: see load_processor and load_model."""
    return load_processor(folder), load_model(folder, dtype)


def load_processor(folder: Path) -> Any:
    """The processor of either layout, with a tokenizer that fits the weights.

    Raises ValueError for one that does not, and whatever tokenizers and transformers raise for files
    that they cannot read.
    """
    settings = _settings(folder)
    image: Any = IMAGE_ID
    if settings.get("model_type") == APPLE:
        processor, words = _apple_processor(folder), settings["vocab_size"]
    else:
        from transformers import AutoProcessor

        processor = AutoProcessor.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
        words = settings["text_config"]["vocab_size"]
        image = settings.get("image_token_index", settings.get("image_token_id"))
    known = len(processor.tokenizer)
    if known > words:
        raise ValueError(f"a tokenizer of {known} tokens for weights of {words}")
    if processor.image_token_id != image:
        raise ValueError(
            f"a tokenizer in which {processor.image_token} is {processor.image_token_id}, not {image}"
        )
    images = processor.image_processor
    same = not any(images.image_mean) and all(value == 1 for value in images.image_std)
    if images.do_normalize and not same:
        raise ValueError(f"pictures normalised by {images.image_mean}, {images.image_std}")
    return processor


def load_model(folder: Path, dtype: Any) -> Any:
    """transformers' model in eval mode, of either layout, in `dtype`, on the CPU.

    Raises ValueError naming the tensors that are missing, left over or of another shape, and whatever
    safetensors and transformers raise for files that they cannot read.
    """
    from transformers import FastVlmForConditionalGeneration

    settings, given = _settings(folder), {}
    apple = settings.get("model_type") == APPLE
    if apple:
        state = _apple_state(folder)
        given = {"config": apple_config(settings, state), "state_dict": state}
    model, info = FastVlmForConditionalGeneration.from_pretrained(
        None if apple else str(folder),
        dtype=dtype,
        local_files_only=True,
        use_safetensors=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # they are refused below, by name
        **given,
    )
    for trouble in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if names := sorted(_named(key) for key in info.get(trouble) or ()):
            raise ValueError(
                f"{len(names)} {trouble.replace('_', ' ')} such as {', '.join(names[:3])}"
            )
    model.generation_config = generation_config(folder)
    return model.eval()


def generation_config(folder: Path) -> Any:
    """How the checkpoint wants to be asked for tokens, and which ones end an answer."""
    from transformers import GenerationConfig

    settings = _settings(folder)
    config = GenerationConfig()
    if (folder / "generation_config.json").is_file():
        config = GenerationConfig.from_pretrained(str(folder), local_files_only=True)
    if config.eos_token_id is None:
        text = settings.get("text_config") or {}
        config.eos_token_id = settings.get("eos_token_id", text.get("eos_token_id"))
    return config


def _settings(folder: Path) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return settings


def _named(key: Any) -> str:
    """A tensor's name; a mismatched one comes with both shapes."""
    return key if isinstance(key, str) else " ".join(str(part) for part in key)


def patch_px(folder: Path) -> int | None:
    """How many pixels a side the checkpoint makes one token of; None where it cannot be read."""
    try:
        processor = folder / "processor_config.json"
        if processor.is_file():
            return int(json.loads(processor.read_text(encoding="utf-8"))["patch_size"])
        settings = _settings(folder)
        return PIXELS_PER_TOKEN if settings["model_type"] == APPLE else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def apple_name(name: str) -> str | None:
    """What transformers' FastVLM calls Apple's tensor `name`; None for what it does not use. Raises
    ValueError for a name that no FastVLM has."""
    if name == UNUSED:
        return None
    if name.startswith("lm_head."):
        return name
    if found := re.fullmatch(r"model\.mm_projector\.(0|2)\.(weight|bias)", name):
        return f"model.multi_modal_projector.linear_{int(found[1]) // 2 + 1}.{found[2]}"
    if name.startswith(TOWER):
        return f"model.vision_tower.timm_model.{_tower_name(name.removeprefix(TOWER))}"
    if found := re.fullmatch(r"model\.((?:embed_tokens|layers|norm)\..+)", name):
        return f"model.language_model.{found[1]}"
    raise ValueError(f"1 unexpected key such as {name}")


def _tower_name(name: str) -> str:
    if found := re.match(r"network\.(\d+)\.(.+)", name):
        place, rest = int(found[1]), found[2]
        if place in STAGES:
            name = f"stages.{STAGES[place]}.blocks.{rest}"
        elif place in DOWNSAMPLES:
            name = f"stages.{DOWNSAMPLES[place]}.downsample.{rest}"
        elif place in POSITIONS:
            name = f"stages.{POSITIONS[place]}.pos_emb.{rest}"
        else:
            raise ValueError(f"1 unexpected key such as {TOWER}{name}")
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def _apple_state(folder: Path) -> dict[str, Any]:
    """All tensors under transformers' names."""
    from safetensors.torch import load_file

    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ValueError("no *.safetensors")
    state = {}
    for path in files:
        for name, tensor in load_file(path).items():
            if (mapped := apple_name(name)) is not None:
                state[mapped] = tensor
    return state


def apple_config(settings: dict[str, Any], state: dict[str, Any]) -> Any:
    """transformers' configuration from Apple's, by which alone 0.5B and 1.5B differ. How deep and wide
    the encoder is, Apple's does not say: that is read off `state`."""
    from transformers import FastVlmConfig

    for key, expected in (
        ("mm_projector_type", "mlp2x_gelu"),
        ("mm_vision_tower", "mobileclip_l_1024"),
    ):
        if settings.get(key) != expected:
            raise ValueError(f"{key}: expected {expected}, got {settings.get(key)}")
    text: dict[str, Any] = {
        key: settings[key]
        for key in (
            "hidden_size",
            "intermediate_size",
            "num_attention_heads",
            "num_hidden_layers",
            "num_key_value_heads",
            "vocab_size",
            "max_position_embeddings",
            "rms_norm_eps",
            "rope_theta",
            "hidden_act",
            "tie_word_embeddings",
            "bos_token_id",
            "eos_token_id",
        )
        if key in settings
    }
    vision: dict[str, Any] = {
        "model_type": "timm_wrapper",
        "architecture": "fastvit_mci3",
        "do_pooling": True,
        "global_pool": "avg",
        "hidden_size": settings["mm_hidden_size"],
        "model_args": _tower_arguments(state),
    }
    return FastVlmConfig(
        vision_config=vision,
        text_config=text | {"model_type": "qwen2"},
        image_token_index=IMAGE_ID,
        image_seq_length=(PICTURE_PX // PIXELS_PER_TOKEN) ** 2,
        tie_word_embeddings=settings.get("tie_word_embeddings", False),
    )


def _tower_arguments(state: dict[str, Any]) -> dict[str, Any]:
    """What timm needs to build the encoder in `state`. Raises ValueError where a stage has
    no blocks."""
    layers, widths = [], []
    for stage in range(len(STAGES)):
        prefix = f"model.vision_tower.timm_model.stages.{stage}.blocks."
        blocks = {name.removeprefix(prefix).split(".")[0] for name in state if prefix in name}
        first = state.get(f"{prefix}0.mlp.fc1.weight")
        if first is None:
            raise ValueError(f"1 missing key such as {prefix}0.mlp.fc1.weight")
        layers.append(len(blocks))
        widths.append(int(first.shape[1]))
    return {"inference_mode": True, "layers": tuple(layers), "embed_dims": tuple(widths)}


def _apple_processor(folder: Path) -> Any:
    """The processor that Apple's code is: pad to a square, resize, 0 to 1; Qwen2's chat."""
    from transformers import AutoTokenizer, LlavaImageProcessor, LlavaProcessor

    tokenizer = AutoTokenizer.from_pretrained(
        str(folder), local_files_only=True, trust_remote_code=False
    )
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    side = {"height": PICTURE_PX, "width": PICTURE_PX}
    images = LlavaImageProcessor(
        size=side, crop_size=side, do_pad=True, do_normalize=False, image_mean=[0.0, 0.0, 0.0]
    )
    return LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=PIXELS_PER_TOKEN,
        vision_feature_select_strategy="full",
        chat_template=CHAT,
        image_token="<image>",
    )
