"""Builds the ways to ask: trigger, media keys, wake word, spoken commands."""

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

from engine.config import Config, WakeConfig
from engine.core.answer import Control, Wish
from engine.core.errors import ConfigError, MissingPart
from engine.core.ports import AudioSource, Clock, Hears, Source, WakeEngine
from engine.core.report import Health
from engine.core.threads import unless_running
from engine.core.triggers import Every, Interval, Once, OnDemand, Trigger
from engine.devices.input.keyboard import standard_input
from engine.devices.input.media_keys import MediaKeys, find_media_keys
from engine.language.commands import REQUESTS, CommandGrammar, command_grammar
from engine.language.pack import sayable
from engine.language.wording import Words
from engine.listening.command_listener import CommandListener
from engine.listening.ear import Ear
from engine.listening.echo_guard import EchoGuard

# Late enough that the sample's obstacles have been announced.
SAMPLE_ASKS_AT_S = 2.0


def build_trigger(
    config: Config, kind: str, live: bool, hears: bool = False
) -> tuple[Trigger, bool]:
    """The trigger for a source of this kind, and whether the keyboard is used too. `hears`: whether
    there is a wake word."""
    settings = config.trigger
    name = settings.name
    at_s = settings.at_s
    terminal = sys.stdin is not None and sys.stdin.isatty()
    if name == "auto":
        if hears:
            name = "wake"
        elif live:
            name = "keyboard" if terminal else "interval"
        else:
            names = {"sample": "once", "image": "once", "folder": "every", "dataset": "every"}
            name = names.get(kind, "interval")
            if kind == "sample" and at_s == 0.0:
                at_s = SAMPLE_ASKS_AT_S
    triggers: dict[str, Callable[[], Trigger]] = {
        "once": lambda: Once(at_s),
        "interval": lambda: Interval(settings.interval_s),
        "every": Every,
        "keyboard": lambda: OnDemand("keyboard"),
        "wake": lambda: OnDemand("wake"),
    }
    return triggers[name](), name == "keyboard" or (terminal and config.source.realtime)


def build_media_keys(config: Config, report: Callable[[Health], None]) -> MediaKeys | None:
    """A headset's buttons, if `trigger.media_keys` is set. Raises MissingPart."""
    return MediaKeys(find_media_keys(), report) if config.trigger.media_keys else None


def build_wish(config: Config, grammar: CommandGrammar) -> tuple[Wish, str | None]:
    """What `trigger.ask` asks for: the wish and its target, as in a `Request`. Raises ConfigError
    for anything else than a request."""
    text = config.trigger.ask
    command = grammar.typed(text)
    if command is None or command.name in get_args(Control):
        requests = ", ".join(REQUESTS)
        raise ConfigError(f"trigger.ask: expected {requests} or 'where is NAME', got {text!r}")
    return cast(Wish, command.name), command.target


@dataclass(frozen=True)
class Listening:
    """The parts of the ear that are opened before any model loads, since they may be refused: the
    sound and the wake engine."""

    source: AudioSource
    wake: WakeEngine

    def close(self) -> None:
        self.source.close()
        self.wake.close()


@dataclass(frozen=True)
class Asking:
    """The ways to ask, opened before any model loads. `keyboard`: whether keys are used too."""

    listening: Listening | None
    trigger: Trigger
    keyboard: bool
    media_keys: MediaKeys | None


def build_asking(
    config: Config,
    kind: str,
    source: Source,
    wall: Clock,
    report: Callable[[Health], None],
    resources: ExitStack,
) -> Asking:
    """The ways to ask by the settings, for a source of this kind. Raises InputError, MissingPart
    and ConfigError, before any model loads."""
    build_wish(config, command_grammar(config.language, {}))
    listening = build_listening(config, source, wall)
    if listening is not None:
        resources.callback(unless_running("ear", listening.close))
    trigger, keyboard = build_trigger(config, kind, source.live, listening is not None)
    if keyboard:
        standard_input()
    return Asking(listening, trigger, keyboard, build_media_keys(config, report))


