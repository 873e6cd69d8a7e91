"""Run by tests/models/test_triton_steps.py with TRITON_INTERPRET=1, which has to be set before Triton is
imported: what decoders of a small random Qwen2 write, with Triton's kernels and without. One line of JSON.
"""

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from models.fastvlm.greedy import Greedy
from models.fastvlm.torch.runtime import open_decoder

IMAGE, WORDS, LIMIT, GROUP = 1, 300, 4, 16
RULES = Greedy(repetition_penalty=1.3, no_repeat_ngram=2)


def network(int4: bool = False) -> Any:
    """Sizes that fill no block: 96 columns, 160 within, three queries for a key. Always the same weights;
    with `int4` all that multiply are what 4 bits leave of them."""
    import transformers

    library: Any = transformers
    config = library.Qwen2Config(
        hidden_size=96, intermediate_size=160, num_hidden_layers=2, num_attention_heads=6,
        num_key_value_heads=2, vocab_size=WORDS, max_position_embeddings=256,
        tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(0)
    net = library.Qwen2ForCausalLM(config).eval().requires_grad_(False)
    for name, tensor in net.named_parameters():
        torch.nn.init.normal_(tensor, 1.0 if "norm" in name else 0.0, 0.2)
        if int4 and tensor.dim() == 2 and "embed" not in name:
            tensor.copy_(torch.from_numpy(left_by_four_bits(tensor.half().float().numpy())))
    return SimpleNamespace(
        model=SimpleNamespace(language_model=net.model),
        lm_head=net.lm_head,
        config=SimpleNamespace(image_token_index=IMAGE),
    )


def left_by_four_bits(weight: np.ndarray) -> np.ndarray:
    """By the definition: groups of GROUP neighbours, from -7 to 7 times a scale in half precision."""
    groups = weight.reshape(-1, GROUP)
    scale = (np.abs(groups).max(1, keepdims=True) / 7).astype(np.float16).astype(np.float32)
    left: np.ndarray = np.rint(groups / scale).clip(-7, 7) * scale
    return left.reshape(weight.shape)


def written(precision: str, kernels: bool, greedy: Greedy, **made: bool) -> list[list[int]]:
    """Tokens after prompts around a block's border, one after the other."""
    decoder = open_decoder(
        network(**made), "cpu", precision, greedy, limit=LIMIT, kernels=kernels, capture=False
    )
    found = []
    for length in (64, 65):
        words = np.random.default_rng(length).integers(2, WORDS, length - 9).tolist()
        features = torch.from_numpy(
            np.random.default_rng(length).normal(size=(9, 96)).astype(np.float32)
        )
        ids = [*words[:3], *[IMAGE] * 9, *words[3:]]
        found.append(list(decoder.write(ids, features, LIMIT)))
    return found


def main() -> None:
    from models.fastvlm.torch import int4_weights as fours

    fours.GROUP = GROUP
    torch.set_num_threads(1)
    plain = Greedy()
    print(
        json.dumps(
            {
                "torch": written("fp32", False, plain),
                "triton": written("fp32", True, plain),
                "torch, rules": written("fp32", False, RULES),
                "triton, rules": written("fp32", True, RULES),
                "torch, weights of four bits": written("fp32", False, plain, int4=True),
                "triton, four bits": written("int4", True, plain),
            }
        )
    )


if __name__ == "__main__":
    main()
