"""Settings to objects: the only place that chooses. `engine.app.session` puts together what it gives."""

import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from engine.answering.describer_worker import DescriberWorker
from engine.answering.grounding import Grounder
from engine.answering.ocr_worker import OcrWorker
from engine.app.batch import Batch
from engine.app.context import Parts
from engine.app.live import Live
from engine.config import Config, SourceConfig
from engine.core.clock import VirtualClock
from engine.core.errors import ConfigError
from engine.core.ports import (
    Clock,
    Counting,
    DepthModel,
    DepthWorker,
    Describer,
    Detector,
    LooksAside,
    Reader,
    Router,
    SceneClassifier,
    Sink,
    Source,
    View,
    Voice,
)
from engine.core.triggers import Every, Interval, Once, OnDemand, Trigger
from engine.core.types import Detail, Glance, Health, ModelCard, StreamCount, Unsupported
from engine.devices.input.media_keys import MediaKeys, find_media_keys
from engine.evaluation.scoring import Scorer
from engine.language.wording import MAX_GROUPS, Words
from engine.perception.camera import Mount
from engine.perception.depth_worker import InlineDepth, ThreadedDepth
from engine.perception.localize import Localizer
from engine.perception.side_cameras import SideCameras
from engine.recording.session_log import SessionLog
from engine.recording.view_queue import NoView, ViewQueue

UNRELATED = ("image", "folder", "dataset")  # sources whose pictures do not follow from one another
VIEW_PATIENCE_S = 30.0  # a viewer that takes nothing for this long is not coming back
READER_LOADS_AFTER_S = 6.0  # by then the first alerts are out, and often the first answer
SAMPLE_ASKS_AT_S = 2.0  # by then the obstacles of the sample have been announced


@dataclass
class Models:
    """The three tiers, loaded, and metric depth. `describer` is None where the mode never asks it,
    `depth` where it is off."""

    detector: Detector
    scenes: SceneClassifier
    describer: Describer | None
    depth: DepthModel | None = None

    def cards(self) -> dict[str, ModelCard]:
        """Tier → what serves it."""
        cards = {"detector": self.detector.card, "scenes": self.scenes.card}
        more = {"describer": self.describer, "depth": self.depth}
        return cards | {tier: model.card for tier, model in more.items() if model is not None}


def resolved(config: Config) -> Config:
    """`config` with `source=auto` and a path made the source that reads it: a recording (.jsonl), a
    dataset (a folder with a manifest), a folder, a picture, else a video."""
    if config.source.name != "auto" or not config.source.path:
        return config
    from engine.devices.video.dataset import MANIFEST
    from engine.devices.video.images import SUFFIXES

    path = Path(os.path.expanduser(config.source.path))
    if path.is_dir():
        name = "dataset" if (path / MANIFEST).is_file() else "folder"
    elif path.suffix.lower() == ".jsonl":
        name = "recorded"
    else:
        name = "image" if path.suffix.lower() in SUFFIXES else "video"
    realtime = config.source.realtime and name in ("image", "video")
    return replace(config, source=replace(config.source, name=name, realtime=realtime))


def source_kind(config: Config) -> str:
    """The source's name as the contract lists it; `auto` is the webcam where one opens."""
    if config.source.name != "auto":
        return config.source.name
    from engine.devices.video.webcam import webcam_present

    return "webcam" if webcam_present(config.source.index) else "sample"


def build_source(config: Config, name: str) -> Source:
    """Open the source of kind `name`. Raises InputError or MissingPart; loads no model."""
    settings = config.source
    path = Path(os.path.expanduser(settings.path or "."))  # leaves an unknown ~user as it stands
    if name == "sample":
        from engine.devices.video.sample import SampleSource

        return SampleSource(fps=settings.fps)
    if name == "webcam":
        from engine.devices.video.webcam import WebcamSource

        return WebcamSource(settings.index)
    if name == "video":
        from engine.devices.video.video import VideoSource

        return VideoSource(path)
    if name == "aria":
        return _glasses(settings)
    if name == "vrs":
        from engine.devices.aria.vrs import VrsSource

        return VrsSource(path, settings.side_cameras, settings.undistort)
    if name == "dataset":
        from engine.devices.video.dataset import DatasetSource

        return DatasetSource(path, settings.split, settings.fps)
    from engine.devices.video.images import FolderSource, ImageSource

    return (FolderSource if name == "folder" else ImageSource)(path, settings.fps)


def _glasses(settings: SourceConfig) -> Source:
    """Live glasses; `glasses=auto` is the generation that is plugged in, else Gen 1."""
    from engine.devices.aria.live import Link, LiveGlasses
    from engine.devices.aria.usb import plugged_in

    generation = settings.glasses
    if generation == "auto":
        generation = plugged_in() or "gen1"
    link: Link
    if generation == "gen2":
        from engine.devices.aria.gen2 import Gen2Link

        link = Gen2Link(settings.profile, settings.address, settings.side_cameras)
    else:
        from engine.devices.aria.gen1 import Gen1Link

        link = Gen1Link(settings.profile, settings.address, settings.side_cameras)
    return LiveGlasses(link, settings.side_cameras, settings.undistort, time.monotonic, time.sleep)


