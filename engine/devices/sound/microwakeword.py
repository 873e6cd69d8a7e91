"""The microWakeWord wake engine (pymicro-wakeword): phrases whose models it ships; needs no key.

Must not know what happens after the wake word.
"""

from typing import Any

from engine.core.errors import MissingPart, message_of
from engine.core.sound import Pcm

# Median delay from the end of the phrase to its detection, by
# `python -m experiments.quality.wake_words`; about 200 ms lie between the 5th and 95th percentiles.
DELAY_S = {"okay nabu": 0.185, "alexa": 0.22, "hey mycroft": 0.09, "hey jarvis": 0.18}
# The mean probability that counts as a wake hint. It comes 120 to 240 ms before the detection, and
# rarely in other speech; with a fifth of this value, hints would come every few seconds (same
# experiment).
HINT_PROBABILITY = 0.05
FRAME_SAMPLES = 160  # 10 ms; the models take three frames per step


class MicroWakeWord:
    """Detects one of the shipped phrases. Raises MissingPart, or ValueError for another phrase.

    The phrase is detected when the mean of the model's last five probabilities exceeds the cutoff
    that the model ships with, raised to the power of (2 * sensitivity) ** 2.
    """

    name = "microwakeword"
    frame_samples = FRAME_SAMPLES

    def __init__(self, phrase: str = "okay nabu", sensitivity: float = 0.5) -> None:
        library = _library()
        model = library.Model(phrase.replace(" ", "_"))
        self.phrase = phrase
        self.delay_s = DELAY_S[phrase]
        self.hint = False
        self._features = library.MicroWakeWordFeatures()
        self._model = library.MicroWakeWord.from_builtin(model)
        self._closed = False
        self._steps = 0
        self._detected = False
        self.cutoff = self._model.probability_cutoff ** (2 * sensitivity) ** 2

    def hear(self, frame: Pcm) -> bool:
        """Whether the phrase is detected; stays true for some frames. `frame` is (160,) int16."""
        for features in self._features.process_streaming(frame.tobytes()):
            self._steps += 1
            probability = self._model.process_streaming_prob(features) or 0.0
            # The model gives a new probability only once per stride.
            if self._steps % self._model.stride == 0:
                self.hint = probability > HINT_PROBABILITY
                self._detected = probability > self.cutoff
        return self._detected

    def close(self) -> None:
        """Release the model; a second call does nothing."""
        if not self._closed:
            self._closed = True
            self._model.close()


def _library() -> Any:
    try:
        import pymicro_wakeword  # type: ignore[import-untyped, unused-ignore]
    except (ImportError, OSError) as error:
        raise MissingPart(
            f"trigger=wake: expected the pymicro-wakeword library, got {message_of(error)}"
            "; install it with `pip install 'pymicro-wakeword>=2.4,<3'`, or use trigger=keyboard"
        ) from error
    return pymicro_wakeword
