"""Builds the voice and the sink."""

from pathlib import Path

from engine.config import Config
from engine.core.ports import Sink, Voice


def build_voice(config: Config) -> Voice:
    from engine.devices.sound.voice import Pyttsx3Voice

    return Pyttsx3Voice(config.language, config.speech.rate_wpm)


def build_sink(config: Config, folder: Path, sample_rate_hz: int) -> tuple[Sink, str]:
    """Where sound goes, and its name on the first screen."""
    from engine.devices.sound.loudspeaker import DeviceSink, find_device_sink
    from engine.devices.sound.wav import SilentSink, WavSink

    kind = config.speech.sink
    why = ""
    if kind == "auto" and config.source.realtime:
        sink, why = find_device_sink(sample_rate_hz)
        if sink is not None:
            return sink, "loudspeaker"
    if kind == "device":
        return DeviceSink(sample_rate_hz), "loudspeaker"
    if kind == "silent":
        return SilentSink(), "silent"
    wav = folder / "audio.wav"
    return WavSink(wav, sample_rate_hz), f"{wav.name}{f' ({why})' if why else ''}"
