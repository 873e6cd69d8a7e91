"""Builds what looks at frames: how the camera is worn, the side cameras, the depth worker."""

from engine.app.builders.models import Models
from engine.config import Config
from engine.core.ports import DepthWorker, LooksAside, Source
from engine.perception.camera import Mount
from engine.perception.depth_worker import InlineDepth, ThreadedDepth
from engine.perception.localize import Localizer
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


def build_side_cameras(config: Config, source: Source, mount: Mount) -> SideCameras | None:
    """The side cameras of `source`, each with its own detector, since a detector tracks; None if the
    source has none or they are off."""
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
