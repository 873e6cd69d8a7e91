"""Shows what the models note in Python's log, for example a cache that cannot be written."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class _Lines(logging.Handler):
    def __init__(self, show: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._show = show

    def emit(self, record: logging.LogRecord) -> None:
        self._show(record.getMessage())


@contextmanager
def model_notes(show: Callable[[str], None]) -> Iterator[None]:
    """Call `show` with each warning of the package `models`, in place of other handlers."""
    log = logging.getLogger("models")
    lines, propagate = _Lines(show), log.propagate
    log.addHandler(lines)
    log.propagate = False  # libraries add handlers of their own to the root
    try:
        yield
    finally:
        log.removeHandler(lines)
        log.propagate = propagate
