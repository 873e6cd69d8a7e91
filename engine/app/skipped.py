"""Tells of broken images: each in the log of a batch, by counted sentences otherwise.

A camera whose every image is broken would give a sentence thirty times a second.
"""

from engine.app.notifier import Notifier, source_health
from engine.core.errors import FrameSkipped
from engine.core.priority import Priority

AGAIN_S = 10.0  # between two sentences


class SkippedFrames:
    """Counts the images that were skipped, and tells of them at once and then every AGAIN_S at
    most. With `each`, the log gets a record of each of them."""

    def __init__(self, notifier: Notifier, each: bool) -> None:
        self._notifier = notifier
        self._each = each
        self._told_s: float | None = None
        self._untold = 0
        self._last: FrameSkipped | None = None

    def add(self, error: FrameSkipped, now_s: float) -> None:
        """An image was skipped."""
        self._untold += 1
        self._last = error
        if self._each:
            self._notifier.report(source_health(error))
        self.tell(now_s)

    def tell(self, now_s: float) -> None:
        """Tell of those that have not been told of, if the last sentence is long enough ago."""
        if self._last is None or self._untold == 0:
            return
        if self._told_s is not None and now_s - self._told_s < AGAIN_S:
            return
        count, self._untold = self._untold, 0
        self._told_s = now_s
        if not self._each:
            self._notifier.report(source_health(self._last, count))
        self._notifier.announce("frame_skipped", Priority.STATUS, count)
