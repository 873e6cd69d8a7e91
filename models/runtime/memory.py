"""Keeps the process small: returns memory to the system that OpenVINO holds but does not need. Tells
a lack of memory from other errors.

A form's weights and a compiled network in the cache are mapped, and the CPU plugin copies the
weights of every matrix product into packed buffers at the first run. After that it reads only the
embeddings of the tokens it processes. But the mapped pages stay resident, and take as much memory
again as the packed buffers.

glibc keeps freed memory too, in up to eight arenas for each core, of which every thread fills one.
"""

import ctypes
import mmap
import re
from contextlib import suppress
from pathlib import Path

ARENAS = 2
_M_ARENA_MAX = -8  # in malloc.h
ALLOCATION_FAILED = re.compile(
    r"(can't|failed to) allocate|bad.?alloc|out of memory|ALLOC_FAILED", re.I
)


def limit_arenas() -> None:
    """Let all threads share a few arenas. Does nothing without glibc."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, ARENAS)


def release_memory(*folders: Path) -> None:
    """Return freed memory to the system, and drop the mapped files of `folders` from this process's
    resident memory; pages that are needed again are read from the file. Nothing may have written to
    a private mapping. Does nothing on systems other than Linux with glibc."""
    homes = tuple(f"{folder.resolve()}/" for folder in folders)
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.malloc_trim(0)
        for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
            fields = line.split(maxsplit=5)  # addresses, permissions, offset, device, inode, path
            if fields[-1].startswith(homes) and not re.fullmatch("rw.s", fields[1]):
                start, end = (int(address, 16) for address in fields[0].split("-"))
                library.madvise(
                    ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.MADV_DONTNEED
                )


def is_out_of_memory(error: Exception) -> bool:
    """Whether a library failed to allocate memory. torch has an error class for a GPU; for a CPU,
    no library has one, so the message decides."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or bool(ALLOCATION_FAILED.search(str(error)))
    )
