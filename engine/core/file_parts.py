"""Names of a file that is written in parts, so that a walk of hours leaves none that is too large.

The first part has the plain name: `session.jsonl`, `session.0002.jsonl`, `session.0003.jsonl`.
"""

from collections.abc import Iterator
from itertools import count
from pathlib import Path


def part_path(path: Path, number: int) -> Path:
    """The path of part `number`, from 1."""
    return path if number == 1 else path.with_name(f"{path.stem}.{number:04}{path.suffix}")


def parts_of(path: Path) -> Iterator[Path]:
    """The parts that exist, in order."""
    for number in count(1):
        if not (part := part_path(path, number)).exists():
            return
        yield part
