"""Sound files in place of a microphone."""

import wave
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from engine.core.clock import VirtualClock
from engine.core.errors import InputError
from engine.core.sound import HEARING_HZ, Pcm
from engine.devices.sound.microwakeword import DELAY_S, MicroWakeWord
from engine.devices.sound.recording import Recording, mixed, read_pcm, with_noise_floor
from experiments.quality.synthetic_speech import write_wav
from tests.fakes.media import CASES
from tests.fakes.speech import spoken


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
    pcm = np.random.default_rng(0).integers(-9000, 9000, 1000).astype(np.int16)
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


def write_sound(path: Path, channels: Sequence[Pcm], rate_hz: int, codec: str) -> Path:
    """A sound file of `channels` at HEARING_HZ, resampled to `rate_hz`."""
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(channels)]
    frame = av.AudioFrame.from_ndarray(
        np.stack(channels, axis=1).reshape(1, -1).copy(), format="s16", layout=layout
    )
    frame.sample_rate = HEARING_HZ
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=rate_hz)
        assert isinstance(stream, av.AudioStream)
        stream.layout = layout
        for whole in (frame, None):
            file.mux(stream.encode(whole))
    return path


@pytest.fixture(scope="module")
def okay_nabu() -> Pcm:
    return spoken("okay nabu")


def wakes(pcm: Pcm, phrase: str = "okay nabu") -> bool:
    """Whether the phrase is heard."""
    engine = MicroWakeWord(phrase)
    size = engine.frame_samples
    starts = range(0, len(pcm) - size + 1, size)
    heard = any(engine.hear(pcm[start : start + size]) for start in starts)
    engine.close()
    return heard


@pytest.mark.parametrize("rate_hz", [8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000])
def test_a_phrase_is_heard_at_every_common_rate(
    tmp_path: Path, okay_nabu: Pcm, rate_hz: int
) -> None:
    pcm = read_pcm(write_sound(tmp_path / "a.wav", [okay_nabu], rate_hz, "pcm_s16le"))
    assert len(pcm) == pytest.approx(len(okay_nabu), abs=200)
    assert wakes(pcm)


@pytest.mark.parametrize(
    ("name", "codec", "rate_hz"),
    [
        ("a.wav", "pcm_alaw", 8000),
        ("a.wav", "pcm_mulaw", 8000),
        ("a.wav", "pcm_u8", 16000),
        ("a.wav", "pcm_s24le", 48000),
        ("a.wav", "pcm_f32le", 44100),
        ("a.wav", "pcm_f64le", 48000),
        ("a.flac", "flac", 44100),
        ("a.mp3", "libmp3lame", 44100),
        ("a.ogg", "libopus", 48000),
        ("a.m4a", "aac", 44100),
    ],
)
def test_a_phrase_is_heard_in_every_common_format(
    tmp_path: Path, okay_nabu: Pcm, name: str, codec: str, rate_hz: int
) -> None:
    assert wakes(read_pcm(write_sound(tmp_path / name, [okay_nabu], rate_hz, codec)))


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp3", "libmp3lame"), ("a.m4a", "aac"), ("a.flac", "flac")]
)
def test_a_damaged_part_is_left_out(tmp_path: Path, okay_nabu: Pcm, name: str, codec: str) -> None:
    before = np.random.default_rng(0).normal(0, 300, 4 * HEARING_HZ).astype(np.int16)
    said = np.concatenate([before, okay_nabu])
    path = write_sound(tmp_path / name, [said], 48000, codec)
    data = bytearray(path.read_bytes())
    data[4000:4600] = bytes(range(150)) * 4  # in the noise before the phrase
    path.write_bytes(bytes(data))
    assert wakes(read_pcm(path))


def test_the_case_of_a_telephone_recording_wakes() -> None:
    assert wakes(read_pcm(CASES / "alaw.wav"), "alexa")


@pytest.mark.parametrize("rate_hz", [16000, 22050, 44100, 48000])
def test_a_telephone_recording_wakes_whatever_rate_it_was_saved_in_since(
    tmp_path: Path, rate_hz: int
) -> None:
    with av.open(str(CASES / "alaw.wav")) as file:
        resampler = av.AudioResampler("s16", "mono", HEARING_HZ)
        frames = list(file.decode(audio=0))
        wide = [
            part.to_ndarray()[0] for frame in [*frames, None] for part in resampler.resample(frame)
        ]
    path = write_sound(tmp_path / "a.wav", [np.concatenate(wide)], rate_hz, "pcm_s16le")
    assert wakes(read_pcm(path), "alexa")


def test_a_narrow_recording_of_other_speech_does_not_wake(tmp_path: Path) -> None:
    other = spoken("It is a sunny day and the bus is late.")
    pcm = read_pcm(write_sound(tmp_path / "a.wav", [other], 8000, "pcm_alaw"))
    assert not any(wakes(pcm, phrase) for phrase in DELAY_S)


@pytest.mark.parametrize(
    ("left", "right"), [(1.0, 1.0), (1.0, -1.0), (-0.6, 1.0), (1.0, 0.0), (0.0, 1.0), (1.0, -0.2)]
)
def test_a_phrase_is_heard_whatever_the_phase_of_two_channels(
    tmp_path: Path, okay_nabu: Pcm, left: float, right: float
) -> None:
    channels = [np.rint(okay_nabu * gain).astype(np.int16) for gain in (left, right)]
    assert wakes(read_pcm(write_sound(tmp_path / "a.wav", channels, 44100, "pcm_s16le")))


def test_a_phrase_is_heard_in_six_channels(tmp_path: Path, okay_nabu: Pcm) -> None:
    assert wakes(read_pcm(write_sound(tmp_path / "a.wav", [okay_nabu] * 6, 48000, "pcm_s16le")))


def test_two_speakers_in_two_channels_are_both_kept() -> None:
    at = np.arange(HEARING_HZ)
    left = np.where(at < 8000, 8000 * np.sin(at / 10), 0).astype(np.int16)
    right = np.where(at >= 8000, 8000 * np.sin(at / 10), 0).astype(np.int16)
    mono = mixed(np.stack([left, right], axis=1))
    assert np.abs(mono[:8000]).max() == pytest.approx(4000, abs=2)
    assert np.abs(mono[8000:]).max() == pytest.approx(4000, abs=2)


@pytest.mark.parametrize("level", [0, 100, 10_000])
def test_the_noise_of_a_narrow_recording_is_quiet(level: int) -> None:
    pcm = (level * np.sin(np.arange(16_000) / 5)).astype(np.int16)
    noise = with_noise_floor(pcm).astype(float) - pcm
    assert np.sqrt(np.mean(noise**2)) <= 0.05 * level + 0.5
    assert np.array_equal(with_noise_floor(pcm), with_noise_floor(pcm))


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
