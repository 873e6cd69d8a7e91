"""Short synthesised sounds, and where they seem to come from.

Pure numpy. Knows nothing of queues, sinks or words; `to_stereo` is the one place where a direction
becomes two ears, so that measured head-related transfer functions can take its place.
"""

from functools import lru_cache

import numpy as np

from engine.types import EarconName, Samples

PEAK = 0.25  # -12 dBFS: well under speech, so that traffic stays audible
TICK_PEAK = 0.12  # another 6 dB softer: to be missed when it stops, not to be listened to
HEAD_RADIUS_M = 0.0875  # Woodworth's spherical head
SPEED_OF_SOUND_M_S = 343.0
EARCON_WIDTH = 0.7  # at 90 degrees the far ear is 12 dB down, as with a head and not as with a wall
WORDS_WIDTH = 0.3
QUIETEST = 0.2  # -14 dB, reached at 5 m: farther sounds stay audible


def pan(mono: Samples, azimuth_deg: float, width: float) -> Samples:
    """Constant-power panning of mono (n,) to stereo (n, 2).

    `azimuth_deg` is 0 ahead and positive to the right; behind is heard as in front. `width` 0 keeps
    all in the middle, 1 silences the far ear at 90 degrees.
    """
    lateral = float(np.sin(np.radians(azimuth_deg)))
    angle = np.pi / 4 * (1.0 + width * lateral)
    gains = np.array([np.cos(angle), np.sin(angle)], dtype=np.float32)
    return mono[:, np.newaxis] * gains


def interaural_delay_s(azimuth_deg: float) -> float:
    """How much later the far ear hears: (a / c) (theta + sin theta), 0.66 ms at the side.
    Woodworth, Experimental Psychology (1938). `theta` is the lateral angle, so behind equals front."""
    theta = float(np.arcsin(abs(np.sin(np.radians(azimuth_deg)))))
    return HEAD_RADIUS_M / SPEED_OF_SOUND_M_S * (theta + float(np.sin(theta)))


def to_stereo(mono: Samples, azimuth_deg: float, sample_rate_hz: int) -> Samples:
    """Mono (n,) as heard from `azimuth_deg`, stereo (m, 2): the far ear is weaker and later."""
    delay = interaural_delay_s(azimuth_deg) * sample_rate_hz
    longer = len(mono) + int(np.ceil(delay))
    stereo = pan(np.pad(mono, (0, longer - len(mono))), azimuth_deg, EARCON_WIDTH)
    far = 0 if np.sin(np.radians(azimuth_deg)) > 0 else 1
    at = np.arange(longer)
    stereo[:, far] = np.interp(at - delay, at, stereo[:, far], left=0.0)
    return stereo


def level(distance_m: float | None) -> float:
    """Gain for a source `distance_m` away: sound pressure falls as 1/r from 1 m (None is 1 m)."""
    return 1.0 if distance_m is None else max(QUIETEST, 1.0 / max(1.0, distance_m))


def earcon(
    name: EarconName, azimuth_deg: float, distance_m: float | None, sample_rate_hz: int
) -> Samples:
    """The earcon `name` from a place, stereo (n, 2), 150 ms at most, peak -12 dBFS at most."""
    stereo = to_stereo(_timbre(name, sample_rate_hz), azimuth_deg, sample_rate_hz)
    return stereo * np.float32(level(distance_m))


@lru_cache(maxsize=16)
def _timbre(name: EarconName, sample_rate_hz: int) -> Samples:
    """The dry sound, mono (n,), peak PEAK, of a tick TICK_PEAK."""
    if name == "obstacle":
        sound = _knock(sample_rate_hz)
    elif name == "urgent":
        pulse = _buzz(sample_rate_hz)
        pause = np.zeros(round(0.015 * sample_rate_hz))
        sound = np.concatenate([pulse, pause, pulse])
    elif name == "tick":
        sound = _tick(sample_rate_hz)
    else:
        sound = _rise(sample_rate_hz)
    ramp = round(0.002 * sample_rate_hz)  # no click at either end
    sound[:ramp] *= np.linspace(0.0, 1.0, ramp)
    sound[-ramp:] *= np.linspace(1.0, 0.0, ramp)
    peak = TICK_PEAK if name == "tick" else PEAK
    result: Samples = (sound * (peak / np.abs(sound).max())).astype(np.float32)
    result.setflags(write=False)
    return result


def _knock(sample_rate_hz: int) -> np.ndarray:
    """A wooden knock: two low partials and a breath of noise, whose onset is easy to localise."""
    t = np.arange(round(0.09 * sample_rate_hz)) / sample_rate_hz
    noise = np.random.default_rng(0).uniform(-1.0, 1.0, len(t))
    tone = np.sin(2 * np.pi * 620 * t) + 0.5 * np.sin(2 * np.pi * 1550 * t)
    knock: np.ndarray = tone * np.exp(-t / 0.02) + 0.5 * noise * np.exp(-t / 0.004)
    return knock


def _buzz(sample_rate_hz: int) -> np.ndarray:
    """One bright pulse of odd harmonics; two of them mean danger."""
    t = np.arange(round(0.055 * sample_rate_hz)) / sample_rate_hz
    buzz: np.ndarray = np.sum([np.sin(2 * np.pi * 988 * k * t) / k for k in (1, 3, 5)], axis=0)
    return buzz


def _rise(sample_rate_hz: int) -> np.ndarray:
    """A soft glide upwards, as of a question: I am listening."""
    t = np.arange(round(0.13 * sample_rate_hz)) / sample_rate_hz
    rise: np.ndarray = np.sin(2 * np.pi * (1318 * t + 1700 * t**2)) * np.sin(np.pi * t / t[-1])
    return rise


def _tick(sample_rate_hz: int) -> np.ndarray:
    """A short soft drop of a sound: all is well, and I am still here."""
    t = np.arange(round(0.05 * sample_rate_hz)) / sample_rate_hz
    tick: np.ndarray = np.sin(2 * np.pi * 440 * t) * np.exp(-t / 0.012)
    return tick
