"""Porcupine, by Picovoice's library: built-in keywords or a file of the wearer's own, with their key.

Knows nothing of what a wake is for. Its own errors become one line each; the key is never shown.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from engine.core.errors import InputError, MissingPart, RunError, message_of
from engine.core.sound import HEARING_HZ, Pcm

KEY = "PICOVOICE_ACCESS_KEY"
# Nobody here has a key, so this is not measured: two of its frames, as a guess to begin with.
DELAY_S = 0.064


class Porcupine:
    """Hears `phrase`, a built-in keyword, or that of `keyword_path`, a .ppn file made for this
    platform. Raises MissingPart (no library, no key, or one that is refused) and InputError."""

    name = "porcupine"
    delay_s = DELAY_S
    hint = False  # it says yes or no, and nothing before

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
        if self._engine.sample_rate != HEARING_HZ:
            raise MissingPart(
                f"trigger=wake: expected Porcupine to take {HEARING_HZ} Hz, got "
                f"{self._engine.sample_rate}; use trigger.wake.engine=microwakeword"
            )

    def hear(self, frame: Pcm) -> bool:
        """Whether the phrase has just been heard; `frame` is (frame_samples,) int16. Raises
        RunError."""
        try:
            return int(self._engine.process(np.ascontiguousarray(frame).tolist())) >= 0
        except Exception as error:  # its error classes are only known where the library is
            raise RunError(f"Porcupine stopped listening: {_one_line(error)}") from error

    def close(self) -> None:
        self._engine.delete()


def access_key() -> str:
    """The wearer's own AccessKey. Raises MissingPart."""
    key = os.environ.get(KEY, "").strip()
    if not key:
        raise MissingPart(
            f"trigger.wake.engine=porcupine: expected an AccessKey in {KEY}, got none; make one at "
            "console.picovoice.ai, or use trigger.wake.engine=microwakeword, which needs none"
        )
    return key


def refused(error: Exception) -> MissingPart:
    """What Porcupine did not like, as one line."""
    kind = type(error).__name__
    why = {
        "PorcupineInvalidArgumentError": f"an argument or the key in {KEY} that it does not take",
        "PorcupineActivationError": f"no activation with the key in {KEY}",
        "PorcupineActivationRefusedError": f"a refused key in {KEY}",
        "PorcupineActivationLimitError": f"a key in {KEY} that is used on too many devices",
        "PorcupineActivationThrottledError": f"too many activations of the key in {KEY}",
    }.get(kind, kind)
    return MissingPart(
        f"trigger.wake.engine=porcupine: expected Porcupine to start, got {why} ({_one_line(error)}); "
        "check the key at console.picovoice.ai, or use trigger.wake.engine=microwakeword"
    )


def _library() -> Any:
    try:
        import pvporcupine  # type: ignore[import-untyped, unused-ignore]
        from pvporcupine import PorcupineError  # noqa: F401
    except (ImportError, OSError, NotImplementedError) as error:
        raise MissingPart(
            "trigger.wake.engine=porcupine: expected the pvporcupine library, got "
            f"{_one_line(error)}; install it with `pip install 'pvporcupine>=4,<5'`, or use "
            "trigger.wake.engine=microwakeword"
        ) from error
    return pvporcupine


def _one_line(error: Exception) -> str:
    """The error without the key, which some of the library's messages repeat."""
    text = message_of(error)
    key = os.environ.get(KEY, "").strip()
    return text.replace(key, "***") if key else text
