"""Settings to objects: the only place that chooses. `engine.session` puts together what it gives."""

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from engine.batch import Batch
from engine.camera import Mount
from engine.clock import VirtualClock
from engine.config import Config
from engine.deepen import Beside, InOrder
from engine.errors import ConfigError, MissingPart
from engine.loops import Live
from engine.parts import Parts
from engine.ports import (
    DepthModel,
    Depths,
    Describer,
    Detector,
    Router,
    SceneClassifier,
    Sink,
    Source,
    View,
    Voice,
)
from engine.scoring import Scorer
from engine.trace import Trace
from engine.triggers import ByHand, Every, Interval, Once, Trigger
from engine.types import Health, Language, ModelCard
from engine.view import BackgroundView, NoView

# Settings that the contract names and that a later version serves, with what to use until then.
NOT_YET = {
    "source=aria": "use source=webcam or source=video",
    "source=vrs": "use source=video",
    "source=recorded": "use source=dataset",
    "trigger=wake": "use trigger=keyboard or trigger=interval",
    "router=learned": "it has not been trained; use router=rules",
}
VIEW_PATIENCE_S = 30.0  # a viewer that takes nothing for this long is not coming back
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


def refuse_what_is_not_here(config: Config) -> None:
    """Raise MissingPart for a setting that this version knows by name only."""
    asked = [
        f"source={config.source.name}",
        f"trigger={config.trigger.name}",
    ]
    if config.mode == "auto":
        asked.append(f"router={config.router.name}")
    for setting in asked:
        if setting in NOT_YET:
            raise MissingPart(f"{setting}: this version does not have it yet; {NOT_YET[setting]}")
    if config.record is not None:
        raise MissingPart("record: this version does not have it yet; use record=null")


def source_kind(config: Config) -> str:
    """The source's name as the contract lists it; `auto` is the webcam where one opens."""
    if config.source.name != "auto":
        return config.source.name
    from engine.devices.webcam import webcam_present

    return "webcam" if webcam_present(config.source.index) else "sample"


def build_source(config: Config, name: str) -> Source:
    """Open the source of kind `name`. Raises InputError or MissingPart; loads no model."""
    settings = config.source
    path = Path(os.path.expanduser(settings.path or "."))  # leaves an unknown ~user as it stands
    if name == "sample":
        from engine.devices.sample import SampleSource

        return SampleSource(fps=settings.fps)
    if name == "webcam":
        from engine.devices.webcam import WebcamSource

        return WebcamSource(settings.index)
    if name == "video":
        from engine.devices.video import VideoSource

        return VideoSource(path)
    if name == "dataset":
        from engine.devices.dataset import DatasetSource

        return DatasetSource(path, settings.split, settings.fps)
    from engine.devices.images import FolderSource, ImageSource

    return (FolderSource if name == "folder" else ImageSource)(path, settings.fps)


def build_trigger(config: Config, source: str, live: bool) -> tuple[Trigger, bool]:
    """What asks at a source of this kind, and whether the keyboard is listened to."""
    settings = config.trigger
    name = settings.name
    at_s = settings.at_s
    terminal = sys.stdin is not None and sys.stdin.isatty()
    if name == "auto":
        if live:
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
        "keyboard": ByHand,
    }
    return triggers[name](), name == "keyboard" or (terminal and config.source.realtime)


def build_router(config: Config) -> Router:
    """`quick` and `full` always answer from one tier; `auto` asks the configured router."""
    from routers import Always, Random, Rules

    if config.mode == "quick":
        return Always("quick", config.router.threshold)
    if config.mode == "full":
        return Always("full", config.router.threshold)
    if config.router.name == "random":
        return Random(config.router.threshold, config.router.seed)
    return Rules(config.router.threshold)


