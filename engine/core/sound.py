"""Sound as arrays of samples."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]  # (n,) mono or (n, 2) stereo, full scale is 1.0
Pcm = NDArray[np.int16]  # (n,) mono at HEARING_HZ

HEARING_HZ = 16000  # the sampling rate of every wake word engine and recogniser here


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """A block of microphone samples `pcm` (n,). Its last sample was recorded at `time_s`."""

    pcm: Pcm
    time_s: float
