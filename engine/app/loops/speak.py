"""The speak thread: feeds all sound to the sink in real time."""

import threading

from engine.app.subsystems import Speech
from engine.audio.playback import speak
from engine.core.ports import Clock


class SpeakLoop:
    """Feeds the sink until `stop`, which comes after all other loops have ended."""

    name = "speak"

    def __init__(self, speech: Speech, timeline: Clock) -> None:
        self._speech = speech
        self._timeline = timeline

    @property
    def idle(self) -> bool:
        """Whether no sound is waiting or playing."""
        return self._speech.audio.idle

    def run(self, stop: threading.Event) -> None:
        speech = self._speech
        speak(speech.audio, speech.sink, self._timeline, stop, speech.fed_until_s)

    def wake(self) -> None:
        """Nothing to do: this loop never waits longer than one block of sound."""

    def close(self) -> None:
        """Nothing to close: the session closes the sink."""
