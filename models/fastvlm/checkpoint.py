"""Loads a FastVLM checkpoint into transformers' FastVLM. An incomplete checkpoint is refused.

Two layouts are supported: the one that transformers saves, and Apple's (LLaVA's tensor names and
configuration). Apple's tensor names are mapped here, so that no code from a
checkpoint is ever run. Knows nothing of frames or prompts.
"""

import json
import re
from pathlib import Path
from typing import Any

APPLE = "llava_qwen2"  # `model_type` of Apple's configuration
# Apple's list index -> timm's stage. An entry of Apple's network list is a stage's blocks, a
# downsampling or a positional encoding, in this order (FastViTHD, Vasu et al. 2024).
STAGES = {0: 0, 2: 1, 4: 2, 7: 3, 10: 4}
DOWNSAMPLES = {1: 1, 3: 2, 5: 3, 8: 4}
POSITIONS = {6: 3, 9: 4}
TOWER = "model.vision_tower.vision_tower.model."
UNUSED = f"{TOWER}head.proj"  # the encoder's CLIP head, which FastVLM does not use
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
IMAGE_PX = 1024  # `mobileclip_l_1024`
IMAGE_ID = 151646  # `<image>`, the first id after Qwen2's tokens


def load_model(folder: Path, dtype: Any) -> Any:
    """transformers' model in eval mode, from either layout, in `dtype`, on the CPU.

    Raises ValueError with the names of tensors that are missing, unexpected or of the wrong shape,
    and whatever safetensors and transformers raise for files that they cannot read.
    """
    from transformers import FastVlmForConditionalGeneration

    settings, arguments = read_settings(folder), {}
    apple = settings.get("model_type") == APPLE
    if apple:
        state = _apple_state(folder)
        arguments = {"config": apple_config(settings, state), "state_dict": state}
    model, info = FastVlmForConditionalGeneration.from_pretrained(
        None if apple else str(folder),
        dtype=dtype,
        local_files_only=True,
        use_safetensors=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # refused below, with their names
        **arguments,
    )
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if names := sorted(_key_name(key) for key in info.get(problem) or ()):
            raise ValueError(
                f"{len(names)} {problem.replace('_', ' ')} such as {', '.join(names[:3])}"
            )
    model.generation_config = generation_config(folder)
    return model.eval()


def generation_config(folder: Path) -> Any:
    """The checkpoint's generation settings, with its end-of-sequence tokens."""
    from transformers import GenerationConfig

    settings = read_settings(folder)
    config = GenerationConfig()
    if (folder / "generation_config.json").is_file():
        config = GenerationConfig.from_pretrained(str(folder), local_files_only=True)
    if config.eos_token_id is None:
        text = settings.get("text_config") or {}
        config.eos_token_id = settings.get("eos_token_id", text.get("eos_token_id"))
    return config


def read_settings(folder: Path) -> dict[str, Any]:
    """The checkpoint's config.json."""
    settings: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return settings


def _key_name(key: Any) -> str:
    """A tensor's name; transformers gives a mismatched one with both shapes."""
    return key if isinstance(key, str) else " ".join(str(part) for part in key)


def apple_name(name: str) -> str | None:
    """The name in transformers' FastVLM of Apple's tensor `name`; None if it is not used. Raises
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
        index, rest = int(found[1]), found[2]
        if index in STAGES:
            name = f"stages.{STAGES[index]}.blocks.{rest}"
        elif index in DOWNSAMPLES:
            name = f"stages.{DOWNSAMPLES[index]}.downsample.{rest}"
        elif index in POSITIONS:
            name = f"stages.{POSITIONS[index]}.pos_emb.{rest}"
        else:
            raise ValueError(f"1 unexpected key such as {TOWER}{name}")
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def _apple_state(folder: Path) -> dict[str, Any]:
    """All tensors, under transformers' names."""
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
    """transformers' configuration from Apple's `settings`. 0.5B and 1.5B differ only in it. Apple's
    does not give the encoder's depth and width, which are taken from the tensors in `state`."""
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
        image_seq_length=(IMAGE_PX // PIXELS_PER_TOKEN) ** 2,
        tie_word_embeddings=settings.get("tie_word_embeddings", False),
    )


def _tower_arguments(state: dict[str, Any]) -> dict[str, Any]:
    """timm's arguments for the encoder in `state`. Raises ValueError if a stage has no blocks."""
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
