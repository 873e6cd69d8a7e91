"""Measures and sets the loudness of sounds by EBU R128 (ITU-R BS.1770).

Every sentence and earcon is normalised once, when it is synthesised, so that the wearer sets the
volume once. The tests compare this meter with pyloudnorm, which is not used here because it imports
scipy.signal: that would delay a session's first word by two seconds. Must not know where a sound
comes from, or when it plays.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from engine.core.sound import Samples

CEILING = 0.89  # -1 dBFS, the highest peak that R128 allows; no sink gets a higher one
# R128's programme level; espeak-ng's peaks do not allow more
VOICE_LUFS, VOICE_PEAK = -23.0, CEILING
EARCON_LUFS, EARCON_PEAK = -26.0, 0.5  # at 1 m; 3 LU below the voice, so that traffic is audible
TICK_LUFS = EARCON_LUFS - 6.0  # in the background; only its absence should be noticed
WINDOW_S = 0.4  # R128's window; a shorter sound is measured with the silence after it
HOP_S = 0.1  # windows overlap by three quarters
SILENT_LUFS, QUIET_LU = -70.0, -10.0  # gates: absolute, and relative to the mean above it
OFFSET_LU = -0.691  # makes 997 Hz at full scale in one channel read -3.01 LUFS
# The analogue prototypes (frequency in Hz, Q, dB) of BS.1770's filters, a shelf for the head and a
# high pass. BS.1770 tabulates them for 48 kHz; the prototypes give the same curve at any sampling
# rate.
SHELF_HZ, SHELF_Q, SHELF_DB = 1681.974450955533, 0.7071752369554196, 3.999843853973347
SHELF_SLOPE = 0.4996667741545416
HIGH_PASS_HZ, HIGH_PASS_Q = 38.13547087602444, 0.5003270373238773


def loudness_lufs(samples: Samples, sample_rate_hz: int) -> float:
    """Integrated loudness of mono (n,) or stereo (n, 2), minus infinity for silence. For a sound of
    up to 0.4 s, this is its momentary loudness."""
    window = round(WINDOW_S * sample_rate_hz)
    hop = round(HOP_S * sample_rate_hz)
    channels = np.atleast_2d(samples.T).T.astype(np.float64)  # (n, 1) or (n, 2)
    length = max(window, len(channels))
    # zero padding, so that the filter's tail does not wrap around to the start
    size = 1 << (length + window - 1).bit_length()
    spectrum = np.fft.rfft(channels, size, axis=0) * _weighting(sample_rate_hz, size)[:, None]
    power = (np.fft.irfft(spectrum, size, axis=0)[:length] ** 2).sum(axis=1)
    sums = np.concatenate([[0.0], np.cumsum(power)])
    starts = np.arange(0, length - window + 1, hop)
    means = (sums[starts + window] - sums[starts]) / window
    loud = means[means > _power(SILENT_LUFS)]
    if not len(loud):
        return -math.inf
    gate = loud.mean() * 10 ** (QUIET_LU / 10)
    return OFFSET_LU + 10 * math.log10(loud[loud > gate].mean())


def normalised(samples: Samples, sample_rate_hz: int, lufs: float, peak: float) -> Samples:
    """`samples` at a loudness of `lufs`, or less if their peak would exceed `peak`."""
    highest = float(np.abs(samples).max(initial=0.0))
    if highest == 0.0:
        return samples
    # Measured at full level, since R128's gate ignores everything below -70 LUFS.
    loudest = (samples * np.float32(peak / highest)).astype(np.float32)
    gain = 10.0 ** ((lufs - loudness_lufs(loudest, sample_rate_hz)) / 20.0)
    return loudest * np.float32(min(1.0, gain))


def _power(lufs: float) -> float:
    """The mean square, summed over channels, that measures as `lufs`."""
    return float(10 ** ((lufs - OFFSET_LU) / 10))


@lru_cache(maxsize=64)
def _weighting(sample_rate_hz: int, size: int) -> NDArray[np.complex128]:
    """BS.1770's K-weighting at the frequencies of an `rfft` of `size` samples, (size // 2 + 1,)."""
    z = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)  # one sample's delay
    k = math.tan(math.pi * SHELF_HZ / sample_rate_hz)
    high = 10 ** (SHELF_DB / 20)
    slope = high**SHELF_SLOPE * k / SHELF_Q
    shelf = (high + slope + k * k) + 2 * (k * k - high) * z + (high - slope + k * k) * z * z
    shelf /= (1 + k / SHELF_Q + k * k) + 2 * (k * k - 1) * z + (1 - k / SHELF_Q + k * k) * z * z
    k = math.tan(math.pi * HIGH_PASS_HZ / sample_rate_hz)
    scale = 1 + k / HIGH_PASS_Q + k * k
    low = 1 + 2 * (k * k - 1) / scale * z + (1 - k / HIGH_PASS_Q + k * k) / scale * z * z
    return np.asarray(shelf * (1 - z) ** 2 / low)
