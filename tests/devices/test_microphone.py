"""The microphone, with a fake PortAudio."""

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from engine.core.clock import VirtualClock
from engine.core.errors import MissingPart, SourceLost
from engine.devices.sound.microphone import LOST_AFTER_S, Microphone


class PortAudioError(Exception):
    pass


class Stream:
    """An input stream whose sound comes from the test, with `give`."""

    def __init__(self, rates_hz: tuple[int, ...], **settings: Any) -> None:
        if settings["samplerate"] not in rates_hz:
            raise PortAudioError("Invalid sample rate [PaErrorCode -9997]")
        self.settings = settings
        self.open = True

    def start(self) -> None: ...

    def abort(self) -> None: ...

    def close(self) -> None:
        self.open = False

    def give(self, pcm: np.ndarray, age_s: float = 0.0, overflow: bool = False) -> None:
        rate_hz = self.settings["samplerate"]
        time = SimpleNamespace(
            currentTime=10.0, inputBufferAdcTime=10.0 - age_s - len(pcm) / rate_hz
        )
        block = pcm[:, np.newaxis]
        self.settings["callback"](block, len(pcm), time, SimpleNamespace(input_overflow=overflow))


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> list[Stream]:
    """The streams opened so far, on a device that supports 16 kHz and 48 kHz."""
    return plug_in(monkeypatch, (16000, 48000))


def plug_in(monkeypatch: pytest.MonkeyPatch, rates_hz: tuple[int, ...]) -> list[Stream]:
    opened: list[Stream] = []

    def stream(**settings: Any) -> Stream:
        opened.append(Stream(rates_hz, **settings))
        return opened[-1]

    library = SimpleNamespace(
        InputStream=stream,
        PortAudioError=PortAudioError,
        query_devices=lambda kind: {"default_samplerate": float(rates_hz[-1])},
    )
    monkeypatch.setitem(sys.modules, "sounddevice", library)
    return opened


def test_queued_sound_is_read_with_its_time(device: list[Stream]) -> None:
    clock = VirtualClock(100.0)
    microphone = Microphone(clock)
    for number in range(50):  # the reader is busy meanwhile
        clock.sleep(0.01)
        device[0].give(np.full(160, number, np.int16), age_s=0.002)
    sounds = [microphone.read(0.1) for _ in range(50)]
    assert [int(sound.pcm[0]) for sound in sounds if sound is not None] == list(range(50))
    assert sounds[0] is not None
    assert sounds[0].time_s == pytest.approx(100.01 - 0.002)
    assert microphone.read(0.0) is None
    assert (microphone.overruns, microphone.ended) == (0, False)
    microphone.close()
    assert microphone.ended
    assert not device[0].open


def test_overruns_are_counted(device: list[Stream]) -> None:
    microphone = Microphone(VirtualClock())
    for number in range(3):
        device[0].give(np.zeros(160, np.int16), overflow=number == 1)
    assert microphone.overruns == 1


def test_another_sample_rate_is_resampled(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = plug_in(monkeypatch, (48000,))
    microphone = Microphone(VirtualClock())
    for _ in range(100):
        opened[-1].give(np.ones(480, np.int16))
    count = 0
    while (sound := microphone.read(0.0)) is not None:
        count += len(sound.pcm)
    assert count == pytest.approx(16000, abs=64)


def test_a_device_that_gives_no_sound_is_lost(device: list[Stream]) -> None:
    clock = VirtualClock()
    microphone = Microphone(clock)
    clock.sleep(LOST_AFTER_S + 0.1)
    with pytest.raises(SourceLost, match="gave no sound for 3 s"):
        microphone.read(0.0)


def test_a_missing_microphone_or_portaudio_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, (8000,))
    monkeypatch.setattr(
        sys.modules["sounddevice"], "query_devices", lambda kind: {"default_samplerate": 44100.0}
    )
    with pytest.raises(MissingPart, match="expected a microphone, got Invalid sample rate"):
        Microphone(VirtualClock())
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(MissingPart, match="libportaudio2"):
        Microphone(VirtualClock())
