"""Stored outputs of both tiers, one JSON object per line: `record=FILE` writes them, a replay reads
them.

The first line says how the outputs were recorded. The last line gives the number of images, so that
a truncated file is detected. This module knows only the format, not how answers are made or routed.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from engine.answering.grounding import Grounded
from engine.core.camera import Frame
from engine.core.errors import InputError, RunError, message_of
from engine.core.glance import Glance, ImageStatistics, Obstacle, SceneClass, Truth
from engine.core.preferences import Directions, Language, Units
from engine.core.report import ModelCard
from engine.evaluation.quality import QualityParts
from engine.evaluation.record_check import check_numbers
from engine.language.wording import Words

VERSION = 1


@dataclass(frozen=True, slots=True)
class Header:
    """How the outputs were recorded: the settings that change words, and the model of each tier."""

    version: int
    source: str
    language: Language
    units: Units
    directions: Directions
    hfov_deg: float
    labels: tuple[str, ...]
    models: dict[str, ModelCard]


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """One tier's answer about an image.

    Measured milliseconds: from the route to the first token, to the first words that can be spoken
    and to all of them, and from the first words to their sound. `error` says why there is no whole
    answer; the text is then empty, and the times are 0 if no clause came. `clauses` are the
    describer's, grounded one by one; recordings made before they were stored have none.
    """

    text: str
    first_token_ms: float
    first_words_ms: float
    all_words_ms: float
    speech_ms: float
    parts: QualityParts | None = None
    error: str = ""
    clauses: tuple[Grounded, ...] = ()

    def grounded(self, words: Words) -> tuple[Grounded, ...]:
        """The clauses; in older recordings the sentences of the text."""
        return self.clauses or tuple(Grounded(part, ()) for part in words.sentences(self.text))


@dataclass(frozen=True, slots=True)
class Record:
    """One image: its detections, both tiers' answers, and its labels. The milliseconds are those of
    the stages before the answer; `route_ms` includes the image statistics."""

    seq: int
    name: str
    time_s: float
    width: int
    height: int
    obstacles: tuple[Obstacle, ...]
    scene: SceneClass
    picture: ImageStatistics
    detect_ms: float
    locate_ms: float
    classify_ms: float
    route_ms: float
    quick: StoredAnswer
    full: StoredAnswer
    truth: Truth | None

    def glance(self) -> Glance:
        """The glance as the router saw it. Its image is black, since no pixels are stored."""
        black = np.broadcast_to(np.uint8(0), (self.height, self.width, 3))
        frame = Frame(black, self.time_s, self.seq, name=self.name)
        return Glance(frame, self.obstacles, self.scene, picture=self.picture)

    def to_sound_ms(self, answer: StoredAnswer) -> float:
        """Milliseconds from the request to the first sound of this answer."""
        return self.classify_ms + self.route_ms + answer.first_words_ms + answer.speech_ms


_HEADER = TypeAdapter(Header)
_RECORD = TypeAdapter(Record)


class Writer:
    """Writes a recording to `path`, either complete or not at all: to `path.part` until `finish`.

    Raises InputError if the file cannot be opened, RunError if writing fails.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._part = path.with_name(path.name + ".part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                raise IsADirectoryError(21, "Is a directory")
            self._file: TextIO = self._part.open("w", encoding="utf-8")
        except OSError as error:
            raise InputError(
                f"record: expected a file that can be written, got {path} ({error.strerror}); "
                "choose another with record=FILE"
            ) from error

    def begin(self, header: Header) -> None:
        self._write({"type": "recording"} | asdict(header))

    def add(self, record: Record) -> None:
        self._write_record(record)

    def finish(self, parts: Sequence[tuple[QualityParts | None, QualityParts | None]]) -> None:
        """Add the quality of every record's answers, which depends on the whole set; write the last
        line and move the file to `path`."""
        judged = self.path.with_name(self.path.name + ".judged")
        try:
            self._file.close()
            header, kept = _split(self._part, ended=False)
            self._file = judged.open("w", encoding="utf-8")
            self.begin(header)
            for record, (quick, full) in zip(kept, parts, strict=True):
                self._write_record(
                    replace(
                        record,
                        quick=replace(record.quick, parts=quick),
                        full=replace(record.full, parts=full),
                    )
                )
            self._write({"type": "end", "pictures": len(kept)})
            self._file.close()
            os.replace(judged, self.path)
            self._part.unlink()
        except OSError as error:
            raise _not_written(self.path, error) from error

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()

    def _write_record(self, record: Record) -> None:
        self._write({"type": "picture"} | asdict(record))

    def _write(self, fields: dict[str, Any]) -> None:
        try:
            self._file.write(json.dumps(_rounded(fields), ensure_ascii=False) + "\n")
        except OSError as error:
            raise _not_written(self.path, error) from error


def _not_written(path: Path, error: OSError) -> RunError:
    return RunError(f"record: {path} could not be written ({error.strerror}); free some space")


def read(path: Path) -> tuple[Header, list[Record]]:
    """Read a complete recording. Raises InputError, naming the line, if it is missing, malformed or
    truncated."""
    return _split(path, ended=True)


def _split(path: Path, ended: bool) -> tuple[Header, list[Record]]:
    header: Header | None = None
    records: list[Record] = []
    end: int | None = None
    for number, line in enumerate(_lines(path), start=1):
        fields = _fields(path, number, line)
        kind = fields.pop("type", None)
        try:
            if number == 1 and kind == "recording":
                header = _HEADER.validate_python(fields)
                check_numbers(header)
            elif header is not None and kind == "picture" and end is None:
                records.append(_RECORD.validate_python(fields))
                check_numbers(records[-1])
            elif header is not None and kind == "end" and end is None:
                end = _count(fields.get("pictures"))
            else:
                wanted = "recording" if header is None else "picture or end"
                wanted = wanted if end is None else "nothing after the end"
                raise ValueError(f"type: expected {wanted}, got {message_of(repr(kind), 40)}")
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise InputError(
                f"{path}, line {number}: {place}: {message_of(first['msg'])}"
            ) from error
        except (ValueError, OverflowError, RecursionError) as error:
            raise InputError(f"{path}, line {number}: {message_of(error, 200)}") from error
    if header is None:
        raise InputError(f"{path}: expected a recording, got an empty file; record it again")
    if header.version != VERSION:
        raise InputError(
            f"{path}: expected a recording of version {VERSION}, got {header.version}; record it again"
        )
    if ended and end != len(records):
        got = "no end" if end is None else f"{end} announced"
        raise InputError(
            f"{path}: expected a whole recording, got {len(records)} pictures and {got}: it was cut "
            "off; record it again"
        )
    if ended and not records:
        raise InputError(f"{path}: expected at least one picture, got none; record it again")
    return header, records


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        got = message_of(repr(value), 40)
        raise ValueError(f"pictures: expected a whole number of pictures, got {got}")
    return value


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            yield from (line for line in file if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        detail = getattr(error, "strerror", None) or "not UTF-8 text"
        raise InputError(
            f"{path}: expected a recording that can be read, got '{detail}'; "
            "make one with source=dataset source.path=DIR record=FILE"
        ) from error


def _fields(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        fields = from_json(line, allow_inf_nan=False)
    except ValueError as error:
        raise InputError(
            f"{path}, line {number}: expected a JSON object ({error}); it may have been cut off: "
            "record it again"
        ) from error
    if not isinstance(fields, dict):
        raise InputError(f"{path}, line {number}: expected a JSON object, got {line.strip()[:40]}")
    return fields


def _rounded(value: Any) -> Any:
    """Round floats to six decimals (a nanosecond for times in ms), which halves the file."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
