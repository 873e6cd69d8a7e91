"""The ear: sound in, wakes and commands out, in a thread of its own.

    audio source ─▶ frames ─▶ wake engine ─▶ (own voice? too soon?) ─▶ woken
                        └───▶ recogniser, for a while after a wake ─▶ commanded

It may fall behind, but it leaves no sample out. Must not know: which engine, device or recogniser it
has, or what an answer is.
"""

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol

import numpy as np

from engine.core.answer import Command
from engine.core.errors import RunError
from engine.core.ports import AudioSource, Clock, Recogniser, Sink, WakeEngine
from engine.core.report import Health, Hearing
from engine.core.sound import HEARING_HZ, Pcm, Samples, Sound
from engine.language.commands import CommandGrammar

LATE_S = 0.25  # a block dealt with so long after it was taken is a late tick
POLL_S = 0.2
STEP_S = 0.02  # of the envelopes that are compared
WINDOW_S = 0.8  # how much of them: a short wake phrase
MOST_LAG_S = 0.6  # of a loudspeaker's buffers, the air and a microphone's
OWN_VOICE = 0.68  # a correlation from which on what was heard is what was played
SILENT_DB = -60.0  # of full scale: under it a band is silent
BANDS_HZ = (150.0, 700.0, 2000.0, 5000.0)  # voice, vowels, consonants


class Framer:
    """Cuts sounds of any length into frames of exactly `frame_samples`; what is left waits."""

    def __init__(self, frame_samples: int) -> None:
        self._frame_samples = frame_samples
        self._rest: Pcm = np.zeros(0, np.int16)

    def frames(self, sound: Sound) -> Iterator[Sound]:
        """The whole frames that `sound` completes, each with the time of its last sample."""
        pcm = np.concatenate([self._rest, sound.pcm])
        whole = len(pcm) - len(pcm) % self._frame_samples
        for start in range(0, whole, self._frame_samples):
            end = start + self._frame_samples
            yield Sound(pcm[start:end], sound.time_s - (len(pcm) - end) / HEARING_HZ)
        self._rest = pcm[whole:]

    def clear(self) -> None:
        self._rest = self._rest[:0]


class EchoGuard:
    """Tells the engine's own voice from the wearer's, by how loudness went up and down.

    A microphone that hears only a loudspeaker hears the same envelopes, later and quieter: their
    correlation (Pearson's, of the levels of three bands in decibels, each about its mean, at the best
    of the lags that a device can have) is near 1. Somebody else's words follow another. `played` may
    be called from any thread.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._sample_rate_hz = sample_rate_hz
        self._lock = threading.Lock()
        length = round((WINDOW_S + MOST_LAG_S + 1.0) / STEP_S)
        self._played: deque[tuple[float, Samples]] = deque(maxlen=length)  # (time, levels in dB)
        self._heard: deque[tuple[float, Samples]] = deque(maxlen=length)
        self._framer = Framer(round(STEP_S * HEARING_HZ))

    def played(self, block: Samples, time_s: float) -> None:
        """`block` (n, 2) goes to the sink now."""
        step = round(STEP_S * self._sample_rate_hz)
        with self._lock:
            for start in range(0, len(block), step):
                levels = _levels_db(block[start : start + step].mean(axis=1), self._sample_rate_hz)
                self._played.append((time_s + start / self._sample_rate_hz, levels))

    def heard(self, sound: Sound) -> None:
        """The microphone heard `sound`."""
        for frame in self._framer.frames(sound):
            levels = _levels_db(frame.pcm.astype(np.float32) / np.float32(32768), HEARING_HZ)
            self._heard.append((frame.time_s - STEP_S, levels))

    def own_voice(self, start_s: float, end_s: float) -> bool:
        """Whether what was heard from `start_s` to `end_s` is what was played before."""
        return self.likeness(start_s, end_s) >= OWN_VOICE

    def likeness(self, start_s: float, end_s: float) -> float:
        """The envelopes' correlation, from -1 to 1; 0 where nothing was played or heard."""
        with self._lock:
            played = list(self._played)
        heard = [levels for time_s, levels in self._heard if start_s <= time_s < end_s]
        if len(heard) < 5 or all(levels.max() <= SILENT_DB for _, levels in played):
            return 0.0
        times = np.array([time_s for time_s, _ in played])
        theirs = np.stack([levels for _, levels in played])
        mine = _about_mean(np.stack(heard))
        grid = start_s + STEP_S * np.arange(len(heard))
        best = 0.0
        for lag_s in np.arange(0.0, MOST_LAG_S, STEP_S / 2):
            there = [
                np.interp(grid - lag_s, times, band, SILENT_DB, SILENT_DB) for band in theirs.T
            ]
            other = _about_mean(np.stack(there, axis=1))
            size = float(np.linalg.norm(mine) * np.linalg.norm(other))
            if size > len(grid):  # some decibels each: neither is silence
                best = max(best, float((mine * other).sum()) / size)
        return best


def _about_mean(levels: Samples) -> Samples:
    centred: Samples = levels - levels.mean(axis=0)
    return centred


def _levels_db(samples: Samples, sample_rate_hz: int) -> Samples:
    """The level of each band (3,) of mono `samples` (n,), SILENT_DB at least."""
    power = np.square(np.abs(np.fft.rfft(samples))) * 2 / max(1, len(samples)) ** 2
    edges = [round(hertz * len(samples) / sample_rate_hz) for hertz in BANDS_HZ]
    bands = [power[low:high].sum() for low, high in itertools.pairwise(edges)]
    levels: Samples = np.maximum(10 * np.log10(np.array(bands) + 1e-12), SILENT_DB)
    return levels.astype(np.float32)


class Overheard:
    """A sink that the guard listens to."""

    def __init__(self, sink: Sink, guard: EchoGuard, clock: Clock) -> None:
        self.name = sink.name
        self.paced = sink.paced
        self._sink = sink
        self._guard = guard
        self._clock = clock

    def write(self, block: Samples) -> None:
        self._guard.played(block, self._clock.now())
        try:
            self._sink.write(block)
        finally:
            self.paced = self._sink.paced  # a device that is lost sets no pace any more

    def close(self) -> None:
        self._sink.close()


class Listener(Protocol):
    """Who is told what the ear hears, in its thread."""

    def stirred(self) -> None:
        """The wake phrase may be about to be complete."""
        ...

    def woken(self, asked_s: float, heard_s: float) -> None:
        """The wake phrase ended at `asked_s`, and that was clear at `heard_s`."""
        ...

    def commanded(self, command: Command, asked_s: float, heard_s: float) -> None:
        """So with a command."""
        ...


class Ear:
    """Listens until told to stop, or until the sound ends.

    `command_s` is how long after a wake commands are listened for. A wake within `refractory_s` of
    the last one is not taken: it is the same phrase, or its echo.
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
