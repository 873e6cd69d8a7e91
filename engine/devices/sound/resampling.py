"""Any sound to what the ear takes: mono int16 at HEARING_HZ, by FFmpeg's resampler (PyAV)."""

from typing import Any

import numpy as np

from engine.core.sound import HEARING_HZ, Pcm


class Resampler:
    """Takes sound piece by piece; what its filter holds back comes with the next, or with `flush`."""

    def __init__(self) -> None:
        import av

        self._library: Any = av
        self._resampler: Any = av.AudioResampler(format="s16", layout="mono", rate=HEARING_HZ)

    def frame(self, frame: Any) -> Pcm:
        """A PyAV frame of any format, rate and number of channels."""
        return _joined(self._resampler.resample(frame))

    def pcm(self, samples: Pcm, sample_rate_hz: int) -> Pcm:
        """`samples` (n,) mono int16 at `sample_rate_hz`."""
        frame = self._library.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples[np.newaxis]), format="s16", layout="mono"
        )
        frame.sample_rate = sample_rate_hz
        return self.frame(frame)

    def flush(self) -> Pcm:
        """The rest; afterwards a new one is needed."""
        return _joined(self._resampler.resample(None))


def _joined(frames: list[Any]) -> Pcm:
    parts: list[Pcm] = [frame.to_ndarray()[0] for frame in frames]
    return np.concatenate(parts) if parts else np.zeros(0, np.int16)
