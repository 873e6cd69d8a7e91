"""Recognises the engine's own voice in what the microphone hears."""

import itertools
import threading
from collections import deque

import numpy as np

from engine.core.ports import Clock, Sink
from engine.core.sound import HEARING_HZ, Samples, Sound
from engine.listening.framer import Framer

STEP_S = 0.02  # time step of the envelopes that are compared
WINDOW_S = 0.8  # length of the compared envelopes: a short wake phrase
MAX_LAG_S = 0.6  # total delay of the loudspeaker's buffers, the air and the microphone's buffers
OWN_VOICE = 0.68  # a correlation of at least this means the engine's own voice
SILENT_DB = -60.0  # of full scale; below it a band is silent
BANDS_HZ = (150.0, 700.0, 2000.0, 5000.0)  # voice, vowels, consonants


class EchoGuard:
    """Distinguishes the engine's own voice from the wearer's by comparing loudness envelopes.

    A microphone that hears only a loudspeaker hears the same envelopes, later and quieter. Their
    Pearson correlation is then near 1; it is computed over the levels of three bands in decibels,
    each minus its mean, at the best lag that a device can have. A person's words correlate less.
    `played` may be called from any thread.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._sample_rate_hz = sample_rate_hz
        self._lock = threading.Lock()
        length = round((WINDOW_S + MAX_LAG_S + 1.0) / STEP_S)
        self._played: deque[tuple[float, Samples]] = deque(maxlen=length)  # (time, levels in dB)
        self._heard: deque[tuple[float, Samples]] = deque(maxlen=length)
        self._framer = Framer(round(STEP_S * HEARING_HZ))

    def played(self, block: Samples, time_s: float) -> None:
        """Note that `block` (n, 2) goes to the sink now."""
        step = round(STEP_S * self._sample_rate_hz)
        with self._lock:
            for start in range(0, len(block), step):
                levels = _levels_db(block[start : start + step].mean(axis=1), self._sample_rate_hz)
                self._played.append((time_s + start / self._sample_rate_hz, levels))

    def heard(self, sound: Sound) -> None:
        """Note that the microphone heard `sound`."""
        for frame in self._framer.frames(sound):
            levels = _levels_db(frame.pcm.astype(np.float32) / np.float32(32768), HEARING_HZ)
            self._heard.append((frame.time_s - STEP_S, levels))

    def own_voice(self, start_s: float, end_s: float) -> bool:
        """Whether the sound heard from `start_s` to `end_s` is what was played before."""
        return self.correlation(start_s, end_s) >= OWN_VOICE

    def correlation(self, start_s: float, end_s: float) -> float:
        """The correlation of the envelopes, from -1 to 1; 0 if nothing was played or heard."""
        with self._lock:
            played = list(self._played)
        heard = [levels for time_s, levels in self._heard if start_s <= time_s < end_s]
        if len(heard) < 5 or all(levels.max() <= SILENT_DB for _, levels in played):
            return 0.0
        times = np.array([time_s for time_s, _ in played])
        played_levels = np.stack([levels for _, levels in played])
        heard_levels = _minus_mean(np.stack(heard))
        grid = start_s + STEP_S * np.arange(len(heard))
        best = 0.0
        for lag_s in np.arange(0.0, MAX_LAG_S, STEP_S / 2):
            delayed = [
                np.interp(grid - lag_s, times, band, SILENT_DB, SILENT_DB)
                for band in played_levels.T
            ]
            echo_levels = _minus_mean(np.stack(delayed, axis=1))
            norm = float(np.linalg.norm(heard_levels) * np.linalg.norm(echo_levels))
            if norm > len(grid):  # both vary by some decibels: neither is silence
                best = max(best, float((heard_levels * echo_levels).sum()) / norm)
        return best


def _minus_mean(levels: Samples) -> Samples:
    centred: Samples = levels - levels.mean(axis=0)
    return centred


def _levels_db(samples: Samples, sample_rate_hz: int) -> Samples:
    """The level of each band (3,) of mono `samples` (n,), at least SILENT_DB."""
    power = np.square(np.abs(np.fft.rfft(samples))) * 2 / max(1, len(samples)) ** 2
    edges = [round(hertz * len(samples) / sample_rate_hz) for hertz in BANDS_HZ]
    bands = [power[low:high].sum() for low, high in itertools.pairwise(edges)]
    levels: Samples = np.maximum(10 * np.log10(np.array(bands) + 1e-12), SILENT_DB)
    return levels.astype(np.float32)


class GuardedSink:
    """A sink that also passes its sound to the guard."""

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
            self.paced = self._sink.paced  # a lost device no longer sets the pace

    def close(self) -> None:
        self._sink.close()
