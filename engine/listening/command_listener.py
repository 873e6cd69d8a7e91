"""Recognises the command that may follow a wake phrase."""

from collections.abc import Iterable

import numpy as np

from engine.core.answer import Command
from engine.core.ports import Recogniser
from engine.core.sound import Sound
from engine.language.commands import CommandGrammar
from engine.listening.echo_guard import EchoGuard
from engine.listening.framer import Framer


class CommandListener:
    """Accepts the commands of `grammar` for `command_s` after a wake; 0 accepts none.
    `not_understood` counts the phrases that were not commands."""

    def __init__(
        self,
        recogniser: Recogniser,
        grammar: CommandGrammar,
        guard: EchoGuard,
        command_s: float,
    ) -> None:
        self.not_understood = 0
        self._recogniser = recogniser
        self._grammar = grammar
        self._guard = guard
        self._command_s = command_s
        self._framer = Framer(recogniser.frame_samples)
        self._until_s = -np.inf
        self._speech_from_s = 0.0

    def begin(self, asked_s: float, now_s: float, recent: Iterable[Sound]) -> None:
        """The wake phrase ended at `asked_s`. The command may have begun before the wake engine
        fired, in the `recent` frames."""
        if not self._command_s:
            return
        self._recogniser.begin()
        self._framer.clear()
        self._speech_from_s = asked_s
        self._until_s = now_s + self._command_s
        for frame in recent:
            if frame.time_s > asked_s:
                self._feed(frame)

    def hear(self, frame: Sound) -> Command | None:
        """The command that ends in `frame`, if any."""
        if frame.time_s > self._until_s:
            return None
        text = self._feed(frame)
        if text is None:
            return None
        command = self._grammar.parse(text)
        if command is None or self._guard.own_voice(self._speech_from_s, frame.time_s):
            self.not_understood += 1
            self._recogniser.begin()
            self._speech_from_s = frame.time_s
            return None
        self._until_s = -np.inf
        return command

    def _feed(self, frame: Sound) -> str | None:
        text = None
        for part in self._framer.frames(frame):
            text = self._recogniser.hear(part.pcm) if text is None else text
        return text
