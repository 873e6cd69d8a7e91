"""Builds the voice, the sink and the scheduler of all sound."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from engine.alerts.policy import AlertPolicy
from engine.app.console import Screen
from engine.app.observers import Observers
from engine.audio.playback import speak
from engine.audio.scheduler import Audio
from engine.config import Config
from engine.core.ports import Clock, LastResort, Sink, Voice
from engine.core.priority import Priority
from engine.core.report import Health
from engine.core.threads import start_thread
from engine.core.utterance import Heard, Utterance
from engine.language.wording import StatusKey, Words
from engine.listening.echo_guard import EchoGuard, GuardedSink

JOIN_S = 3.0
LOUDSPEAKER = "loudspeaker"  # the sink's name on the first screen
# The sentences that must reach the wearer even if the voice or the sink is lost.
LAST_WORDS: tuple[StatusKey, ...] = (
    "sound_lost",
    "camera_lost",
    "glasses_lost",
    "watch_slow",
    "watch_lost",
    "failed",
)


def build_voice(config: Config) -> Voice:
    from engine.devices.sound.voice import Pyttsx3Voice

    return Pyttsx3Voice(config.language, config.speech.rate_wpm)


def build_sink(
    config: Config, folder: Path, sample_rate_hz: int, on_unwritten: Callable[[str], None]
) -> tuple[Sink, str]:
    """The sink, and its name on the first screen. `on_unwritten` gets the name of a sound file that
    is not whole."""
    from engine.devices.sound.loudspeaker import DeviceSink, find_device_sink
    from engine.devices.sound.wav import SilentSink, WavSink

    kind = config.speech.sink
    why = ""
    if kind == "auto" and config.source.realtime:
        sink, why = find_device_sink(sample_rate_hz)
        if sink is not None:
            return sink, LOUDSPEAKER
    if kind == "device":
        return DeviceSink(sample_rate_hz), LOUDSPEAKER
    if kind == "silent":
        return SilentSink(), "silent"
    wav = folder / "audio.wav"
    return WavSink(wav, sample_rate_hz, on_unwritten), f"{wav.name}{f' ({why})' if why else ''}"


def build_reopen_sink(
    name: str, sample_rate_hz: int, guard: EchoGuard | None, wall: Clock
) -> Callable[[], Sink]:
    """Opens the sink again after a loss: the loudspeaker; in place of a file, a sink that discards
    all sound. `guard` is to know what is played."""

    def reopen() -> Sink:
        from engine.devices.sound.loudspeaker import DeviceSink, refresh_devices
        from engine.devices.sound.wav import SilentSink

        if name == LOUDSPEAKER and guard is None:  # no microphone, which PortAudio has opened too
            refresh_devices()
        sink: Sink = DeviceSink(sample_rate_hz) if name == LOUDSPEAKER else SilentSink()
        return sink if guard is None else GuardedSink(sink, guard, wall)

    return reopen


def build_last_resort(
    name: str, screen: Screen, voice: Voice, words: Words, resources: ExitStack
) -> LastResort | None:
    """The way to a wearer whose sound is lost; None if nobody listens to a loudspeaker."""
    if name != LOUDSPEAKER:
        return None
    from engine.devices.sound.last_resort import Player

    player = Player(voice, [words.status(key) for key in LAST_WORDS], screen.bell)
    resources.callback(player.close)
    return player


def build_audio(
    voice: Voice, next_id: Callable[[], int], observers: Observers, alerts: AlertPolicy | None
) -> Audio:
    """The scheduler, whose events go to the observers and back to the alert policy."""

    def ended(heard: Heard) -> None:
        observers.utterance_ended(heard)
        if alerts is not None:
            alerts.note_outcome(heard)

    return Audio(
        voice,
        next_id=next_id,
        on_started=observers.utterance_started,
        on_heard=ended,
        on_health=observers.report,
    )


@dataclass
class StartupSpeech:
    """The utterances played while the models loaded (the log starts later), and the time up to
    which the sink has been fed."""

    heard: list[Heard] = field(default_factory=list)
    fed_until_s: float | None = None


@contextmanager
def startup_speech(
    utterance: Utterance | None,
    last_words: str,
    voice: Voice,
    sink: Sink,
    clock: Clock,
    report: Callable[[Health], None],
) -> Iterator[StartupSpeech]:
    """Say `utterance`, then feed the sink silence, in a separate thread until the context ends.
    Loading takes seconds, and the wearer must know why it is silent. An error in the context ends
    with `last_words`. None, in a batch, says nothing."""
    startup = StartupSpeech()
    if utterance is None:
        yield startup
        return
    number = utterance.id
    audio = Audio(
        voice,
        next_id=lambda: number,
        on_started=lambda utterance, time_s: None,
        on_heard=lambda heard: startup.heard.append(heard),
        on_health=report,
    )
    audio.say(utterance)
    stop = threading.Event()

    def run() -> None:
        startup.fed_until_s = speak(audio, sink, clock, stop)

    thread = start_thread("starting", run)
    try:
        yield startup
    except Exception:
        audio.say(replace(utterance, text=last_words, priority=Priority.ALARM))
        until_s = time.monotonic() + JOIN_S
        while not audio.idle and time.monotonic() < until_s:
            time.sleep(audio.block_s)
        raise
    finally:
        stop.set()
        thread.join(timeout=JOIN_S)
