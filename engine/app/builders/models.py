"""Loads the models that a mode needs. Problems are reported before the first one loads."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, TypeVar

from engine.app.builders.sources import related
from engine.app.loading import LaterDepth, LaterDescriber, LaterScenes, Part
from engine.app.memory import available_mb, largest_mb, require_memory
from engine.config import Config
from engine.core.errors import ConfigError, EngineError, OutOfMemory
from engine.core.later import Later
from engine.core.ports import (
    ClassifiesScenes,
    DepthModel,
    Describer,
    Describes,
    Detector,
    MeasuresDepth,
    SceneClassifier,
)
from engine.core.report import ModelCard
from engine.language.wording import StatusKey
from models.fit import Fit


class HasCard(Protocol):
    """A loaded model."""

    card: ModelCard


M = TypeVar("M", bound=HasCard)


@dataclass
class Models:
    """The models of a session, and `parts`: those that are still to be loaded, in that order.

    `describer` is None if the mode never uses it, or if it does not speak the session's language,
    so that no answer mixes two languages; `depth` is None if it is off. `cards`: tier -> the card
    of a model that has been loaded. `lost`: the parts that found no memory. `fit`: how the detector
    fits this machine, if that was measured.
    """

    detector: Detector
    scenes: ClassifiesScenes
    describer: Describes | None
    depth: MeasuresDepth | None
    cards: dict[str, ModelCard]
    parts: tuple[Part, ...] = ()
    fit: Fit | None = None
    lost: tuple[tuple[Part, EngineError], ...] = ()


def check_models(config: Config) -> None:
    """Check what can be checked before a model loads.

    Raises MissingPart for a missing pack, file or backend. Raises ConfigError for an image size
    that the describer does not support, or for depth where it cannot help.
    """
    from models.hub import TIERS
    from models.packs import check_packs

    settings = config.models.describer
    describes = config.mode != "quick"
    from_pack = describes and settings.path is None
    tiers = [tier for tier in TIERS if from_pack or tier != "describer"]
    check_packs(config.models.pack, config.models.backend, tiers)
    if config.obstacles.depth != "off":
        _check_depth(config)
        check_packs("hub", config.models.backend, [f"depth-{config.obstacles.depth}"])
    if not describes:
        return
    from models.describer import check_image_size
    from models.fastvlm.custom_checkpoint import find_checkpoint

    checkpoint = find_checkpoint(config.models.pack, settings.path)
    if settings.image_size is not None:
        check_image_size(checkpoint, settings.image_size)


def _check_depth(config: Config) -> None:
    unrelated = not config.source.realtime and not related(config)
    if unrelated or config.record is not None:
        where = f"source={config.source.name}" if unrelated else "record"
        raise ConfigError(
            f"obstacles.depth: expected off with {where}, got {config.obstacles.depth}: "
            "depth improves later frames of the same scene, and here there are none"
        )


def loads_in_background(config: Config) -> bool:
    """Whether obstacles are announced while models still load: in real time, where each frame
    continues the previous one. The first answer about a single image needs all of them."""
    return config.source.realtime and related(config)


def describer_settings(config: Config) -> dict[str, Any] | None:
    """The settings of the describer's weights; None if the mode never uses it, or if it does not
    speak the session's language. Loads no weights."""
    if config.mode == "quick":
        return None
    from models.fastvlm.custom_checkpoint import find_checkpoint, languages_of

    settings = find_checkpoint(config.models.pack, config.models.describer.path).settings()
    return settings if config.language in languages_of(settings) else None


def build_models(config: Config) -> Models:
    """Load the models of the tiers that the settings need: all now, or the detector now and the
    others by the `parts` of the result."""
    fit = fit_detector(config)
    if fit is None:
        # the pack's own image size is the most accurate; a thread is left to the answer
        detector = build_detector(config, detector_image_size(config), threads=1)
    else:
        detector = build_detector(config, fit.image_size, fit.threads)
    models = replace(_models_to_load(config, detector), fit=fit)
    if loads_in_background(config) and not names_a_runtime(config):
        return models
    lost: list[tuple[Part, EngineError]] = []
    for part in models.parts:
        try:
            card = part.load()
        except (OutOfMemory, MemoryError) as error:  # the template answers without it
            reason = (
                error
                if isinstance(error, OutOfMemory)
                else OutOfMemory(f"no memory for {part.name}")
            )
            part.later.fail(reason)
            lost.append((part, reason))
        else:
            if card is not None:
                models.cards[part.name] = card
    return replace(models, parts=(), lost=tuple(lost))


