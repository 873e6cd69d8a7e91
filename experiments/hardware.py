"""What this machine calls itself, for whatever is measured on it."""

import os
import platform
from pathlib import Path


def processor() -> str:
    """The processor's name where the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def device_name(device: str) -> str:
    """The graphics card's name, or the processor's with its cores."""
    if device != "cuda":
        return f"{processor()}, {os.cpu_count()} cores"
    import torch

    return str(torch.cuda.get_device_name())
