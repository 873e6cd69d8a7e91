"""The loudspeaker or headphones, through PortAudio (sounddevice).

PortAudio is loaded when a sink is made, not at import: Linux wheels do not ship it. Must not know
what is played.
"""

import contextlib
from typing import Any

import numpy as np

from engine.core.errors import MissingPart, SpeechFailed, message_of
from engine.core.sound import Samples

LATENCY_S = 0.06  # long enough to synthesise a sentence, short enough that a stop seems immediate

_in_use: set[int] = set()  # the ids of the open sinks


def _sounddevice() -> Any:
    """The sounddevice module. Raises MissingPart if it or PortAudio is not installed."""
    try:
        import sounddevice  # type: ignore[import-untyped, unused-ignore]
    except ImportError as error:
        raise MissingPart(
            "speech=device: expected the sounddevice library, got none; "
            "install it with `pip install sounddevice` or use speech=wav"
        ) from error
    except OSError as error:
        raise MissingPart(
            f"speech=device: expected PortAudio, got none ({error}); install libportaudio2 "
            "(Debian, Ubuntu) or portaudio (Fedora, Homebrew), or use speech=wav"
        ) from error
    return sounddevice


class DeviceSink:
    """Plays on the default output; `write` blocks at the pace of playback. Raises MissingPart."""

    name = "device"

    def __init__(self, sample_rate_hz: int) -> None:
        library = _sounddevice()
        self.paced = True
        self._errors: tuple[type[Exception], ...] = (library.PortAudioError, OSError, ValueError)
        try:
            self._stream = library.OutputStream(
                samplerate=sample_rate_hz, channels=2, dtype="float32", latency=LATENCY_S
            )
            self._stream.start()
            _in_use.add(id(self))
        except self._errors as error:
            raise MissingPart(
                f"speech=device: expected an output of 2 channels at {sample_rate_hz} Hz, got "
                f"{message_of(error)}; plug in headphones or a loudspeaker, or use speech=wav"
            ) from error

    def write(self, block: Samples) -> None:
        """Play stereo samples (n, 2). Raises SpeechFailed once when the device is lost; later calls
        play nothing, and `paced` is False."""
        if not self.paced:
            return
        try:
            self._stream.write(np.ascontiguousarray(block, dtype=np.float32))
        except self._errors as error:
            self.paced = False
            raise SpeechFailed(
                f"the loudspeaker stopped taking sound ({message_of(error)}); plug it in again"
            ) from error

    def close(self) -> None:
        """Stop playback and release the device at once. A second call does nothing: PortAudio may
        crash on a stream that was closed."""
        self.paced = False
        if id(self) not in _in_use:
            return
        _in_use.discard(id(self))
        with contextlib.suppress(*self._errors):
            self._stream.abort()
        with contextlib.suppress(*self._errors):
            self._stream.close()


def refresh_devices() -> None:
    """Let PortAudio look for devices again: it knows only those that were there when it was loaded.
    Does nothing while a sink is open, or hangs: this would close its stream beside it."""
    if _in_use:
        return
    library = _sounddevice()
    with contextlib.suppress(library.PortAudioError):
        library._terminate()
        library._initialize()


def find_device_sink(sample_rate_hz: int) -> tuple[DeviceSink | None, str]:
    """The loudspeaker, or None and the reason in words. For speech=auto."""
    try:
        return DeviceSink(sample_rate_hz), ""
    except MissingPart as error:
        return None, str(error).removeprefix("speech=device: ")
