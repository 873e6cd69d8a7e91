"""The content of `audio.wav` with the real voice: direction and loudness."""

import itertools
import wave
from pathlib import Path

import numpy as np
import pytest

from engine.audio.earcons import earcon
from engine.audio.loudness import CEILING, EARCON_LUFS, VOICE_LUFS, loudness_lufs
from engine.audio.playback import drain
from engine.audio.scheduler import Audio
from engine.core.clock import VirtualClock
from engine.core.sound import Samples
from engine.core.utterance import Utterance
from engine.devices.sound.voice import Pyttsx3Voice
from engine.devices.sound.wav import WavSink


def hear(folder: Path, utterance: Utterance) -> tuple[Samples, int]:
    """Say `utterance` alone. Return the samples (n, 2) of the file and their rate."""
    voice = Pyttsx3Voice("en", 190)
    sink = WavSink(folder / "audio.wav", voice.sample_rate_hz)
    ids = itertools.count(2).__next__
    audio = Audio(
        voice,
        next_id=ids,
        on_started=lambda *_: None,
        on_heard=lambda _: None,
        on_health=lambda _: None,
    )
    audio.say(utterance)
    drain(audio, sink, VirtualClock())
    sink.close()
    voice.close()
    with wave.open(str(folder / "audio.wav")) as file:
        raw = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
        return (raw / 32767).astype(np.float32), file.getframerate()


def left_delay_s(stereo: Samples, rate_hz: int) -> float:
    """The delay of the left ear in seconds: the peak of the cross-correlation within 1 ms."""
    size = 1 << (2 * len(stereo)).bit_length()
    left, right = np.fft.rfft(stereo.astype(np.float64).T, size)
    correlation = np.fft.irfft(left * right.conj())
    reach = rate_hz // 1000
    near = np.concatenate([correlation[-reach:], correlation[: reach + 1]])
    return float(np.argmax(near) - reach) / rate_hz


@pytest.mark.parametrize("azimuth_deg", [-60.0, -20.0, 0.0, 20.0, 60.0])
def test_an_alert_comes_from_its_direction_earcon_first_then_words(
    tmp_path: Path, azimuth_deg: float
) -> None:
    alert = Utterance(
        1, "alert", "Person left, two meters.", 40.0, 0.0,
        azimuth_deg=azimuth_deg, earcon="obstacle", distance_m=2.0,
    )  # fmt: skip
    tape, rate_hz = hear(tmp_path, alert)
    sound = earcon("obstacle", azimuth_deg, 2.0, rate_hz)
    assert np.abs(tape[: len(sound)] - sound).max() < 2e-4
    assert np.abs(tape).max() <= CEILING + 1e-4
    words = tape[len(sound) :]
    # Woodworth gives 0.18 ms at 20 degrees and 0.49 ms at 60 degrees. A voice also has lower tones,
    # for which the delay is longer (Kuhn). A sample lasts 0.05 ms.
    side = float(np.sign(azimuth_deg))
    low_ms, high_ms = {0.0: (0.0, 0.0), 20.0: (0.13, 0.3), 60.0: (0.43, 0.7)}[abs(azimuth_deg)]
    for part in (tape[: len(sound)], words):
        assert low_ms <= side * 1000 * left_delay_s(part, rate_hz) <= high_ms
        left, right = np.sum(np.square(part, dtype=np.float64), axis=0)
        if side:
            assert side * 10 * np.log10(right / left) > 2.0
    assert loudness_lufs(words, rate_hz) == pytest.approx(VOICE_LUFS, abs=0.7)
    assert loudness_lufs(tape[: len(sound)], rate_hz) == pytest.approx(EARCON_LUFS - 6, abs=0.5)


def test_an_answer_is_centred_and_has_the_loudness_of_the_voice(tmp_path: Path) -> None:
    answer = Utterance(1, "answer", "You are on a street.", 20.0, 0.0, answer=1)
    tape, rate_hz = hear(tmp_path, answer)
    assert np.array_equal(*tape.T)
    assert loudness_lufs(tape, rate_hz) == pytest.approx(VOICE_LUFS, abs=0.5)
