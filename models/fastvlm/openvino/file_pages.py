"""Releases memory that OpenVINO holds but does not need: the pages of a mapped weights file.

A form's weights and a compiled network in the cache are mapped, and the CPU plugin copies the
weights of every matrix product into packed buffers at the first run. After that it reads only the
embeddings of the tokens it processes. But the mapped pages stay resident, and take as much memory
again as the packed buffers.
"""

import ctypes
import mmap
import re
from contextlib import suppress
from pathlib import Path


def release_file_pages(folder: Path) -> None:
    """Drop the mapped files of `folder` from this process's resident memory; pages that are needed
    again are read from the file. Nothing may have written to a private one. Does nothing on systems
    other than Linux."""
    home = f"{folder.resolve()}/"
    with suppress(OSError):
        for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
            fields = line.split(maxsplit=5)  # addresses, permissions, offset, device, inode, path
            if fields[-1].startswith(home) and not re.fullmatch("rw.s", fields[1]):
                start, end = (int(address, 16) for address in fields[0].split("-"))
                ctypes.CDLL(None).madvise(
                    ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.MADV_DONTNEED
                )
