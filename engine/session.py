"""One session, from its settings to the parts that the loops run, and closed again whole.

Order matters. Whatever can be refused is refused first (sources, sinks, packs), then models load, so
that bad input never waits for weights. Chooses nothing: `engine.build` does.
"""

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import cast

from engine import __version__, build
from engine.alerts import Warner
from engine.answer import Answerer
from engine.audio import Audio
from engine.clock import MonotonicClock, VirtualClock
from engine.config import Config
from engine.earcons import prepare
from engine.locate import Locator
from engine.parts import Parts
from engine.ports import Clock, View, Voice
from engine.reading import Reading
from engine.screen import Screen
from engine.scribe import Scribe
from engine.trace import Trace
from engine.types import Detail, Directions, Health, Heard, ModelCard, Units, Utterance
from engine.view import NoView
from engine.wording import Words


class Witness:
    """Tells the log, the screen, the view and the warner what has happened."""

    def __init__(self, trace: Trace, screen: Screen, timeline: Clock) -> None:
        self._trace = trace
        self._screen = screen
        self._timeline = timeline
        self.view: View = NoView()
        self.warner: Warner | None = None

    def log(self, health: Health) -> None:
        """What the view itself may report: it is not told of its own trouble."""
        self._trace.health(health)
        self._screen.health(health)

    def report(self, health: Health) -> None:
        self.log(health)
        self.view.show(health, self._timeline.now())

    def started(self, utterance: Utterance, time_s: float) -> None:
        self._trace.started(utterance, time_s)
        self._screen.heard(utterance, self._trace.elapsed_s())

    def heard(self, fate: Heard) -> None:
        self._trace.heard(fate)
        self.view.show(fate, self._timeline.now() if fate.started_s is None else fate.started_s)
        if self.warner is not None:
            self.warner.learn(fate)


@contextmanager
def session(config: Config, folder: Path, screen: Screen) -> Iterator[Parts]:
    """Build everything, and close everything again: a multirun runs every job in one process.

    Raises SetupError before any model loads for what cannot be used.
    """
    build.refuse_what_is_not_here(config)
    with ExitStack() as stack:
        wall = MonotonicClock()
        timeline: Clock = wall if config.source.realtime else VirtualClock()
        words = _words(config)
        kind = build.source_kind(config)
        source = build.build_source(config, kind)
        stack.callback(source.close)
        build.check_models(config)
        trace = Trace(folder, timeline, wall)
        stack.callback(trace.close)
        witness = Witness(trace, screen, timeline)
        view, viewing = build.build_view(config, trace, witness.log)
        stack.callback(view.close)
        witness.view = view
        trace.on_answered = lambda answered: view.show(answered, timeline.now())
        voice = build.build_voice(config)
        stack.callback(voice.close)
        sink, speech = build.build_sink(config, folder, voice.sample_rate_hz)
        stack.callback(sink.close)
        trigger, keys = build.build_trigger(config, kind, source.live)

        screen.loading()
        models = _load(config, voice, words)
        next_id = itertools.count(1).__next__
        if config.obstacles.enabled:
            witness.warner = Warner(
                words, config.speech.rate_wpm, next_id, config.obstacles.heartbeat_s
            )
        audio = Audio(
            voice,
            next_id=next_id,
            on_started=witness.started,
            on_heard=witness.heard,
            on_health=witness.report,
        )
        scribe = build.build_scribe(config, models, wall)
        if scribe is not None:
            stack.callback(scribe.close)
        reading = build.build_reading(config, wall)
        stack.callback(reading.close)
        parts = Parts(
            source=source,
            detector=models.detector,
            locator=Locator(config.source.hfov_deg, build.build_mount(config)),
            warner=witness.warner,
            answerer=_answerer(
                config, models, scribe, reading, words, audio, witness, next_id, timeline, wall
            ),
            words=words,
            audio=audio,
            sink=sink,
            trace=trace,
            screen=screen,
            trigger=trigger,
            listen_to_keys=keys,
            next_id=next_id,
            timeline=timeline,
            wall=wall,
            max_frames=config.source.max_frames,
            report=witness.report,
            view=view,
        )
        _introduce(config, parts, models.cards(), kind, speech, viewing)
        yield parts


def _words(config: Config) -> Words:
    return Words(
        config.language,
        cast(Units, config.units),
        cast(Directions, config.directions),
        config.step_m,
    )


def _load(config: Config, voice: Voice, words: Words) -> build.Models:
    """The models; earcons and the voice warm up beside them."""
    prepare(voice.sample_rate_hz)
    with ThreadPoolExecutor(1) as pool:
        warm = pool.submit(voice.synthesise, words.status("ready"))
        models = build.build_models(config)
        warm.result()
    return models


def _answerer(
    config: Config,
    models: build.Models,
    scribe: Scribe | None,
    reading: Reading,
    words: Words,
    audio: Audio,
    witness: Witness,
    next_id: Callable[[], int],
    timeline: Clock,
    wall: Clock,
) -> Answerer:
    return Answerer(
        mode=config.mode,
        scenes=models.scenes,
        router=build.build_router(config),
        scribe=scribe,
        words=words,
        say=audio.say,
        report=witness.report,
        next_id=next_id,
        timeline=timeline,
        wall=wall,
        beats=config.answer.beats,
        deadline_s=config.answer.deadline_s if config.source.realtime else None,
        detail=cast(Detail, config.answer.detail),
        grounder=build.build_grounder(config, models),
        reading=reading,
        signs=config.answer.signs,
        prompt=build.build_prompt(config, models, words),
    )


def _introduce(
    config: Config,
    parts: Parts,
    cards: dict[str, ModelCard],
    kind: str,
    speech: str,
    viewing: str,
) -> None:
    """The log's first record and the first screen."""
    parts.trace.session(__version__, config.mode, config.language, kind, cards)
    parts.screen.first(
        version=__version__,
        mode=config.mode,
        router=f"{parts.answerer.router.name}, threshold {config.router.threshold:g}",
        source=kind + (f" {config.source.path}" if config.source.path else ""),
        speech=f"{speech}, {config.speech.rate_wpm} words a minute, {config.language}",
        trigger=parts.trigger.name,
        models=cards,
        folder=parts.trace.folder,
        keys=parts.listen_to_keys,
        view=viewing,
    )
