"""Streams of live and recorded glasses: clock mapping, counts of records, microphone blocks.

Must not know any SDK.
"""

import math
from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.core.report import StreamCount
from engine.core.sound import HEARING_HZ
from engine.devices.sound.resampling import Resampler

SETTLE_S = 1.0  # the smallest delay within this time counts as zero
KEPT = 256  # latencies kept; enough for a 95th percentile
BLOCK = 512  # samples of 16 kHz: 32 ms


class TimeMap:
    """Maps the device's clock to the host's monotonic clock.

    The record with the smallest delay within the first SETTLE_S counts as having arrived without
    delay. So times are late by the link's smallest delay, and never early. Drift (some 20 µs a
    second for crystals) is not corrected.
    """

    def __init__(self) -> None:
        self._offset_s = math.inf
        self._since_s = math.inf

    @property
    def known(self) -> bool:
        return self._offset_s < math.inf

    def arrived(self, device_s: float, host_s: float) -> float:
        """The host's time at `device_s`, from a record that arrived at `host_s`."""
        self._since_s = min(self._since_s, host_s)
        if host_s - self._since_s <= SETTLE_S:
            self._offset_s = min(self._offset_s, host_s - device_s)
        return device_s + self._offset_s


class StreamCounter:
    """Counts the records of one stream.

    The device numbers its records: a gap is a loss; a number that is not higher than the last
    starts a new count.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._received = self._dropped = 0
        self._number: int | None = None
        self._latency_ms: deque[float] = deque(maxlen=KEPT)

    def take(self, number: int | None = None, latency_s: float | None = None) -> None:
        """Count a record, with the device's number and its delay, if known."""
        self._received += 1
        if number is not None:
            if self._number is not None and number > self._number:
                self._dropped += number - self._number - 1
            self._number = number
        if latency_s is not None:
            self._latency_ms.append(1000.0 * latency_s)

    def overwritten(self) -> None:
        """Count a record that was replaced by a newer one before it was used."""
        self._dropped += 1

    def count(self) -> StreamCount:
        return StreamCount(self._name, self._received, self._dropped, tuple(self._latency_ms))


class MicrophoneBlocks:
    """Turns interleaved samples of several microphones into blocks of (BLOCK,) int16, 16 kHz.

    Only the first microphone is used: averaging microphones some centimetres apart causes comb
    filtering of the high frequencies that distinguish words. `time_s` is the capture time of the
    last sample of the last block read.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._resampler = Resampler()
        self._pending: NDArray[np.int16] = np.zeros(0, np.int16)
        self._until_s = 0.0  # capture time of the last sample received
        self.time_s = 0.0

    def hear(
        self, samples: Sequence[int], channels: int, full_scale: float, until_s: float
    ) -> None:
        """Add interleaved samples of `channels` microphones, in [-full_scale, full_scale], the last
        one captured at `until_s`."""
        self._until_s = until_s
        table = np.asarray(samples, np.float64).reshape(-1, max(1, channels))
        scaled = np.clip(table[:, 0] / max(full_scale, 1.0), -1.0, 1.0)
        pcm = self._resampler.pcm((scaled * 32767).astype(np.int16), self._rate_hz)
        self._pending = np.concatenate([self._pending, pcm])

    def read(self) -> NDArray[np.int16] | None:
        """The next whole block; None until there is one."""
        if len(self._pending) < BLOCK:
            return None
        block, self._pending = self._pending[:BLOCK], self._pending[BLOCK:]
        # The resampler's delay of about 1 ms is neglected.
        self.time_s = self._until_s - len(self._pending) / HEARING_HZ
        return block
