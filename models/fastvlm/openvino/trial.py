"""Which arithmetic a decoder is quickest in on this processor: tried when it is exported.

In bf16 OpenVINO widens rounded weights as it goes; in fp32 it rounds what they are multiplied with to 8
bits instead, where the processor has instructions for that (VNNI). Which is quicker, and in how large
blocks a prompt is best read, differs from processor to processor.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np

from models.fastvlm.greedy import Greedy
from models.fastvlm.openvino.runtime import (
    BLOCK,
    EXACT,
    SHARED,
    Arithmetic,
    OpenVinoDecoder,
    compiled,
    has_bf16,
)

ROWS, TOKENS = 88, 8  # an answer's first clause: a picture of 512 px, a question, some words
TURNS = 3


def quickest(folder: Path, precision: str, facts: dict[str, Any]) -> Arithmetic:
    """How the decoder in `folder` writes a first clause soonest. Raises what OpenVINO raises where it can
    compute it in no way."""
    possible = choices(precision)
    if len(possible) == 1:
        return possible[0]
    took_s = {}
    for choice in possible:
        try:
            took_s[choice] = takes_s(folder, precision, facts, choice)
        except RuntimeError:  # no kernel for it on this processor
            if choice == possible[-1] and not took_s:
                raise
    return min(took_s, key=took_s.__getitem__)


def choices(precision: str) -> list[Arithmetic]:
    """What a decoder with weights in `precision` may be computed in here. Weights in fp32 and fp16 are
    computed with in fp32, whatever that costs."""
    exact = Arithmetic("f32", None)
    if precision in EXACT or not has_bf16():
        return [exact]
    halves = [Arithmetic("bf16", None), Arithmetic("bf16", BLOCK)]
    return [*halves, exact] if precision in SHARED else halves


def takes_s(folder: Path, precision: str, facts: dict[str, Any], arithmetic: Arithmetic) -> float:
    """Seconds until the decoder in `folder` has read a prompt and written some tokens."""
    graph = compiled(folder, precision, arithmetic.number)
    decoder = OpenVinoDecoder(graph, precision, facts, Greedy(), arithmetic)
    rows = min(ROWS, int(facts["context"]) - TOKENS)
    ids = [int(facts["image_token_index"])] * rows
    features = np.zeros((rows, int(facts["hidden_size"])), np.float32)
    best_s = float("inf")
    for _ in range(TURNS):
        began_s = time.perf_counter()
        for _ in decoder.write(ids, features, TOKENS):
            pass
        best_s = min(best_s, time.perf_counter() - began_s)
    return best_s
