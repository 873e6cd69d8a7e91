"""Sound files in place of a microphone."""

import wave
from pathlib import Path

import numpy as np
import pytest

from engine.core.clock import VirtualClock
from engine.core.errors import InputError
from engine.core.sound import HEARING_HZ
from engine.devices.sound.recording import Recording, read_pcm
from experiments.quality.synthetic_speech import write_wav


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100])
def test_a_recording_becomes_mono_at_the_hearing_rate(tmp_path: Path, rate_hz: int) -> None:
    at = np.arange(rate_hz) / rate_hz
    tone = (8000 * np.sin(2 * np.pi * 440 * at)).astype("<i2")
    path = tmp_path / "tone.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(np.repeat(tone, 2).tobytes())
    pcm = read_pcm(path)
    assert pcm.dtype == np.int16
    assert len(pcm) == pytest.approx(HEARING_HZ, abs=64)
    spectrum = np.abs(np.fft.rfft(pcm.astype(float)))
    assert np.argmax(spectrum) * HEARING_HZ / len(pcm) == pytest.approx(440, abs=2)


def test_a_recording_plays_in_real_time_without_gaps(tmp_path: Path) -> None:
    pcm = np.arange(1000, dtype=np.int16)
    clock = VirtualClock(5.0)
    recording = Recording(read_pcm(write_wav(tmp_path / "r.wav", pcm)), clock)
    sounds = []
    while not recording.ended:
        if (sound := recording.read(0.2)) is not None:
            assert sound.time_s <= clock.now() + 1e-9  # never before its last sample is due
            sounds.append(sound)
        if len(sounds) == 3:
            clock.sleep(0.5)  # a busy reader
    assert np.array_equal(np.concatenate([s.pcm for s in sounds]), pcm)
    assert sounds[-1].time_s == pytest.approx(5.0 + 1000 / HEARING_HZ)


@pytest.mark.parametrize("content", [None, b"", b"no sound at all"])
def test_what_is_not_a_recording_is_refused_in_one_line(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "a.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"trigger\.wake\.path: expected") as caught:
        read_pcm(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("rate_hz", [1, 100, 3999])
def test_a_damaged_rate_does_not_turn_a_kilobyte_into_hours(tmp_path: Path, rate_hz: int) -> None:
    path = tmp_path / "slow.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(bytes(1000))
    with pytest.raises(InputError, match=f"got {rate_hz}"):
        read_pcm(path)
