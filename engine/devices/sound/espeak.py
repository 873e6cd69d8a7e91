"""Speech synthesis with espeak-ng, from the library in a wheel: no system package is needed.

Uses pyttsx3's binding and driver, but only to get samples: pyttsx3 plays sound with a shell command
that cannot be interrupted. Knows nothing about languages or scheduling.
"""

import contextlib
import ctypes
import importlib
import os
import sys
import threading
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from engine.core.errors import MissingPart, SpeechFailed, in_one_line, message_of
from engine.core.sound import Pcm, Samples

NORMAL_PITCH = 50  # espeak-ng's own scale, 0 to 100
SAMPLE_RATE_HZ = 22050  # of the voices that espeak-ng ships
ATTEMPTS = 3  # an attempt without sound is rare, and the next one has always succeeded
BUSY_S = 0.5  # wait for another thread's sentence, which takes some 10 ms
MIN_SPEECH_S = 0.03  # a single letter takes longer
SILENCE_LEVEL = 0.01  # of the peak; quieter samples count as silence
# Silence kept before and after a sentence; the end leaves a pause between two clauses.
LEAD_S, TAIL_S = 0.004, 0.1


class Espeak:
    """The one espeak-ng of this process; calls from several threads take turns.

    Raises MissingPart if pyttsx3 or the library is not installed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._chunks: list[bytes] = []
        try:
            import espeakng_loader  # type: ignore[import-untyped, unused-ignore]

            self._binding = _load_binding(espeakng_loader)
            self._driver = self._make_driver()
        except (ImportError, OSError, RuntimeError) as error:
            raise MissingPart(
                "speech: expected pyttsx3 and espeakng-loader, got "
                f"{message_of(error)}; run `pip install pyttsx3 espeakng-loader`"
            ) from error

    def speech(self, text: str, voice: str, rate_wpm: int, pitch: int = NORMAL_PITCH) -> Samples:
        """`text` as mono samples (n,) at SAMPLE_RATE_HZ, trimmed. Raises SpeechFailed."""
        reason = ""
        for _ in range(ATTEMPTS):
            try:
                pcm = self.attempt(text, voice, rate_wpm, pitch)
            except SpeechFailed as error:
                reason = str(error)
                continue
            samples = trim(pcm.astype(np.float32) / np.float32(32768))
            if len(samples) >= MIN_SPEECH_S * SAMPLE_RATE_HZ:
                return samples
            reason = "espeak-ng gave no sound"
        raise SpeechFailed(f"a sentence of {len(text)} characters could not be said: {reason}")

    def attempt(self, text: str, voice: str, rate_wpm: int, pitch: int = NORMAL_PITCH) -> Pcm:
        """One synthesis of `text`: mono int16 (n,), empty in rare cases. Raises SpeechFailed."""
        if not self._lock.acquire(timeout=BUSY_S):
            raise SpeechFailed("espeak-ng hangs in an earlier sentence")
        try:
            return self._synthesise(text, voice, rate_wpm, pitch)
        finally:
            self._lock.release()

    def _synthesise(self, text: str, voice: str, rate_wpm: int, pitch: int) -> Pcm:
        try:
            self._binding.Synchronize()  # an attempt that timed out may still be running
            self._chunks.clear()
            self._done.clear()
            self._driver.setProperty("voice", voice)
            self._driver.setProperty("rate", rate_wpm)  # setting the voice resets the rate
            self._driver.setProperty("pitch", pitch)
            flags = self._binding.ENDPAUSE | self._binding.CHARS_UTF8
            data = text.encode()
            # The binding's own Synth() gives ten times this size: espeak-ng copies what lies behind
            # the text, and crashes where no memory does.
            start = self._binding.POS_CHARACTER
            self._binding.cSynth(data, len(data) + 1, 0, start, 0, flags, None, None)
        except Exception as error:  # the driver and the binding raise many types
            raise SpeechFailed(f"espeak-ng: {in_one_line(error)}") from error
        if not self._done.wait(timeout=5.0 + len(text) / 50):
            raise SpeechFailed("espeak-ng did not finish in time")
        return np.frombuffer(b"".join(self._chunks), np.int16)

    def _make_driver(self) -> Any:
        """pyttsx3's driver, except that it collects samples where the original writes a file."""
        library: Any = importlib.import_module("pyttsx3.drivers.espeak")
        binding, chunks, done = self._binding, self._chunks, self._done

        class CollectingDriver(library.EspeakDriver):  # type: ignore[misc]
            def _onSynth(self, wav: Any, numsamples: int, events: Any) -> int:  # noqa: N802
                """Called in the thread of espeak-ng."""
                if numsamples > 0:
                    chunks.append(ctypes.string_at(wav, numsamples * 2))
                for event in events:  # a C array, ended by EVENT_LIST_TERMINATED
                    if event.type == binding.EVENT_LIST_TERMINATED:
                        break
                    if event.type == binding.EVENT_MSG_TERMINATED:
                        done.set()
                return 0

        return CollectingDriver(proxy=None)  # only the replaced methods use the proxy


@lru_cache(maxsize=1)
def espeak() -> Espeak:
    """The process's espeak-ng, loaded at the first call: it cannot be initialised twice."""
    return Espeak()


def trim(samples: Samples) -> Samples:
    """Mono (n,) with LEAD_S of silence at most before the speech and TAIL_S after it."""
    loud = np.flatnonzero(np.abs(samples) > SILENCE_LEVEL * np.abs(samples).max(initial=1e-4))
    if loud.size == 0:
        return samples[:0]
    first = max(0, int(loud[0]) - round(LEAD_S * SAMPLE_RATE_HZ))
    last = int(loud[-1]) + 1
    missing = max(0, round(TAIL_S * SAMPLE_RATE_HZ) - (len(samples) - last))
    trimmed: Samples = samples[first : last + round(TAIL_S * SAMPLE_RATE_HZ)]
    return np.pad(trimmed, (0, missing))


def _load_binding(loader: Any) -> Any:
    """pyttsx3's ctypes binding, on the wheel's library instead of the system's."""
    os.environ["ESPEAK_DATA_PATH"] = loader.get_data_path()  # espeak-ng's own setting
    library = ctypes.CDLL(loader.get_library_path(), mode=ctypes.RTLD_GLOBAL)
    # The binding asks for libespeak-ng.so.1. On Linux that is the soname of the loaded library.
    on_linux = sys.platform.startswith("linux")
    with contextlib.nullcontext() if on_linux else _espeak_resolved_to(library):
        return importlib.import_module("pyttsx3.drivers._espeak")


@contextlib.contextmanager
def _espeak_resolved_to(library: ctypes.CDLL) -> Iterator[None]:
    """Let ctypes load `library` for espeak, during the import only. Outside Linux, the binding
    tries only fixed system paths, has no setting for another path, and cannot find a library by its
    soname."""
    libraries: Any = ctypes.cdll
    original = libraries.LoadLibrary

    def load(name: str) -> ctypes.CDLL:
        return library if "espeak" in str(name).lower() else original(name)

    libraries.LoadLibrary = load
    try:
        yield
    finally:
        del libraries.LoadLibrary
