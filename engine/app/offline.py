"""Records both tiers' outputs (`record=FILE`), and replays them (`source=recorded`) without models.

There is no sound and no alert: images are described, logged and scored. Bad input is refused before
any model loads.
"""

import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

from engine import __version__
from engine.app.builders.answering import (
    build_plan,
    build_prompt,
    build_router,
    build_scorer,
    build_words,
)
from engine.app.builders.audio import build_voice
from engine.app.builders.models import Models, build_models, check_models, peak_gpu_memory_mb
from engine.app.builders.perception import build_alerts, build_mount
from engine.app.builders.sources import build_source, related, source_kind
from engine.app.console import Screen
from engine.app.model_notes import model_notes
from engine.app.notifier import source_health
from engine.app.subsystems import Work
from engine.config import Config
from engine.core.camera import Frame
from engine.core.clock import MonotonicClock, VirtualClock
from engine.core.errors import FrameSkipped, InputError, SourceNotice
from engine.core.ports import Source, Voice
from engine.core.preferences import Directions, Units
from engine.evaluation import stored_outputs
from engine.evaluation.quality import QualityParts, judge_all
from engine.evaluation.recorder import Recorder
from engine.evaluation.replay import Replay
from engine.evaluation.scoring import Scorer
from engine.evaluation.stored_outputs import Header, Record
from engine.language.wording import Words
from engine.perception.localize import Localizer
from engine.perception.perceive import Perception
from engine.recording.session_log import SessionLog


@contextmanager
def offline(config: Config, folder: Path, screen: Screen) -> Iterator[Work]:
    """Open a recording or a replay, and close it. Raises SetupError before any model loads."""
    with ExitStack() as stack:
        opened = _replay if config.source.name == "recorded" else _recording
        yield opened(config, folder, screen, stack)


def _replay(config: Config, folder: Path, screen: Screen, stack: ExitStack) -> Work:
    path = Path(config.source.path or "").expanduser()
    words = build_words(config)
    header, records = stored_outputs.read(path)
    _check_settings(config, header, path)
    wall = VirtualClock()
    log = SessionLog(folder, timeline := VirtualClock(), wall)
    stack.callback(log.close)
    labelled = any(record.truth is not None for record in records)
    scorer = None
    if labelled:
        scorer = Scorer(header.labels, config.language, header.hfov_deg, config.quality)
    router = build_router(config)
    plan = build_plan(config, router, words, header.labels)
    replay = Replay(plan, log, wall, scorer)
    log.session(__version__, config.mode, config.language, "recorded", header.models)
    _introduce(config, screen, router.name, header, folder, f"recorded {path}", "not heard")
    records = records[: config.source.max_frames]

    def run() -> None:
        screen.progress(len(records))
        for number, record in enumerate(records, start=1):
            log.seen(number)
            timeline.move_to(record.time_s)
            log.frame(record.seq, record.obstacles, _obstacle_stages_ms(record))
            replay.play(record)
            screen.advance()
        screen.stop_progress()

    return Work(run, lambda: log.close(scorer.quality() if scorer else None), log.unwritten)


def _recording(config: Config, folder: Path, screen: Screen, stack: ExitStack) -> Work:
    words = build_words(config)
    source = build_source(config, source_kind(config))
    stack.callback(source.close)
    both_tiers = replace(config, mode="auto")
    check_models(both_tiers)
    router = build_router(config)
    log = SessionLog(folder, timeline := VirtualClock(), wall := VirtualClock())
    stack.callback(log.close)
    writer = stored_outputs.Writer(Path(config.record or "").expanduser())
    stack.callback(writer.close)
    voice = build_voice(config)
    stack.callback(voice.close)
    screen.loading()
    log.session(__version__, config.mode, config.language, config.source.name, {})
    stack.enter_context(model_notes(log.note))
    voice.synthesise(words.status("ready"))  # the first sentence takes a second longer
    models = build_models(both_tiers)
    for _, error in models.lost:  # a recording without one tier is of no use
        raise error
    recorder = _recorder(config, models, words, voice)
    header = _header(config, source, models)
    scorer = build_scorer(config, header.labels)
    plan = build_plan(config, router, words, header.labels)
    replay = Replay(plan, log, wall, scorer)
    log.loaded(header.models)
    shown = f"{config.source.name} {config.source.path or ''}"
    _introduce(config, screen, router.name, header, folder, shown, f"not heard; to {writer.path}")
    writer.begin(header)

    def run() -> None:
        records: list[Record] = []
        screen.progress(config.source.max_frames or len(source))
        try:
            for frame in _frames(source, config.source.max_frames, log):
                if not related(config):
                    recorder.reset()
                record = recorder.measure(frame, source)
                records.append(record)
                writer.add(record)
                timeline.move_to(frame.time_s)
                log.frame(frame.seq, record.obstacles, _obstacle_stages_ms(record))
                replay.play(record)
                screen.advance()
            # An interrupted run does not get here: its file stays .part, which no replay accepts.
            writer.finish(_quality_parts(records, header))
        finally:
            screen.stop_progress()

    return Work(
        run,
        lambda: log.close(scorer.quality() if scorer else None, peak_gpu_memory_mb()),
        log.unwritten,
    )


