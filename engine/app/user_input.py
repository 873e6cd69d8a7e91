"""Turns keys, buttons and spoken input into requests; executes commands at once.

Must not know how a request is answered.
"""

import threading
from collections.abc import Callable
from functools import partial
from typing import Literal, Protocol

from engine.app.notifier import Notifier
from engine.app.subsystems import KeyInputs
from engine.audio.scheduler import Audio
from engine.core.answer import Command, Wish
from engine.devices.input.keyboard import Keyboard
from engine.language.commands import Keys
from engine.language.wording import StatusKey

Spoken = tuple[float, float]  # when it was said (asked_s), and when it was recognised (heard_s)


class Answering(Protocol):
    """The part of the answer loop that user input needs; `AnswerLoop` implements it."""

    def ask(
        self,
        trigger: str,
        wish: Wish = "describe",
        target: str | None = None,
        spoken: Spoken | None = None,
    ) -> None: ...

    def repeat(self) -> None: ...

    def stop_answer(self) -> None: ...

    def hint(self) -> None: ...


class UserInput:
    """Takes keys and buttons from `open` to `close`, and the events of the ear (it is a
    `Listener`). `quit` is set when the wearer wants to end the session."""

    def __init__(
        self,
        inputs: KeyInputs,
        answering: Answering,
        audio: Audio,
        notifier: Notifier,
        keep_volume: Callable[[float], None] | None = None,
    ) -> None:
        self.quit = threading.Event()
        self._inputs = inputs
        self._answering = answering
        self._audio = audio
        self._notifier = notifier
        self._keep_volume = keep_volume
        self._keys = Keys(inputs.grammar)
        self._keyboard: Keyboard | None = None

    def open(self) -> None:
        """Start to take keys and buttons. Raises MissingPart if there is no standard input."""
        self._keyboard = Keyboard(self.key) if self._inputs.keyboard else None
        if self._inputs.media_keys is not None:
            self._inputs.media_keys.start(partial(self.obey, "keyboard"))

    def close(self) -> None:
        if self._keyboard is not None:
            self._keyboard.close()
        if self._inputs.media_keys is not None:
            self._inputs.media_keys.close()

    # Events of the ear.

    def on_hint(self) -> None:
        self._answering.hint()

    def on_wake(self, asked_s: float, heard_s: float) -> None:
        self._answering.ask("wake", spoken=(asked_s, heard_s))

    def on_command(self, command: Command, asked_s: float, heard_s: float) -> None:
        self.obey("wake", command, (asked_s, heard_s))

    # Keys and buttons.

    def key(self, key: str) -> None:
        """A key press, or a line from a pipe."""
        was_finding = self._keys.finding
        command = self._keys.press(key)
        if command is not None:
            self.obey("keyboard", command)
        elif self._keys.finding and not was_finding:
            self._notifier.announce("find_what")
        elif len(key) > 1:
            self._notifier.announce("not_understood")

    def obey(self, trigger: str, command: Command, spoken: Spoken | None = None) -> None:
        """Execute a command or submit a request."""
        match command.name:
            case "stop":
                self._answering.stop_answer()
                self._audio.stop()
            case "repeat":
                self._answering.repeat()
            case "quit":
                self.quit.set()
            case "louder" | "quieter" as direction:
                self._change_volume(direction)
            case wish:
                self._answering.ask(trigger, wish, command.target, spoken)

    def _change_volume(self, direction: Literal["louder", "quieter"]) -> None:
        """The current sound shows the new volume; if there is none, a word is said."""
        if not self._audio.change_volume(1 if direction == "louder" else -1):
            limit: StatusKey = "loudest" if direction == "louder" else "quietest"
            self._notifier.announce(limit)
            return
        if self._keep_volume is not None:
            self._keep_volume(self._audio.volume_db)
        if self._audio.idle:
            self._notifier.announce(direction)
