"""A pocket pack of tiny random networks, in the layout of the real one, for tests that must not
depend on trained weights."""

import json
from pathlib import Path
from typing import Any

from models.packs import write_manifest

LABELS = ("person", "bus")
DETECTOR_SIDE = 64
SCENES = ["street", "kitchen", "office", "park"]
SCENE_SETTINGS: dict[str, Any] = {
    "name": "tiny",
    "architecture": "fastvit_t8",
    "image_size": 64,
    "resize": "squash",
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "classes": [["street", False], ["kitchen", True], ["office", True], ["park", False]],
    "temperature": 1.0,
}

CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ["<|im_start|>", "<|im_end|>", "<image>"]
SIDE = 64  # 2 x 2 image tokens


def save_processor(folder: Path) -> Any:
    """Write a processor with a small tokenizer; return it."""
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    library: Any = transformers
    raw: Any = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(["a man is walking on the street and a car is parked"] * 9, trainer)
    tokenizer = library.PreTrainedTokenizerFast(
        tokenizer_object=raw,
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        additional_special_tokens=SPECIAL,
    )
    side = {"height": SIDE, "width": SIDE}
    images = library.LlavaImageProcessor(
        size=side, crop_size=side, do_pad=True, do_normalize=False, image_mean=[0.0, 0.0, 0.0]
    )
    processor = library.LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=32,
        vision_feature_select_strategy="full",
        chat_template=CHAT,
    )
    processor.save_pretrained(str(folder))
    return processor


def save_model(folder: Path, processor: Any) -> None:
    """Write a random FastVLM for images of 2 x 2 image tokens."""
    import torch
    import transformers

    library: Any = transformers
    torch.manual_seed(0)
    config = library.FastVlmConfig(
        vision_config={
            "model_type": "timm_wrapper",
            "architecture": "fastvit_t8",
            "do_pooling": True,
            "hidden_size": 768,
            "model_args": {"inference_mode": True},
        },
        text_config={
            "model_type": "qwen2",
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "vocab_size": len(processor.tokenizer),
            "initializer_range": 0.7,  # large, so that the network does not repeat one token
            "tie_word_embeddings": False,
        },
        image_token_index=processor.image_token_id,
    )
    model = library.FastVlmForConditionalGeneration(config)
    with torch.no_grad():
        for weight in model.model.vision_tower.parameters():
            if weight.dim() == 4:  # otherwise the image has no effect on the output
                torch.nn.init.kaiming_normal_(weight)
        for token in range(
            len(processor.tokenizer)
        ):  # never give special tokens or partial characters
            text = processor.tokenizer.decode([token], skip_special_tokens=True)
            if not text or "\ufffd" in text:
                model.lm_head.weight[token] = 0
    model.generation_config.eos_token_id = processor.tokenizer.eos_token_id
    model.save_pretrained(str(folder))


def random_net(classes: int, inference: bool) -> Any:
    """A random FastViT, in inference or training form."""
    import timm
    import torch

    torch.manual_seed(1)
    net: Any = timm.create_model("fastvit_t8", num_classes=classes, inference_mode=inference)
    with torch.no_grad():
        for weight in net.parameters():
            if weight.dim() == 4:
                torch.nn.init.kaiming_normal_(weight)
    return net.eval()


def save(net: Any, path: Path) -> None:
    """Write the weights of `net` in fp16."""
    from safetensors.torch import save_file

    state = net.state_dict()
    save_file({n: t.half() if t.is_floating_point() else t for n, t in state.items()}, path)


def save_detector(root: Path) -> None:
    """Write a random YOLO11n with two classes, in both forms."""
    import torch
    from ultralytics.nn.tasks import DetectionModel

    from models.build.detector import build_detector

    torch.manual_seed(0)
    build: Any = DetectionModel
    net = build("yolo11n.yaml", nc=len(LABELS), verbose=False)
    net.names = dict(enumerate(LABELS))
    torch.save({"model": net, "train_args": {}}, root / "detector.pt")
    build_detector(root / "detector.pt", root / "detector_openvino_model", share=True)
    settings = {
        "name": "tiny",
        "labels": LABELS,
        "image_size": DETECTOR_SIDE,
        "confidence": {"person": 0.4, "bus": 0.6},
    }
    (root / "detector.json").write_text(json.dumps(settings), encoding="utf-8")


def save_scenes(root: Path) -> None:
    """Write a random FastViT, in both forms."""
    from models.build.scenes import build_scenes

    save(random_net(len(SCENES), inference=True), root / "scenes.safetensors")
    (root / "scenes.json").write_text(json.dumps(SCENE_SETTINGS), encoding="utf-8")
    weights = root / "scenes.safetensors"
    build_scenes(weights, SCENE_SETTINGS, root / "scenes_openvino_model", share=True)


def save_pack(root: Path) -> Path:
    """Write all three tiers and their manifest to `root`; return it."""
    save_detector(root)
    save_scenes(root)
    save_model(root / "describer", save_processor(root / "describer"))
    settings = {"name": "tiny", "prompt": "What is ahead?"}
    (root / "describer.json").write_text(json.dumps(settings), encoding="utf-8")
    write_manifest(root, "0")
    return root