def build_trigger(
    config: Config, source: str, live: bool, hears: bool = False
) -> tuple[Trigger, bool]:
    """What asks at a source of this kind, and whether the keyboard is listened to; `hears`: there is
    an ear."""
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
            kinds = {"sample": "once", "image": "once", "folder": "every", "dataset": "every"}
            name = kinds.get(source, "interval")
            if source == "sample" and at_s == 0.0:
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
    """A headset's buttons, where they are asked for. Raises MissingPart."""
    return MediaKeys(find_media_keys(), report) if config.trigger.media_keys else None


def build_router(config: Config) -> Router:
    """`quick` and `full` always answer from one tier; `auto` asks the configured router. Raises
    MissingPart where that has not been trained."""
    from routers import Always

    if config.mode == "quick":
        return Always("quick", config.router.threshold)
    if config.mode == "full":
        return Always("full", config.router.threshold)
    return _router(config, config.router.name)


def _router(config: Config, name: str) -> Router:
    from routers import Budget, Conformal, Count, Learned, Random, Rules
    from routers.budget import share_of
    from routers.model import read_model

    settings = config.router
    if name == "budget":
        share = settings.share
        if settings.average_ms is not None:
            share = share_of(settings.average_ms, settings.quick_ms, settings.full_ms)
        return Budget(_router(config, settings.scorer), share, settings.threshold, settings.step)
    if name == "learned":
        return Learned(settings.threshold, read_model())
    if name == "conformal":
        return Conformal(
            read_model(),
            settings.risk,
            settings.confidence,
            MAX_GROUPS[cast(Detail, config.answer.detail)],
        )
    if name == "random":
        return Random(settings.threshold, settings.seed)
    return (Count if name == "count" else Rules)(settings.threshold)


def build_sink(config: Config, folder: Path, sample_rate_hz: int) -> tuple[Sink, str]:
    """Where sound goes, and how the first screen says it."""
    from engine.devices.sound.loudspeaker import DeviceSink, find_device_sink
    from engine.devices.sound.wav import SilentSink, WavSink

    kind = config.speech.sink
    why = ""
    if kind == "auto" and config.source.realtime:
        sink, why = find_device_sink(sample_rate_hz)
        if sink is not None:
            return sink, "loudspeaker"
    if kind == "device":
        return DeviceSink(sample_rate_hz), "loudspeaker"
    if kind == "silent":
        return SilentSink(), "silent"
    wav = folder / "audio.wav"
    return WavSink(wav, sample_rate_hz), f"{wav.name}{f' ({why})' if why else ''}"


def build_models(config: Config) -> Models:
    """Load the tiers that the mode asks for."""
    from models import import_libraries
    from models.detector import open_detector
    from models.scenes import open_scenes

    pack, device, backend = config.models.pack, config.models.device, config.models.backend
    import_libraries()
    with ThreadPoolExecutor(1) as pool:
        # One core watches, the other answers: neither starves the other where there are two.
        watching = pool.submit(open_detector, pack, device, backend, threads=1)
        scenes = open_scenes(pack, device, backend)
        describer = None
        if config.mode != "quick":
            describer = build_describer(config)
        return Models(watching.result(), scenes, describer, build_depth_model(config))


def build_describer(config: Config) -> Describer:
    """The describer, or where it finds no memory what says so when asked. Raises MissingPart and
    ConfigError."""
    from models.describer import open_describer
    from models.fastvlm.selection import DescriberOptions

    models, asked = config.models, config.models.describer
    return open_describer(
        models.pack,
        models.device,
        models.backend,
        max_new_tokens=asked.max_new_tokens,
        image_size=asked.image_size,
        language=config.language,
        path=asked.path,
        options=DescriberOptions(
            asked.runtime, asked.precision, asked.encoder, asked.decoder, asked.provider
        ),
    )


def build_depth_model(config: Config) -> DepthModel | None:
    """The model of metric depth, on one CPU thread where obstacles are watched meanwhile."""
    if config.obstacles.depth == "off":
        return None
    from models.depth import open_depth

    threads = 1 if config.source.realtime else None
    models = config.models
    return open_depth(config.obstacles.depth, models.device, models.backend, threads)


def build_depths(config: Config, models: Models) -> DepthWorker | None:
    """Who measures depth: a thread beside the live loops, or the batch itself."""
    if models.depth is None:
        return None
    return ThreadedDepth(models.depth) if config.source.realtime else InlineDepth(models.depth)


