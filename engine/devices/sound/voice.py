"""The voice: pyttsx3 over the espeak-ng that a wheel ships, so that no system package is needed.

Knows nothing of who speaks when. It never plays a sound: pyttsx3 plays through a shell command that
cannot be cut short, so sentences are synthesised to samples and played by the engine's own mixer.
"""

import contextlib
import ctypes
import importlib
import os
import tempfile
import threading
import time
import wave
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from engine.audio.loudness import VOICE_LUFS, VOICE_PEAK, normalised
from engine.core.errors import MissingPart, SpeechFailed, in_one_line, message_of
from engine.core.preferences import Language
from engine.core.sound import Samples
from engine.language.pack import sayable

SAMPLE_RATE_HZ = 22050  # what pyttsx3's espeak driver writes
ATTEMPTS = 3  # an empty file is rare, and the next attempt has always been whole
SHORTEST_S = 0.03  # a letter takes longer to say
FLOOR = 0.01  # of the peak: below it is silence
LEAD_S, TAIL_S = 0.004, 0.1  # kept before and after; the tail is the breath between two clauses


class Espeak:
    """The one espeak-ng of this process: its state is global, so every use takes `lock`."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._done = threading.Event()
        try:
            import espeakng_loader  # type: ignore[import-untyped, unused-ignore]
            import pyttsx3  # type: ignore[import-untyped, unused-ignore]

            self._driver = _load_driver(espeakng_loader)
            self._engine = pyttsx3.init("espeak")
        except (ImportError, OSError, RuntimeError) as error:
            raise MissingPart(
                "speech: expected pyttsx3 and espeakng-loader, got "
                f"{message_of(error)}; run `pip install pyttsx3 espeakng-loader`"
            ) from error
        self._engine.connect("finished-utterance", lambda name, completed: self._done.set())

    def write(self, text: str, voice: str, rate_wpm: int, path: Path) -> None:
        """Synthesise to a WAV file. Raises SpeechFailed. The caller holds `lock`."""
        self._done.clear()
        try:
            self._engine.setProperty("voice", voice)  # also resets the rate, which so comes second
            self._engine.setProperty("rate", rate_wpm)
            # Settings wait in espeak's own queue, and starting the loop cancels what still waits
            # there: without this line a rate is lost.
            self._driver.Synchronize()
            self._engine.save_to_file(text, str(path))
            self._engine.runAndWait()
        except Exception as error:  # the driver raises whatever it meets
            with contextlib.suppress(RuntimeError):
                self._engine.endLoop()  # else every later sentence fails with "already started"
            raise SpeechFailed(f"espeak-ng: {in_one_line(error)}") from error
        # The file is written by espeak's own thread, which may be later than the loop's end.
        if not self._done.wait(timeout=5.0 + len(text) / 50):
            raise SpeechFailed("espeak-ng did not finish in time")


def _load_driver(loader: Any) -> Any:
    """pyttsx3's binding to espeak, bound to the wheel's library and not to the system's."""
    os.environ["ESPEAK_DATA_PATH"] = loader.get_data_path()
    library = ctypes.CDLL(loader.get_library_path(), mode=ctypes.RTLD_GLOBAL)
    libraries: Any = ctypes.cdll
    original = libraries.LoadLibrary

    def load(name: str) -> ctypes.CDLL:
        return library if "espeak" in str(name).lower() else original(name)

    libraries.LoadLibrary = load  # the binding tries fixed system paths only, while it is imported
    try:
        binding = importlib.import_module("pyttsx3.drivers._espeak")
    finally:
        del libraries.LoadLibrary
    driver: Any = importlib.import_module("pyttsx3.drivers.espeak")
    driver.print = lambda *_: None  # it prints a line for every sentence
    # Its loop sleeps 10 ms after each sentence has been handed over, which is all that it waits for.
    driver.time = SimpleNamespace(sleep=lambda _s: time.sleep(0.001))
    return binding


@lru_cache(maxsize=1)
def espeak() -> Espeak:
    """The process's espeak-ng, loaded at the first call: it cannot be initialised twice."""
    return Espeak()


class Pyttsx3Voice:
    """Says sentences in `language` at `rate_wpm` words a minute. Raises MissingPart.

    A sentence takes about 12 ms; the last hundred or so are kept, because callouts repeat.
    """

    def __init__(self, language: Language, rate_wpm: int) -> None:
        self.sample_rate_hz = SAMPLE_RATE_HZ
        self._voice = sayable(language).voice
        self._rate_wpm = rate_wpm
        self._espeak = espeak()
        try:
            self._folder = tempfile.TemporaryDirectory(prefix="scene-aria-")
        except OSError as error:
            raise MissingPart(
                f"speech: expected a temporary folder that can be written, got {error.strerror}; "
                "set TMPDIR to one"
            ) from error
        self._kept = lru_cache(maxsize=128)(self._synthesise)

    def synthesise(self, text: str) -> Samples:
        """Mono samples (n,), read-only, at VOICE_LUFS, peak VOICE_PEAK at most (engine.audio.loudness);
        none where nothing in `text` can be said. Raises SpeechFailed."""
        return self._kept(speakable(text))

    def close(self) -> None:
        """Forget what was kept; espeak-ng itself lives as long as the process."""
        self._kept.cache_clear()
        self._folder.cleanup()

    def _synthesise(self, text: str) -> Samples:
        samples = np.zeros(0, dtype=np.float32)
        if any(character.isalnum() for character in text):
            samples = self._spoken(text)
        samples.setflags(write=False)
        return samples

    def _spoken(self, text: str) -> Samples:
        reason = ""
        for _ in range(ATTEMPTS):
            try:
                samples = self._once(text)
            except (SpeechFailed, OSError, EOFError, wave.Error) as error:
                reason = str(error)
                continue
            if len(samples) >= SHORTEST_S * SAMPLE_RATE_HZ:
                return samples
            reason = "espeak-ng gave no sound"
        raise SpeechFailed(f"a sentence of {len(text)} characters could not be said: {reason}")

    def _once(self, text: str) -> Samples:
        path = Path(self._folder.name) / "sentence.wav"
        path.unlink(missing_ok=True)  # else a failure would say the last sentence again
        with self._espeak.lock:
            self._espeak.write(text, self._voice, self._rate_wpm, path)
        with wave.open(str(path), "rb") as file:
            raw = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
        samples = trim(raw.astype(np.float32) / np.float32(32768))
        return normalised(samples, SAMPLE_RATE_HZ, VOICE_LUFS, VOICE_PEAK)


def speakable(text: str) -> str:
    """`text` without what espeak-ng would stumble over: control characters, lone surrogates."""
    clean = text.encode("utf-8", "ignore").decode("utf-8")
    return " ".join("".join(c if c.isprintable() else " " for c in clean).split())


def trim(samples: Samples) -> Samples:
    """Mono (n,) without the silence around it: the first sound comes early, the end leaves room."""
    loud = np.flatnonzero(np.abs(samples) > FLOOR * np.abs(samples).max(initial=1e-4))
    if loud.size == 0:
        return samples[:0]
    first = max(0, int(loud[0]) - round(LEAD_S * SAMPLE_RATE_HZ))
    last = int(loud[-1]) + 1
    missing = max(0, round(TAIL_S * SAMPLE_RATE_HZ) - (len(samples) - last))
    kept: Samples = samples[first : last + round(TAIL_S * SAMPLE_RATE_HZ)]
    return np.pad(kept, (0, missing))
