"""Opens a session from its settings, and closes it again.

The order matters: sources, sinks and packs are checked before any model loads, so that bad input is
reported at once. Then comes what the wearer needs first: the voice, the camera and the detector, and
the rest in the background (engine.app.loading). The builders choose the classes.
"""

import itertools
from collections.abc import Collection, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from engine.answering.speaker import Speaker
from engine.app.builders.answering import (
    build_answerer,
    build_ocr_worker,
    build_plan,
    build_prompt,
    build_router,
    build_scorer,
    build_words,
)
from engine.app.builders.audio import (
    build_audio,
    build_last_resort,
    build_reopen_sink,
    build_sink,
    build_voice,
)
from engine.app.builders.inputs import (
    build_asking,
    build_ear,
    build_grammar,
    build_listening,
    build_wish,
    describe_asking,
)
from engine.app.builders.loops import build_batch, build_live
from engine.app.builders.models import (
    check_models,
    peak_gpu_memory_mb,
)
from engine.app.builders.perception import build_alerts, build_perception, reload_perception
from engine.app.builders.recording import build_observers
from engine.app.builders.sources import (
    build_reopen_source,
    build_source,
    related,
    resolve_source,
    source_kind,
    still,
    stream_counts,
)
from engine.app.console import Screen
from engine.app.loading import Loading, Part
from engine.app.model_notes import model_notes
from engine.app.notifier import Notifier
from engine.app.opening import (
    FirstScreen,
    announce_full_disk,
    introduce,
    load_models,
    load_rest,
    put_ear,
    report_unnamed,
)
from engine.app.settings_check import check
from engine.app.subsystems import Clocks, FrameFeed, KeyInputs, Session, Speech, Work
from engine.app.wearer_memory import STORED, WearerMemory, state_file
from engine.audio.scheduler import VOLUME_STEP_DB
from engine.config import Config
from engine.core.clock import MonotonicClock, VirtualClock
from engine.core.errors import MissingPart
from engine.core.later import Later
from engine.core.threads import share_heaps, unless_running
from engine.listening.ear import Ear
from engine.listening.echo_guard import EchoGuard, GuardedSink


@contextmanager
def work(
    config: Config, folder: Path, screen: Screen, typed: Collection[str] = ()
) -> Iterator[Work]:
    """Open a session, a recording or a replay, as the settings say. The settings in `typed` count
    more than those kept from the last session."""
    share_heaps()
    config = check(resolve_source(config))
    if config.record is not None or config.source.name == "recorded":
        from engine.app.offline import offline  # what it imports is of no use to a walk

        with offline(config, folder, screen) as opened:
            yield opened
        return
    memory = None
    if source_kind(config) not in STORED:
        memory = WearerMemory(state_file())
        config, kept = memory.applied(config, typed)
        if kept:
            screen.line(f"as in the last session: {', '.join(kept)}")
    with session(config, folder, screen) as running:
        running = _remembering(running, memory)
        scorer = build_scorer(config, running.perception.detector.labels)
        build_loop = build_live if config.source.realtime else build_batch
        loop = build_loop(running, scorer)

        def finish() -> dict[str, Any]:
            observers = running.observers
            running.loading.stop()
            observers.view.close()  # its last failure must still be logged
            if memory is not None:
                memory.close()
            quality = scorer.quality() if scorer else None
            counts = stream_counts(running.feed.source)
            return observers.log.close(quality, peak_gpu_memory_mb(), counts)

        yield Work(loop.run, finish, running.observers.log.unwritten)


def _remembering(running: Session, memory: WearerMemory | None) -> Session:
    """The session with the volume that the wearer had set."""
    if memory is not None:
        running.speech.audio.change_volume(round(memory.kept.volume_db / VOLUME_STEP_DB))
    return replace(running, memory=memory)


@contextmanager
def session(config: Config, folder: Path, screen: Screen) -> Iterator[Session]:
    """Build all subsystems, and close them in reverse order: a multirun runs all jobs in one
    process.

    Raises SetupError before any model loads.
    """
    with ExitStack() as stack:
        wall = MonotonicClock()
        clocks = Clocks(wall if config.source.realtime else VirtualClock(), wall)
        words = build_words(config)
        kind = source_kind(config)
        source = build_source(config, kind)
        stack.callback(unless_running("camera", source.close))
        check_models(config)
        router = build_router(config)
        observers, view_name = build_observers(config, folder, screen, clocks, stack)
        voice = stack.enter_context(closing(build_voice(config)))
        sink, sink_name = build_sink(
            config, folder, voice.sample_rate_hz, observers.log.unwritten.append
        )
        stack.callback(unless_running("speak", sink.close))
        asking = build_asking(config, kind, source, wall, observers.report, stack)

        next_id = itertools.count(1).__next__
        stack.enter_context(model_notes(observers.log.note))
        models, startup = load_models(config, words, voice, sink, observers, next_id)
        parts = list(models.parts)

        alerts = build_alerts(config, words, next_id)
        audio = build_audio(voice, next_id, observers, alerts)
        last_resort = build_last_resort(sink_name, observers.screen, voice, words, stack)
        notifier = Notifier(
            words, audio.say, observers.report, next_id, clocks.timeline, last_resort
        )
        announce_full_disk(observers.log, notifier)
        labels = models.detector.labels
        grammar = build_grammar(config, words, labels)
        ear = guard = None
        if asking.listening is not None:
            guard = EchoGuard(audio.sample_rate_hz)
            sink = GuardedSink(sink, guard, wall)
            ear = Later[Ear]("the wake word")
            build = partial(
                build_ear, config, asking.listening, guard, grammar, wall, observers.report
            )
            parts.append(Part("wake", partial(put_ear, ear, build), ear, "wake_failed"))

        def reopen_ear() -> Ear:
            listening = build_listening(config, source, wall)
            if listening is None or guard is None:
                raise MissingPart("trigger=wake: expected a microphone, got none; plug one in")
            return build_ear(config, listening, guard, grammar, wall, observers.report)

        loading = Loading(parts)
        plan = build_plan(config, router, words, labels, build_prompt(config, words))
        speaker = Speaker(words, audio.say, next_id, clocks.timeline)
        reader = stack.enter_context(closing(build_ocr_worker(config, loading, wall)))
        answerer = build_answerer(models, plan, speaker, reader, observers.report, wall, stack)
        perception = build_perception(config, models, source, wall, stack)
        running = Session(
            clocks,
            FrameFeed(
                source,
                asking.trigger,
                config.source.max_frames,
                related(config),
                *build_wish(config, grammar),
                build_reopen_source(config, kind, source),
                still(config),
            ),
            perception,
            alerts,
            answerer,
            Speech(
                audio,
                sink,
                next_id,
                startup.fed_until_s,
                build_reopen_sink(sink_name, voice.sample_rate_hz, guard, wall),
                partial(build_voice, config),
            ),
            KeyInputs(grammar, asking.keyboard, asking.media_keys),
            ear,
            observers,
            notifier,
            loading,
            partial(reload_perception, config, perception, source),
            None if ear is None else reopen_ear,
        )

        asking_line = describe_asking(config, asking.listening, asking.trigger.name)
        names = FirstScreen(kind, sink_name, asking_line, view_name)
        introduce(config, running, models, names)
        report_unnamed(words, labels, observers.report)
        for heard in startup.heard:
            observers.utterance_ended(heard)
        stack.callback(loading.close)
        load_rest(running, models, says_ready=source.live or kind == "sample")
        yield running
