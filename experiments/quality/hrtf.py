"""Makes `engine/audio/kemar.npz`: the horizontal plane of slab's KEMAR measurements.

`python -m experiments.quality.hrtf [FILE]`. The engine does not import slab: that takes seconds,
and fails without PortAudio, which Linux wheels do not contain. Source: Gardner and Martin, "HRTF
Measurements of a KEMAR Dummy-Head Microphone", MIT Media Lab Perceptual Computing Technical Report
280 (1994), 44.1 kHz, free to use where its authors are cited.
"""

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from engine.audio.hrtf import FILE, RATE_HZ, STEP_DEG, TAPS
from experiments.common import command_parser

FIRST = 10  # samples before the sound reaches the nearer ear
# Outside this band the loudspeaker of 1994 is too weak to be equalised.
LOWEST_HZ, HIGHEST_HZ = 200.0, 16000.0
SMOOTHING = 2 ** (1 / 6)  # a third of an octave in all
OVERSAMPLING = 16  # of the cross-correlation that gives a delay
# Between directions 5 degrees apart; sound passes a head in 0.7 ms.
LONGEST_STEP_S = 150e-6

Array = NDArray[np.float64]


def kemar() -> tuple[Array, Array]:
    """slab's data: directions (n, 2) as azimuth (positive left) and elevation in degrees, and
    impulse responses (n, 512, 2) of the left and right ear."""
    try:
        import sounddevice  # noqa: F401
    except OSError:  # no PortAudio: slab imports sounddevice but does not need it to read data
        sys.modules["sounddevice"] = ModuleType("sounddevice")
    import slab

    measured = slab.HRTF.kemar()
    responses = np.stack([source.data for source in measured.data])
    return measured.sources.vertical_polar[:, :2], responses


def minimum_phase(magnitude: Array) -> Array:
    """The minimum-phase spectrum (..., n // 2 + 1) of a magnitude of that shape, by the folded
    cepstrum (Oppenheim and Schafer, Discrete-Time Signal Processing)."""
    cepstrum = np.fft.irfft(np.log(np.maximum(magnitude, 1e-9)))
    half = cepstrum.shape[-1] // 2
    cepstrum[..., 1:half] *= 2.0
    cepstrum[..., half + 1 :] = 0.0
    spectrum: Array = np.exp(np.fft.rfft(cepstrum))
    return spectrum


def equalised(responses: Array) -> Array:
    """Diffuse-field equalisation of (n, m, 2): removes the response common to all directions.

    That is the response of the loudspeaker, the microphone and the ear canal; headphones and the
    wearer's ears add their own. One filter serves both ears and all directions, so that differences
    between the ears stay.
    """
    size = 4 * responses.shape[1]
    spectra = np.fft.rfft(responses, size, axis=1)
    frequencies_hz = np.fft.rfftfreq(size, 1 / RATE_HZ)
    power = np.mean(np.abs(spectra) ** 2, axis=(0, 2))
    at_hz = np.clip(frequencies_hz, LOWEST_HZ, HIGHEST_HZ)
    total = np.concatenate([[0.0], np.cumsum(power)])
    low, high = (
        np.searchsorted(frequencies_hz, edge) for edge in (at_hz / SMOOTHING, at_hz * SMOOTHING)
    )
    shared = np.sqrt((total[high] - total[low]) / (high - low))
    inverse = minimum_phase(1.0 / shared)
    filtered: Array = np.fft.irfft(spectra * inverse[:, np.newaxis], axis=1)
    return filtered[:, : responses.shape[1]]


def delays_s(responses: Array) -> Array:
    """The delay of each response (n, m, 2) relative to straight ahead, in seconds (n, 2).

    Sums the steps between neighbours, each the peak of their cross-correlation.
    """
    size = 4 * responses.shape[1]
    spectra = np.fft.rfft(responses, size, axis=1)
    likeness = np.fft.irfft(spectra[1:] * spectra[:-1].conj(), size * OVERSAMPLING, axis=1)
    reach = round(LONGEST_STEP_S * RATE_HZ * OVERSAMPLING)
    near = np.concatenate([likeness[:, -reach:], likeness[:, : reach + 1]], axis=1)
    steps = (np.argmax(near, axis=1) - reach) / (OVERSAMPLING * RATE_HZ)
    delays: Array = np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])
    return delays


def table() -> dict[str, NDArray[np.float32]]:
    """The file's content: `responses` (37, TAPS, 2) of the left and right ear for a source at 0 to
    180 degrees to the right, and their `delays_s` (37, 2). The left side is the mirror image."""
    directions, responses = kemar()
    flat = equalised(responses)
    level = np.abs(directions[:, 1]) < 0.5
    azimuths_deg = np.round(-directions[:, 0]).astype(int) % 360
    rows = [
        int(np.flatnonzero(level & (azimuths_deg == wanted))[0])
        for wanted in range(0, 181, STEP_DEG)
    ]
    kept = flat[rows, FIRST : FIRST + TAPS]
    fade = TAPS // 8
    kept[:, -fade:] *= np.linspace(1.0, 0.0, fade)[:, np.newaxis]
    return {
        "responses": kept.astype(np.float32),
        "delays_s": delays_s(kept).astype(np.float32),
    }


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("experiments.quality.hrtf", __doc__)
    parser.add_argument("file", type=Path, nargs="?", default=FILE, help="where the table goes")
    args = parser.parse_args(arguments)
    np.savez_compressed(args.file, **table())  # type: ignore[arg-type]
    print(f"wrote {args.file}, {args.file.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
