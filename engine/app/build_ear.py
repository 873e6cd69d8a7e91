"""What `engine.app.build` chooses for the ear: sound, wake engine, recogniser, buttons."""

import os
from dataclasses import dataclass
from pathlib import Path

from engine.app.context import Parts
from engine.config import Config, WakeConfig
from engine.core.errors import ConfigError, MissingPart
from engine.core.ports import AudioSource, Clock, Hears, Recogniser, Source, WakeEngine
from engine.language.commands import Grammar
from engine.language.wording import Words
from engine.listening.ear import Ear, EchoGuard


@dataclass(frozen=True)
class Listening:
    """What can be refused before any model loads: the sound is open, and the wake engine loaded."""

    source: AudioSource
    wake: WakeEngine

    def close(self) -> None:
        self.source.close()
        self.wake.close()


def build_listening(config: Config, source: Source, clock: Clock) -> Listening | None:
    """The sound and the wake engine for trigger=wake; with trigger=auto at a live camera (or a
    recording to hear) too, where a microphone is; None where nothing is to be heard. Glasses are heard
    by their own microphone. Raises
    InputError, MissingPart and ConfigError."""
    settings = config.trigger.wake
    auto = config.trigger.name == "auto" and config.source.realtime
    if config.trigger.name != "wake" and not (auto and (source.live or settings.path)):
        return None
    if config.language == "en" and settings.command_s:
        from engine.devices.sound.recogniser import require_pocketsphinx

        require_pocketsphinx()
    try:
        sound = _sound(settings, source, clock)
    except MissingPart:
        if auto:
            return None
        raise
    try:
        return Listening(sound, _wake_engine(settings))
    except Exception:
        sound.close()
        raise


def _sound(settings: WakeConfig, source: Source, clock: Clock) -> AudioSource:
    """A file that was named, else the glasses' own microphones, else this machine's."""
    if settings.path is not None:
        from engine.devices.sound.recording import Recording, read_pcm

        return Recording(read_pcm(Path(os.path.expanduser(settings.path))), clock)
    blocks = source.microphone() if isinstance(source, Hears) else None
    if blocks is not None:
        from engine.devices.aria.microphone import GlassesEar

        return GlassesEar(blocks, source.live, clock)
    from engine.devices.sound.microphone import Microphone

    return Microphone(clock)


def _wake_engine(settings: WakeConfig) -> WakeEngine:
    """`auto` is microWakeWord, and Porcupine for what only that can hear."""
    from engine.devices.sound.microwakeword import DELAY_S, MicroWakeWord
    from engine.devices.sound.porcupine import KEY, Porcupine

    phrase = None if settings.phrase is None else " ".join(settings.phrase.lower().split())
    others = settings.keyword_path is not None or (phrase is not None and phrase not in DELAY_S)
    name = settings.engine
    if name == "auto":
        name = "porcupine" if others and os.environ.get(KEY) else "microwakeword"
    if name == "porcupine":
        path = settings.keyword_path
        return Porcupine(
            phrase or "porcupine",
            settings.sensitivity,
            None if path is None else Path(os.path.expanduser(path)),
        )
    if others:
        what = "keyword_path" if settings.keyword_path is not None else "phrase"
        got = settings.keyword_path or settings.phrase
        raise ConfigError(
            f"trigger.wake.{what}: without a key, expected one of {', '.join(DELAY_S)}, got {got!r}; "
            f"other words need trigger.wake.engine=porcupine and a key in {KEY} "
            "(console.picovoice.ai)"
        )
    return MicroWakeWord(phrase or "okay nabu", settings.sensitivity)


def things(words: Words, labels: tuple[str, ...]) -> dict[str, str]:
    """Every name under which the detector's things can be asked for, with its label."""
    names = {label.replace("_", " "): label for label in labels}
    for label in labels:
        for count in (1, 2):
            name = words.label(label, count)
            if name != words.label("obstacle", count):
                names.setdefault(name, label)
    return names


def build_recogniser(config: Config, grammar: Grammar) -> Recogniser | None:
    """None where no model for the language ships in a package: keys only."""
    if config.language != "en" or not config.trigger.wake.command_s:
        return None
    from engine.devices.sound.recogniser import PocketSphinx

    return PocketSphinx(grammar)


def build_ear(config: Config, parts: Parts, listening: Listening, guard: EchoGuard) -> Ear:
    """The ear over what has been opened, with the commands that the detector's things allow."""
    settings = config.trigger.wake
    return Ear(
        listening.source,
        listening.wake,
        guard,
        build_recogniser(config, parts.grammar),
        parts.grammar,
        parts.wall,
        parts.report,
        refractory_s=settings.refractory_s,
        command_s=settings.command_s,
    )


def introduce(config: Config, listening: Listening | None, asks: str) -> str:
    """What the first screen says of how to ask."""
    if listening is None:
        return asks
    commands = "spoken commands"
    if not config.trigger.wake.command_s:
        commands = "no spoken commands"
    elif config.language != "en":
        commands = "commands by key only: no recogniser here ships a model of this language"
    wake = listening.wake
    return f'say "{wake.phrase}" ({wake.name}, {listening.source.name}); {commands}'
