"""Every setting: its name, type, unit, and what it may be.

Values live in `conf/`; this file says what they mean and refuses what they must not be. `__main__`
turns Hydra's tree into a `Config` once, and nothing inside the engine sees Hydra.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from engine.errors import ConfigError


def choice(*allowed: str) -> Any:
    """A string setting that must be one of `allowed`; the first is the default."""
    return field(default=allowed[0], metadata={"choices": allowed})


def number(default: float, low: float, high: float) -> Any:
    """A number (int or float, as annotated) that must lie in [low, high]."""
    return field(default=default, metadata={"bounds": (low, high)})


@dataclass
class DescriberConfig:
    max_new_tokens: int = number(16, 1, 256)
    image_size: int | None = None  # pixels a side; null is the model's own


@dataclass
class ModelsConfig:
    pack: str = choice("auto", "pocket", "hub")
    device: str = choice("auto", "cpu", "cuda", "mps")
    backend: str = choice("auto", "torch", "openvino", "onnx")
    describer: DescriberConfig = field(default_factory=DescriberConfig)


@dataclass
class SourceConfig:
    name: str = choice(
        "auto", "sample", "image", "folder", "video", "webcam", "aria", "vrs", "dataset", "recorded"
    )
    path: str | None = None
    realtime: bool = True  # false: every frame, in order, in virtual time
    max_frames: int | None = None
    fps: float = number(
        15.0, 0.1, 240.0
    )  # frames a second of pictures that have no times of their own
    index: int = number(0, 0, 64)  # which webcam
    hfov_deg: float = number(
        70.0, 10.0, 170.0
    )  # along the longer side, where the source has no intrinsics
    camera_height_m: float = number(1.5, 0.3, 3.0)  # lens above the ground; 1.5 is glasses, worn
    pitch_deg: float = number(0.0, -60.0, 60.0)  # the camera looks up (+) or down (-)
    pitch_sigma_deg: float = number(8.0, 0.5, 30.0)  # how sure that is; a fixed mount may say 1
    split: str | None = None  # of a dataset: train, val, or null for all


@dataclass
class TriggerConfig:
    name: str = choice("auto", "once", "interval", "every", "keyboard", "wake")
    interval_s: float = number(5.0, 0.2, 3600.0)
    at_s: float = number(0.0, 0.0, 3600.0)  # `once`: seconds after the first frame


@dataclass
class RouterConfig:
    name: str = choice("rules", "learned", "random")
    threshold: float = number(0.5, 0.0, 1.0)
    seed: int = number(0, 0, 2**31 - 1)


@dataclass
class SpeechConfig:
    sink: str = choice("auto", "device", "wav", "silent")
    rate_wpm: int = number(190, 120, 450)


@dataclass
class ObstaclesConfig:
    enabled: bool = True
    depth: str = choice("off", "indoor", "outdoor")  # metric depth, by a model of the hub pack
    heartbeat_s: float | None = None  # a soft tick after so much silence; null is none


@dataclass
class AnswerConfig:
    beats: int = number(2, 1, 2)
    deadline_s: float = number(1.5, 0.1, 60.0)


@dataclass
class Config:
    mode: str = choice("auto", "quick", "full")
    language: str = choice("en", "es")
    units: str = choice("meters", "feet", "steps")
    directions: str = choice("sides", "clock")
    record: str | None = None
    view: str = choice("none", "rerun")
    models: ModelsConfig = field(default_factory=ModelsConfig)
    source: SourceConfig = field(default_factory=SourceConfig)
    trigger: TriggerConfig = field(default_factory=TriggerConfig)
    router: RouterConfig = field(default_factory=RouterConfig)
    speech: SpeechConfig = field(default_factory=SpeechConfig)
    obstacles: ObstaclesConfig = field(default_factory=ObstaclesConfig)
    answer: AnswerConfig = field(default_factory=AnswerConfig)


def settings(node: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (dotted key, value, dataclass field) for every leaf of a configuration."""
    for item in fields(node):
        value = getattr(node, item.name)
        if is_dataclass(value):
            yield from settings(value, f"{prefix}{item.name}.")
        else:
            yield f"{prefix}{item.name}", value, item


def check(config: Config) -> Config:
    """Return `config` when every value is allowed. Raises ConfigError naming the first that is not."""
    for key, value, item in settings(config):
        # the group's name is what the user types: `source=image`, not `source.name=image`
        shown = key.removesuffix(".name").removesuffix(".pack").removesuffix(".sink")
        allowed = item.metadata.get("choices")
        if allowed and value not in allowed:
            raise ConfigError(f"{shown}: expected one of {', '.join(allowed)}, got {value!r}")
        bounds = item.metadata.get("bounds")
        if bounds and not bounds[0] <= value <= bounds[1]:
            raise ConfigError(f"{shown}: expected {bounds[0]} to {bounds[1]}, got {value}")
    if config.source.max_frames is not None and config.source.max_frames < 1:
        raise ConfigError(
            f"source.max_frames: expected null or at least 1, got {config.source.max_frames}"
        )
    size = config.models.describer.image_size
    if size is not None and not 64 <= size <= 2048:
        raise ConfigError(f"models.describer.image_size: expected null or 64 to 2048, got {size}")
    beat_s = config.obstacles.heartbeat_s
    if beat_s is not None and not 1 <= beat_s <= 600:
        raise ConfigError(f"obstacles.heartbeat_s: expected null or 1 to 600, got {beat_s:g}")
    needs_path = ("image", "folder", "video", "vrs", "dataset", "recorded")
    if config.source.name in needs_path and not config.source.path:
        raise ConfigError(
            f"source.path: source={config.source.name} needs one; add source.path=FILE_OR_FOLDER"
        )
    return config
