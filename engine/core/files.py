"""Digests of files, and files that are written whole or not at all. Knows no model."""

import hashlib
import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

PARTIAL = ".partial"  # the end of a name that is being written


def sha256_of(path: Path) -> str:
    """The sha256 of a file's content, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def same_sha256_of(path: Path) -> str:
    """`sha256_of`, read again only if the file's size or time has changed. Names a file's content;
    to trust a file, read it."""
    stat = path.stat()
    return _known_sha256(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _known_sha256(path: Path, _size: int, _mtime_ns: int) -> str:
    return sha256_of(path)


def write_whole(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Write a file and its folder, readable by their owner alone; a file of that name stays until
    the new one is complete. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=PARTIAL)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.writelines(parts)
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(partial)
        raise
