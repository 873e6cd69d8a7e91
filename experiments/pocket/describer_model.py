"""The pocket describer's parts: transformers' FastVLM at pocket size, its processor, its images.

The encoder is EfficientNet-Lite0 with ImageNet weights (a timm trunk, as FastVLM expects), followed
by a two-layer projector and a small Qwen2 decoder. Trains nothing.
"""

import os
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from tqdm import tqdm

from experiments.pocket.data import LabelledImage
from experiments.pocket.teacher import ARCHITECTURE, WIDTH, FeatureExtractor, lite0
from experiments.pocket.views import random_views, whole_views
from models.fastvlm.processor import chat_of

library: Any = transformers  # its lazy exports are untyped
SIDE_PX = 224
TOKENS = (SIDE_PX // 32) ** 2
VOCABULARY = 4096
PROMPT = "What is ahead?"
SPECIAL = ["<|im_start|>", "<|im_end|>", "<image>"]
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>\n{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
VIEWS = 5  # of each image in the cache: the whole image and random views
FEATURE_DROPOUT = 0.2  # of cached features, since there are so few views
LEAST_AREA = 0.8  # of an image in every view, since its sentences describe the whole


def make_processor(texts: Sequence[str]) -> Any:
    """A processor like FastVLM's (pad to a square, resize, 0 to 1) with a BPE trained on `texts`."""
    raw: Any = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator([*texts, *[f"user\n{PROMPT}\nassistant\n"] * 50], trainer)
    tokenizer = library.PreTrainedTokenizerFast(
        tokenizer_object=raw,
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        additional_special_tokens=SPECIAL,
        padding_side="left",
    )
    side = {"height": SIDE_PX, "width": SIDE_PX}
    images = library.LlavaImageProcessor(
        size=side, crop_size=side, do_pad=True, do_normalize=False, image_mean=[0.0, 0.0, 0.0]
    )
    return library.LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=32,
        vision_feature_select_strategy="full",
        chat_template=CHAT,
    )


def load_model(folder: Path) -> Any:
    """An exported describer in full precision, to be trained further or evaluated."""
    model: Any = library.FastVlmForConditionalGeneration.from_pretrained(
        str(folder), dtype=torch.float32, local_files_only=True
    )
    return model


def make_model(processor: Any, seed: int) -> Any:
    """FastVLM with an ImageNet trunk and a random projector and decoder."""
    torch.manual_seed(seed)
    config = library.FastVlmConfig(
        vision_config={
            "model_type": "timm_wrapper",
            "architecture": ARCHITECTURE,
            "do_pooling": True,
            "hidden_size": WIDTH,
        },
        text_config={
            "model_type": "qwen2",
            "hidden_size": 256,
            "intermediate_size": 768,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "vocab_size": len(processor.tokenizer),
            "max_position_embeddings": 512,
            "tie_word_embeddings": True,
        },
        image_token_index=processor.image_token_id,
        image_seq_length=TOKENS,
        tie_word_embeddings=True,
    )
    model = library.FastVlmForConditionalGeneration(config)
    model.generation_config.eos_token_id = processor.tokenizer.eos_token_id
    model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    model.model.vision_tower.timm_model.load_state_dict(lite0().state_dict())
    return model


def prefix_ids(processor: Any) -> list[int]:
    """Token ids of the chat up to the start of the answer: 49 image tokens and the prompt."""
    return list(chat_of(processor, library.GenerationConfig()).ids(PROMPT, SIDE_PX))


def embedded(model: Any, ids: Tensor, features: Tensor) -> Tensor:
    """Embeddings [B, n, 256] of token `ids` [B, n]; image tokens get the projected `features` [B,
    49, 1280].
    """
    rows = model.get_input_embeddings()(ids)
    seen = model.model.multi_modal_projector(features)
    picture = (ids == model.config.image_token_index).unsqueeze(-1)
    filled: Tensor = rows.masked_scatter(picture, seen.to(rows.dtype))
    return filled


def load_padded(record: LabelledImage) -> NDArray[np.uint8]:
    """The image at its true aspect ratio, padded to a square as the processor does it.

    uint8 [224, 224, 3]. A squashed image of unknown aspect ratio gets 4:3.
    """
    with Image.open(record.path) as image:
        rgb = image.convert("RGB")
    aspect = record.true_aspect or rgb.width / rgb.height
    if record.true_aspect is None and rgb.width == rgb.height:
        aspect = 4 / 3
    scale = SIDE_PX / max(aspect, 1.0)
    size = (max(1, round(scale * aspect)), max(1, round(scale)))
    square = Image.new("RGB", (SIDE_PX, SIDE_PX))
    resized = rgb.resize(size, Image.Resampling.BICUBIC)
    square.paste(resized, ((SIDE_PX - size[0]) // 2, (SIDE_PX - size[1]) // 2))
    return np.asarray(square)


class CachedTrunk:
    """The frozen trunk of `model`, run once on a few views of each image: for a CPU."""

    def __init__(self, model: Any, records: Sequence[LabelledImage], work: Path) -> None:
        self._features = cached_features(model.model.vision_tower.timm_model, records, work)
        self._rng = np.random.default_rng(0)

    def __call__(self, rows: NDArray[np.int64]) -> Tensor:
        """Features float32 [B, 49, 1280] of images by index, with dropout."""
        several = [self._features[self._rng.integers(VIEWS), row] for row in rows]
        features = torch.from_numpy(np.stack(several).astype(np.float32))
        return torch.nn.functional.dropout(features, FEATURE_DROPOUT)


class TrainableTrunk:
    """The trunk of `model` itself, on new random views at each call; all images stay on the
    device.
    """

    def __init__(self, model: Any, records: Sequence[LabelledImage], device: str) -> None:
        self._trunk = model.model.vision_tower.timm_model
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            decoded = pool.map(load_padded, records)
            squares = list(tqdm(decoded, "decode", len(records), mininterval=5))
        self._pictures = torch.from_numpy(np.stack(squares)).to(device)

    def __call__(self, rows: NDArray[np.int64]) -> Tensor:
        """Features [B, 49, 1280] of images by index."""
        chosen = self._pictures[torch.from_numpy(rows).to(self._pictures.device)]
        pixels = random_views(chosen, SIDE_PX, LEAST_AREA)
        return self._trunk.forward_features(pixels).flatten(2).transpose(1, 2)


def cached_features(
    trunk: Any, records: Sequence[LabelledImage], work: Path
) -> NDArray[np.float16]:
    """The output of `trunk` for every record and view, float16 [VIEWS, N, 49, 1280], memory-mapped
    from a file in `work` named after the trunk's weights.
    """
    weights = torch.cat([value.float().flatten() for value in trunk.state_dict().values()])
    path = work / f"features-{zlib.crc32(weights.numpy().tobytes()):08x}.npy"
    shape = (VIEWS, len(records), TOKENS, WIDTH)
    if path.is_file():
        stored: NDArray[np.float16] = np.load(path, mmap_mode="r")
        if stored.shape == shape:
            return stored
    extract = FeatureExtractor(trunk)
    partial = path.with_suffix(".partial")
    out = np.lib.format.open_memmap(partial, "w+", np.float16, shape)
    torch.manual_seed(0)
    for index, record in enumerate(tqdm(records, "features", mininterval=5)):
        square = torch.from_numpy(load_padded(record))[None]
        random = random_views(square.expand(VIEWS - 1, -1, -1, -1), SIDE_PX, LEAST_AREA)
        seen = extract(torch.cat([whole_views(square, SIDE_PX), random]).numpy())
        out[:, index] = seen.reshape(VIEWS, WIDTH, TOKENS).transpose(0, 2, 1)
    out.flush()
    partial.replace(path)
    return out
