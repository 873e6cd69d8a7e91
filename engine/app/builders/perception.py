"""Builds perception and alerts: mount, side cameras, depth, the alert policy."""

from collections.abc import Callable
from contextlib import ExitStack

from engine.alerts.policy import AlertPolicy
from engine.app.builders.models import Models, build_detector
from engine.config import Config
from engine.core.ports import Clock, DepthWorker, HasSideCameras, Source
from engine.core.report import ModelCard
from engine.language.wording import Words
from engine.perception.camera import Mount
from engine.perception.depth_prior import BoxHistory
from engine.perception.depth_worker import InlineDepth, ThreadedDepth
from engine.perception.localize import Localizer
from engine.perception.perceive import Perception
from engine.perception.side_cameras import SideCameras


def build_mount(config: Config) -> Mount:
    """The camera's height and pitch."""
    settings = config.source
    return Mount(settings.camera_height_m, settings.pitch_deg, settings.pitch_sigma_deg)


def build_depth_worker(config: Config, models: Models) -> DepthWorker | None:
    """Depth in a background thread in real time, inline in a batch; None if it is off."""
    if models.depth is None:
        return None
    return ThreadedDepth(models.depth) if config.source.realtime else InlineDepth(models.depth)


def build_side_cameras(
    config: Config, source: Source, mount: Mount, main: ModelCard
) -> SideCameras | None:
    """The side cameras of `source`, each with its own detector like the `main` one, since a detector
    keeps tracks; None if the source has none or they are off."""
    if not isinstance(source, HasSideCameras) or not source.side_camera_labels:
        return None
    return SideCameras(
        {
            label: (
                build_detector(config, main.image_size, main.threads),
                Localizer(config.source.hfov_deg, mount),
            )
            for label in source.side_camera_labels
        }
    )


def build_perception(
    config: Config, models: Models, source: Source, wall: Clock, resources: ExitStack
) -> Perception:
    """The detector and everything that processes its results."""
    mount = build_mount(config)
    depth = build_depth_worker(config, models)
    box_history = None
    if depth is not None:
        resources.callback(depth.close)
        box_history = BoxHistory()
    return Perception(
        models.detector,
        Localizer(config.source.hfov_deg, mount, box_history),
        wall,
        build_side_cameras(config, source, mount, models.detector.card),
        depth,
    )


def reload_perception(config: Config, perception: Perception, source: Source) -> Perception:
    """Perception over a detector that is loaded anew, in place of one that hangs or fails. The
    depth worker, which has a thread of its own, is kept."""
    mount = build_mount(config)
    box_history = None if perception.depth is None else BoxHistory()
    card = perception.detector.card
    return Perception(
        build_detector(config, card.image_size, card.threads),
        Localizer(config.source.hfov_deg, mount, box_history),
        perception.wall,
        build_side_cameras(config, source, mount, card),
        perception.depth,
    )


def build_alerts(config: Config, words: Words, next_id: Callable[[], int]) -> AlertPolicy | None:
    """The alert policy; None if obstacles are not announced."""
    if not config.obstacles.enabled:
        return None
    return AlertPolicy(words, config.speech.rate_wpm, next_id, config.obstacles.heartbeat_s)
