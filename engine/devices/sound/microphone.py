"""The microphone, through PortAudio (sounddevice).

PortAudio's callback only queues the sound, so that none is lost while the reader is busy. Overruns
in PortAudio itself are counted. Knows nothing of wake words.
"""

import contextlib
import queue
from typing import Any

import numpy as np

from engine.core.errors import MissingPart, SourceLost, message_of
from engine.core.ports import Clock
from engine.core.sound import HEARING_HZ, Pcm, Sound
from engine.devices.sound.resampling import Resampler

BLOCK_S = 0.01
LOST_AFTER_S = 3.0  # without any sound


class Microphone:
    """The default input, resampled if it does not support 16 kHz. Raises MissingPart."""

    name = "microphone"

    def __init__(self, clock: Clock) -> None:
        library = _sounddevice()
        self.overruns = 0
        self._clock = clock
        self._blocks: queue.SimpleQueue[tuple[Pcm, float]] = queue.SimpleQueue()
        self._closed = False
        self._last_s = clock.now()
        errors: tuple[type[Exception], ...] = (library.PortAudioError, OSError, ValueError)
        self._errors = errors
        try:
            self._rate_hz, self._stream = self._open(library)
            self._stream.start()
        except errors as error:
            raise MissingPart(
                f"trigger=wake: expected a microphone, got {message_of(error)}; plug one in, let "
                "trigger.wake.path=FILE.wav play a recording, or use trigger=keyboard"
            ) from error
        self._resampler = None if self._rate_hz == HEARING_HZ else Resampler()

    def _open(self, library: Any) -> tuple[int, Any]:
        """The sample rate and the stream: at 16 kHz, or at the device's default rate."""
        try:
            return HEARING_HZ, self._stream_at(library, HEARING_HZ)
        except self._errors:
            default_hz = round(float(library.query_devices(kind="input")["default_samplerate"]))
            return default_hz, self._stream_at(library, default_hz)

    def _stream_at(self, library: Any, rate_hz: int) -> Any:
        return library.InputStream(
            samplerate=rate_hz,
            channels=1,
            dtype="int16",
            blocksize=round(BLOCK_S * rate_hz),
            latency="low",
            callback=self._queue_block,
        )

    def _queue_block(self, block: Any, frames: int, time: Any, status: Any) -> None:
        """Queue `block` (frames, 1) with its last sample's time; called in PortAudio's thread."""
        if status.input_overflow:
            self.overruns += 1
        age_s = max(0.0, time.currentTime - time.inputBufferAdcTime - frames / self._rate_hz)
        self._blocks.put((block[:, 0].copy(), self._clock.now() - age_s))

    def read(self, timeout_s: float) -> Sound | None:
        try:
            pcm, time_s = self._blocks.get(timeout=timeout_s)
        except queue.Empty:
            if not self._closed and self._clock.now() - self._last_s > LOST_AFTER_S:
                raise SourceLost(
                    f"the microphone gave no sound for {LOST_AFTER_S:g} s; plug it in again and restart"
                ) from None
            return None
        self._last_s = time_s
        if self._resampler is not None:
            pcm = self._resampler.pcm(pcm, self._rate_hz)
        return Sound(np.asarray(pcm, dtype=np.int16), time_s)

    @property
    def ended(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Release the device. A second call does nothing: PortAudio may crash on a stream that was
        closed."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(*self._errors):
            self._stream.abort()
        with contextlib.suppress(*self._errors):
            self._stream.close()


def _sounddevice() -> Any:
    """The sounddevice module. Raises MissingPart if it or PortAudio is not installed."""
    try:
        import sounddevice  # type: ignore[import-untyped, unused-ignore]
    except (ImportError, OSError) as error:
        raise MissingPart(
            f"trigger=wake: expected a microphone through PortAudio, got {message_of(error)}; install "
            "libportaudio2 (Debian, Ubuntu) or portaudio (Fedora, Homebrew), let "
            "trigger.wake.path=FILE.wav play a recording, or use trigger=keyboard"
        ) from error
    return sounddevice
