"""Resampling to int16 at HEARING_HZ, mono or stereo, with FFmpeg's resampler (PyAV)."""

from typing import Any, Literal

import numpy as np

from engine.core.sound import HEARING_HZ, Pcm


class Resampler:
    """Resamples a stream block by block. Samples still in its filter come with the next block, or
    with `flush`. With two `channels`, left and right samples take turns."""

    def __init__(self, channels: Literal[1, 2] = 1) -> None:
        import av

        self._library: Any = av
        layout = "mono" if channels == 1 else "stereo"
        self._resampler: Any = av.AudioResampler(format="s16", layout=layout, rate=HEARING_HZ)

    def frame(self, frame: Any) -> Pcm:
        """Resample a PyAV frame of any format, rate and number of channels."""
        return _concatenated(self._resampler.resample(frame))

    def pcm(self, samples: Pcm, sample_rate_hz: int) -> Pcm:
        """Resample `samples` (n,), mono int16 at `sample_rate_hz`."""
        frame = self._library.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples[np.newaxis]), format="s16", layout="mono"
        )
        frame.sample_rate = sample_rate_hz
        return self.frame(frame)

    def flush(self) -> Pcm:
        """The remaining samples; the resampler cannot be used after this."""
        return _concatenated(self._resampler.resample(None))


def _concatenated(frames: list[Any]) -> Pcm:
    chunks: list[Pcm] = [frame.to_ndarray()[0] for frame in frames]
    return np.concatenate(chunks) if chunks else np.zeros(0, np.int16)
