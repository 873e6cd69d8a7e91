"""A text file of lines that goes on in a further part when one is full.

Must not know what a line holds.
"""

from pathlib import Path
from typing import TextIO

from engine.core.file_parts import part_path

FIRST_BYTES = 4096  # room for a longer first line, in spaces, which JSON allows
PART_BYTES = 32 * 1024 * 1024  # the best part of an hour of log on a crowded street


class LogFile:
    """The parts of `path` (`engine.core.file_parts`); every line is on the disk's side at once.
    Raises OSError if the file cannot be opened; to be used from one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = self._bytes = 0
        self._file = self._next_part()

    def append(self, line: str) -> None:
        """Write one line, which ends with a line break. Raises OSError."""
        if self._bytes > PART_BYTES:
            self._file.close()
            self._file = self._next_part()
        self._file.write(line)
        self._file.flush()
        self._bytes += len(line)

    def append_first(self, line: str) -> None:
        """Write a first line of ASCII that `replace_first` may replace later. Raises OSError."""
        self.append(_padded(line, FIRST_BYTES))

    def replace_first(self, line: str) -> bool:
        """Replace the first line; return whether there was room for it. Raises OSError."""
        if len(line) > FIRST_BYTES:
            return False
        with self._path.open("r+b", buffering=0) as stream:
            stream.write(_padded(line, FIRST_BYTES).encode("ascii"))
        return True

    def close(self) -> None:
        """Close the file. Raises OSError."""
        self._file.close()

    def _next_part(self) -> TextIO:
        self._part, self._bytes = self._part + 1, 0
        path = part_path(self._path, self._part)
        return path.open("w", encoding="utf-8", errors="backslashreplace")


def _padded(line: str, length: int) -> str:
    return line.rstrip("\n").ljust(length - 1) + "\n"
