"""Gives a sound a direction by the head-related transfer functions of the KEMAR dummy head.

Measured by Gardner and Martin (MIT Media Lab Perceptual Computing Technical Report 280, 1994) every
5 degrees, shipped with slab, and converted to `kemar.npz` by `experiments/quality/hrtf.py`. Pure
numpy; must not know which sounds are played, or why.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.core.sound import Samples

FILE = Path(__file__).with_name("kemar.npz")
RATE_HZ = 44100  # of the measurement
STEP_DEG = 5
TAPS = 256  # 5.8 ms
BAND = 0.85  # the part of the band that passes without attenuation
LENGTH_S = 0.01  # of a resampled response: TAPS and the ringing of the band edge


def spatialise(mono: Samples, azimuth_deg: float, sample_rate_hz: int) -> Samples:
    """Mono (n,) as heard from `azimuth_deg` (0 ahead, positive to the right, any range), stereo
    (n + 10 ms, 2). Both ears together have the energy of `mono`."""
    response = _response(round(azimuth_deg) % 360, sample_rate_hz)
    length = len(mono) + len(response) - 1
    size = 1 << length.bit_length()
    ears = np.fft.rfft(response, size, axis=0) * np.fft.rfft(mono, size)[:, np.newaxis]
    stereo: Samples = np.fft.irfft(ears, size, axis=0)[:length].astype(np.float32)
    heard = float(np.sum(np.square(stereo)))
    if heard > 0.0:
        stereo *= np.float32(np.sqrt(np.sum(np.square(mono)) / heard))
    return stereo


def centre(mono: Samples) -> Samples:
    """Mono (n,) without a direction, stereo (n, 2): both ears are equal and the energy is kept."""
    return np.repeat(mono[:, np.newaxis], 2, axis=1) * np.float32(np.sqrt(0.5))


@lru_cache(maxsize=512)
def _response(azimuth_deg: int, sample_rate_hz: int) -> NDArray[np.float32]:
    """The impulse response (m, 2) of both ears, per degree: the smallest difference that people
    hear (Mills, JASA 30, 1958).

    Between two measurements, the responses are aligned, mixed, and delayed by the interpolated
    onset. A mixture without alignment would sound like an echo.
    """
    spectra, delays_s = measured(sample_rate_hz)
    right_deg = min(azimuth_deg, 360 - azimuth_deg)
    index = min(right_deg // STEP_DEG, len(spectra) - 2)
    share = right_deg / STEP_DEG - index
    mixed = (1.0 - share) * spectra[index] + share * spectra[index + 1]
    delay_s = (1.0 - share) * delays_s[index] + share * delays_s[index + 1]
    size = round(LENGTH_S * sample_rate_hz)
    moved = mixed * np.exp(-2j * np.pi * _frequencies_hz(sample_rate_hz)[:, np.newaxis] * delay_s)
    response: NDArray[np.float32] = np.fft.irfft(moved, size, axis=0).astype(np.float32)
    response.setflags(write=False)
    return response if azimuth_deg <= 180 else response[:, ::-1]


@lru_cache(maxsize=4)
def measured(sample_rate_hz: int) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
    """Spectra (37, bins, 2) at another sample rate, with all onsets aligned to the one straight
    ahead, and the delays that were removed, in seconds (37, 2)."""
    with np.load(FILE) as stored:
        responses = stored["responses"].astype(np.float64)
        delays_s = stored["delays_s"].astype(np.float64)
    frequencies_hz = _frequencies_hz(sample_rate_hz)
    turns = np.outer(frequencies_hz, np.arange(TAPS) / RATE_HZ)
    spectra = np.einsum("ft,ate->afe", np.exp(-2j * np.pi * turns), responses, optimize=True)
    spectra *= np.exp(2j * np.pi * frequencies_hz[:, np.newaxis] * delays_s[:, np.newaxis, :])
    # The band fades out below the lower of the two Nyquist frequencies, against ringing.
    highest_hz = min(sample_rate_hz, RATE_HZ) / 2
    index = np.clip((frequencies_hz / highest_hz - BAND) / (1.0 - BAND), 0.0, 1.0)
    spectra *= np.square(np.cos(np.pi / 2 * index))[:, np.newaxis]
    return spectra, delays_s


def _frequencies_hz(sample_rate_hz: int) -> NDArray[np.floating[Any]]:
    return np.fft.rfftfreq(round(LENGTH_S * sample_rate_hz), 1 / sample_rate_hz)
