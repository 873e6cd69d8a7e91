"""What a session says, loads and shows while it opens."""

import gc
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine import __version__
from engine.app.builders.audio import StartupSpeech, startup_speech
from engine.app.builders.models import Models, build_models, fit_note
from engine.app.builders.sources import source_kind, still
from engine.app.loading import Part
from engine.app.notifier import Notifier
from engine.app.observers import Observers
from engine.app.subsystems import Session
from engine.app.supervisor import RESTARTED
from engine.audio.earcons import prepare
from engine.config import Config
from engine.core.errors import EngineError, OutOfMemory
from engine.core.later import Later
from engine.core.ports import Sink, Voice
from engine.core.priority import Priority
from engine.core.report import Health, ModelCard
from engine.core.utterance import Utterance
from engine.language.wording import StatusKey, Words
from engine.listening.ear import Ear
from engine.recording.session_log import SessionLog

READY_S = 1.0  # to say "Ready."


@dataclass(frozen=True)
class FirstScreen:
    """The names on the first screen."""

    source: str
    sink: str
    asking: str
    view: str


def report_unnamed(words: Words, labels: Sequence[str], report: Callable[[Health], None]) -> None:
    """Report once which of the detector's labels the language has no word for."""
    if unnamed := words.unnamed(labels):
        detail = f"templates/{words.language}/things.json has no word for {', '.join(unnamed)}"
        report(Health("language", detail, f'say "{words.label("obstacle")}" instead'))


def announce_full_disk(log: SessionLog, notifier: Notifier) -> None:
    """Also say the first time that the log cannot be written."""
    shown = log.on_full

    def announce(line: str) -> None:
        shown(line)
        log.on_full = shown
        notifier.announce("not_recorded")

    log.on_full = announce


def load_models(
    config: Config,
    words: Words,
    voice: Voice,
    sink: Sink,
    observers: Observers,
    next_id: Callable[[], int],
) -> tuple[Models, StartupSpeech]:
    """Start the session's time and load the models that the first frame needs. In real time,
    "Starting." is said meanwhile, except with a still picture, whose answer would only come
    later."""
    observers.screen.loading()
    timeline = observers.timeline
    key: StatusKey = "restarted" if os.environ.get(RESTARTED) else "starting"
    starting = Utterance(next_id(), "status", words.status(key), Priority.STATUS, timeline.now())
    observers.log.start()
    observers.log.session(__version__, config.mode, config.language, source_kind(config), {})
    said = starting if config.source.realtime and not still(config) else None
    last_words = words.status("failed")
    with startup_speech(said, last_words, voice, sink, timeline, observers.report) as startup:
        prepare(voice.sample_rate_hz)
        models = build_models(config)
    return models, startup


def put_ear(ear: Later[Ear], build: Callable[[], Ear]) -> None:
    """Load the ear."""
    ear.put(build())


def load_rest(running: Session, models: Models, says_ready: bool) -> None:
    """Load the other parts in the background, and say when a question is answered in full."""
    observers, speaker = running.observers, running.answerer.speaker

    def loaded(name: str, card: ModelCard) -> None:
        models.cards[name] = card
        observers.log.loaded(models.cards)
        observers.screen.loaded(name, card, observers.log.elapsed_s())

    def failed(part: Part, error: EngineError) -> None:
        observers.report(Health(part.name, str(error), "goes on without it"))
        no_memory = isinstance(error, OutOfMemory) and part.name == "describer"
        speaker.explain_once("memory_low" if no_memory else part.failed, part.failed)

    def ready() -> None:
        gc.freeze()  # what was loaded stays, so the collector need not stop the frames to look at it
        if says_ready:  # with a file, this would only delay the answer
            running.notifier.announce("ready", Priority.READY)
            # a question that nobody waits for comes after it
            running.clocks.timeline.sleep(READY_S)

    def late(part: Part) -> None:
        observers.report(Health(part.name, "it has loaded after all", "uses it"))
        speaker.recovered(part.failed)
        if part.failed == "wake_failed":
            running.notifier.announce("wake_back")

    for part, error in models.lost:
        failed(part, error)
    running.loading.start(loaded, failed, ready, late)


def introduce(config: Config, running: Session, models: Models, names: FirstScreen) -> None:
    """Show the first screen, and name the models in the log."""
    log, screen = running.observers.log, running.observers.screen
    to_load = [part.name for part in models.parts]
    log.loaded(models.cards)
    screen.first(
        version=__version__,
        mode=config.mode,
        router=f"{running.answerer.router.name}, threshold {config.router.threshold:g}",
        source=names.source + (f" {config.source.path}" if config.source.path else ""),
        speech=f"{names.sink}, {config.speech.rate_wpm} words a minute, {config.language}",
        trigger=names.asking,
        models=models.cards,
        folder=log.folder,
        keys=running.keys.keyboard,
        view=names.view,
        still_loading=to_load,
        fit=fit_note(config, models.fit),
    )
