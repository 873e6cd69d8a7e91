"""A sound file in place of a microphone, played in real time; any format that FFmpeg decodes.

Knows nothing of wake words.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from engine.core.errors import InputError, message_of
from engine.core.ports import Clock
from engine.core.sound import HEARING_HZ, Pcm, Sound
from engine.devices.sound.resampling import Resampler

BLOCK_SAMPLES = 160  # 10 ms, as from the microphone
MAX_LENGTH_S = 4 * 3600.0
LEAST_RATE_HZ = 4000  # a telephone has 8,000
LEVEL_SAMPLES = 320  # 20 ms
LOUD = 0.1  # of the loudest blocks: a block with at least this level is speech
MOST_BLOCKS = 5000  # of a long recording: enough to know its spectrum
UPPER_BAND_HZ = 6000.0  # above the sound of recordings at 8,000 and 11,025 samples a second
EMPTY = 3e-4  # of the mean power; speech at 16,000 has at least 2e-3, telephones at most 5e-5
FLOOR = 0.06  # of the level of speech; from 0.05 to 0.08 made no difference


def read_pcm(path: Path) -> Pcm:
    """The whole file, mono at HEARING_HZ. Raises InputError."""
    import av

    if not path.is_file():
        raise InputError(f"trigger.wake.path: expected a sound file, got {path}: no such file")
    chunks: list[Pcm] = []
    length = 0
    try:
        with av.open(str(path.absolute()), options={"protocol_whitelist": "file"}) as container:
            if not container.streams.audio:
                raise InputError(f"trigger.wake.path: expected sound in {path}, got none")
            stream = container.streams.audio[0]
            rate_hz = stream.rate
            if rate_hz < LEAST_RATE_HZ:  # a damaged header makes hours of a kilobyte
                raise InputError(
                    f"trigger.wake.path: expected sound of at least {LEAST_RATE_HZ} samples a second, "
                    f"got {rate_hz} in {path}"
                )
            channels: Literal[1, 2] = 1 if stream.channels == 1 else 2
            resampler = Resampler(channels)
            for frame in _whole_frames(container, stream):
                chunks.append(resampler.frame(frame))
                length += len(chunks[-1])
                if length > channels * MAX_LENGTH_S * HEARING_HZ:
                    raise InputError(
                        f"trigger.wake.path: expected at most {MAX_LENGTH_S / 3600:g} hours, got more"
                    )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise InputError(
            f"trigger.wake.path: expected a sound file such as a WAV, got {path} ({message_of(error)})"
        ) from error
    if not length:
        raise InputError(f"trigger.wake.path: expected sound in {path}, got none")
    pcm = np.concatenate([*chunks, resampler.flush()])
    if channels == 2:
        pcm = mixed(pcm.reshape(-1, 2))
    return with_noise_floor(pcm) if is_narrow(pcm) else pcm


def _whole_frames(container: Any, stream: Any) -> Iterator[Any]:
    """The frames of sound that can be decoded; damaged ones are left out. Raises FFmpegError if none
    can."""
    import av

    failure: Exception | None = None
    any_decoded = False
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.error.FFmpegError as error:
            failure = error
            continue
        any_decoded = any_decoded or bool(frames)
        yield from frames
    if failure is not None and not any_decoded:
        raise failure


def mixed(stereo: Pcm) -> Pcm:
    """Mono (n,) of two channels (n, 2). Channels in opposite phase, as of a microphone that is wired
    the wrong way round, would cancel: one is then turned over."""
    left, right = (stereo[:, channel].astype(np.float32) for channel in (0, 1))
    opposite = float(left @ right) < 0
    return np.rint((left - right if opposite else left + right) / 2).astype(np.int16)


def is_narrow(pcm: Pcm) -> bool:
    """Whether the upper band of `pcm` (n,) is empty, as in a telephone's recording, whatever the rate
    of the file that it was saved in since."""
    blocks = pcm[: len(pcm) // LEVEL_SAMPLES * LEVEL_SAMPLES].reshape(-1, LEVEL_SAMPLES)
    sampled = blocks[:: len(blocks) // MOST_BLOCKS + 1].astype(np.float32)
    power = np.square(np.abs(np.fft.rfft(sampled * np.hanning(LEVEL_SAMPLES)))).sum(axis=0)
    upper = power[np.fft.rfftfreq(LEVEL_SAMPLES, 1 / HEARING_HZ) >= UPPER_BAND_HZ]
    return bool(upper.mean() < EMPTY * power.mean())


def with_noise_floor(pcm: Pcm) -> Pcm:
    """`pcm` (n,) with quiet white noise. In a narrowband recording, the upper bands are empty, which
    wake models have never heard: of 36 phrases at 8 kHz, 21 woke without noise, 28 with it."""
    blocks = pcm[: len(pcm) // LEVEL_SAMPLES * LEVEL_SAMPLES].reshape(-1, LEVEL_SAMPLES)
    levels = np.sqrt(np.square(blocks.astype(np.float32)).mean(axis=1))
    if not levels.any():
        return pcm
    loud = levels[levels > LOUD * np.percentile(levels, 99.9)]
    noise = np.random.default_rng(0).normal(0.0, FLOOR * float(np.median(loud)), len(pcm))
    return np.clip(np.rint(pcm + noise), -32768, 32767).astype(np.int16)


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
