"""What the system tells about the processor, without a library."""

from functools import cache
from pathlib import Path


@cache
def processor_facts() -> str:
    """Linux's description of the processor, with the flags of its instructions; elsewhere empty."""
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return ""


def has_amx() -> bool:
    """Whether the processor multiplies in 8 bits by tiles. Only Linux says so, and only there a fault
    is known."""
    return "amx_int8" in processor_facts()
