"""The Triton kernels without a GPU: their results in Triton's interpreter, and that they compile
for Hopper and for the oldest GPUs that Triton supports."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.weights
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
# of FastVLM-0.5B
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
        ("triton, int4", "torch, int4"),
    ],
)
def test_the_kernels_give_the_tokens_of_torch(
    written: dict[str, list[list[int]]], kernels: str, reference: str
) -> None:
    assert written[kernels] == written[reference]
    assert len({token for answer in written[kernels] for token in answer}) > 4


def test_rules_and_quantization_change_the_tokens(written: dict[str, list[list[int]]]) -> None:
    """Otherwise the comparisons above would all be the same."""
    references = ("torch", "torch, rules", "torch, int4")
    assert len({json.dumps(written[name]) for name in references}) == 3


def settings(capability: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """(kernel, constants); for Hopper, kernels with a product also with 4-bit weights."""
    for name, shape in SHAPES.items():
        yield name, shape
        if shape.get("GROUP") == 0 and capability == HOPPER:
            yield name, shape | {"GROUP": 64}


@pytest.mark.parametrize(("capability", "pdl"), [(HOPPER, True), (80, False)])
def test_every_kernel_compiles(
    capability: int, pdl: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Hopper, a kernel waits for its predecessor after it has requested its weights."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    from triton.backends.compiler import GPUTarget

    from models.fastvlm.torch import triton_kernels
    from models.fastvlm.torch.triton_steps import ATTENTION_WARPS, WARPS

    for name, shape in settings(capability):
        kernel = getattr(triton_kernels, name)
        constants = shape | ({} if name == "dequantize" else {"PDL": pdl})
        types = TYPES | ({"weights": "*u8"} if constants.get("GROUP") else {})
        names = kernel.arg_names
        source = triton.compiler.ASTSource(
            fn=kernel,
            signature={n: "constexpr" if n in constants else types[n] for n in names},
            constexprs={(names.index(n),): value for n, value in constants.items()},
        )
        warps = {"num_warps": ATTENTION_WARPS if name == "attend" else WARPS}
        target = GPUTarget("cuda", capability, 32)
        code = triton.compile(source, target=target, options=warps).asm["ptx"]
        waits = code.find("griddepcontrol.wait")
        assert (waits > 0) == (pdl and name != "dequantize"), name
        if waits > 0 and "weights" in names:
            assert 0 < code.find("ld.global") < waits, name
