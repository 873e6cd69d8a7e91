"""The Porcupine wake engine (Picovoice): built-in keywords or a custom .ppn file; needs a key.

Each of its errors becomes one line, and the key is never shown. Must not know what happens after
the wake word.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from engine.core.errors import InputError, MissingPart, RunError, message_of
from engine.core.sound import HEARING_HZ, Pcm

KEY = "PICOVOICE_ACCESS_KEY"
# An estimate: two frames. It was not measured, because that needs a key.
DELAY_S = 0.064


class Porcupine:
    """Detects `phrase`, a built-in keyword, or the keyword of `keyword_path`, a .ppn file for this
    platform. Raises MissingPart (no library, no key, or a refused key) and InputError."""

    name = "porcupine"
    delay_s = DELAY_S
    hint = False  # it gives none before the detection

    def __init__(
        self, phrase: str = "porcupine", sensitivity: float = 0.5, keyword_path: Path | None = None
    ) -> None:
        library = _library()
        key = access_key()
        if keyword_path is not None and not keyword_path.is_file():
            raise InputError(f"trigger.wake.keyword_path: expected a .ppn file, got {keyword_path}")
        if keyword_path is None and phrase not in library.KEYWORDS:
            raise InputError(
                f"trigger.wake.phrase: Porcupine has {', '.join(sorted(library.KEYWORDS))} built in, "
                f"got {phrase!r}; for another, train a .ppn file and set trigger.wake.keyword_path"
            )
        self.phrase = keyword_path.stem if keyword_path else phrase
        path = str(keyword_path) if keyword_path else library.KEYWORD_PATHS[phrase]
        try:
            self._engine = library.create(
                access_key=key, keyword_paths=[path], sensitivities=[sensitivity], device="cpu:1"
            )
        except (library.PorcupineError, OSError, ValueError) as error:
            raise refused(error) from error
        self.frame_samples = int(self._engine.frame_length)
        self._closed = False
        if self._engine.sample_rate != HEARING_HZ:
            raise MissingPart(
                f"trigger=wake: expected Porcupine to take {HEARING_HZ} Hz, got "
                f"{self._engine.sample_rate}; use trigger.wake.engine=microwakeword"
            )

    def hear(self, frame: Pcm) -> bool:
        """Whether the phrase has just been detected; `frame` is (frame_samples,) int16. Raises
        RunError."""
        try:
            return int(self._engine.process(np.ascontiguousarray(frame).tolist())) >= 0
        except Exception as error:  # its error classes exist only where the library is installed
            raise RunError(f"Porcupine stopped listening: {_without_key(error)}") from error

    def close(self) -> None:
        """Release the engine; a second call does nothing."""
        if not self._closed:
            self._closed = True
            self._engine.delete()


def access_key() -> str:
    """The wearer's AccessKey, from the environment. Raises MissingPart."""
    key = os.environ.get(KEY, "").strip()
    if not key:
        raise MissingPart(
            f"trigger.wake.engine=porcupine: expected an AccessKey in {KEY}, got none; make one at "
            "console.picovoice.ai, or use trigger.wake.engine=microwakeword, which needs none"
        )
    return key


def refused(error: Exception) -> MissingPart:
    """The reason why Porcupine did not start, as one line."""
    kind = type(error).__name__
    why = {
        "PorcupineInvalidArgumentError": f"an argument or the key in {KEY} that it does not take",
        "PorcupineActivationError": f"no activation with the key in {KEY}",
        "PorcupineActivationRefusedError": f"a refused key in {KEY}",
        "PorcupineActivationLimitError": f"a key in {KEY} that is used on too many devices",
        "PorcupineActivationThrottledError": f"too many activations of the key in {KEY}",
    }.get(kind, kind)
    return MissingPart(
        f"trigger.wake.engine=porcupine: expected Porcupine to start, got {why} ({_without_key(error)}); "
        "check the key at console.picovoice.ai, or use trigger.wake.engine=microwakeword"
    )


def _library() -> Any:
    try:
        import pvporcupine  # type: ignore[import-untyped, unused-ignore]
        from pvporcupine import PorcupineError  # noqa: F401
    except (ImportError, OSError, NotImplementedError) as error:
        raise MissingPart(
            "trigger.wake.engine=porcupine: expected the pvporcupine library, got "
            f"{_without_key(error)}; install it with `pip install 'pvporcupine>=4,<5'`, or use "
            "trigger.wake.engine=microwakeword"
        ) from error
    return pvporcupine


def _without_key(error: Exception) -> str:
    """The message of `error`, with the key masked: some of the library's messages contain it."""
    text = message_of(error)
    # A key that was copied with a line break is quoted in one piece, or in several.
    key = os.environ.get(KEY, "")
    parts = [" ".join(key.split()), repr(key.strip())[1:-1], *key.split()]
    for part in sorted(filter(None, parts), key=len, reverse=True):
        text = text.replace(part, "***")
    return text