def build_sink(config: Config, folder: Path, sample_rate_hz: int) -> tuple[Sink, str]:
    """Where sound goes, and how the first screen says it."""
    from engine.devices.loudspeaker import DeviceSink, find_device_sink
    from engine.devices.wav import SilentSink, WavSink

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
    from models.describer import open_describer
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
            describer = open_describer(
                pack,
                device,
                backend,
                max_new_tokens=config.models.describer.max_new_tokens,
                image_size=config.models.describer.image_size,
            )
        return Models(watching.result(), scenes, describer, build_depth_model(config))


def build_depth_model(config: Config) -> DepthModel | None:
    """The model of metric depth, on one CPU thread where obstacles are watched meanwhile."""
    if config.obstacles.depth == "off":
        return None
    from models.depth import open_depth

    threads = 1 if config.source.realtime else None
    models = config.models
    return open_depth(config.obstacles.depth, models.device, models.backend, threads)


def build_depths(config: Config, models: Models) -> Depths | None:
    """Who measures depth: a thread beside the live loops, or the batch itself."""
    if models.depth is None:
        return None
    return Beside(models.depth) if config.source.realtime else InOrder(models.depth)


def build_mount(config: Config) -> Mount:
    """How the camera is worn."""
    settings = config.source
    return Mount(settings.camera_height_m, settings.pitch_deg, settings.pitch_sigma_deg)


def build_voice(config: Config) -> Voice:
    from engine.devices.voice import Pyttsx3Voice

    return Pyttsx3Voice(cast(Language, config.language), config.speech.rate_wpm)


def build_view(config: Config, trace: Trace, report: Callable[[Health], None]) -> tuple[View, str]:
    """What a sighted helper sees, and how the first screen says it. Raises MissingPart."""
    if config.view == "none":
        return NoView(), ""
    from engine.devices.rerun_view import FILE, RerunView, require_rerun

    require_rerun()
    # A batch leaves no picture out and waits for the recording; live, nothing waits.
    patience_s = 0.0 if config.source.realtime else VIEW_PATIENCE_S
    path = trace.folder / FILE
    view = BackgroundView(lambda: RerunView(path, trace.since), report, patience_s)
    return view, f"{FILE}; it stores the camera's pictures, because view=rerun asks for them"


def check_models(config: Config) -> None:
    """Raise MissingPart for a pack, file or backend that is not here, ConfigError for a picture size
    that the describer cannot take, before anything loads."""
    from models.packs import TIERS, check_packs, find_pack

    tiers = [tier for tier in TIERS if config.mode != "quick" or tier != "describer"]
    check_packs(config.models.pack, config.models.backend, tiers)
    if config.obstacles.depth != "off":
        if not config.source.realtime and config.source.name in ("folder", "dataset"):
            raise ConfigError(
                f"obstacles.depth: expected off with source={config.source.name}, whose pictures do "
                f"not follow from one another, got {config.obstacles.depth}"
            )
        check_packs("hub", config.models.backend, [f"depth-{config.obstacles.depth}"])
    side = config.models.describer.image_size
    if side is not None and "describer" in tiers:
        from models.describer import check_image_size

        check_image_size(find_pack("describer", config.models.pack), side)


def build_scorer(config: Config, parts: Parts) -> Scorer | None:
    """What scores a dataset against its labels; None for any other source."""
    if config.source.name != "dataset":
        return None
    language = cast(Language, config.language)
    return Scorer(parts.detector.labels, language, config.source.hfov_deg)


def build_loop(config: Config, parts: Parts, scorer: Scorer | None) -> Live | Batch:
    """The live loops in real time, or the batch in virtual time."""
    if config.source.realtime:
        return Live(parts, scorer)
    related = config.source.name not in ("folder", "dataset")
    return Batch(parts, cast(VirtualClock, parts.timeline), related, scorer)


def peak_gpu_memory_mb() -> float | None:
    """The most GPU memory allocated, in MiB; None where no GPU was used."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    return float(round(torch.cuda.max_memory_allocated() / 2**20, 1))
