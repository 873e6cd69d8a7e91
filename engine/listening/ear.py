"""The ear: finds wake phrases and commands in sound, in its own thread.

    audio source ─▶ frames ─▶ wake engine ─▶ (own voice? too soon?) ─▶ on_wake
                        └───▶ recogniser, for a while after a wake ─▶ on_command

It may fall behind, but it never skips samples. Must not know which engine, device or recogniser it
uses, or what an answer is.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np

from engine.core.answer import Command
from engine.core.ports import AudioSource, Clock, WakeEngine
from engine.core.report import Health, Hearing
from engine.core.sound import HEARING_HZ, Sound
from engine.listening.command_listener import CommandListener
from engine.listening.echo_guard import WINDOW_S, EchoGuard
from engine.listening.framer import Framer

LATE_S = 0.25  # a block processed this long after it was recorded counts as late
POLL_S = 0.2
RECENT_S = 1.0  # of sound kept: longer than the delay of any wake engine


class Listener(Protocol):
    """Receives the ear's events, in the ear's thread."""

    def on_hint(self) -> None:
        """The wake phrase may be about to be complete."""
        ...

    def on_wake(self, asked_s: float, heard_s: float) -> None:
        """The wake phrase ended at `asked_s` and was recognised at `heard_s`."""
        ...

    def on_command(self, command: Command, asked_s: float, heard_s: float) -> None:
        """A command ended at `asked_s` and was recognised at `heard_s`."""
        ...


class Ear:
    """Listens until it is stopped or the sound ends. `commands` is None if there are no spoken
    commands.

    A wake within `refractory_s` of the last one is ignored: it is the same phrase or its echo.
    """

    def __init__(
        self,
        source: AudioSource,
        wake: WakeEngine,
        guard: EchoGuard,
        commands: CommandListener | None,
        clock: Clock,
        report: Callable[[Health], None],
        refractory_s: float,
    ) -> None:
        self.source = source
        self.wake = wake
        self._counts = Hearing()
        self._commands = commands
        self._guard = guard
        self._clock = clock
        self._report = report
        self._refractory_s = refractory_s
        self._wake_frames = Framer(wake.frame_samples)
        self._recent: deque[Sound] = deque()
        self._last_wake_s = -np.inf
        self._hinted = self._firing = False

    @property
    def hearing(self) -> Hearing:
        """The counters of the session so far."""
        if self._commands is None:
            return self._counts
        return replace(self._counts, not_understood=self._commands.not_understood)

    def continue_from(self, other: "Ear") -> None:
        """Add to the counters of `other`, in whose place this one listens."""
        self._counts = other.hearing

    def run(
        self,
        stop: threading.Event,
        listener: Listener,
        beat: Callable[[], object] = lambda: None,
    ) -> None:
        """Report wakes and commands to `listener`. `beat` is called several times a second, and
        ends it all by raising. Raises SourceLost."""
        while not stop.is_set() and not self.source.ended:
            sound = self.source.read(POLL_S)
            beat()
            if sound is not None:
                self._hear(sound, listener)

    def _hear(self, sound: Sound, listener: Listener) -> None:
        self._count(sound)
        self._guard.heard(sound)
        for frame in self._wake_frames.frames(sound):
            self._recent.append(frame)
            while self._recent[0].time_s < frame.time_s - RECENT_S:
                self._recent.popleft()
            if self._wake_ends(frame) and self._accept_wake(frame.time_s):
                asked_s = frame.time_s - self.wake.delay_s
                listener.on_wake(asked_s, self._clock.now())
                if self._commands is not None:  # the newest frame follows below
                    self._commands.begin(asked_s, frame.time_s, list(self._recent)[:-1])
            elif self.wake.hint and not self._hinted:
                listener.on_hint()
            self._hinted = self.wake.hint
            command = None if self._commands is None else self._commands.hear(frame)
            if command is not None:
                self._counts = replace(self._counts, commands=self._counts.commands + 1)
                listener.on_command(command, frame.time_s, self._clock.now())

    def _wake_ends(self, frame: Sound) -> bool:
        """Whether the phrase ends in this frame. The engine reports it for several frames."""
        before, self._firing = self._firing, self.wake.hear(frame.pcm)
        return self._firing and not before

    def _accept_wake(self, time_s: float) -> bool:
        """Whether a wake counts: not too soon after the last one, and not the engine's own
        voice."""
        if time_s - self._last_wake_s < self._refractory_s:
            self._counts = replace(self._counts, refractory=self._counts.refractory + 1)
            return False
        end_s = time_s - self.wake.delay_s
        if self._guard.own_voice(end_s - WINDOW_S, end_s):
            self._counts = replace(self._counts, own_voice=self._counts.own_voice + 1)
            return False
        self._last_wake_s = time_s
        self._counts = replace(self._counts, wakes=self._counts.wakes + 1)
        return True

    def _count(self, sound: Sound) -> None:
        """Count late and lost blocks, and report the first of each."""
        before, late_s = self._counts, self._clock.now() - sound.time_s
        late = before.late + (late_s > LATE_S)
        overruns = self.source.overruns
        if late == 1 > before.late:
            self._report(
                Health("ear", f"sound was dealt with {late_s:.2f} s late", "lost none of it")
            )
        if overruns and not before.overruns:
            self._report(Health("ear", "the microphone lost samples (an overrun)", "went on"))
        self._counts = replace(
            before,
            heard_s=before.heard_s + len(sound.pcm) / HEARING_HZ,
            late=late,
            overruns=overruns,
        )

    def close(self) -> None:
        """Close the device and the wake engine."""
        self.source.close()
        self.wake.close()
