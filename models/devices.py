"""Which device a network runs on, in which precision, on how many threads.

Knows torch by name only: it is imported inside the functions. Knows no model.
"""

import os
from functools import cache
from pathlib import Path
from typing import Any

from engine.core.errors import MissingPart


def choose_device(asked: str) -> str:
    """`auto` becomes the fastest device present: cuda, then mps, then cpu.

    Raises MissingPart when a device is asked for by name and is not here.
    """
    import torch

    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if asked == "auto":
        return next(name for name, here in present.items() if here)
    if not present.get(asked, False):
        here = ", ".join(name for name in present if present[name])
        raise MissingPart(
            f"models.device={asked}: torch sees no such device here, only {here}; "
            "use one of those or models.device=auto"
        )
    return asked


def has_bf16() -> bool:
    """Whether the processor has bf16 instructions, and with them twice the arithmetic."""
    import torch

    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def has_vnni() -> bool:
    """Whether the processor adds products of 8 bits in 32: older ones add pairs in 16, which overflow."""
    import torch

    return bool(torch.cpu._is_vnni_supported())


def choose_dtype(device: str, large: bool = False) -> Any:
    """torch dtype for inference: half precision on an accelerator, full on a CPU.

    `large` is for models that are bound by memory traffic: on a CPU with bf16 instructions they run
    in bf16, which halves it.
    """
    import torch

    if device != "cpu":
        return torch.float16
    return torch.bfloat16 if large and has_bf16() else torch.float32


def precision_name(dtype: Any) -> str:
    """`fp32`, `fp16` or `bf16`, as model cards show it."""
    return {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}[str(dtype).split(".")[-1]]


def limit_threads(threads: int | None) -> None:
    """Let torch use `threads` CPU threads in this whole process; None leaves its own choice."""
    import torch

    if threads is not None:
        torch.set_num_threads(threads)


def synchronise(device: str) -> None:
    """Wait until the device has done all that was asked of it, so that clocks are honest."""
    import torch

    if device == "cuda":
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()


def first_in_line(device: str) -> Any:
    """On CUDA, work within goes to a stream whose kernels the card starts before all others that wait: a
    hazard goes before a description. Elsewhere nothing is changed."""
    import torch

    return torch.cuda.stream(_hurried() if device == "cuda" else None)


@cache
def _hurried() -> Any:
    import torch

    stream = torch.cuda.Stream(priority=-1)
    stream.wait_stream(torch.cuda.default_stream())  # on which networks were loaded
    return stream


def memory_bytes(device: str) -> dict[str, int]:
    """On CUDA, what torch has `allocated` and `reserved` for this process; elsewhere what is `resident`
    of the process, by the system's own count (0 where it gives none)."""
    import torch

    if device == "cuda":
        return {
            "allocated": torch.cuda.memory_allocated(),
            "reserved": torch.cuda.memory_reserved(),
        }
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return {"resident": 0}
    return {"resident": pages * os.sysconf("SC_PAGE_SIZE")}