def build_around(config: Config, source: Source, mount: Mount) -> SideCameras | None:
    """What looks at the side cameras of `source`, each with a detector of its own, since those track;
    None where none was asked for."""
    if not isinstance(source, LooksAside) or not source.aside:
        return None
    from models.detector import open_detector

    pack, device, backend = config.models.pack, config.models.device, config.models.backend
    return SideCameras(
        {
            label: (
                open_detector(pack, device, backend, threads=1),
                Localizer(config.source.hfov_deg, mount),
            )
            for label in source.aside
        }
    )


def stream_counts(source: Source) -> tuple[StreamCount, ...]:
    """What a source of several sensors received and lost; empty for others."""
    return source.counts() if isinstance(source, Counting) else ()


def build_mount(config: Config) -> Mount:
    """How the camera is worn."""
    settings = config.source
    return Mount(settings.camera_height_m, settings.pitch_deg, settings.pitch_sigma_deg)


def build_voice(config: Config) -> Voice:
    from engine.devices.sound.voice import Pyttsx3Voice

    return Pyttsx3Voice(config.language, config.speech.rate_wpm)


def build_scribe(config: Config, models: Models, wall: Clock) -> DescriberWorker | None:
    """The describer's thread; None where it does not speak the session's language, so that no answer
    mixes two."""
    if models.describer is None or config.language not in models.describer.card.languages:
        return None
    return DescriberWorker(models.describer, wall)


def build_reading(config: Config, wall: Clock) -> OcrWorker:
    """The reader's thread, which loads the reader."""

    def open_it() -> Reader:
        from models.reader import open_reader

        return open_reader(threads=1)

    return OcrWorker(open_it, wall, READER_LOADS_AFTER_S if config.source.realtime else None)


def build_grounder(config: Config, models: Models) -> Grounder:
    return Grounder(
        models.detector.labels, config.language, cast(Unsupported, config.answer.unsupported)
    )


def build_prompt(config: Config, models: Models, words: Words) -> Callable[[Glance], str] | None:
    """What the describer is asked, by scene; None for one that has learnt a single question. Raises
    MissingPart for a prompt without a file."""
    if models.describer is None or not models.describer.card.takes_prompts:
        return None
    names = config.answer.prompts

    def prompt(glance: Glance) -> str:
        scene = "" if glance.scene is None else glance.scene.label
        return words.prompt(names.get(scene, names.get("default", "hazards")), glance)

    return prompt


def build_view(
    config: Config, trace: SessionLog, report: Callable[[Health], None]
) -> tuple[View, str]:
    """What a sighted helper sees, and how the first screen says it. Raises MissingPart."""
    if config.view == "none":
        return NoView(), ""
    from engine.devices.view.rerun_view import FILE, RerunView, require_rerun

    require_rerun()
    # A batch leaves no picture out and waits for the recording; live, nothing waits.
    patience_s = 0.0 if config.source.realtime else VIEW_PATIENCE_S
    path = trace.folder / FILE
    view = ViewQueue(lambda: RerunView(path, trace.since), report, patience_s)
    return view, f"{FILE}; it stores the camera's pictures, because view=rerun asks for them"


def check_models(config: Config) -> None:
    """Raise MissingPart for a pack, file or backend that is not here, ConfigError for a picture size
    that the describer cannot take, before anything loads."""
    from models.packs import TIERS, check_packs

    asked = config.models.describer
    describes = config.mode != "quick"
    ours = describes and asked.path is None
    tiers = [tier for tier in TIERS if ours or tier != "describer"]
    check_packs(config.models.pack, config.models.backend, tiers)
    if config.obstacles.depth != "off":
        unrelated = not config.source.realtime and config.source.name in UNRELATED
        if unrelated or config.record is not None:
            where = f"source={config.source.name}" if unrelated else "record"
            raise ConfigError(
                f"obstacles.depth: expected off with {where}, got {config.obstacles.depth}: what one "
                "picture teaches helps none that does not follow from it"
            )
        check_packs("hub", config.models.backend, [f"depth-{config.obstacles.depth}"])
    if not describes:
        return
    from models.describer import check_image_size
    from models.fastvlm.custom_checkpoint import find_checkpoint

    checkpoint = find_checkpoint(config.models.pack, asked.path)
    if asked.image_size is not None:
        check_image_size(checkpoint, asked.image_size)


def build_scorer(config: Config, parts: Parts) -> Scorer | None:
    """What scores a dataset against its labels; None for any other source."""
    if config.source.name != "dataset":
        return None
    return Scorer(parts.detector.labels, config.language, config.source.hfov_deg, config.quality)


def build_loop(config: Config, parts: Parts, scorer: Scorer | None) -> Live | Batch:
    """The live loops in real time, or the batch in virtual time."""
    if config.source.realtime:
        return Live(parts, scorer)
    related = config.source.name not in UNRELATED
    return Batch(parts, cast(VirtualClock, parts.timeline), related, scorer)


def peak_gpu_memory_mb() -> float | None:
    """The most GPU memory allocated, in MiB; None where no GPU was used."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    return float(round(torch.cuda.max_memory_allocated() / 2**20, 1))
