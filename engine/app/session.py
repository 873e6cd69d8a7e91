"""One session, from its settings to the parts that the loops run, and closed again whole.

Order matters. Whatever can be refused is refused first (sources, sinks, packs), then models load, so
that bad input never waits for weights. Chooses nothing: the builders do.
"""

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from engine import __version__
from engine.alerts.policy import AlertPolicy
from engine.answering.answerer import Answerer
from engine.answering.describer_worker import DescriberWorker
from engine.answering.ocr_worker import OcrWorker
from engine.answering.speaker import Speaker
from engine.app.builders import answering, inputs, perception, recording
from engine.app.builders import audio as audio_builder
from engine.app.builders.answering import build_scorer
from engine.app.builders.loops import build_loop
from engine.app.builders.models import Models, build_models, check_models, peak_gpu_memory_mb
from engine.app.builders.sources import build_source, resolve_source, source_kind, stream_counts
from engine.app.console import Screen
from engine.app.context import Parts, Work
from engine.app.offline import offline
from engine.audio.earcons import prepare
from engine.audio.scheduler import Audio, speak
from engine.config import Config, check
from engine.core.clock import MonotonicClock, VirtualClock
from engine.core.ports import Clock, Router, Sink, View, Voice
from engine.core.preferences import Directions, Units
from engine.core.priority import Priority
from engine.core.report import Health, ModelCard
from engine.core.utterance import Heard, Utterance
from engine.language.commands import command_grammar
from engine.language.wording import Words
from engine.listening.ear import EchoGuard, Overheard
from engine.perception.depth_prior import BoxHistory
from engine.perception.localize import Localizer
from engine.perception.scene_cache import SceneCache
from engine.recording.session_log import SessionLog
from engine.recording.view_queue import NoView


class Witness:
    """Tells the log, the screen, the view and the warner what has happened."""

    def __init__(self, trace: SessionLog, screen: Screen, timeline: Clock) -> None:
        self._trace = trace
        self._screen = screen
        self._timeline = timeline
        self.view: View = NoView()
        self.warner: AlertPolicy | None = None

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
            self.warner.note_outcome(fate)


@contextmanager
def work(config: Config, folder: Path, screen: Screen) -> Iterator[Work]:
    """What the settings ask for, opened: a session that is heard, a recording, or a replay."""
    config = check(resolve_source(config))
    if config.record is not None or config.source.name == "recorded":
        with offline(config, folder, screen) as opened:
            yield opened
        return
    with session(config, folder, screen) as parts:
        scorer = build_scorer(config, parts.detector.labels)
        loop = build_loop(config, parts, scorer)

        def finish() -> dict[str, Any]:
            parts.view.close()  # what it could not show is still a record of the session
            quality = scorer.quality() if scorer else None
            counts = stream_counts(parts.source)
            return parts.trace.close(quality, peak_gpu_memory_mb(), counts)

        yield Work(loop.run, finish)


