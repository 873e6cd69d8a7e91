"""The ear: finds wake phrases and commands in sound, in its own thread.

    audio source ─▶ frames ─▶ wake engine ─▶ (own voice? too soon?) ─▶ woken
                        └───▶ recogniser, for a while after a wake ─▶ commanded

It may fall behind, but it skips no sample. Must not know: which engine, device or recogniser it has, or
what an answer is.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np

from engine.core.answer import Command
from engine.core.errors import RunError
from engine.core.ports import AudioSource, Clock, Recogniser, WakeEngine
from engine.core.report import Health, Hearing
from engine.core.sound import HEARING_HZ, Sound
from engine.language.commands import CommandGrammar
from engine.listening.echo_guard import WINDOW_S, EchoGuard
from engine.listening.framer import Framer

LATE_S = 0.25  # a block processed so long after it was recorded counts as late
POLL_S = 0.2


class Listener(Protocol):
    """Receives the ear's events, in the ear's thread."""

    def stirred(self) -> None:
        """The wake phrase may be about to be complete."""
        ...

    def woken(self, asked_s: float, heard_s: float) -> None:
        """The wake phrase ended at `asked_s` and was recognised at `heard_s`."""
        ...

    def commanded(self, command: Command, asked_s: float, heard_s: float) -> None:
        """A command ended at `asked_s` and was recognised at `heard_s`."""
        ...


class Ear:
    """Listens until it is stopped or the sound ends.

    Commands are accepted for `command_s` after a wake. A wake within `refractory_s` of the last one is
    ignored: it is the same phrase or its echo.
    """

    def __init__(
        self,
        source: AudioSource,
        wake: WakeEngine,
        guard: EchoGuard,
        recogniser: Recogniser | None,
        grammar: CommandGrammar,
        clock: Clock,
        report: Callable[[Health], None],
        *,
        refractory_s: float,
        command_s: float,
    ) -> None:
        self.source = source
        self.wake = wake
        self.hearing = Hearing()
        self._guard = guard
        self._recogniser = recogniser
        self._grammar = grammar
        self._clock = clock
        self._report = report
        self._refractory_s = refractory_s
        self._command_s = command_s
        self._frames = Framer(wake.frame_samples)
        self._words = Framer(recogniser.frame_samples if recogniser else 1)
        self._recent: deque[Sound] = deque()  # as much as a wake engine's delay may be
        self._last_wake_s = -np.inf
        self._stirring = self._firing = False
        self._command_until_s = -np.inf
        self._speech_from_s = 0.0

    def run(
        self,
        stop: threading.Event,
        listener: Listener,
    ) -> None:
        """Tell `listener` what is heard. Raises SourceLost."""
        while not stop.is_set() and not self.source.ended:
            sound = self.source.read(POLL_S)
            if sound is not None:
                self._hear(sound, listener)

    def _hear(self, sound: Sound, listener: Listener) -> None:
        self._note(sound)
        self._guard.heard(sound)
        for frame in self._frames.frames(sound):
            self._recent.append(frame)
            while self._recent[0].time_s < frame.time_s - 1.0:
                self._recent.popleft()
            if self._wakes(frame) and self._takes(frame.time_s):
                asked_s = frame.time_s - self.wake.delay_s
                listener.woken(asked_s, self._clock.now())
                self._listen(asked_s, frame.time_s)
            elif self.wake.stirring and not self._stirring:
                listener.stirred()
            self._stirring = self.wake.stirring
            if frame.time_s <= self._command_until_s:
                self._understand(frame, listener)

    def _wakes(self, frame: Sound) -> bool:
        """Whether the phrase ends here: the engine goes on saying so for a while."""
        before, self._firing = self._firing, self.wake.hear(frame.pcm)
        return self._firing and not before

    def _takes(self, time_s: float) -> bool:
        if time_s - self._last_wake_s < self._refractory_s:
            self.hearing = replace(self.hearing, refractory=self.hearing.refractory + 1)
            return False
        end_s = time_s - self.wake.delay_s
        if self._guard.own_voice(end_s - WINDOW_S, end_s):
            self.hearing = replace(self.hearing, own_voice=self.hearing.own_voice + 1)
            return False
        self._last_wake_s = time_s
        self.hearing = replace(self.hearing, wakes=self.hearing.wakes + 1)
        return True

    def _listen(self, asked_s: float, now_s: float) -> None:
        """A command may follow, and may have begun while the wake engine was still thinking."""
        if self._recogniser is None or not self._command_s:
            return
        self._recogniser.begin()
        self._words.clear()
        self._speech_from_s = asked_s
        self._command_until_s = now_s + self._command_s
        for frame in list(self._recent)[:-1]:  # the newest comes by itself
            if frame.time_s > asked_s:
                self._feed(frame)

    def _feed(self, frame: Sound) -> str | None:
        assert self._recogniser is not None
        text = None
        for part in self._words.frames(frame):
            text = self._recogniser.hear(part.pcm) if text is None else text
        return text

    def _understand(self, frame: Sound, listener: Listener) -> None:
        text = self._feed(frame)
        if text is None or self._recogniser is None:
            return
        command = self._grammar.parse(text)
        if command is None or self._guard.own_voice(self._speech_from_s, frame.time_s):
            self.hearing = replace(self.hearing, not_understood=self.hearing.not_understood + 1)
            self._recogniser.begin()
            self._speech_from_s = frame.time_s
            return
        self._command_until_s = -np.inf
        self.hearing = replace(self.hearing, commands=self.hearing.commands + 1)
        listener.commanded(command, frame.time_s, self._clock.now())

    def _note(self, sound: Sound) -> None:
        """Count what was late or lost, and tell the first of each."""
        known, late_s = self.hearing, self._clock.now() - sound.time_s
        late = known.late + (late_s > LATE_S)
        overruns = self.source.overruns
        if late == 1 > known.late:
            self._report(
                Health("ear", f"sound was dealt with {late_s:.2f} s late", "lost none of it")
            )
        if overruns and not known.overruns:
            self._report(Health("ear", "the microphone lost samples (an overrun)", "went on"))
        self.hearing = replace(
            known,
            heard_s=known.heard_s + len(sound.pcm) / HEARING_HZ,
            late=late,
            overruns=overruns,
        )

    def close(self) -> None:
        """Let go of the device and the engine."""
        self.source.close()
        self.wake.close()


def lost(error: RunError) -> Health:
    """What the log says when nothing is heard any more."""
    return Health("ear", str(error), "said so; keys and timers still ask")
