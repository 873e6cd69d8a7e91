"""The loudspeaker or headphones, through PortAudio (sounddevice).

Knows nothing of what is said. PortAudio is looked for when a sink is made, never at import: Linux
wheels do not ship it.
"""

import contextlib
from typing import Any

import numpy as np

from engine.core.errors import MissingPart, SpeechFailed, message_of
from engine.core.sound import Samples

LATENCY_S = 0.06  # enough to synthesise a sentence meanwhile, short enough that a stop is a stop


def _portaudio() -> Any:
    """The sounddevice module. Raises MissingPart where it, PortAudio or an output is not here."""
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
    """Plays on the default output; `write` waits for real time. Raises MissingPart."""

    name = "device"

    def __init__(self, sample_rate_hz: int) -> None:
        library = _portaudio()
        self.paced = True
        self._errors: tuple[type[Exception], ...] = (library.PortAudioError, OSError, ValueError)
        try:
            self._stream = library.OutputStream(
                samplerate=sample_rate_hz, channels=2, dtype="float32", latency=LATENCY_S
            )
            self._stream.start()
        except self._errors as error:
            raise MissingPart(
                f"speech=device: expected an output of 2 channels at {sample_rate_hz} Hz, got "
                f"{message_of(error)}; plug in headphones or a loudspeaker, or use speech=wav"
            ) from error

    def write(self, block: Samples) -> None:
        """Play stereo samples (n, 2). Raises SpeechFailed once, when the device is gone; from then
        on nothing is played and `paced` is False."""
        if not self.paced:
            return
        try:
            self._stream.write(np.ascontiguousarray(block, dtype=np.float32))
        except self._errors as error:
            self.paced = False
            raise SpeechFailed(
                f"the loudspeaker stopped taking sound ({message_of(error)}); plug it in again and "
                "restart, or use speech=wav"
            ) from error

    def close(self) -> None:
        """Let go of the device at once."""
        self.paced = False
        with contextlib.suppress(*self._errors):
            self._stream.abort()
            self._stream.close()


def find_device_sink(sample_rate_hz: int) -> tuple[DeviceSink | None, str]:
    """The loudspeaker if there is one, else None and why not, in words: what speech=auto asks."""
    try:
        return DeviceSink(sample_rate_hz), ""
    except MissingPart as error:
        return None, str(error).removeprefix("speech=device: ")
