"""microWakeWord, by the pymicro-wakeword library: phrases whose models it ships, with no key.

Knows nothing of what a wake is for.
"""

from typing import Any

from engine.core.errors import MissingPart, message_of
from engine.core.sound import Pcm

# Medians from the phrase's end to the moment at which the model is sure, over the phrases that
# `python -m experiments.quality.wake_words` speaks: from the 5th to the 95th percentile are some 200 ms.
DELAY_S = {"okay nabu": 0.185, "alexa": 0.22, "hey mycroft": 0.09, "hey jarvis": 0.18}
# Of the mean probability. By `python -m experiments.quality.wake_words` that is 120 to 240 ms
# before the engine is
# sure, and seldom in other speech; at a fifth of it, every few seconds.
HINT_PROBABILITY = 0.05
FRAME_SAMPLES = 160  # 10 ms, of which the models take three at a time


class MicroWakeWord:
    """Hears one of the shipped phrases. Raises MissingPart, ValueError for another phrase.

    A phrase is heard when the mean of the model's last five probabilities exceeds a cutoff: that which
    the model ships with at `sensitivity` 0.5, and the cutoff ** (2 * sensitivity) ** 2 at any other.
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
        self._steps = 0
        self._hears = False
        self._cutoff = self._model.probability_cutoff ** (2 * sensitivity) ** 2

    def hear(self, frame: Pcm) -> bool:
        """Whether the phrase is heard, from its end on for some frames; `frame` is (160,) int16."""
        for features in self._features.process_streaming(frame.tobytes()):
            self._steps += 1
            probability = self._model.process_streaming_prob(features) or 0.0
            if self._steps % self._model.stride == 0:  # between its steps it gives no probability
                self.hint = probability > HINT_PROBABILITY
                self._hears = probability > self._cutoff
        return self._hears

    def close(self) -> None:
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
