"""The ear thread: wake words and spoken commands to the user input."""

import threading
from collections.abc import Callable

from engine.app.notifier import Notifier
from engine.core.errors import RunError
from engine.core.report import Hearing
from engine.listening.ear import Ear, Listener, lost


class EarLoop:
    """Listens. If the sound is lost, the session goes on: keys and timers still ask. `on_end` takes
    the statistics of what was heard."""

    name = "ear"

    def __init__(
        self, ear: Ear, listener: Listener, notifier: Notifier, on_end: Callable[[Hearing], None]
    ) -> None:
        self._ear = ear
        self._listener = listener
        self._notifier = notifier
        self._on_end = on_end

    def run(self, stop: threading.Event) -> None:
        try:
            self._ear.run(stop, self._listener)
        except RunError as error:
            self._notifier.fault(lost(error), "wake_failed")

    def wake(self) -> None:
        """It waits for sound for a fraction of a second only."""

    def close(self) -> None:
        self._on_end(self._ear.hearing)
