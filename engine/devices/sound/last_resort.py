"""Reaches a wearer whose voice or sink is lost: by another program's sound, and the terminal's bell.

The sentences are synthesised while the voice still works. The player is a process of its own, so
it shares neither the voice nor PortAudio with the engine.
"""

import contextlib
import shutil
import subprocess
import tempfile
import wave
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from engine.core.clock import MonotonicClock
from engine.core.outlet import Outlet
from engine.core.ports import Voice
from engine.core.sound import Samples

# Programs that play a WAV file: PipeWire, PulseAudio, ALSA, macOS.
PLAYERS = ("pw-play", "paplay", "aplay", "afplay")
PLAYING_S = 20.0  # a player that takes longer is stopped
CLOSE_S = 5.0
MAX_WAITING = 4


class Player:
    """Plays the prepared `sentences` with a program of the machine; also calls `ring`, which needs
    no loudspeaker, with each text. `sound` may be called from any thread."""

    def __init__(self, voice: Voice, sentences: Sequence[str], ring: Callable[[str], None]) -> None:
        self._voice = voice
        self._ring = ring
        self._prepared: dict[str, Samples] = {}
        self._outlet = Outlet("last resort", MonotonicClock(), MAX_WAITING)
        self._preparing = Outlet("last words", MonotonicClock(), len(sentences))
        for sentence in sentences:
            self._preparing.put(lambda sentence=sentence: self._prepare(sentence))  # type: ignore[misc]

    def sound(self, text: str) -> None:
        self._ring(text)
        self._outlet.put(lambda: self._play(text))

    def prepared(self) -> None:
        """Wait until the sentences are prepared."""
        self._preparing.flush(CLOSE_S)

    def close(self) -> None:
        """Let what is being played end, within CLOSE_S."""
        self._outlet.close(CLOSE_S)

    def _prepare(self, sentence: str) -> None:
        self._prepared[sentence] = self._voice.synthesise(sentence)

    def _play(self, text: str) -> None:
        samples = self._prepared.get(text)
        program = next(filter(None, map(shutil.which, PLAYERS)), None)
        if samples is None or program is None:
            return
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "alarm.wav"
            with contextlib.closing(wave.open(str(path), "wb")) as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(self._voice.sample_rate_hz)
                pcm = np.round(np.clip(samples, -1.0, 1.0) * 32767).astype("<i2")
                file.writeframes(pcm.tobytes())
            subprocess.run(
                [program, str(path)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=PLAYING_S,
                check=False,
            )
