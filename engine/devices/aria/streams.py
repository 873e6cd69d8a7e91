"""What live and recorded glasses share of their streams: the device's clock mapped to the host's, what
was received and lost, and sound as a wake word wants it. Must not know any SDK.
"""

import math
from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.core.report import StreamCount
from engine.core.sound import HEARING_HZ
from engine.devices.sound.resampling import Resampler

SETTLE_S = 1.0  # the least delay of so long a time is taken to be none
KEPT = 256  # latencies; enough for a 95th percentile
BLOCK = 512  # samples of 16 kHz: 32 ms


class TimeMap:
    """The device's clock, mapped once to the host's monotonic one: the record of the first SETTLE_S
    that came quickest is taken to have come at once. So times are late by the least delay of the
    link, never early, and drift (crystals: some 20 µs a second) is left alone."""

    def __init__(self) -> None:
        self._offset_s = math.inf
        self._since_s = math.inf

    @property
    def known(self) -> bool:
        return self._offset_s < math.inf

    def arrived(self, device_s: float, host_s: float) -> float:
        """When what the device stamped `device_s`, and which came at `host_s`, was taken on the
        host's clock."""
        self._since_s = min(self._since_s, host_s)
        if host_s - self._since_s <= SETTLE_S:
            self._offset_s = min(self._offset_s, host_s - device_s)
        return device_s + self._offset_s


class Tally:
    """Counts one stream. The device numbers what it produces: a gap is a loss, a number that is not
    higher than the last a new count."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._received = self._dropped = 0
        self._number: int | None = None
        self._latency_ms: deque[float] = deque(maxlen=KEPT)

    def take(self, number: int | None = None, latency_s: float | None = None) -> None:
        """A record came."""
        self._received += 1
        if number is not None:
            if self._number is not None and number > self._number:
                self._dropped += number - self._number - 1
            self._number = number
        if latency_s is not None:
            self._latency_ms.append(1000.0 * latency_s)

    def overtaken(self) -> None:
        """A record that had come was replaced by a newer one before it was used."""
        self._dropped += 1

    def count(self) -> StreamCount:
        return StreamCount(self._name, self._received, self._dropped, tuple(self._latency_ms))


class MicrophoneBlocks:
    """Turns interleaved samples of several microphones into blocks of BLOCK samples, 16 kHz mono int16.

    The first microphone is taken: a mean of several, some centimetres apart, would comb the treble out
    that tells words apart. `time_s` is when the last sample of the block that was read last was taken.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._resampler = Resampler()
        self._pending: NDArray[np.int16] = np.zeros(0, np.int16)
        self._until_s = 0.0  # when the last sample that was heard was taken
        self.time_s = 0.0

    def hear(
        self, samples: Sequence[int], channels: int, full_scale: float, until_s: float
    ) -> None:
        """Take interleaved samples of `channels` microphones, `full_scale` the largest there may be, the
        last taken at `until_s`."""
        self._until_s = until_s
        table = np.asarray(samples, np.float64).reshape(-1, max(1, channels))
        scaled = np.clip(table[:, 0] / max(full_scale, 1.0), -1.0, 1.0)
        pcm = self._resampler.pcm((scaled * 32767).astype(np.int16), self._rate_hz)
        self._pending = np.concatenate([self._pending, pcm])

    def read(self) -> NDArray[np.int16] | None:
        """The next whole block; None until it has been heard."""
        if len(self._pending) < BLOCK:
            return None
        block, self._pending = self._pending[:BLOCK], self._pending[BLOCK:]
        # the resampler holds some 1 ms back, which is left out here
        self.time_s = self._until_s - len(self._pending) / HEARING_HZ
        return block
