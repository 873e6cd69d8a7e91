"""The ear thread: passes wake words and spoken commands to the user input."""

import contextlib
import threading
from collections.abc import Callable

from engine.app.loops.loop import POLL_S
from engine.app.notifier import Notifier
from engine.core.errors import EngineError, RunError
from engine.core.later import Later
from engine.core.report import Hearing
from engine.listening.ear import Ear, Listener, lost


class EarLoop:
    """Runs the ear, once it is there. If the microphone is lost, the session continues: keys and
    timers still trigger answers. `on_end` takes the ear's counters."""

    name = "ear"

    def __init__(
        self,
        ear: Later[Ear],
        listener: Listener,
        notifier: Notifier,
        on_end: Callable[[Hearing], None],
    ) -> None:
        self._ear = ear
        self._listener = listener
        self._notifier = notifier
        self._on_end = on_end

    def run(self, stop: threading.Event) -> None:
        while not self._ear.wait(POLL_S):
            if stop.is_set():
                return
        try:
            ear = self._ear.get()
        except EngineError:  # said when it failed to load
            return
        try:
            ear.run(stop, self._listener)
        except RunError as error:
            self._notifier.fault(lost(error), "wake_failed")

    def wake(self) -> None:
        """Nothing to do: this loop waits for sound only a fraction of a second."""

    def close(self) -> None:
        with contextlib.suppress(EngineError):  # nothing was heard
            self._on_end(self._ear.get().hearing)
