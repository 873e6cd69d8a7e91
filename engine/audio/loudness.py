"""How loud each sound is, by EBU R128 (ITU-R BS.1770).

Measured here and not by pyloudnorm, with which the tests compare it: that brings scipy.signal, which is
two seconds of silence before a session can say its first word. Every voice and earcon is brought to its
level once, when it is made, so that a wearer sets the volume once. Must not know: where a sound comes
from, or when.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from engine.core.sound import Samples

CEILING = 0.89  # -1 dBFS, the most that R128 allows; nothing that reaches a sink passes it
VOICE_LUFS, VOICE_PEAK = -23.0, CEILING  # R128's programme level; espeak-ng's peaks allow no more
EARCON_LUFS, EARCON_PEAK = -26.0, 0.5  # at 1 m; 3 LU under the voice, so that traffic stays audible
TICK_LUFS = EARCON_LUFS - 6.0  # to be missed when it stops, not to be listened to
WINDOW_S = 0.4  # over which R128 measures; what is shorter counts with the silence after it
HOP_S = 0.1  # windows overlap by three quarters
SILENT_LUFS, QUIET_LU = -70.0, -10.0  # gates: absolute, and relative to the mean of what passed it
OFFSET_LU = -0.691  # so that 997 Hz at full scale in one channel reads -3.01 LUFS
# The analogue prototypes (frequency in Hz, Q, dB) from which BS.1770's tables for 48 kHz follow, so that
# other sampling rates have the same curve: a shelf for the head, and a high pass.
SHELF_HZ, SHELF_Q, SHELF_DB = 1681.974450955533, 0.7071752369554196, 3.999843853973347
SHELF_SLOPE = 0.4996667741545416
HIGH_PASS_HZ, HIGH_PASS_Q = 38.13547087602444, 0.5003270373238773


def loudness_lufs(samples: Samples, sample_rate_hz: int) -> float:
    """Integrated loudness of mono (n,) or stereo (n, 2); minus infinity for silence. Of a sound of
    0.4 s at most, that is its momentary loudness."""
    window = round(WINDOW_S * sample_rate_hz)
    hop = round(HOP_S * sample_rate_hz)
    channels = np.atleast_2d(samples.T).T.astype(np.float64)  # (n, 1) or (n, 2)
    length = max(window, len(channels))
    # zeros behind it, so that the filter's tail does not come round to the beginning
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


def brought_to(samples: Samples, sample_rate_hz: int, lufs: float, peak: float) -> Samples:
    """`samples` at a loudness of `lufs`, or less where their peak would pass `peak`."""
    highest = float(np.abs(samples).max(initial=0.0))
    if highest == 0.0:
        return samples
    # Measured at its loudest: R128 does not hear what lies under -70 LUFS.
    loudest = (samples * np.float32(peak / highest)).astype(np.float32)
    gain = 10.0 ** ((lufs - loudness_lufs(loudest, sample_rate_hz)) / 20.0)
    return loudest * np.float32(min(1.0, gain))


def _power(lufs: float) -> float:
    """The mean square, summed over channels, that reads `lufs`."""
    return float(10 ** ((lufs - OFFSET_LU) / 10))


@lru_cache(maxsize=64)
def _weighting(sample_rate_hz: int, size: int) -> NDArray[np.complex128]:
    """BS.1770's K-weighting at the frequencies of `rfft` over `size` samples: (size // 2 + 1,)."""
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
