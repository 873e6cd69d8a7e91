"""Text in pictures: the reader's thread, what of its lines is worth saying, and in which order.

Knows nothing of which library reads. The reader is opened in its thread, when it is first needed or
when the session has run for a while: not at the start, where loading would slow the first answer.
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

SURE = 0.85  # a line read at least as surely is stated
UNSURE = 0.6  # below, it is more often nonsense than text; between, it is hedged
MOST_LINES = 8  # more take longer to say than anybody listens
SAME_ROW = 0.5  # lines overlapping by this share of the lower one's height are in one row
WIDE_GAP = 3.0  # lines of one row further apart than so many heights are in two columns

SMALLEST_PX = 200  # of a picture's height: in a smaller one large letters are too small to read
LOADING_S = 20.0  # loading takes seconds, which is no hanging
CLOSING_S = 60.0  # and on a busy machine may take longer still

Lines = tuple[TextLine, ...]


@dataclass(frozen=True, slots=True)
class ReadText:
    """What a picture says, in reading order; `language` where its words tell it."""

    sure: tuple[str, ...]
    unsure: tuple[str, ...]
    language: Language | None


class OcrWorker:
    """Runs the reader in a thread of its own. `load_after_s`: when to load it, if nobody has asked
    for it until then; None is never."""

    def __init__(
        self, open_reader: Callable[[], Reader], wall: Clock, load_after_s: float | None = None
    ) -> None:
        self._open = open_reader
        self._reader: Reader | None = None
        self.ready = False
        self._wall = wall
        self._worker: Worker[Lines] = Worker("reader", ReaderFailed, wall, LOADING_S, waits=True)
        if load_after_s is not None:
            due_s = wall.now() + load_after_s

            def wait_and_load(task: Task[Lines]) -> Generator[Lines, None, None]:
                while task.cancelled_s is None and wall.now() < due_s:
                    time.sleep(POLL_S)
                if task.cancelled_s is None:
                    yield from self._load()

            self._worker.start(wait_and_load)

    def text(
        self,
        frame: Frame,
        large_only: bool,
        until_s: float | None = None,
        given_up: Callable[[], bool] = lambda: False,
    ) -> ReadText:
        """What `frame` says: all of it, or what is large and near the middle. Raises ReaderLate when
        `until_s` passed or `given_up` said so, ReaderFailed, OutOfMemory."""

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
        return said(event)

    def close(self) -> None:
        """Stop the thread; what it loads is waited for, since a process that ends in the middle of
        that aborts."""
        self._worker.close(5.0 if self.ready else CLOSING_S)

    def _load(self) -> Generator[Lines, None, None]:
        if self._reader is None:
            self._reader = self._open()
            self.ready = True
        yield from ()


def said(lines: Sequence[TextLine]) -> ReadText:
    """What of `lines` is worth saying, in reading order."""
    ordered = [line for line in in_order(lines) if line.score >= UNSURE and _is_text(line.text)]
    ordered = ordered[:MOST_LINES]
    sure = tuple(line.text for line in ordered if line.score >= SURE)
    unsure = tuple(line.text for line in ordered if line.score < SURE)
    return ReadText(sure, unsure, guess_language(" ".join(sure or unsure)))


def in_order(lines: Sequence[TextLine]) -> list[TextLine]:
    """Top to bottom and left to right; columns, which a wide gap parts, one after the other."""
    columns: list[list[TextLine]] = []
    for line in sorted(lines, key=lambda item: item.box.x1):
        for column in columns:
            if _near(line, column):
                column.append(line)
                break
        else:
            columns.append([line])
    columns.sort(key=lambda column: min(item.box.x1 for item in column))
    return [line for column in columns for line in _rows(column)]


def guess_language(text: str) -> Language | None:
    """The language with the most words and letters of its own in `text`; None where none has more
    than the others."""
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


def _near(line: TextLine, column: Sequence[TextLine]) -> bool:
    """Whether a line belongs to a column: they overlap sideways, or only a small gap is between
    it and a line beside it."""
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
