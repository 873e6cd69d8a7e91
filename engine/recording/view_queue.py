"""A view beside the loops: what a sighted helper sees never holds up what the wearer hears.

Events wait in a bounded queue for a thread of their own. Nothing here knows which viewer it is.
"""

import threading
from collections import deque
from collections.abc import Callable

from engine.core.errors import in_one_line
from engine.core.glance import Glance
from engine.core.ports import View
from engine.core.report import Health, Shown

GLANCES = 8  # waiting events from which on glances are left out; each holds a whole picture
EVENTS = 256  # and from which on all are
CLOSE_S = 10.0  # how long the end of a session waits for the viewer to catch up


class NoView:
    """Shows nobody anything: `view=none`."""

    def show(self, event: Shown, time_s: float) -> None:
        """Forget `event`."""

    def close(self) -> None:
        """Nothing to close."""


class ViewQueue:
    """Hands events to a viewer in a thread of its own, which also opens and closes it. It begins with
    the first event, so that what it has to report never comes before the session's own record.

    `show` may be called from any thread. It waits `patience_s` at most for room, 0 live, and counts
    what found none. A viewer that raises is reported once and then left alone.
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
        self._closing = False  # no more will come
        self._over = False  # nothing more is taken, and what waits is lost
        self._missed = 0
        self._thread = threading.Thread(
            target=self._run, args=(open_view,), name="view", daemon=True
        )

    def show(self, event: Shown, time_s: float) -> None:
        # glances are given up first, since words are few and say more
        room = GLANCES if isinstance(event, Glance) else EVENTS
        with self._changed:
            if not self._changed.wait_for(lambda: self._has_room(room), self._patience_s):
                self._missed += 1
            elif not (self._closing or self._over):
                if self._thread.ident is None:
                    self._thread.start()
                self._waiting.append((event, time_s))
                self._changed.notify_all()

    def close(self) -> None:
        """Let the viewer catch up, `close_s` at most, and say what it never got."""
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._changed.notify_all()
            if self._thread.ident is None:
                return
        self._thread.join(self._close_s)
        with self._changed:
            failed, self._over = self._over, True
            lost = self._missed + len(self._waiting)
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
        return self._closing or self._over or len(self._waiting) < room

    def _run(self, open_view: Callable[[], View]) -> None:
        try:
            view = open_view()
            try:
                while (item := self._next()) is not None:
                    view.show(*item)
            finally:
                view.close()
        except Exception as error:  # whatever befalls a viewer, the walk goes on
            with self._changed:
                self._over = True
                self._waiting.clear()
                self._changed.notify_all()
            detail = in_one_line(error)
            self._report(Health("view", detail, "went on without it"))

    def _next(self) -> tuple[Shown, float] | None:
        """The event that has waited longest; None when the view closes and none is left."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting) or self._closing)
            if not self._waiting:
                return None
            item = self._waiting.popleft()
            self._changed.notify_all()
            return item
