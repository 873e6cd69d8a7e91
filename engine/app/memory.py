"""How much memory is left, and whether a model fits into it: a process without any is killed."""

import contextlib
from pathlib import Path

from engine.core.errors import OutOfMemory

# Kept for the obstacle loop, and for what a network needs beside its weights.
HEADROOM_MB = 256.0
MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")


def available_mb(meminfo: Path = MEMINFO, cgroup: Path = CGROUP) -> float | None:
    """The memory in MiB that this process may still take, by Linux's estimate and by the limit of
    its container (cgroup v2); None if it is not known, as on macOS."""
    found: list[float] = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in meminfo.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                found.append(int(line.split()[1]) / 1024)
    with contextlib.suppress(OSError, ValueError):  # "max": no limit
        limit = int((cgroup / "memory.max").read_text(encoding="ascii"))
        used = int((cgroup / "memory.current").read_text(encoding="ascii"))
        found.append(max(0, limit - used) / 2**20)
    return min(found, default=None)


def largest_mb(paths: list[Path]) -> float:
    """The size in MiB of the largest file at or below `paths`: a model's weights."""
    files = [file for path in paths for file in (path.rglob("*") if path.is_dir() else [path])]
    return max((file.stat().st_size for file in files if file.is_file()), default=0) / 2**20


def require_memory(what: str, weights_mb: float, free_mb: float | None) -> None:
    """Raise OutOfMemory if `what`, with weights of this size, does not fit into `free_mb`."""
    needed_mb = weights_mb + HEADROOM_MB
    if free_mb is not None and free_mb < needed_mb:
        raise OutOfMemory(
            f"the {what} needs {needed_mb:.0f} MB of memory, and {free_mb:.0f} MB are left; close "
            "other programs, or use mode=quick"
        )
