"""How loud each sound is, by EBU R128 (ITU-R BS.1770), measured by pyloudnorm.

Every voice and earcon is brought to its level once, when it is made, so that a wearer sets the volume
once. Must not know: where a sound comes from, or when.
"""

from functools import lru_cache
from typing import Any

import numpy as np

from engine.types import Samples

CEILING = 0.89  # -1 dBFS, the most that R128 allows; nothing that reaches a sink passes it
VOICE_LUFS, VOICE_PEAK = -23.0, CEILING  # R128's programme level; espeak-ng's peaks allow no more
EARCON_LUFS, EARCON_PEAK = -26.0, 0.5  # at 1 m; 3 LU under the voice, so that traffic stays audible
TICK_LUFS = EARCON_LUFS - 6.0  # to be missed when it stops, not to be listened to
WINDOW_S = 0.4  # over which R128 measures; what is shorter counts with the silence after it


def loudness_lufs(samples: Samples, sample_rate_hz: int) -> float:
    """Integrated loudness of mono (n,) or stereo (n, 2); minus infinity for silence. Of a sound of
    0.4 s at most, that is its momentary loudness."""
    missing = round(WINDOW_S * sample_rate_hz) + 1 - len(samples)
    padding = [(0, max(0, missing))] + [(0, 0)] * (samples.ndim - 1)
    padded = np.pad(samples, padding).astype(np.float64)
    return float(_meter(sample_rate_hz).integrated_loudness(padded))


def brought_to(samples: Samples, sample_rate_hz: int, lufs: float, peak: float) -> Samples:
    """`samples` at a loudness of `lufs`, or less where their peak would pass `peak`."""
    highest = float(np.abs(samples).max(initial=0.0))
    if highest == 0.0:
        return samples
    # Measured at its loudest: R128 does not hear what lies under -70 LUFS.
    loudest = (samples * np.float32(peak / highest)).astype(np.float32)
    gain = 10.0 ** ((lufs - loudness_lufs(loudest, sample_rate_hz)) / 20.0)
    return loudest * np.float32(min(1.0, gain))


@lru_cache(maxsize=4)
def _meter(sample_rate_hz: int) -> Any:
    import pyloudnorm  # brings scipy.signal, which takes its time: not while settings are read

    return pyloudnorm.Meter(sample_rate_hz)
