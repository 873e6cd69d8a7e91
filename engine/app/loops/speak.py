"""The speak thread: all that is heard, into the sink in real time."""

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
        """Whether nothing waits to be heard."""
        return self._speech.audio.idle

    def run(self, stop: threading.Event) -> None:
        speech = self._speech
        speak(speech.audio, speech.sink, self._timeline, stop, speech.fed_until_s)

    def wake(self) -> None:
        """It waits for no longer than a block of sound."""

    def close(self) -> None:
        """Nothing to end: the sink is closed with the session."""
