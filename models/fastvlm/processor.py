"""Reads a checkpoint's processor with transformers, in either layout, and reduces it to the Chat
that a runtime needs. Used where a checkpoint has no exported chat, and when it is exported.
"""

import json
from pathlib import Path
from typing import Any

from models.fastvlm.chat import Chat, Template
from models.fastvlm.checkpoint import (
    APPLE,
    IMAGE_ID,
    IMAGE_PX,
    PIXELS_PER_TOKEN,
    generation_config,
    read_settings,
)
from models.fastvlm.greedy import Greedy

SYSTEM = "You are a helpful assistant."  # of the chat template that Apple trained with ("qwen_2")
CHAT = (
    f"<|im_start|>system\n{SYSTEM}<|im_end|>\n"
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>\n{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PROBE = "What is ahead?"  # any prompt, to find its place in the rendered template


def load_chat(folder: Path) -> Chat:
    """The chat of the checkpoint in `folder`; raises as load_processor and chat_of do."""
    return chat_of(load_processor(folder), generation_config(folder))


def chat_of(processor: Any, generation: Any) -> Chat:
    """The Chat of a processor and a GenerationConfig of transformers. Raises ValueError if the chat
    template does more with a prompt than to insert it once."""
    from tokenizers import Tokenizer

    before, *rest = render(processor, PROBE).split(PROBE)
    if len(rest) != 1:
        raise ValueError(f"a chat template that has {len(rest)} places for the prompt, not 1")
    tokenizer = Tokenizer.from_str(processor.tokenizer.backend_tokenizer.to_str())
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return Chat(
        tokenizer=tokenizer,
        template=Template(before, rest[0], render(processor, "")),
        image_token=processor.image_token,
        image_id=int(processor.image_token_id),
        patch_px=int(processor.patch_size),
        side_px=_side_px(processor),
        greedy=Greedy.of(generation),
    )


def render(processor: Any, prompt: str) -> str:
    """The chat of one user turn with an image and `prompt`, by the processor's own template."""
    content: list[dict[str, str]] = [{"type": "image"}]
    if prompt:
        content.append({"type": "text", "text": prompt})
    turn = [{"role": "user", "content": content}]
    text: str = processor.apply_chat_template(turn, add_generation_prompt=True)
    return text


def _side_px(processor: Any) -> int:
    """The image side that the processor is configured for."""
    size = processor.image_processor.size
    return int(size.get("height") or size.get("shortest_edge"))


def load_processor(folder: Path) -> Any:
    """The processor, in either layout, with a tokenizer that fits the weights.

    Raises ValueError if it does not fit, and whatever tokenizers and transformers raise for files
    that they cannot read.
    """
    settings = read_settings(folder)
    image: Any = IMAGE_ID
    if settings.get("model_type") == APPLE:
        processor, vocabulary = _apple_processor(folder), settings["vocab_size"]
    else:
        from transformers import AutoProcessor

        processor = AutoProcessor.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
        vocabulary = settings["text_config"]["vocab_size"]
        image = settings.get("image_token_index", settings.get("image_token_id"))
    tokens = len(processor.tokenizer)
    if tokens > vocabulary:
        raise ValueError(f"a tokenizer of {tokens} tokens for weights of {vocabulary}")
    if processor.image_token_id != image:
        raise ValueError(
            f"a tokenizer in which {processor.image_token} is {processor.image_token_id}, not {image}"
        )
    images = processor.image_processor
    is_identity = not any(images.image_mean) and all(value == 1 for value in images.image_std)
    if images.do_normalize and not is_identity:
        raise ValueError(f"images normalised by {images.image_mean}, {images.image_std}")
    return processor


def _apple_processor(folder: Path) -> Any:
    """A processor equivalent to Apple's code: pad to a square, resize, scale to [0, 1]; Qwen2's
    chat template."""
    from transformers import AutoTokenizer, LlavaImageProcessor, LlavaProcessor

    tokenizer = AutoTokenizer.from_pretrained(
        str(folder), local_files_only=True, trust_remote_code=False
    )
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    side = {"height": IMAGE_PX, "width": IMAGE_PX}
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


def patch_px(folder: Path) -> int | None:
    """The side in pixels of the patch that becomes one token; None if it cannot be read."""
    try:
        processor = folder / "processor_config.json"
        if processor.is_file():
            return int(json.loads(processor.read_text(encoding="utf-8"))["patch_size"])
        settings = read_settings(folder)
        return PIXELS_PER_TOKEN if settings["model_type"] == APPLE else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
