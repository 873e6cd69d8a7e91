"""The graphics card's kernels without a card: what they compute, by Triton's interpreter, and that they
compile for Hopper and for the oldest cards that Triton is made for."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

triton = pytest.importorskip("triton")
ROOT = Path(__file__).parents[2]
HOPPER = 90
HALF, FLOAT, POSITION, COUNT = "*fp16", "*fp32", "*i64", "i32"
TYPES = {
    "weights": HALF, "scales": HALF, "norm": HALF, "bias": HALF, "cache": HALF, "table": HALF,
    "logits": HALF, "x": FLOAT, "inputs": FLOAT, "queries": FLOAT, "cos": FLOAT, "sin": FLOAT,
    "out": FLOAT, "best": FLOAT, "epsilon": "fp32", "scale": "fp32", "which": "*i32",
    "position": POSITION, "token": POSITION, "written": POSITION, "slots": COUNT, "span": COUNT,
    "count": COUNT, "rows": COUNT,
}  # fmt: skip
# FastVLM-0.5B's
SHAPES: dict[str, dict[str, Any]] = {
    "embed": {"WIDTH": 896, "BLOCK": 1024},
    "attention_inputs": {
        "HEADS": 14, "KEYS": 2, "SIZE": 64, "K": 896, "BLOCK": 512, "PAIRS": 4, "GROUP": 0,
    },
    "attend": {"KEYS": 2, "SHARED": 7, "SIZE": 64, "BLOCK": 512},
    "add_product": {"WIDTH": 896, "K": 4864, "BLOCK": 1024, "ROWS": 4, "GROUP": 0},
    "gate": {"INNER": 4864, "K": 896, "BLOCK": 512, "PAIRS": 8, "GROUP": 0},
    "score_tokens": {"VOCABULARY": 151936, "K": 896, "BLOCK": 512, "ROWS": 16, "GROUP": 0, "KEEP": True},
    "take_best": {"BLOCK": 16384},
    "dequantize": {"K": 896, "BLOCK": 256, "ROWS": 8, "GROUP": 64},
}  # fmt: skip


@pytest.fixture(scope="module")
def written() -> dict[str, list[list[int]]]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.fakes.triton_decoders"],
        cwd=ROOT,
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[list[int]]] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    ("kernels", "reference"),
    [
        ("triton", "torch"),
        ("triton, rules", "torch, rules"),
        ("triton, four bits", "torch, weights of four bits"),
    ],
)
def test_the_kernels_write_what_torch_writes(
    written: dict[str, list[list[int]]], kernels: str, reference: str
) -> None:
    assert written[kernels] == written[reference]
    assert len({token for answer in written[kernels] for token in answer}) > 4


def test_rules_and_rounding_show(written: dict[str, list[list[int]]]) -> None:
    """Else the comparisons above would compare the same thing."""
    references = ("torch", "torch, rules", "torch, weights of four bits")
    assert len({json.dumps(written[name]) for name in references}) == 3


def settings(card: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each kernel; on one card those that multiply also with weights of 4 bits."""
    for name, shape in SHAPES.items():
        yield name, shape
        if shape.get("GROUP") == 0 and card == HOPPER:
            yield name, shape | {"GROUP": 64}


@pytest.mark.parametrize(("card", "early"), [(HOPPER, True), (80, False)])
def test_every_kernel_compiles(
    card: int, early: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hopper's waits for the kernel before it, after it has asked for its weights."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    from triton.backends.compiler import GPUTarget

    from models.fastvlm.torch import triton_kernels
    from models.fastvlm.torch.triton_steps import ATTENTION_WARPS, WARPS

    for name, shape in settings(card):
        kernel = getattr(triton_kernels, name)
        fixed = shape | ({} if name == "dequantize" else {"PDL": early})
        types = TYPES | ({"weights": "*u8"} if fixed.get("GROUP") else {})
        names = kernel.arg_names
        source = triton.compiler.ASTSource(
            fn=kernel,
            signature={n: "constexpr" if n in fixed else types[n] for n in names},
            constexprs={(names.index(n),): value for n, value in fixed.items()},
        )
        warps = {"num_warps": ATTENTION_WARPS if name == "attend" else WARPS}
        target = GPUTarget("cuda", card, 32)
        code = triton.compile(source, target=target, options=warps).asm["ptx"]
        waits = code.find("griddepcontrol.wait")
        assert (waits > 0) == (early and name != "dequantize"), name
        if waits > 0 and "weights" in names:
            assert 0 < code.find("ld.global") < waits, name
