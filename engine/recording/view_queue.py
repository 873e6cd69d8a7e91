"""Runs a view in its own thread, so that the sighted helper's view never delays the wearer's sound.

Events wait in a bounded queue. Must not know which viewer it is.
"""

import threading
from collections import deque
from collections.abc import Callable

from engine.core.errors import in_one_line
from engine.core.glance import Glance
from engine.core.ports import View
from engine.core.report import Health, Shown
from engine.core.threads import know

MAX_GLANCES = 8  # queue length from which glances are dropped; each holds a whole image
MAX_EVENTS = 256  # queue length from which all events are dropped
CLOSE_S = 10.0  # wait for the viewer at the end of a session


class NoView:
    """Shows nothing: `view=none`."""

    def show(self, event: Shown, time_s: float) -> None:
        """Ignore `event`."""

    def close(self) -> None:
        """Nothing to close."""


class ViewQueue:
    """Hands events to a viewer in its own thread, which also opens and closes the viewer. The
    thread starts with the first event, so that its reports come after the session's own record.

    `show` may be called from any thread. It waits at most `patience_s` for a free place, 0 when
    live, and counts the dropped events. A viewer that raises is reported once and not called again.
    """

    def __init__(
        self,
        open_view: Callable[[], View],
        report: Callable[[Health], None],
        patience_s: float = 0.0,
        close_s: float = CLOSE_S,
    ) -> None:
        self._report = report
        self._patience_s = patience_s
        self._close_s = close_s
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Shown, float]] = deque()
        self._closing = False  # no more events will come
        self._failed = False  # no more events are taken, and waiting ones are lost
        self._left_out = 0
        self._thread = threading.Thread(
            target=self._run, args=(open_view,), name="view", daemon=True
        )

    def show(self, event: Shown, time_s: float) -> None:
        # glances are dropped first, since the other events are few and more important
        room = MAX_GLANCES if isinstance(event, Glance) else MAX_EVENTS
        with self._changed:
            if not self._changed.wait_for(lambda: self._has_room(room), self._patience_s):
                self._left_out += 1
            elif not (self._closing or self._failed):
                if self._thread.ident is None:
                    self._thread.start()
                    know(self._thread)
                self._waiting.append((event, time_s))
                self._changed.notify_all()

    def close(self) -> None:
        """Let the viewer catch up for at most `close_s`, and report the events that it did not
        get."""
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._changed.notify_all()
            if self._thread.ident is None:
                return
        self._thread.join(self._close_s)
        with self._changed:
            failed, self._failed = self._failed, True
            lost = self._left_out + len(self._waiting)
            self._waiting.clear()
        if self._thread.is_alive():
            self._report(
                Health(
                    "view",
                    f"not done {self._close_s:g} s after the end, {lost} events behind",
                    "left it as it was",
                )
            )
        elif lost and not failed:
            detail = f"{lost} events came faster than it could take them"
            self._report(Health("view", detail, "left them out"))

    def _has_room(self, room: int) -> bool:
        return self._closing or self._failed or len(self._waiting) < room

    def _run(self, open_view: Callable[[], View]) -> None:
        try:
            view = open_view()
            try:
                while (item := self._next()) is not None:
                    view.show(*item)
            finally:
                view.close()
        except Exception as error:  # the session continues, whatever a viewer raises
            with self._changed:
                self._failed = True
                self._waiting.clear()
                self._changed.notify_all()
            detail = in_one_line(error)
            self._report(Health("view", detail, "went on without it"))

    def _next(self) -> tuple[Shown, float] | None:
        """The oldest event, or None when the view is closing and the queue is empty."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting) or self._closing)
            if not self._waiting:
                return None
            item = self._waiting.popleft()
            self._changed.notify_all()
            return item
