"""Synthetic speech as a microphone would hear it: espeak-ng in many voices, with noise."""

import wave
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from engine.core.sound import HEARING_HZ, Pcm, Samples
from engine.devices.sound.espeak import SAMPLE_RATE_HZ, TAIL_S, espeak
from engine.devices.sound.resampling import Resampler

# espeak-ng's English accents, some with its male and female variants
VOICES = (
    "gmw/en-us", "gmw/en", "gmw/en-GB-scotland", "gmw/en-GB-x-rp", "gmw/en-GB-x-gbclan",
    "gmw/en-us+m3", "gmw/en-us+f3", "gmw/en-us+f5", "gmw/en+m7", "gmw/en+f2",
)  # fmt: skip
LEVEL = 0.1  # RMS as a share of full scale: a speaker near the microphone


@dataclass(frozen=True, slots=True, eq=False)
class Phrase:
    """A spoken phrase, mono at HEARING_HZ, and the time at which its last sound ends."""

    samples: Samples
    end_s: float


@lru_cache(maxsize=512)
def say(text: str, voice: str, rate_wpm: int) -> Phrase:
    """`text` spoken by espeak-ng's `voice` at LEVEL. Raises SpeechFailed."""
    samples = espeak().speech(text, voice, rate_wpm)
    end_s = len(samples) / SAMPLE_RATE_HZ - TAIL_S
    resampler = Resampler()
    pcm = (samples * np.float32(32767)).astype(np.int16)
    heard = np.concatenate([resampler.pcm(pcm, SAMPLE_RATE_HZ), resampler.flush()])
    floats = heard.astype(np.float32) / np.float32(32768)
    return Phrase(floats * np.float32(LEVEL / max(1e-4, _rms(floats))), end_s)


def _rms(samples: Samples) -> float:
    return float(np.sqrt(np.mean(np.square(samples)))) if len(samples) else 0.0


def pause(length_s: float) -> Samples:
    return np.zeros(round(length_s * HEARING_HZ), np.float32)


def babble(length_s: float, seed: int) -> Samples:
    """Noise with the long-term spectrum of speech: falls by 6 dB an octave above 500 Hz. RMS 1."""
    white = np.random.default_rng(seed).normal(0.0, 1.0, round(length_s * HEARING_HZ))
    spectrum = np.fft.rfft(white)
    hertz = np.fft.rfftfreq(len(white), 1 / HEARING_HZ)
    shaped = np.fft.irfft(spectrum / np.maximum(1.0, hertz / 500.0), len(white))
    noise: Samples = (shaped / np.sqrt(np.mean(np.square(shaped)))).astype(np.float32)
    return noise


def with_noise(samples: Samples, snr_db: float, seed: int) -> Pcm:
    """`samples` with noise `snr_db` below LEVEL, as int16."""
    noise = babble(len(samples) / HEARING_HZ, seed) * np.float32(LEVEL * 10 ** (-snr_db / 20))
    return to_pcm(samples + noise[: len(samples)])


def to_pcm(samples: Samples) -> Pcm:
    return (np.clip(samples, -1.0, 1.0) * 32767).astype(np.int16)


def write_wav(path: Path, pcm: Pcm) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(HEARING_HZ)
        file.writeframes(pcm.astype("<i2").tobytes())
    return path


def in_a_row(phrases: Sequence[Phrase], gaps_s: Sequence[float]) -> tuple[Samples, list[float]]:
    """The phrases, each after its gap: (samples, the time at which each one's last sound ends)."""
    parts: list[Samples] = []
    ends: list[float] = []
    at_s = 0.0
    for phrase, gap_s in zip(phrases, gaps_s, strict=True):
        quiet = pause(gap_s)
        parts += [quiet, phrase.samples]
        at_s += len(quiet) / HEARING_HZ
        ends.append(at_s + phrase.end_s)
        at_s += len(phrase.samples) / HEARING_HZ
    return np.concatenate(parts), ends
