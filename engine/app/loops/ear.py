"""The ear thread: passes wake words and spoken commands to the user input."""

import contextlib
from collections.abc import Callable

from engine.app.loops.loop import OPENING_S, POLL_S
from engine.app.notifier import Notifier
from engine.core.errors import EngineError, RunError, in_one_line
from engine.core.later import Later
from engine.core.pulse import Pulse
from engine.core.report import Hearing
from engine.listening.ear import Ear, Listener

PROVEN_S = 2.0


class EarLoop:
    """Runs the ear, once it is there. If the microphone is lost, the session continues: keys and
    timers still trigger answers. `reopen` gives another ear in its place; None: there is none.
    `on_end` takes the ear's counters."""

    name = "ear"
    patience_s = 5.0
    vital = False

    def __init__(
        self,
        ear: Later[Ear],
        reopen: Callable[[], Ear] | None,
        listener: Listener,
        notifier: Notifier,
        on_end: Callable[[Hearing], None],
    ) -> None:
        self._later = ear
        self._ear: Ear | None = None
        self._is_lost = False
        self._reopen = reopen
        self._listener = listener
        self._notifier = notifier
        self._on_end = on_end

    @property
    def restarts(self) -> int:
        return 0 if self._reopen is None else 8

    def run(self, pulse: Pulse) -> None:
        """Raises SourceLost."""
        while not self._later.wait(POLL_S):
            pulse.beat()
            if pulse.stop.is_set():
                return
        ear = self._open(pulse)
        if ear is None:
            return
        try:
            ear.run(pulse.stop, self._listener, self._beats(pulse))
        finally:
            ear.close()

    def wake(self) -> None:
        """Nothing to do: this loop waits for sound only a fraction of a second."""

    def close(self) -> None:
        if self._ear is not None:
            self._on_end(self._ear.hearing)

    def lose(self) -> bool:
        """The ear is lost; return whether it was there before, so that this is said once."""
        was_lost, self._is_lost = self._is_lost, True
        return not was_lost

    def _open(self, pulse: Pulse) -> Ear | None:
        """The ear that was loaded, or another in its place; None if it could not be loaded, which
        has been said."""
        lost = self._ear
        if lost is None or self._reopen is None:
            with contextlib.suppress(EngineError):
                self._ear = self._later.get()
            return self._ear
        pulse.patience_s = OPENING_S
        try:
            ear = self._reopen()
        except EngineError as error:
            raise RunError(in_one_line(error)) from error
        try:
            pulse.beat()
        except BaseException:
            ear.close()
            raise
        pulse.patience_s = self.patience_s
        ear.continue_from(lost)
        self._ear = ear
        return ear

    def _beats(self, pulse: Pulse) -> Callable[[], object]:
        """The beats of an ear. One in the place of a lost one is back once it has heard for a
        while: it may fail at once again."""
        since_s = pulse.beat()

        def beat() -> None:
            if pulse.beat() - since_s > PROVEN_S and self._is_lost:
                self._is_lost = False
                self._notifier.announce("wake_back")

        return beat