def build_listening(config: Config, source: Source, clock: Clock) -> Listening | None:
    """The sound and the wake engine, or None if there is no ear.

    They are built for trigger=wake. They are also built for trigger=auto with a live camera or a
    recording to hear, if there is a microphone. Glasses use their own microphones. Raises
    InputError, MissingPart and ConfigError.
    """
    settings = config.trigger.wake
    auto = config.trigger.name == "auto" and config.source.realtime
    if config.trigger.name != "wake" and not (auto and (source.live or settings.path)):
        return None
    if settings.command_s and sayable(config.language).recogniser:
        from engine.devices.sound.recogniser import require_pocketsphinx

        require_pocketsphinx()
    try:
        sound = _build_audio_source(settings, source, clock)
    except MissingPart:
        if auto:
            return None
        raise
    try:
        return Listening(sound, _build_wake_engine(settings))
    except Exception:
        sound.close()
        raise


def _build_audio_source(settings: WakeConfig, source: Source, clock: Clock) -> AudioSource:
    """The configured file, else the glasses' own microphones, else this machine's."""
    if settings.path is not None:
        from engine.devices.sound.recording import Recording, read_pcm

        return Recording(read_pcm(Path(os.path.expanduser(settings.path))), clock)
    blocks = source.microphone() if isinstance(source, Hears) else None
    if blocks is not None:
        from engine.devices.aria.microphone import GlassesMicrophone

        return GlassesMicrophone(blocks, source.live, clock)
    from engine.devices.sound.microphone import Microphone

    return Microphone(clock)


def _build_wake_engine(settings: WakeConfig) -> WakeEngine:
    """`auto` is microWakeWord, or Porcupine for phrases that only Porcupine knows."""
    from engine.devices.sound.microwakeword import DELAY_S, MicroWakeWord
    from engine.devices.sound.porcupine import KEY, Porcupine

    phrase = None if settings.phrase is None else " ".join(settings.phrase.lower().split())
    is_custom = settings.keyword_path is not None or (phrase is not None and phrase not in DELAY_S)
    name = settings.engine
    if name == "auto":
        name = "porcupine" if is_custom and os.environ.get(KEY) else "microwakeword"
    if name == "porcupine":
        path = settings.keyword_path
        return Porcupine(
            phrase or "porcupine",
            settings.sensitivity,
            None if path is None else Path(os.path.expanduser(path)),
        )
    if is_custom:
        what = "keyword_path" if settings.keyword_path is not None else "phrase"
        got = settings.keyword_path or settings.phrase
        raise ConfigError(
            f"trigger.wake.{what}: without a key, expected one of {', '.join(DELAY_S)}, got {got!r}; "
            f"other words need trigger.wake.engine=porcupine and a key in {KEY} "
            "(console.picovoice.ai)"
        )
    return MicroWakeWord(phrase or "okay nabu", settings.sensitivity)


def label_names(words: Words, labels: tuple[str, ...]) -> dict[str, str]:
    """Every name by which the wearer can ask for a label of the detector: name → label."""
    names = {label.replace("_", " "): label for label in labels}
    for label in labels:
        for count in (1, 2):
            name = words.label(label, count)
            if name != words.label("obstacle", count):
                names.setdefault(name, label)
    return names


def build_grammar(config: Config, words: Words, labels: tuple[str, ...]) -> CommandGrammar:
    """The commands of the session's language, over the detector's labels. Raises MissingPart."""
    return command_grammar(config.language, label_names(words, labels))


def build_commands(
    config: Config, grammar: CommandGrammar, guard: EchoGuard
) -> CommandListener | None:
    """The listener for spoken commands; None if no package ships a model of the language, so that
    commands are given by key only."""
    model = sayable(config.language).recogniser
    command_s = config.trigger.wake.command_s
    if model is None or not command_s:
        return None
    from engine.devices.sound.recogniser import PocketSphinx

    return CommandListener(PocketSphinx(grammar, model), grammar, guard, command_s)


def build_ear(
    config: Config,
    listening: Listening,
    guard: EchoGuard,
    grammar: CommandGrammar,
    wall: Clock,
    report: Callable[[Health], None],
) -> Ear:
    """The ear over the opened sound, with the commands of `grammar`."""
    return Ear(
        listening.source,
        listening.wake,
        guard,
        build_commands(config, grammar, guard),
        wall,
        report,
        config.trigger.wake.refractory_s,
    )


def describe_asking(config: Config, listening: Listening | None, trigger: str) -> str:
    """The line on the first screen that says how to ask."""
    if listening is None:
        return trigger
    commands = "spoken commands"
    if not config.trigger.wake.command_s:
        commands = "no spoken commands"
    elif sayable(config.language).recogniser is None:
        commands = "commands by key only: no recogniser here ships a model of this language"
    wake = listening.wake
    return f'say "{wake.phrase}" ({wake.name}, {listening.source.name}); {commands}'
