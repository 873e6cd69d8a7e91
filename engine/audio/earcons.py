"""Synthesises earcons: short sounds that carry a meaning without words.

The sound comes from the obstacle's direction (`engine.audio.hrtf`). Level and pulse rate stand for
distance, timbre for urgency. Pure numpy; knows nothing of queues, sinks or words.
"""

from functools import lru_cache

import numpy as np

from engine.audio.hrtf import spatialise
from engine.audio.loudness import EARCON_LUFS, EARCON_PEAK, TICK_LUFS, normalised
from engine.core.sound import Samples
from engine.core.utterance import EarconName

NEAR_M = 1.0  # up to this distance: loudest and fastest
QUIETEST = 0.2  # gain, -14 dB, reached at 5 m so that more distant sounds stay audible
FASTEST_S, SLOWEST_S = 0.06, 0.18  # pulse intervals: 17 to 6 pulses a second
FAR_M = 5.0  # from this distance: slowest
PULSES: dict[EarconName, int] = {"obstacle": 2, "urgent": 2, "tick": 1}
RAMP_S = 0.002  # fade at both ends, against clicks


def level(distance_m: float | None) -> float:
    """The gain of a source at `distance_m` (None: 1 m): sound pressure falls as 1/r from 1 m."""
    return 1.0 if distance_m is None else max(QUIETEST, NEAR_M / max(NEAR_M, distance_m))


def interval_s(distance_m: float | None) -> float:
    """The interval between pulse onsets of a source at `distance_m`. None means 1 m.

    It is linear between NEAR_M and FAR_M, as in parking sensors. A near obstacle's words therefore
    also start sooner.
    """
    share = (min(FAR_M, max(NEAR_M, distance_m or NEAR_M)) - NEAR_M) / (FAR_M - NEAR_M)
    return FASTEST_S + (SLOWEST_S - FASTEST_S) * share


def earcon(
    name: EarconName, azimuth_deg: float, distance_m: float | None, sample_rate_hz: int
) -> Samples:
    """The earcon `name` from a position, stereo (n, 2), at most 0.25 s long. At 1 m its momentary
    loudness is EARCON_LUFS. Pulses are cached."""
    pulse = _pulse(name, round(azimuth_deg) % 360, sample_rate_hz)
    step = round(interval_s(distance_m) * sample_rate_hz)
    starts = [step * count for count in range(PULSES[name])]
    sound = np.zeros((starts[-1] + len(pulse), 2), dtype=np.float32)
    for start in starts:
        sound[start : start + len(pulse)] += pulse
    return sound * np.float32(level(distance_m))


def prepare(sample_rate_hz: int) -> None:
    """Load the HRTFs and synthesise all earcons in advance, so that the first one is not late."""
    for name in PULSES:
        earcon(name, 0.0, None, sample_rate_hz)


@lru_cache(maxsize=256)
def _pulse(name: EarconName, azimuth_deg: int, sample_rate_hz: int) -> Samples:
    """One pulse from a direction, stereo (n, 2), read-only."""
    pulse = spatialise(_timbre(name, sample_rate_hz), azimuth_deg, sample_rate_hz)
    pulse.setflags(write=False)
    return pulse


@lru_cache(maxsize=16)
def _timbre(name: EarconName, sample_rate_hz: int) -> Samples:
    """One pulse without direction, mono (n,). All pulses of an earcon together have EARCON_LUFS, a
    tick has TICK_LUFS."""
    make = {"obstacle": _knock, "urgent": _buzz, "tick": _tick}[name]
    sound = make(sample_rate_hz).astype(np.float32)
    ramp = round(RAMP_S * sample_rate_hz)
    sound[:ramp] *= np.linspace(0.0, 1.0, ramp)
    sound[-ramp:] *= np.linspace(1.0, 0.0, ramp)
    share_db = 10.0 * float(np.log10(PULSES[name]))
    lufs = TICK_LUFS if name == "tick" else EARCON_LUFS
    return normalised(sound, sample_rate_hz, lufs - share_db, EARCON_PEAK)


def _knock(sample_rate_hz: int) -> np.ndarray:
    """A wooden knock: two low partials and a short noise, whose onset is easy to localise."""
    t = np.arange(round(0.05 * sample_rate_hz)) / sample_rate_hz
    noise = np.random.default_rng(0).uniform(-1.0, 1.0, len(t))
    tone = np.sin(2 * np.pi * 620 * t) + 0.5 * np.sin(2 * np.pi * 1550 * t)
    knock: np.ndarray = tone * np.exp(-t / 0.02) + 0.5 * noise * np.exp(-t / 0.004)
    return knock


def _buzz(sample_rate_hz: int) -> np.ndarray:
    """A bright pulse of odd harmonics, for danger."""
    t = np.arange(round(0.045 * sample_rate_hz)) / sample_rate_hz
    buzz: np.ndarray = np.sum([np.sin(2 * np.pi * 988 * k * t) / k for k in (1, 3, 5)], axis=0)
    return buzz


def _tick(sample_rate_hz: int) -> np.ndarray:
    """A short soft drop, which tells that the engine is running and has nothing to say."""
    t = np.arange(round(0.05 * sample_rate_hz)) / sample_rate_hz
    tick: np.ndarray = np.sin(2 * np.pi * 440 * t) * np.exp(-t / 0.012)
    return tick
