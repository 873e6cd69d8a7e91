"""Memory that OpenVINO holds without needing it: the pages of a weights' file.

Its processor plugin maps the file, packs the weights of every product into memory of its own, and from
then on reads no more of the file than the embeddings of the words it meets. What was read stays in the
process all the same, as much again as the packed weights.
"""

import ctypes
import mmap
from contextlib import suppress
from pathlib import Path


def let_go(folder: Path) -> None:
    """Take the mapped files of `folder` out of this process's memory; what is read again comes back from
    the file. Where the system is not Linux, nothing happens."""
    home = f"{folder.resolve()}/"
    with suppress(OSError):
        for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
            parts = line.split(maxsplit=5)  # addresses, rights, offset, device, inode, path
            if parts[-1].startswith(home) and "w" not in parts[1]:
                first, end = (int(address, 16) for address in parts[0].split("-"))
                ctypes.CDLL(None).madvise(
                    ctypes.c_void_p(first), ctypes.c_size_t(end - first), mmap.MADV_DONTNEED
                )