@contextmanager
def session(config: Config, folder: Path, screen: Screen) -> Iterator[Parts]:
    """Build everything, and close everything again: a multirun runs every job in one process.

    Raises SetupError before any model loads for what cannot be used.
    """
    with ExitStack() as stack:
        wall = MonotonicClock()
        timeline: Clock = wall if config.source.realtime else VirtualClock()
        words = _words(config)
        kind = source_kind(config)
        source = build_source(config, kind)
        stack.callback(source.close)
        check_models(config)
        router = answering.build_router(config)
        trace = SessionLog(folder, timeline, wall)
        stack.callback(trace.close)
        witness = Witness(trace, screen, timeline)
        view, viewing = recording.build_view(config, trace, witness.log)
        stack.callback(view.close)
        witness.view = view
        trace.on_answered = lambda answered: view.show(answered, timeline.now())
        voice = audio_builder.build_voice(config)
        stack.callback(voice.close)
        sink, speech = audio_builder.build_sink(config, folder, voice.sample_rate_hz)
        stack.callback(sink.close)
        listening = inputs.build_listening(config, source, wall)
        if listening is not None:
            stack.callback(listening.close)
        trigger, keys = inputs.build_trigger(config, kind, source.live, listening is not None)
        media_keys = inputs.build_media_keys(config, witness.report)

        next_id = itertools.count(1).__next__
        screen.loading()
        starting = Utterance(
            next_id(), "status", words.status("starting"), Priority.STATUS, timeline.now()
        )
        trace.start()
        with _said_meanwhile(starting, config, voice, sink, timeline, witness) as meanwhile:
            prepare(voice.sample_rate_hz)
            models = build_models(config)
        if config.obstacles.enabled:
            witness.warner = AlertPolicy(
                words, config.speech.rate_wpm, next_id, config.obstacles.heartbeat_s
            )
        audio = Audio(
            voice,
            next_id=next_id,
            on_started=witness.started,
            on_heard=witness.heard,
            on_health=witness.report,
        )
        models.scenes = SceneCache(models.scenes)
        mount = perception.build_mount(config)
        scribe = answering.build_describer_worker(config, models, wall)
        if scribe is not None:
            stack.callback(scribe.close)
        reading = answering.build_ocr_worker(config, wall)
        stack.callback(reading.close)
        depth = perception.build_depth_worker(config, models)
        if depth is not None:
            stack.callback(depth.close)
        memory = None if depth is None else BoxHistory()
        parts = Parts(
            source=source,
            detector=models.detector,
            locator=Localizer(config.source.hfov_deg, mount, memory),
            warner=witness.warner,
            answerer=_answerer(
                config,
                models,
                router,
                scribe,
                reading,
                words,
                audio,
                witness,
                next_id,
                timeline,
                wall,
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
            fed_until_s=meanwhile.fed_until_s,
            around=perception.build_side_cameras(config, source, mount),
            grammar=command_grammar(
                config.language, inputs.label_names(words, models.detector.labels)
            ),
            media_keys=media_keys,
            depth=depth,
        )
        if listening is not None:
            guard = EchoGuard(audio.sample_rate_hz)
            parts.sink = Overheard(sink, guard, wall)
            parts.ear = inputs.build_ear(
                config, listening, guard, parts.grammar, parts.wall, parts.report
            )
        asks = inputs.describe_asking(config, listening, trigger.name)
        _introduce(config, parts, models.cards(), kind, speech, asks, viewing)
        for fate in meanwhile.fates:
            witness.heard(fate)
        if source.live or kind == "sample":  # nobody waits at a file, whose answer this would delay
            parts.status("ready")
        yield parts


def _words(config: Config) -> Words:
    return Words(
        config.language,
        cast(Units, config.units),
        cast(Directions, config.directions),
        config.step_m,
    )


@dataclass
class Meanwhile:
    """What was heard while models loaded, for a log that had not begun, and until when."""

    fates: list[Heard] = field(default_factory=list)
    fed_until_s: float | None = None


@contextmanager
def _said_meanwhile(
    starting: Utterance, config: Config, voice: Voice, sink: Sink, clock: Clock, witness: Witness
) -> Iterator[Meanwhile]:
    """Loading takes seconds, and silence must have a reason: live, the wearer hears that the engine
    starts as soon as there is a voice."""
    meanwhile = Meanwhile()
    if not config.source.realtime:
        yield meanwhile
        return
    audio = Audio(
        voice,
        next_id=lambda: starting.id,
        on_started=lambda utterance, time_s: None,
        on_heard=meanwhile.fates.append,
        on_health=witness.report,
    )
    audio.say(starting)
    stop = threading.Event()

    def speaking() -> None:
        meanwhile.fed_until_s = speak(audio, sink, clock, stop)

    thread = threading.Thread(target=speaking, name="starting", daemon=True)
    thread.start()
    try:
        yield meanwhile
    finally:
        stop.set()
        thread.join(timeout=3.0)


def _answerer(
    config: Config,
    models: Models,
    router: Router,
    scribe: DescriberWorker | None,
    reading: OcrWorker,
    words: Words,
    audio: Audio,
    witness: Witness,
    next_id: Callable[[], int],
    timeline: Clock,
    wall: Clock,
) -> Answerer:
    prompt = answering.build_prompt(config, models, words)
    return Answerer(
        plan=answering.build_plan(config, router, words, models.detector.labels, prompt),
        scenes=models.scenes,
        speaker=Speaker(words, audio.say, next_id, timeline),
        report=witness.report,
        wall=wall,
        describer=scribe,
        reader=reading,
    )


def _introduce(
    config: Config,
    parts: Parts,
    cards: dict[str, ModelCard],
    kind: str,
    speech: str,
    asks: str,
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
        trigger=asks,
        models=cards,
        folder=parts.trace.folder,
        keys=parts.listen_to_keys,
        view=viewing,
    )
