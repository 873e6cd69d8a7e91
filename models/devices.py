"""Chooses devices and precisions, limits threads, and measures memory.

torch is imported only inside the functions that need it. Knows no model.
"""

import ctypes
import importlib.util
import os
import platform
import sys
from functools import cache
from pathlib import Path
from typing import Any

from engine.core.errors import MissingPart
from engine.core.extras import pip_install
from models.runtime.compiled import core
from models.runtime.processor import processor_facts


def choose_device(requested: str) -> str:
    """`auto` becomes the fastest device present: cuda, then mps, then cpu.

    torch is imported only where it may find more than a CPU. Raises MissingPart if a device is
    requested by name and is not present.
    """
    if requested == "cpu" or (requested == "auto" and not _may_have_accelerator()):
        return "cpu"
    if not _has_torch():
        raise MissingPart(
            f"models.device={requested}: expected torch, got none; run: {pip_install('torch')}, "
            "or use models.device=cpu"
        )
    import torch

    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if requested == "auto":
        return next(name for name, is_present in present.items() if is_present)
    if not present.get(requested, False):
        available = ", ".join(name for name in present if present[name])
        raise MissingPart(
            f"models.device={requested}: torch sees no such device here, only {available}; "
            "use one of those or models.device=auto"
        )
    return requested


@cache
def _may_have_accelerator() -> bool:
    """Whether it is worth asking torch for a device: by the graphics driver, as importing torch
    takes seconds."""
    return _has_driver() and _has_torch()


def _has_driver() -> bool:
    if sys.platform == "darwin":
        return platform.machine() == "arm64"  # mps
    if Path("/dev/kfd").exists():  # AMD's
        return True
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        count = ctypes.c_int(0)
        # NVIDIA's driver API; both return 0 for success
        found = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
    except (OSError, AttributeError):
        return False
    return found and count.value > 0


def _has_torch() -> bool:
    return importlib.util.find_spec("torch") is not None


@cache
def has_bf16() -> bool:
    """Whether OpenVINO computes in bf16 on this processor, which doubles its arithmetic
    throughput."""
    return "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@cache
def has_vnni() -> bool:
    """Whether the CPU accumulates 8-bit products in 32 bits (VNNI); older ones use 16, which
    overflow. Where only torch could say, and it is not installed, the answer is no."""
    if facts := processor_facts():
        return "avx512_vnni" in facts
    if not _has_torch():
        return False
    import torch

    return bool(torch.cpu._is_vnni_supported())


def choose_dtype(device: str, large: bool = False) -> Any:
    """The torch dtype for inference: fp16 on an accelerator, fp32 on a CPU.

    `large` is for models whose speed is limited by memory traffic: on a CPU with bf16 instructions
    they run in bf16, which halves it.
    """
    import torch

    if device != "cpu":
        return torch.float16
    return torch.bfloat16 if large and has_bf16() else torch.float32


def precision_name(dtype: Any) -> str:
    """`fp32`, `fp16` or `bf16`, as model cards show it."""
    return {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}[str(dtype).split(".")[-1]]


def limit_threads(threads: int | None) -> None:
    """Let torch use `threads` CPU threads in this process; None leaves torch's default."""
    import torch

    if threads is not None:
        torch.set_num_threads(threads)


def synchronise(device: str) -> None:
    """Wait until the device has finished its work, so that timings are correct."""
    import torch

    if device == "cuda":
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()


def high_priority_stream(device: str) -> Any:
    """On CUDA, a context in which work goes to a stream of high priority, so that obstacle
    detection runs before a description. Does nothing on other devices."""
    import torch

    return torch.cuda.stream(_priority_stream() if device == "cuda" else None)


@cache
def _priority_stream() -> Any:
    import torch

    stream = torch.cuda.Stream(priority=-1)
    stream.wait_stream(torch.cuda.default_stream())  # networks were loaded on it
    return stream


def memory_bytes(device: str) -> dict[str, int]:
    """On CUDA, the bytes that torch has `allocated` and `reserved`; elsewhere the process's
    `resident` bytes by the system's count (0 if it gives none)."""
    if device == "cuda":
        import torch

        return {
            "allocated": torch.cuda.memory_allocated(),
            "reserved": torch.cuda.memory_reserved(),
        }
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return {"resident": 0}
    return {"resident": pages * os.sysconf("SC_PAGE_SIZE")}
