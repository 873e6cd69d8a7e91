"""Recording both tiers' outputs (`record=FILE`), and replaying them (`source=recorded`) with no model.

Nothing is heard and no alert is raised: pictures are looked at, described, told and scored. Bad input
is refused before any model loads.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

from engine import __version__
from engine.app.builders.answering import build_grounder, build_prompt, build_router
from engine.app.builders.audio import build_voice
from engine.app.builders.models import Models, build_models, check_models, peak_gpu_memory_mb
from engine.app.builders.perception import build_mount
from engine.app.builders.sources import build_source, related, source_kind
from engine.app.console import Screen
from engine.app.context import Work
from engine.config import Config
from engine.core.camera import Frame
from engine.core.clock import MonotonicClock, VirtualClock
from engine.core.errors import FrameSkipped, InputError
from engine.core.ports import Router, Source, Voice
from engine.core.preferences import Directions, Units
from engine.core.report import Health
from engine.evaluation import stored_outputs as records
from engine.evaluation.quality import QualityParts, judge_all
from engine.evaluation.recorder import Recorder
from engine.evaluation.replay import Replay
from engine.evaluation.scoring import Scorer
from engine.evaluation.stored_outputs import Header, Record
from engine.language.wording import Words
from engine.perception.localize import Localizer
from engine.recording.session_log import SessionLog


@contextmanager
def offline(config: Config, folder: Path, screen: Screen) -> Iterator[Work]:
    """Open a recording or a replay, and close it again. Raises SetupError before any model loads."""
    with ExitStack() as stack:
        opened = _replay if config.source.name == "recorded" else _recording
        yield opened(config, folder, screen, stack)


def _replay(config: Config, folder: Path, screen: Screen, stack: ExitStack) -> Work:
    path = Path(config.source.path or "").expanduser()
    header, found = records.read(path)
    _check_settings(config, header, path)
    wall = VirtualClock()
    trace = SessionLog(folder, timeline := VirtualClock(), wall)
    stack.callback(trace.close)
    labelled = any(record.truth is not None for record in found)
    scorer = _scorer(config, header.labels, header.hfov_deg) if labelled else None
    router = build_router(config)
    playback = Replay(router, config.mode, config.answer.beats, trace, wall, scorer)
    trace.session(__version__, config.mode, config.language, "recorded", header.models)
    _introduce(config, screen, router, header, folder, f"recorded {path}", "not heard")
    found = found[: config.source.max_frames]

    def run() -> None:
        screen.progress(len(found))
        for number, record in enumerate(found, start=1):
            trace.seen(number)
            timeline.move_to(record.time_s)
            trace.frame(record.seq, record.obstacles, _looked(record))
            playback.play(record)
            screen.advance()
        screen.stop_progress()

    return Work(run, lambda: trace.close(scorer.quality() if scorer else None))


def _recording(config: Config, folder: Path, screen: Screen, stack: ExitStack) -> Work:
    language = config.language
    words = Words(
        language, cast(Units, config.units), cast(Directions, config.directions), config.step_m
    )
    source = build_source(config, source_kind(config))
    stack.callback(source.close)
    with_describer = replace(config, mode="auto" if language == "en" else "quick")
    check_models(with_describer)
    router = build_router(config)
    trace = SessionLog(folder, timeline := VirtualClock(), virtual := VirtualClock())
    stack.callback(trace.close)
    writer = records.Writer(Path(config.record or "").expanduser())
    stack.callback(writer.close)
    voice = build_voice(config)
    stack.callback(voice.close)
    screen.loading()
    voice.synthesise(words.status("ready"))  # its first sentence costs a second
    models = build_models(with_describer)
    tiers = _tiers(config, models, words, router, voice)
    header = Header(
        records.VERSION,
        f"{config.source.name} {source.name}",
        language,
        cast(Units, config.units),
        cast(Directions, config.directions),
        config.source.hfov_deg,
        models.detector.labels,
        models.cards(),
    )
    scorer = None
    if config.source.name == "dataset":
        scorer = _scorer(config, header.labels, header.hfov_deg)
    playback = Replay(router, config.mode, config.answer.beats, trace, virtual, scorer)
    trace.session(__version__, config.mode, language, config.source.name, models.cards())
    shown = f"{config.source.name} {config.source.path or ''}"
    _introduce(config, screen, router, header, folder, shown, f"not heard; to {writer.path}")
    writer.begin(header)

    def run() -> None:
        kept: list[Record] = []
        screen.progress(config.source.max_frames or len(source))
        try:
            for frame in _frames(source, config.source.max_frames, trace):
                kept.append(tiers.measure(frame, source))
                writer.add(kept[-1])
                timeline.move_to(frame.time_s)
                trace.frame(frame.seq, kept[-1].obstacles, _looked(kept[-1]))
                playback.play(kept[-1])
                screen.advance()
            # not reached where it was cut off: what there is stays .part, which no replay takes for whole
            writer.finish(_judged(kept, header))
        finally:
            screen.stop_progress()

    return Work(
        run,
        lambda: trace.close(scorer.quality() if scorer else None, peak_gpu_memory_mb()),
    )


def _tiers(config: Config, models: Models, words: Words, router: Router, voice: Voice) -> Recorder:
    return Recorder(
        detector=models.detector,
        scenes=models.scenes,
        describer=models.describer,
        locator=Localizer(config.source.hfov_deg, build_mount(config)),
        words=words,
        router=router,
        voice=voice,
        wall=MonotonicClock(),
        related=related(config),
        grounder=build_grounder(config, models),
        prompt=build_prompt(config, models, words),
    )


def _frames(source: Source, most: int | None, trace: SessionLog) -> Iterator[Frame]:
    """The source's frames; one that is broken is reported and passed over."""
    seen = 0
    while seen != most:
        try:
            frame = source.read()
        except FrameSkipped as error:
            trace.health(Health("frame", str(error), "skipped it"))
            continue
        if frame is None:
            return
        seen += 1
        trace.seen(seen)
        yield frame


def _scorer(config: Config, labels: tuple[str, ...], hfov_deg: float) -> Scorer:
    return Scorer(labels, config.language, hfov_deg, config.quality)


def _looked(record: Record) -> dict[str, float]:
    return {"detect": record.detect_ms, "locate": record.locate_ms}


def _judged(
    kept: list[Record], header: Header
) -> list[tuple[QualityParts | None, QualityParts | None]]:
    """The parts of both tiers' answers, None where a picture has no labels."""
    found: list[tuple[QualityParts | None, QualityParts | None]] = [(None, None)] * len(kept)
    labelled = [(index, item.truth) for index, item in enumerate(kept) if item.truth is not None]

    def parts_of(texts: list[str]) -> list[QualityParts]:
        answers = [
            (truth, kept[index].width, kept[index].height, texts[index])
            for index, truth in labelled
        ]
        return judge_all(answers, header.labels, header.language, header.hfov_deg)

    quicks = parts_of([item.quick.text for item in kept])
    fulls = parts_of([item.full.text for item in kept])
    for (index, _), quick, full in zip(labelled, quicks, fulls, strict=True):
        found[index] = (quick, full)
    return found


def _check_settings(config: Config, header: Header, path: Path) -> None:
    """Raise InputError where words would have come out otherwise than they were recorded."""
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
    router: Router,
    header: Header,
    folder: Path,
    source: str,
    speech: str,
) -> None:
    screen.first(
        version=__version__,
        mode=config.mode,
        router=f"{router.name}, threshold {config.router.threshold:g}",
        source=source,
        speech=speech,
        trigger="every picture",
        models=header.models,
        folder=folder,
        keys=False,
    )
