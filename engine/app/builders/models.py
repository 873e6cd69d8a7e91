"""Loads the models that a mode needs. Problems are reported before the first one loads."""

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from engine.app.builders.sources import related
from engine.config import Config
from engine.core.errors import ConfigError
from engine.core.ports import DepthModel, Describer, Detector, SceneClassifier
from engine.core.report import ModelCard


@dataclass
class Models:
    """The loaded models. `describer` is None if the mode never uses it, `depth` if it is off."""

    detector: Detector
    scenes: SceneClassifier
    describer: Describer | None
    depth: DepthModel | None = None

    def cards(self) -> dict[str, ModelCard]:
        """Tier → the card of its model."""
        cards = {"detector": self.detector.card, "scenes": self.scenes.card}
        optional = {"describer": self.describer, "depth": self.depth}
        return cards | {tier: model.card for tier, model in optional.items() if model is not None}


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


def build_models(config: Config) -> Models:
    """Load the models of the tiers that the mode needs."""
    from models import import_libraries
    from models.detector import open_detector
    from models.scenes import open_scenes

    pack, device, backend = config.models.pack, config.models.device, config.models.backend
    import_libraries()
    with ThreadPoolExecutor(1) as pool:
        # One core for the detector and one for the answer, so that neither slows the other.
        detector = pool.submit(open_detector, pack, device, backend, threads=1)
        scenes = open_scenes(pack, device, backend)
        describer = None
        if config.mode != "quick":
            describer = build_describer(config)
        return Models(detector.result(), scenes, describer, build_depth_model(config))


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


def build_depth_model(config: Config) -> DepthModel | None:
    """The metric depth model. In real time it gets one CPU thread, beside the detector."""
    if config.obstacles.depth == "off":
        return None
    from models.depth import open_depth

    threads = 1 if config.source.realtime else None
    models = config.models
    return open_depth(config.obstacles.depth, models.device, models.backend, threads)


def peak_gpu_memory_mb() -> float | None:
    """The peak of allocated GPU memory in MiB; None if no GPU was used."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    return float(round(torch.cuda.max_memory_allocated() / 2**20, 1))
