"""Audio sinks without a device: a stereo WAV file, and a sink that discards everything.

The WAV header is updated after every block, so that a killed session leaves a playable file. Must
not know what is played.
"""

import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np

from engine.core.errors import InputError, SpeechFailed
from engine.core.file_parts import part_path
from engine.core.sound import Samples

PART_S = 1800.0  # a part of 30 minutes has 159 MB at 22,050 Hz; a WAV file holds 4 GB at most


class SilentSink:
    """Discards all sound."""

    name = "silent"
    paced = False

    def write(self, block: Samples) -> None:
        """Discard `block`."""

    def close(self) -> None:
        """Nothing to close."""


class WavSink:
    """Writes 16-bit stereo to `path`, and goes on in a further part (`engine.core.file_parts`) every
    PART_S. Raises InputError if the file cannot be created.

    `on_unwritten` gets the file's name if it could not be written to its end.
    """

    name = "wav"
    paced = False

    def __init__(
        self,
        path: Path,
        sample_rate_hz: int,
        on_unwritten: Callable[[str], None] = lambda name: None,
    ) -> None:
        self._path = path
        self._on_unwritten = on_unwritten
        self._sample_rate_hz = sample_rate_hz
        self._part = self._frames = 0
        self._wave: wave.Wave_write | None = None
        try:
            self._next_part()
        except OSError as error:
            raise InputError(
                f"speech=wav: expected a file that can be written, got {path} ({error.strerror}); "
                "choose another folder with hydra.run.dir=FOLDER"
            ) from error

    def write(self, block: Samples) -> None:
        """Append stereo samples (n, 2). Raises SpeechFailed once when the file can take no more;
        later blocks are discarded."""
        if self._wave is None:
            return
        pcm = np.round(np.clip(block, -1.0, 1.0) * 32767).astype("<i2").tobytes()
        try:
            if self._frames >= PART_S * self._sample_rate_hz:
                self.close()
                self._next_part()
            self._frames += len(block)
            self._wave.writeframes(pcm)
        except OSError as error:
            self._close()
            self._on_unwritten(self._path.name)
            raise SpeechFailed(
                f"{self._path}: the sound could not be written ({error.strerror}); the session "
                "goes on without it; free some space"
            ) from error

    def _next_part(self) -> None:
        """Open the next part. Raises OSError."""
        self._part, self._frames = self._part + 1, 0
        self._file = part_path(self._path, self._part).open("wb")
        self._wave = wave.open(self._file, "wb")  # noqa: SIM115
        self._wave.setnchannels(2)
        self._wave.setsampwidth(2)
        self._wave.setframerate(self._sample_rate_hz)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._wave is not None and not self._close():
            self._on_unwritten(self._path.name)

    def _close(self) -> bool:
        """Whether all of the file is on the disk."""
        whole = True
        for step in (self._end_header, self._file.close):
            try:
                step()
            except OSError:
                whole = False
        self._wave = None
        return whole

    def _end_header(self) -> None:
        if self._wave is not None:
            if self._frames == 0:
                self._wave.writeframes(b"")  # writes the header
            self._wave.close()
