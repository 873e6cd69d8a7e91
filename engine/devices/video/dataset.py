"""The `dataset` source: images with their labels, from DIR/manifest.jsonl.

A manifest holds one JSON object per line: `file` (relative to DIR), `width`, `height`, and any of
`boxes` [[label, x, y, width, height]...], `crowd_boxes` (the same, ignored by the scores), `scene`,
`captions` [...] and `split`. Other fields are ignored. Must not know how answers are scored.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from engine.core.camera import Image
from engine.core.errors import InputError, message_of
from engine.core.glance import Box, Truth
from engine.devices.video.images import ImageSequence, check_file, check_folder, decode_image

MANIFEST = "manifest.jsonl"


@dataclass(frozen=True, slots=True)
class Row:
    """One validated line of a manifest."""

    line: int
    file: str
    width: int
    height: int
    split: str | None
    truth: Truth


class DatasetSource(ImageSequence):
    """The images of a dataset in its manifest's order, all of them or those of one `split`.

    The constructor validates the whole manifest. It raises InputError with the line number if a
    line is malformed, or if the first image cannot be decoded or has another size than stated.
    """

    def __init__(self, path: Path, split: str | None = None, fps: float = 15.0) -> None:
        check_folder(path, f"a dataset's folder, with {MANIFEST}")
        rows = list(_read_manifest(path / MANIFEST))
        self._rows = [row for row in rows if split is None or row.split == split]
        if not self._rows:
            of_split = "" if split is None else f" of source.split={split}"
            splits = ", ".join(sorted({row.split for row in rows if row.split is not None}))
            raise InputError(
                f"{path / MANIFEST}: expected at least one picture{of_split}, found none; "
                f"the splits in it: {splits or 'none'}"
            )
        names = [row.file for row in self._rows]
        super().__init__(path.name or str(path), [path / name for name in names], names, fps)

    def _decode(self, seq: int) -> Image:
        row, path = self._rows[seq], self._paths[seq]
        image = decode_image(path)
        got = (image.shape[1], image.shape[0])
        if got != (row.width, row.height):  # then the boxes would be wrong too
            raise InputError(
                f"{path}: expected {row.width} x {row.height} pixels, as line {row.line} of "
                f"{MANIFEST} says, got {got[0]} x {got[1]}; correct the manifest"
            )
        return image

    def truth(self, seq: int) -> Truth | None:
        return self._rows[seq].truth if 0 <= seq < len(self._rows) else None


def _read_manifest(path: Path) -> Iterator[Row]:
    check_file(path, "a dataset's manifest")
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected UTF-8 text, got '{message_of(error, 120)}'") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield _row(number, json.loads(line))
        except json.JSONDecodeError as error:
            raise InputError(
                f"{path}, line {number}: expected a JSON object, got {_shown(line)}"
            ) from error
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}, line {number}: {message_of(error, 120)}") from error


def _row(line: int, fields: Any) -> Row:
    """Validate one line. Raises ValueError that names the field and what was expected."""
    if not isinstance(fields, dict):
        raise ValueError(f"expected a JSON object, got {_shown(fields)}")
    file = _text(fields, "file")
    if file is None:
        raise ValueError("expected 'file', the picture's path, got none")
    parts = PurePosixPath(file.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or Path(file).is_absolute() or "\0" in file:
        raise ValueError(f"'file': expected a path inside the dataset's folder, got {_shown(file)}")
    captions = fields.get("captions")
    if captions is not None and not (
        isinstance(captions, list) and all(isinstance(caption, str) for caption in captions)
    ):
        raise ValueError(f"'captions': expected a list of texts, got {_shown(captions)}")
    size = _pixels(fields, "width"), _pixels(fields, "height")
    return Row(
        line,
        file,
        *size,
        _text(fields, "split"),
        Truth(
            _boxes(fields, "boxes", *size),
            _text(fields, "scene"),
            tuple(captions or ()),
            ignored=_boxes(fields, "crowd_boxes", *size) or (),
        ),
    )


def _text(fields: dict[str, Any], key: str) -> str | None:
    value = fields.get(key)
    if value is not None and not (isinstance(value, str) and value):
        raise ValueError(f"'{key}': expected a text, got {_shown(value)}")
    return value


def _pixels(fields: dict[str, Any], key: str) -> int:
    value = fields.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"'{key}': expected a whole number of pixels, got {_shown(value)}")
    return value


def _boxes(
    fields: dict[str, Any], key: str, width: int, height: int
) -> tuple[tuple[str, Box], ...] | None:
    """Each [label, x, y, width, height] as (label, Box). A box may extend beyond the image, because
    some datasets label the hidden part of an object too, but it must overlap the image."""
    value = fields.get(key)
    if value is None:
        return None
    if not isinstance(value, list):
        raise ValueError(f"'{key}': expected a list of boxes, got {_shown(value)}")
    boxes = []
    for item in value:
        if not _is_box(item):
            raise ValueError(f"'{key}': expected [label, x, y, width, height], got {_shown(item)}")
        label, x, y, wide, high = item
        box = Box(float(x), float(y), float(x + wide), float(y + high))
        if box.x1 > width or box.y1 > height or box.x2 < 0 or box.y2 < 0:
            raise ValueError(
                f"'{key}': expected boxes within {width} x {height} pixels, got {_shown(item)}"
            )
        boxes.append((label, box))
    return tuple(boxes)


def _is_box(item: Any) -> bool:
    if not (isinstance(item, list) and len(item) == 5 and isinstance(item[0], str) and item[0]):
        return False
    numbers = item[1:]
    if any(isinstance(number, bool) or not isinstance(number, int | float) for number in numbers):
        return False
    return all(abs(number) < 1e9 for number in numbers) and numbers[2] >= 0 and numbers[3] >= 0


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
