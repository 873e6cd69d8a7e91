"""A sound file in place of a microphone, played in real time; any format that FFmpeg decodes.

Knows nothing of wake words.
"""

from pathlib import Path

import numpy as np

from engine.core.errors import InputError, message_of
from engine.core.ports import Clock
from engine.core.sound import HEARING_HZ, Pcm, Sound
from engine.devices.sound.resampling import Resampler

BLOCK_SAMPLES = 160  # 10 ms, as from the microphone
MAX_LENGTH_S = 4 * 3600.0
LEAST_RATE_HZ = 4000  # a telephone has 8,000


def read_pcm(path: Path) -> Pcm:
    """The whole file, mono at HEARING_HZ. Raises InputError."""
    import av

    if not path.is_file():
        raise InputError(f"trigger.wake.path: expected a sound file, got {path}: no such file")
    resampler = Resampler()
    chunks: list[Pcm] = []
    length = 0
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise InputError(f"trigger.wake.path: expected sound in {path}, got none")
            rate_hz = container.streams.audio[0].rate
            if rate_hz < LEAST_RATE_HZ:  # a damaged header makes hours of a kilobyte
                raise InputError(
                    f"trigger.wake.path: expected sound of at least {LEAST_RATE_HZ} samples a second, "
                    f"got {rate_hz} in {path}"
                )
            for frame in container.decode(audio=0):
                chunks.append(resampler.frame(frame))
                length += len(chunks[-1])
                if length > MAX_LENGTH_S * HEARING_HZ:
                    raise InputError(
                        f"trigger.wake.path: expected at most {MAX_LENGTH_S / 3600:g} hours, got more"
                    )
    except (av.error.FFmpegError, OSError) as error:
        raise InputError(
            f"trigger.wake.path: expected a sound file such as a WAV, got {path} ({message_of(error)})"
        ) from error
    if not length:
        raise InputError(f"trigger.wake.path: expected sound in {path}, got none")
    return np.concatenate([*chunks, resampler.flush()])


class Recording:
    """A microphone that hears `pcm`: each block becomes available at the time of its last sample.

    Playback starts at the first `read`. A late reader gets the missed blocks without gaps.
    """

    name = "recording"
    overruns = 0

    def __init__(self, pcm: Pcm, clock: Clock) -> None:
        self._pcm = pcm
        self._clock = clock
        self._position = 0
        self.start_s: float | None = None

    def read(self, timeout_s: float) -> Sound | None:
        if self.start_s is None:
            self.start_s = self._clock.now()
        end = min(self._position + BLOCK_SAMPLES, len(self._pcm))
        due_s = self.start_s + end / HEARING_HZ
        self._clock.sleep(min(timeout_s, max(0.0, due_s - self._clock.now())))
        if self.ended or self._clock.now() < due_s:
            return None
        block = self._pcm[self._position : end]
        self._position = end
        return Sound(block, due_s)

    @property
    def ended(self) -> bool:
        return self._position >= len(self._pcm)

    def close(self) -> None:
        self._position = len(self._pcm)
