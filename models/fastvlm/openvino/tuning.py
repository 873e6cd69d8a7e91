"""Measures which arithmetic makes a decoder fastest on this processor, when it is exported.

With bf16, OpenVINO widens quantized weights while it multiplies. With fp32, it quantizes the
activations to 8 bits instead, if the processor has instructions for that (VNNI). Which of the two is
faster, and the best block size for reading a prompt, depend on the processor.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np

from models.fastvlm.greedy import Greedy
from models.fastvlm.openvino.runtime import (
    ACTIVATION_GROUP,
    EXACT,
    PROMPT_BLOCK,
    Arithmetic,
    OpenVinoDecoder,
    compiled,
    has_bf16,
)

# The workload of a first clause: read an image of 512 px and a question, write some tokens.
PROMPT_TOKENS, NEW_TOKENS = 88, 8
REPEATS = 3


def fastest(folder: Path, precision: str, facts: dict[str, Any]) -> Arithmetic:
    """The arithmetic with which the decoder in `folder` finishes a first clause soonest. Raises
    OpenVINO's error if none works."""
    possible = candidates(precision)
    if len(possible) == 1:
        return possible[0]
    took_s = {}
    for arithmetic in possible:
        try:
            took_s[arithmetic] = measure_s(folder, precision, facts, arithmetic)
        except RuntimeError:  # no kernel for it on this processor
            if arithmetic == possible[-1] and not took_s:
                raise
    return min(took_s, key=took_s.__getitem__)


def candidates(precision: str) -> list[Arithmetic]:
    """The arithmetics that a decoder with weights in `precision` may use on this processor. Weights
    in fp32 and fp16 are always computed in fp32."""
    exact = Arithmetic("f32", None)
    if precision in EXACT or not has_bf16():
        return [exact]
    bf16 = [Arithmetic("bf16", None), Arithmetic("bf16", PROMPT_BLOCK)]
    return [*bf16, exact] if precision in ACTIVATION_GROUP else bf16


def measure_s(folder: Path, precision: str, facts: dict[str, Any], arithmetic: Arithmetic) -> float:
    """Seconds that the decoder in `folder` takes to read a prompt and write some tokens; the best
    of REPEATS runs."""
    graph = compiled(folder, precision, arithmetic.number, keep=False)
    decoder = OpenVinoDecoder(graph, precision, facts, Greedy(), arithmetic)
    rows = min(PROMPT_TOKENS, int(facts["context"]) - NEW_TOKENS)
    ids = [int(facts["image_token_index"])] * rows
    features = np.zeros((rows, int(facts["hidden_size"])), np.float32)
    best_s = float("inf")
    for _ in range(REPEATS):
        start_s = time.perf_counter()
        for _ in decoder.write(ids, features, NEW_TOKENS):
            pass
        best_s = min(best_s, time.perf_counter() - start_s)
    return best_s