def names_a_runtime(config: Config) -> bool:
    """Whether the settings name a library or number format. One that is missing must then end the
    start with its line, and not be noticed in the background."""
    models, settings = config.models, config.models.describer
    names = (settings.runtime, settings.precision, settings.encoder, settings.decoder)
    return any(name != "auto" for name in (models.backend, settings.provider, *names))


def fit_detector(config: Config) -> Fit | None:
    """What fits this machine, where frames must not be late: in real time on a CPU. The first call
    on a machine measures it, which takes a second or two. Raises MissingPart."""
    if not loads_in_background(config):
        return None
    from models.detector import fit_detector as fit
    from models.devices import choose_device
    from models.packs import find_pack

    if choose_device(config.models.device) != "cpu":
        return None
    files = find_pack("detector", config.models.pack)
    return fit(files, config.models.backend, detector_image_size(config))


def fit_note(config: Config, fit: Fit | None) -> str:
    """What the first screen says about the fit; empty without one."""
    if fit is None:
        return ""
    from models.detector import known_sizes
    from models.packs import find_pack

    known = fit.image_size in known_sizes(find_pack("detector", config.models.pack).settings())
    doubt = "" if known else f"; how well it sees at {fit.image_size} px has not been measured"
    again = " beside other programs, and again once they are idle" if fit.disturbed else ""
    return f"{fit.fps:g} frames a second beside a description, measured here{again}{doubt}"


def detector_image_size(config: Config) -> int | None:
    """The image size that the settings ask for; None for `auto`."""
    size = config.models.detector.image_size
    return None if size == "auto" else int(size)


def _models_to_load(config: Config, detector: Detector) -> Models:
    scenes, describer, depth = LaterScenes(), None, None
    parts = [_part("scenes", scenes.later, lambda: build_scenes(config), "scene_failed")]
    if describer_settings(config) is not None:
        describer = LaterDescriber()
        load = partial(_build_describer_if_it_fits, config)
        parts.append(_part("describer", describer.later, load, "describer_failed"))
    if config.obstacles.depth != "off":
        depth = LaterDepth()
        parts.append(_part("depth", depth.later, lambda: build_depth_model(config), "depth_failed"))
    return Models(detector, scenes, describer, depth, {"detector": detector.card}, tuple(parts))


def _part(name: str, later: Later[M], load: Callable[[], M], failed: StatusKey) -> Part:
    """Loads the model of a tier into `later`."""

    def put() -> ModelCard:
        model = load()
        later.put(model)
        return model.card

    return Part(name, put, later, failed)


def build_scenes(config: Config) -> SceneClassifier:
    """The scene classifier. Raises MissingPart."""
    from models.scenes import open_scenes

    return open_scenes(config.models.pack, config.models.device, config.models.backend)


def build_detector(config: Config, image_size: int | None, threads: int | None) -> Detector:
    """The detector, for images of this longer side in pixels; None is the pack's own."""
    from models.detector import open_detector

    models = config.models
    return open_detector(models.pack, models.device, models.backend, threads, image_size)


def build_describer(config: Config) -> Describer:
    """The describer. If it does not fit into memory, the result is a describer that raises this
    error when it is used. Raises MissingPart and ConfigError."""
    from models.describer import open_describer
    from models.fastvlm.selection import DescriberOptions

    models, settings = config.models, config.models.describer
    return open_describer(
        models.pack,
        models.device,
        models.backend,
        max_new_tokens=settings.max_new_tokens,
        image_size=settings.image_size,
        language=config.language,
        path=settings.path,
        options=DescriberOptions(
            settings.runtime,
            settings.precision,
            settings.encoder,
            settings.decoder,
            settings.provider,
        ),
    )


def _build_describer_if_it_fits(config: Config) -> Describer:
    """The describer. Raises OutOfMemory before it loads if it would not fit."""
    from models.fastvlm.custom_checkpoint import find_checkpoint

    files = find_checkpoint(config.models.pack, config.models.describer.path)
    weights_mb = largest_mb([files.root / path for path in files.forms().values()])
    require_memory("describer", weights_mb, available_mb())
    return build_describer(config)


def build_depth_model(config: Config) -> DepthModel:
    """The metric depth model. In real time it gets one CPU thread, beside the detector."""
    from models.depth import open_depth

    threads = 1 if config.source.realtime else None
    models = config.models
    return open_depth(config.obstacles.depth, models.device, models.backend, threads)


def peak_gpu_memory_mb() -> float | None:
    """The peak of allocated GPU memory in MiB; None if no GPU was used."""
    torch: Any = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)  # it may still be being imported
    if cuda is None or not cuda.is_available():
        return None
    return float(round(cuda.max_memory_allocated() / 2**20, 1))
