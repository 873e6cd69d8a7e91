"""Reads text in images: runs the OCR reader in its own thread, selects and orders its lines.

Must not know which OCR library is used. The reader is loaded in its thread, when it is first needed
or after the session has run for a while. Loading it at the start would slow the first answer.
"""

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from engine.core.camera import Frame
from engine.core.errors import ReaderFailed, ReaderLate
from engine.core.glance import TextLine
from engine.core.ports import Clock, Reader
from engine.core.preferences import Language
from engine.core.worker import POLL_S, End, Task, Worker
from engine.language.pack import languages, understood

SURE = 0.85  # a line with at least this confidence is stated
UNSURE = 0.6  # a line with at least this confidence is hedged; below, it is mostly noise
MOST_LINES = 8  # more would take too long to listen to
SAME_ROW = 0.5  # lines whose vertical overlap exceeds this share of the smaller height share a row
WIDE_GAP = 3.0  # a horizontal gap wider than this many line heights separates two columns

SMALLEST_PX = 200  # image height; below it even large letters are too small to read
LOADING_S = 20.0  # the thread does not count as hung while the reader may still be loading
CLOSING_S = 6.0  # for a reader that is still loading; one that hangs is left alone

Lines = tuple[TextLine, ...]


@dataclass(frozen=True, slots=True)
class ReadText:
    """The text of an image in reading order; `language` if its words reveal it."""

    sure: tuple[str, ...]
    unsure: tuple[str, ...]
    language: Language | None


class OcrWorker:
    """The OCR reader's thread.

    `may_load`: load the reader once this returns true, even if it has not been needed; None: only
    when needed. `ready` becomes true when it is loaded. `loads_later`: it is not loaded yet, and
    whoever asks earlier is to be told.
    """

    def __init__(
        self,
        open_reader: Callable[[], Reader],
        wall: Clock,
        may_load: Callable[[], bool] | None = None,
    ) -> None:
        self._open = open_reader
        self._reader: Reader | None = None
        self.ready = False
        self._may_load = may_load
        self._wall = wall
        self._worker: Worker[Lines] = Worker(
            "reader", ReaderFailed, wall, LOADING_S, low_priority=True
        )
        if may_load is not None:

            def wait_and_load(task: Task[Lines]) -> Generator[Lines, None, None]:
                while task.cancelled_s is None and not may_load():
                    time.sleep(POLL_S)
                if task.cancelled_s is None:
                    yield from self._load()

            self._worker.start(wait_and_load)

    @property
    def loads_later(self) -> bool:
        return self._may_load is not None and not self.ready

    def text(
        self,
        frame: Frame,
        large_only: bool,
        until_s: float | None = None,
        given_up: Callable[[], bool] = lambda: False,
    ) -> ReadText:
        """The text in `frame`: all of it, or only large text near the middle. Raises ReaderLate
        after `until_s` or when `given_up` returns true, and ReaderFailed or OutOfMemory."""

        def work(task: Task[Lines]) -> Generator[Lines, None, None]:
            yield from self._load()
            if self._reader is not None:
                yield self._reader.read_large(frame) if large_only else self._reader.read(frame)

        if large_only and frame.height < SMALLEST_PX:
            return ReadText((), (), None)
        task = self._worker.start(work)
        event = task.next(self._wall, until_s, given_up)
        if event is None:
            self._worker.cancel(task)
            raise ReaderLate("no text in time" if self.ready else "still loading")
        if isinstance(event, End):
            raise event.error or ReaderFailed("no text came")
        return select_lines(event)

    def close(self) -> None:
        """Stop the thread. Wait for a reader that is loading: a process that exits during the load
        aborts."""
        self._worker.close(5.0 if self.ready else CLOSING_S)

    def _load(self) -> Generator[Lines, None, None]:
        if self._reader is None:
            self._reader = self._open()
            self.ready = True
        yield from ()


def select_lines(lines: Sequence[TextLine]) -> ReadText:
    """The lines to be spoken, in reading order."""
    ordered = [
        line for line in reading_order(lines) if line.score >= UNSURE and _is_text(line.text)
    ]
    ordered = ordered[:MOST_LINES]
    sure = tuple(line.text for line in ordered if line.score >= SURE)
    unsure = tuple(line.text for line in ordered if line.score < SURE)
    return ReadText(sure, unsure, guess_language(" ".join(sure or unsure)))


def reading_order(lines: Sequence[TextLine]) -> list[TextLine]:
    """Columns from left to right, each from top to bottom. A wide gap separates columns."""
    columns: list[list[TextLine]] = []
    for line in sorted(lines, key=lambda item: item.box.x1):
        for column in columns:
            if _in_column(line, column):
                column.append(line)
                break
        else:
            columns.append([line])
    columns.sort(key=lambda column: min(item.box.x1 for item in column))
    return [line for column in columns for line in _rows(column)]


def guess_language(text: str) -> Language | None:
    """The language whose common words and special letters occur most often in `text`; None on a
    tie."""
    words = set("".join(c if c.isalnum() else " " for c in text.lower()).split())
    points: dict[Language, int] = {}
    for code in languages():
        lists = understood(code)
        points[code] = len(words & lists.common) + sum(c in lists.letters for c in text.lower())
    best = max(points, key=lambda code: points[code], default=None)
    if best is None or list(points.values()).count(points[best]) > 1:
        return None
    return best


def _is_text(text: str) -> bool:
    return any(map(str.isalnum, text))


def _in_column(line: TextLine, column: Sequence[TextLine]) -> bool:
    """Whether a line belongs to a column: it overlaps a line of the column horizontally, or is in
    one row with a line and close to it."""
    box = line.box
    for other in (item.box for item in column):
        beside = min(box.y2, other.y2) - max(box.y1, other.y1) > SAME_ROW * min(
            box.height, other.height
        )
        gap = max(box.x1, other.x1) - min(box.x2, other.x2)
        if gap < (WIDE_GAP * min(box.height, other.height) if beside else 0.0):
            return True
    return False


def _rows(column: Sequence[TextLine]) -> list[TextLine]:
    rows: list[list[TextLine]] = []
    for line in sorted(column, key=lambda item: (item.box.y1 + item.box.y2, item.box.x1)):
        last = rows[-1][0].box if rows else None
        overlap = 0.0 if last is None else min(last.y2, line.box.y2) - max(last.y1, line.box.y1)
        if last is not None and overlap > SAME_ROW * min(last.height, line.box.height):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda item: item.box.x1)]
