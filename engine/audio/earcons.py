"""Short synthesised sounds: what they say without a word.

The direction is heard (`engine.audio.hrtf`), distance is level and the rate of pulses, urgency is timbre.
Pure numpy; knows nothing of queues, sinks or words.
"""

from functools import lru_cache

import numpy as np

from engine.audio.hrtf import spatialise
from engine.audio.loudness import EARCON_LUFS, EARCON_PEAK, TICK_LUFS, brought_to
from engine.core.sound import Samples
from engine.core.utterance import EarconName

NEAR_M = 1.0  # at this distance and nearer: loudest and fastest
QUIETEST = 0.2  # -14 dB, reached at 5 m: farther sounds stay audible
FASTEST_S, SLOWEST_S = 0.06, 0.18  # from pulse to pulse: 17 to 6 a second
FAR_M = 5.0  # at this distance and farther: slowest
PULSES: dict[EarconName, int] = {"obstacle": 2, "urgent": 2, "tick": 1}
RAMP_S = 0.002  # no click at either end


def level(distance_m: float | None) -> float:
    """Gain for a source `distance_m` away: sound pressure falls as 1/r from 1 m (None is 1 m)."""
    return 1.0 if distance_m is None else max(QUIETEST, NEAR_M / max(NEAR_M, distance_m))


def interval_s(distance_m: float | None) -> float:
    """From the start of a pulse to that of the next, for a source `distance_m` away (None is 1 m):
    linear between NEAR_M and FAR_M, as parking sensors do. What is nearer also comes to its words
    sooner."""
    share = (min(FAR_M, max(NEAR_M, distance_m or NEAR_M)) - NEAR_M) / (FAR_M - NEAR_M)
    return FASTEST_S + (SLOWEST_S - FASTEST_S) * share


def earcon(
    name: EarconName, azimuth_deg: float, distance_m: float | None, sample_rate_hz: int
) -> Samples:
    """The earcon `name` from a place, stereo (n, 2), 0.25 s at most; at 1 m its momentary loudness
    is EARCON_LUFS. A pulse is kept once it has been made, so that the next costs a copy."""
    pulse = _pulse(name, round(azimuth_deg) % 360, sample_rate_hz)
    step = round(interval_s(distance_m) * sample_rate_hz)
    starts = [step * count for count in range(PULSES[name])]
    sound = np.zeros((starts[-1] + len(pulse), 2), dtype=np.float32)
    for start in starts:
        sound[start : start + len(pulse)] += pulse
    return sound * np.float32(level(distance_m))


def prepare(sample_rate_hz: int) -> None:
    """Load the measurements and the meter and make the earcons straight ahead, before any is wanted."""
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
    """One dry pulse, mono (n,), so loud that all of them together have EARCON_LUFS (a tick TICK_LUFS)."""
    make = {"obstacle": _knock, "urgent": _buzz, "tick": _tick}[name]
    sound = make(sample_rate_hz).astype(np.float32)
    ramp = round(RAMP_S * sample_rate_hz)
    sound[:ramp] *= np.linspace(0.0, 1.0, ramp)
    sound[-ramp:] *= np.linspace(1.0, 0.0, ramp)
    share_db = 10.0 * float(np.log10(PULSES[name]))
    lufs = TICK_LUFS if name == "tick" else EARCON_LUFS
    return brought_to(sound, sample_rate_hz, lufs - share_db, EARCON_PEAK)


def _knock(sample_rate_hz: int) -> np.ndarray:
    """A wooden knock: two low partials and a breath of noise, whose onset is easy to localise."""
    t = np.arange(round(0.05 * sample_rate_hz)) / sample_rate_hz
    noise = np.random.default_rng(0).uniform(-1.0, 1.0, len(t))
    tone = np.sin(2 * np.pi * 620 * t) + 0.5 * np.sin(2 * np.pi * 1550 * t)
    knock: np.ndarray = tone * np.exp(-t / 0.02) + 0.5 * noise * np.exp(-t / 0.004)
    return knock


def _buzz(sample_rate_hz: int) -> np.ndarray:
    """A bright pulse of odd harmonics: danger."""
    t = np.arange(round(0.045 * sample_rate_hz)) / sample_rate_hz
    buzz: np.ndarray = np.sum([np.sin(2 * np.pi * 988 * k * t) / k for k in (1, 3, 5)], axis=0)
    return buzz


def _tick(sample_rate_hz: int) -> np.ndarray:
    """A short soft drop of a sound: all is well, and I am still here."""
    t = np.arange(round(0.05 * sample_rate_hz)) / sample_rate_hz
    tick: np.ndarray = np.sin(2 * np.pi * 440 * t) * np.exp(-t / 0.012)
    return tick