def _header(config: Config, source: Source, models: Models) -> Header:
    return Header(
        stored_outputs.VERSION,
        f"{config.source.name} {source.name}",
        config.language,
        cast(Units, config.units),
        cast(Directions, config.directions),
        config.source.hfov_deg,
        models.detector.labels,
        models.cards,
    )


def _recorder(config: Config, models: Models, words: Words, voice: Voice) -> Recorder:
    # The recorder times a separate router: a router may keep state, and the session's router must
    # decide once per image, as in a replay.
    timed_router = build_router(config)
    prompt = build_prompt(config, words)
    localizer = Localizer(config.source.hfov_deg, build_mount(config))
    wall = MonotonicClock()
    return Recorder(
        perception=Perception(models.detector, localizer, wall),
        scenes=models.scenes,
        describer=models.describer,
        plan=build_plan(config, timed_router, words, models.detector.labels, prompt),
        voice=voice,
        wall=wall,
        alerts=build_alerts(config, words, itertools.count(1).__next__),
    )


def _frames(source: Source, max_frames: int | None, log: SessionLog) -> Iterator[Frame]:
    """At most `max_frames` frames of the source; a broken one is reported and skipped."""
    seen = 0
    while seen != max_frames:
        try:
            frame = source.read()
        except (FrameSkipped, SourceNotice) as error:
            log.health(source_health(error))
            continue
        if frame is None:
            return
        seen += 1
        log.seen(seen)
        yield frame


def _obstacle_stages_ms(record: Record) -> dict[str, float]:
    return {"detect": record.detect_ms, "locate": record.locate_ms}


def _quality_parts(
    records: list[Record], header: Header
) -> list[tuple[QualityParts | None, QualityParts | None]]:
    """The quality of both tiers' answers, None for an image without labels."""
    found: list[tuple[QualityParts | None, QualityParts | None]] = [(None, None)] * len(records)
    labelled = [(index, item.truth) for index, item in enumerate(records) if item.truth is not None]

    def parts_of(texts: list[str]) -> list[QualityParts]:
        answers = [
            (truth, records[index].width, records[index].height, texts[index])
            for index, truth in labelled
        ]
        return judge_all(answers, header.labels, header.language, header.hfov_deg)

    quicks = parts_of([item.quick.text for item in records])
    fulls = parts_of([item.full.text for item in records])
    for (index, _), quick, full in zip(labelled, quicks, fulls, strict=True):
        found[index] = (quick, full)
    return found


def _check_settings(config: Config, header: Header, path: Path) -> None:
    """Raise InputError if the settings would give other words than those recorded."""
    for key in ("language", "units", "directions"):
        recorded, asked = getattr(header, key), getattr(config, key)
        if recorded != asked:
            raise InputError(
                f"{path}: expected {key}={recorded}, as it was recorded, got {asked}; "
                f"add {key}={recorded}, or record it again"
            )


def _introduce(
    config: Config,
    screen: Screen,
    router: str,
    header: Header,
    folder: Path,
    source: str,
    speech: str,
) -> None:
    """The first screen."""
    screen.first(
        version=__version__,
        mode=config.mode,
        router=f"{router}, threshold {config.router.threshold:g}",
        source=source,
        speech=speech,
        trigger="every picture",
        models=header.models,
        folder=folder,
        keys=False,
    )
