"""Audio sinks: the WAV file, the silent sink, and the loudspeaker with a fake PortAudio."""

import sys
import wave
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from engine.core.errors import InputError, MissingPart, SpeechFailed
from engine.core.file_parts import parts_of
from engine.devices.sound.loudspeaker import DeviceSink, find_device_sink, refresh_devices
from engine.devices.sound.wav import SilentSink, WavSink

RATE_HZ = 22050


def tone(count: int = 441) -> np.ndarray:
    mono: np.ndarray = np.sin(np.arange(count) / 10).astype(np.float32)
    return np.stack([mono, -0.5 * mono], axis=1)


def read(path: Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, RATE_HZ)
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").reshape(-1, 2)


def test_the_file_holds_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "audio.wav"
    sink = WavSink(path, RATE_HZ)
    sink.write(tone())
    sink.write(3 * tone())  # louder than full scale
    assert len(read(path)) == 882  # before close, as after a killed session
    sink.close()
    sink.close()
    samples = read(path)
    assert np.abs(samples[:441] / 32767 - tone()).max() < 1e-4
    assert np.all(np.sign(samples[441:]) == np.sign(samples[:441]))  # clipped, not wrapped


def test_a_file_without_sound_is_a_valid_wav(tmp_path: Path) -> None:
    sink = WavSink(tmp_path / "audio.wav", RATE_HZ)
    sink.close()
    assert len(read(tmp_path / "audio.wav")) == 0


def test_a_missing_folder_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="speech=wav: expected a file that can be written"
    ) as raised:
        WavSink(tmp_path / "none" / "audio.wav", RATE_HZ)
    assert "\n" not in str(raised.value)


def test_a_full_disk_is_reported_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = WavSink(tmp_path / "audio.wav", RATE_HZ)
    sink.write(tone())

    def full(_self: wave.Wave_write, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(wave.Wave_write, "writeframes", full)
    with pytest.raises(SpeechFailed, match="No space left on device"):
        sink.write(tone())
    sink.write(tone())
    sink.close()
    assert len(read(tmp_path / "audio.wav")) == 441


def test_a_long_session_goes_on_in_parts_that_join_without_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.devices.sound.wav.PART_S", 3 * 441 / RATE_HZ)
    sink = WavSink(tmp_path / "audio.wav", RATE_HZ)
    blocks = [tone() * np.float32((number + 1) / 8) for number in range(7)]
    for block in blocks:
        sink.write(block)
    sink.close()
    parts = list(parts_of(tmp_path / "audio.wav"))
    assert [part.name for part in parts] == ["audio.wav", "audio.0002.wav", "audio.0003.wav"]
    together = np.concatenate([read(part) for part in parts])
    whole = WavSink(tmp_path / "whole.wav", RATE_HZ)
    whole.write(np.concatenate(blocks)[: 2 * 441])
    whole.close()
    assert len(together) == 7 * 441
    assert np.array_equal(together[: 2 * 441], read(tmp_path / "whole.wav"))


def test_a_disk_that_fills_up_between_two_parts_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.devices.sound.wav.PART_S", 441 / RATE_HZ)
    sink = WavSink(tmp_path / "audio.wav", RATE_HZ)
    sink.write(tone())
    (tmp_path / "audio.0002.wav").mkdir()
    with pytest.raises(SpeechFailed, match="could not be written"):
        sink.write(tone())
    sink.write(tone())
    sink.close()
    assert len(read(tmp_path / "audio.wav")) == 441


def test_the_silent_sink_accepts_everything() -> None:
    sink = SilentSink()
    sink.write(tone())
    sink.close()
    assert not sink.paced


class PortAudioError(Exception):
    """The error type of sounddevice."""


class Stream:
    """An output stream that fails from the second block on."""

    def __init__(self, **settings: object) -> None:
        self.settings = settings
        self.blocks: list[np.ndarray] = []
        self.closed = False

    def start(self) -> None: ...

    def write(self, block: np.ndarray) -> bool:
        assert block.flags.c_contiguous
        assert block.dtype == np.float32
        if self.blocks:
            raise PortAudioError("Unanticipated host error [PaErrorCode -9999]\n  unplugged")
        self.blocks.append(block)
        return False

    def abort(self) -> None: ...

    def close(self) -> None:
        self.closed = True


def install(monkeypatch: pytest.MonkeyPatch, stream: object) -> None:
    library = SimpleNamespace(OutputStream=stream, PortAudioError=PortAudioError)
    monkeypatch.setitem(sys.modules, "sounddevice", library)


def test_a_lost_device_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Stream)
    sink, why = find_device_sink(RATE_HZ)
    assert sink is not None
    assert why == ""
    assert sink.paced
    sink.write(tone()[::2])
    with pytest.raises(SpeechFailed, match="unplugged") as raised:
        sink.write(tone())
    assert "\n" not in str(raised.value)
    assert not sink.paced  # the clock paces the sound instead
    sink.write(tone())
    sink.close()


def no_output(**_settings: object) -> Stream:
    raise PortAudioError("Error querying device -1")


def test_a_missing_output_device_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, no_output)
    with pytest.raises(MissingPart, match=r"speech=device: .*querying device -1.* speech=wav"):
        DeviceSink(RATE_HZ)
    sink, why = find_device_sink(RATE_HZ)
    assert sink is None
    assert why.startswith("expected an output")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("raise OSError('PortAudio library not found')", "expected PortAudio"),
        ("raise ImportError('no')", "expected the sounddevice library"),
    ],
)
def test_a_missing_portaudio_is_refused(
    source: str, expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "sounddevice.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    with pytest.raises(MissingPart, match=f"speech=device: {expected}.*speech=wav"):
        DeviceSink(RATE_HZ)
    assert find_device_sink(RATE_HZ)[0] is None


def test_a_stream_is_closed_once_and_portaudio_looks_for_devices_only_without_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[str] = []

    class Counting(Stream):
        def close(self) -> None:
            calls.append("close")

    library = SimpleNamespace(
        OutputStream=Counting,
        PortAudioError=PortAudioError,
        _terminate=lambda: calls.append("terminate"),
        _initialize=lambda: calls.append("initialize"),
    )
    monkeypatch.setitem(sys.modules, "sounddevice", library)
    sink = DeviceSink(RATE_HZ)
    refresh_devices()
    sink.close()
    sink.close()
    refresh_devices()
    assert calls == ["close", "terminate", "initialize"]
