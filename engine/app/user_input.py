"""The wearer's wishes: keys, buttons and what the ear hears become requests, or are done at once.

Must not know: how a request is answered.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol

from engine.app.context import Parts
from engine.core.answer import Command, Wish
from engine.core.errors import RunError
from engine.core.priority import Priority
from engine.devices.input.keyboard import Keyboard
from engine.language.commands import Keys
from engine.language.wording import StatusKey
from engine.listening.ear import lost

Spoken = tuple[float, float]  # when it was said (asked_s), and when that was clear (heard_s)


class Ask(Protocol):
    """Put a request: now, or when it was `spoken`."""

    def __call__(
        self,
        trigger: str,
        wish: Wish = "describe",
        target: str | None = None,
        spoken: Spoken | None = None,
    ) -> None: ...


@dataclass(frozen=True)
class Loops:
    """What the wearer can make the loops do."""

    ask: Ask
    repeat: Callable[[], None]
    hush: Callable[[], None]  # say no more of the answer under way
    leave: Callable[[], None]
    prefetch: Callable[[], None]  # the wearer may be about to ask


class UserInput:
    """Listens to keys and buttons from `open` to `close`, and to the ear while `listen` runs."""

    def __init__(self, parts: Parts, loops: Loops) -> None:
        self._parts = parts
        self._loops = loops
        self._keys = Keys(parts.grammar)
        self._keyboard: Keyboard | None = None

    def open(self) -> None:
        parts = self._parts
        self._keyboard = Keyboard(self.key) if parts.listen_to_keys else None
        if parts.media_keys is not None:
            parts.media_keys.start(partial(self.obey, "keyboard"))

    def close(self) -> None:
        if self._keyboard is not None:
            self._keyboard.close()
        if self._parts.media_keys is not None:
            self._parts.media_keys.close()

    def listen(self, stop: threading.Event) -> None:
        """The ear's thread. Without it the session goes on: keys and timers still ask."""
        ear = self._parts.ear
        if ear is None:
            return
        try:
            ear.run(stop, self)
        except RunError as error:
            self._parts.report(lost(error))
            self._parts.status("wake_failed", Priority.ALARM)
        finally:
            self._parts.trace.hearing(ear.hearing)

    # what the ear tells

    def stirred(self) -> None:
        self._loops.prefetch()

    def woken(self, asked_s: float, heard_s: float) -> None:
        self._loops.ask("wake", spoken=(asked_s, heard_s))

    def commanded(self, command: Command, asked_s: float, heard_s: float) -> None:
        self.obey("wake", command, (asked_s, heard_s))

    # what is done about it

    def key(self, key: str) -> None:
        """A key press, or a line from a pipe."""
        was_finding = self._keys.finding
        command = self._keys.press(key)
        if command is not None:
            self.obey("keyboard", command)
        elif self._keys.finding and not was_finding:
            self._parts.status("find_what")

    def obey(self, trigger: str, command: Command, spoken: Spoken | None = None) -> None:
        """Do what is asked for, or ask the answerer."""
        match command.name:
            case "stop":
                self._loops.hush()
                self._parts.audio.stop()
            case "repeat":
                self._loops.repeat()
            case "quit":
                self._loops.leave()
            case "louder" | "quieter" as way:
                self._turn(way)
            case "where" if command.target is None:
                self._parts.status("unknown_thing")
            case wish:
                self._loops.ask(trigger, wish, command.target, spoken)

    def _turn(self, way: Literal["louder", "quieter"]) -> None:
        """What is being said shows the new volume; where nothing is, a word does."""
        audio = self._parts.audio
        if not audio.change_volume(1 if way == "louder" else -1):
            end: StatusKey = "loudest" if way == "louder" else "quietest"
            self._parts.status(end)
        elif audio.idle:
            self._parts.status(way)
