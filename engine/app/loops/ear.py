"""The ear thread: passes wake words and spoken commands to the user input."""

import threading
from collections.abc import Callable

from engine.app.notifier import Notifier
from engine.core.errors import RunError
from engine.core.report import Hearing
from engine.listening.ear import Ear, Listener, lost


class EarLoop:
    """Runs the ear. If the microphone is lost, the session continues: keys and timers still trigger
    answers. `on_end` takes the ear's counters."""

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
        """Nothing to do: this loop waits for sound only a fraction of a second."""

    def close(self) -> None:
        self._on_end(self._ear.hearing)
