"""The speak thread: feeds all sound to the sink in real time."""

from engine.app.loops.loop import OPENING_S
from engine.app.notifier import Notifier
from engine.app.subsystems import Speech
from engine.audio.playback import speak
from engine.audio.steady_sink import SteadySink
from engine.core.errors import EngineError, SpeechFailed, in_one_line
from engine.core.ports import Clock, Sink
from engine.core.pulse import Pulse
from engine.core.report import Health
from engine.core.threads import still_running

# A voice that fails for this many sentences one after another is made anew; a new one is given up
# at its first failure.
FAILURES = 3


class SpeakLoop:
    """Feeds the sink until `stop`, which comes after all other loops have ended.

    A sink that is lost is opened again when it returns. A voice that hangs or keeps failing is
    replaced; meanwhile the last resort tells the wearer.
    """

    name = "speak"
    patience_s = 2.0
    vital = True
    restarts = 3

    def __init__(self, speech: Speech, timeline: Clock, notifier: Notifier) -> None:
        self._speech = speech
        self._timeline = timeline
        self._notifier = notifier
        self._runs = 0

    @property
    def idle(self) -> bool:
        """Whether no sound is waiting or playing."""
        return self._speech.audio.idle

    def hush(self) -> None:
        """Drop all that is or would be said."""
        self._speech.audio.stop()

    def run(self, pulse: Pulse) -> None:
        """Raises SpeechFailed."""
        self._runs += 1
        # A thread that hangs in "Starting." keeps the first voice and the first sink.
        speech, first = self._speech, self._runs == 1 and not still_running("starting")
        sink: Sink | None = speech.sink
        if not first:
            pulse.patience_s = OPENING_S
            sink = self._renew()
        steady = SteadySink(sink, speech.reopen_sink, self._timeline, self._lost, self._back)
        limit = FAILURES if first else 1

        def beat() -> None:
            pulse.beat()
            if speech.audio.failures >= limit:
                raise SpeechFailed(f"the voice failed {limit} times in a row")

        try:
            beat()
            pulse.patience_s = self.patience_s
            fed_until_s = speech.fed_until_s if first else None
            speak(speech.audio, steady, self._timeline, pulse.stop, fed_until_s, beat)
        finally:
            steady.close()

    def wake(self) -> None:
        """Nothing to do: this loop never waits longer than one block of sound."""

    def close(self) -> None:
        """Nothing to close: each run closes its sink."""

    def _renew(self) -> Sink | None:
        """A new voice and a new sink; no sink if it cannot be opened now."""
        speech = self._speech
        try:
            speech.audio.renew(None if speech.reopen_voice is None else speech.reopen_voice())
        except EngineError as error:
            raise SpeechFailed(in_one_line(error)) from error
        try:
            sink = None if speech.reopen_sink is None else speech.reopen_sink()
        except EngineError as error:
            self._lost(error)
            return None  # `SteadySink` tries again
        self._back()
        return sink

    def _lost(self, error: Exception) -> None:
        self._speech.audio.mute(True)
        health = Health("speech", in_one_line(error), "went on without sound, and tries again")
        self._notifier.alarm(health, "sound_lost")

    def _back(self) -> None:
        self._speech.audio.mute(False)
        self._notifier.relieve("sound_lost", say="sound_back")
