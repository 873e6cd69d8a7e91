"""Builds the source of frames. Chooses the kind where `source=auto`; loads no model."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from engine.config import Config, SourceConfig
from engine.core.ports import Counting, Hears, Source
from engine.core.report import StreamCount

# Sources with frames that are unrelated to one another.
UNRELATED = ("image", "folder", "dataset")
STILL = ("image", "folder")  # pictures to be described


def resolve_source(config: Config) -> Config:
    """If `source=auto` has a path, choose the source that reads it: a recording of answers (.jsonl) or
    of glasses (.vrs), a dataset (a folder with a manifest), a folder, a video or an image."""
    if config.source.name != "auto" or not config.source.path:
        return config
    from engine.devices.video.dataset import MANIFEST
    from engine.devices.video.picture_formats import is_video

    path = Path(os.path.expanduser(config.source.path))
    if path.is_dir():
        name = "dataset" if (path / MANIFEST).is_file() else "folder"
    elif path.suffix.lower() == ".jsonl":
        name = "recorded"
    elif path.suffix.lower() == ".vrs":
        name = "vrs"
    else:
        name = "video" if is_video(path) else "image"
    realtime = config.source.realtime and name in ("image", "video", "vrs")
    return replace(config, source=replace(config.source, name=name, realtime=realtime))


def source_kind(config: Config) -> str:
    """The name of the source. `auto` is the webcam if one can be opened, else the sample."""
    if config.source.name != "auto":
        return config.source.name
    from engine.devices.video.webcam import webcam_present

    return "webcam" if webcam_present(config.source.index) else "sample"


def related(config: Config) -> bool:
    """Whether each frame continues the previous one, as in a video."""
    return config.source.name not in UNRELATED


def still(config: Config) -> bool:
    """Whether nobody walks towards what is seen: the answer names the obstacles, and an alert would
    only delay it."""
    return config.source.name in STILL


def build_source(config: Config, kind: str) -> Source:
    """Open the source of this kind. Raises InputError or MissingPart."""
    settings = config.source
    path = Path(os.path.expanduser(settings.path or "."))  # an unknown ~user stays as it is
    if kind == "sample":
        from engine.devices.video.sample import SampleSource

        return SampleSource(fps=settings.fps)
    if kind == "webcam":
        from engine.devices.video.webcam import WebcamSource

        return WebcamSource(settings.index)
    if kind == "video":
        from engine.devices.video.video import VideoSource

        return VideoSource(path)
    if kind == "aria":
        return _build_glasses(settings)
    if kind == "vrs":
        from engine.devices.aria.vrs import VrsSource

        return VrsSource(path, settings.side_cameras, settings.undistort)
    if kind == "dataset":
        from engine.devices.video.dataset import DatasetSource

        return DatasetSource(path, settings.split, settings.fps)
    from engine.devices.video.images import FolderSource, ImageSource

    # A new source needs a branch above, or it is opened as an image.
    return (FolderSource if kind == "folder" else ImageSource)(path, settings.fps)


def build_reopen_source(config: Config, kind: str, source: Source) -> Callable[[], Source] | None:
    """Opens a lost camera again. None for files, which do not return, and for glasses, whose link
    looks after itself and which also carry the microphones."""
    if not source.live or isinstance(source, Hears):
        return None
    return lambda: build_source(config, kind)


def _build_glasses(settings: SourceConfig) -> Source:
    """Live glasses. `glasses=auto` is the generation that is plugged in, else Gen 1."""
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


def stream_counts(source: Source) -> tuple[StreamCount, ...]:
    """The counters of a multi-sensor source's streams; empty for other sources."""
    return source.counts() if isinstance(source, Counting) else ()
