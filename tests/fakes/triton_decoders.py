"""What decoders of a small random Qwen2 generate, with the Triton kernels and without; as one line
of JSON.

tests/models/test_triton_steps.py runs it in a separate process with TRITON_INTERPRET=1, which has
to be set before Triton is imported.
"""

import json
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from models.fastvlm.greedy import Greedy
from models.fastvlm.torch.int4_weights import GROUP
from models.fastvlm.torch.runtime import open_decoder

IMAGE_ID, VOCABULARY, WIDTH, LIMIT = 1, 60, 48, 3
IMAGE_TOKENS = 9
RULES = Greedy(repetition_penalty=1.3, no_repeat_ngram=2)


def network(int4: bool = False) -> Any:
    """Always the same weights, in sizes that fill no block: 48 columns, 40 inner, three queries a
    key.

    With `int4`, all matrices but the embeddings are quantized and dequantized.
    """
    import transformers

    library: Any = transformers
    config = library.Qwen2Config(
        hidden_size=WIDTH, intermediate_size=40, num_hidden_layers=2, num_attention_heads=6,
        num_key_value_heads=2, vocab_size=VOCABULARY, max_position_embeddings=256,
        tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(0)
    net = library.Qwen2ForCausalLM(config).eval().requires_grad_(False)
    for name, tensor in net.named_parameters():
        torch.nn.init.normal_(tensor, 1.0 if "norm" in name else 0.0, 0.3)
        if int4 and tensor.dim() == 2 and "embed" not in name:
            tensor.copy_(torch.from_numpy(quantized(tensor.half().float().numpy())))
    return SimpleNamespace(
        model=SimpleNamespace(language_model=net.model),
        lm_head=net.lm_head,
        config=SimpleNamespace(image_token_index=IMAGE_ID),
    )


def quantized(weight: np.ndarray) -> np.ndarray:
    """By the definition: groups of neighbours, from -7 to 7 times an fp16 scale."""
    groups = weight.reshape(-1, math.gcd(weight.shape[1] // 2, GROUP))
    scale = (np.abs(groups).max(1, keepdims=True) / 7).astype(np.float16).astype(np.float32)
    rounded: np.ndarray = np.rint(groups / scale).clip(-7, 7) * scale
    return rounded.reshape(weight.shape)


def generated(precision: str, kernels: bool, greedy: Greedy, int4: bool = False) -> list[list[int]]:
    """The tokens after prompts with lengths around a block's border, one after the other."""
    decoder = open_decoder(
        network(int4), "cpu", precision, greedy, limit=LIMIT, kernels=kernels, capture=False
    )
    answers = []
    for length in (64, 65):
        random = np.random.default_rng(length)
        text = random.integers(2, VOCABULARY, length - IMAGE_TOKENS).tolist()
        features = random.normal(size=(IMAGE_TOKENS, WIDTH)).astype(np.float32)
        ids = [*text[:3], *[IMAGE_ID] * IMAGE_TOKENS, *text[3:]]
        answers.append(list(decoder.write(ids, torch.from_numpy(features), LIMIT)))
    return answers


def main() -> None:
    torch.set_num_threads(1)
    plain = Greedy()
    answers = {
        "torch": generated("fp32", False, plain),
        "triton": generated("fp32", True, plain),
        "torch, rules": generated("fp32", False, RULES),
        "triton, rules": generated("fp32", True, RULES),
        "torch, int4": generated("fp32", False, plain, int4=True),
        "triton, int4": generated("int4", True, plain),
    }
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
