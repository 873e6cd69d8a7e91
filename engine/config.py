"""Every setting: its name, type, unit, and what it may be.

Values live in `conf/`; this file says what they mean and refuses what they must not be. `__main__`
turns Hydra's tree into a `Config` once, and nothing inside the engine sees Hydra.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from engine.core.budgets import FULL_MS, QUICK_MS
from engine.core.errors import ConfigError
from engine.language.pack import languages, prompts


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
    path: str | None = None  # a FastVLM checkpoint's folder in place of the pack's
    runtime: str = choice("auto", "torch", "openvino", "onnx", "tensorrt")
    precision: str = choice(
        "auto", "fp32", "fp16", "bf16", "int8", "int4", "q4f16"
    )  # of weights; int4 is the decoder's alone
    encoder: str = choice("auto", "torch", "openvino", "onnx")
    decoder: str = choice("auto", "torch", "openvino", "onnx")
    provider: str = choice("auto", "cpu", "cuda", "tensorrt")  # auto is models.device


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
    glasses: str = choice("auto", "gen1", "gen2")  # which; auto is the one that is plugged in
    address: str | None = None  # of glasses on Wi-Fi; null is USB
    profile: str | None = None  # of streaming; null is the SDK's own default
    side_cameras: bool = False  # of glasses: what they see beyond the main camera is looked at too
    undistort: bool = False  # of glasses: pictures bent to a pinhole's, for models that need them
    split: str | None = None  # of a dataset: train, val, or null for all


@dataclass
class WakeConfig:
    engine: str = choice("auto", "microwakeword", "porcupine")
    phrase: str | None = None  # null is the engine's own
    sensitivity: float = number(0.5, 0.1, 1.0)  # more hears more, and more that was not meant
    keyword_path: str | None = None  # Porcupine: a .ppn file
    path: str | None = None  # a recording to hear instead of the microphone
    refractory_s: float = number(1.5, 0.2, 30.0)  # after a wake, the next is not taken
    command_s: float = number(4.0, 0.0, 30.0)  # after a wake, commands are heard; 0 is none


@dataclass
class TriggerConfig:
    name: str = choice("auto", "once", "interval", "every", "keyboard", "wake")
    interval_s: float = number(5.0, 0.2, 3600.0)
    at_s: float = number(0.0, 0.0, 3600.0)  # `once`: seconds after the first frame
    media_keys: bool = False  # a headset's buttons ask too
    wake: WakeConfig = field(default_factory=WakeConfig)


@dataclass
class RouterConfig:
    name: str = choice("learned", "rules", "conformal", "budget", "count", "random")
    threshold: float = number(0.5, 0.0, 1.0)
    seed: int = number(0, 0, 2**31 - 1)
    risk: float = number(0.1, 0.001, 0.5)  # conformal: share of scenes wrongly left to the template
    confidence: float = number(0.9, 0.5, 0.999)  # ... that is kept with this probability
    scorer: str = choice("learned", "rules", "count")  # budget: whose score it thresholds
    share: float = number(0.35, 0.0, 1.0)  # budget: of answers that are escalated
    average_ms: float | None = None  # budget: instead, the average latency; null: by the share
    quick_ms: float = number(QUICK_MS, 1.0, 60_000.0)  # what each tier takes, for average_ms
    full_ms: float = number(FULL_MS, 1.0, 60_000.0)
    step: float = number(0.05, 0.001, 1.0)  # budget: how far one answer moves the threshold


@dataclass
class QualityConfig:
    """Weights of the parts of an answer's quality (engine.evaluation.quality)."""

    caption: float = number(0.3, 0.0, 1.0)
    objects: float = number(0.2, 0.0, 1.0)
    truthful: float = number(0.2, 0.0, 1.0)
    hazards: float = number(0.2, 0.0, 1.0)
    sides: float = number(0.05, 0.0, 1.0)
    brief: float = number(0.05, 0.0, 1.0)
    cider_full: float = number(1.0, 0.1, 10.0)  # a CIDEr-D that counts as 1
    words_full: int = number(20, 1, 100)  # words up to which an answer is brief


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
    detail: str = choice("normal", "brief", "full")
    unsupported: str = choice("hedge", "drop", "say")  # what the describer claims and nothing shows
    signs: bool = True  # text that is large and near the middle is read within the quick answer
    prompts: dict[str, str] = field(
        default_factory=dict
    )  # scene → file of templates/LANGUAGE/prompts


@dataclass
class Config:
    mode: str = choice("auto", "quick", "full")
    language: str = "en"  # the code of a folder of templates/
    units: str = choice("meters", "feet", "steps")
    directions: str = choice("sides", "clock")
    step_m: float = number(0.7, 0.3, 1.5)  # the wearer's step; the default is an adult's, walking
    record: str | None = None
    view: str = choice("none", "rerun")
    models: ModelsConfig = field(default_factory=ModelsConfig)
    source: SourceConfig = field(default_factory=SourceConfig)
    trigger: TriggerConfig = field(default_factory=TriggerConfig)
    router: RouterConfig = field(default_factory=RouterConfig)
    speech: SpeechConfig = field(default_factory=SpeechConfig)
    obstacles: ObstaclesConfig = field(default_factory=ObstaclesConfig)
    answer: AnswerConfig = field(default_factory=AnswerConfig)
    quality: QualityConfig = field(default_factory=QualityConfig)


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
    if config.language not in languages():
        raise ConfigError(
            f"language: expected one of {', '.join(languages())}, got {config.language!r}"
        )
    for scene, name in config.answer.prompts.items():
        if name not in prompts(config.language):
            have = ", ".join(prompts(config.language)) or "none"
            raise ConfigError(f"answer.prompts.{scene}: expected one of {have}, got {name!r}")
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
    if config.record is not None:
        unnamed = config.source.name == "auto" and config.source.path is None
        if unnamed or config.source.name in ("recorded", "webcam", "aria"):
            raise ConfigError(
                "record: expected source=dataset, folder, image, video, vrs or sample, "
                f"got source={config.source.name}"
            )
        if config.source.realtime and config.source.name != "auto":
            raise ConfigError("record: expected source.realtime=false, got true; add it")
    if config.view != "none" and (config.record is not None or config.source.name == "recorded"):
        raise ConfigError(f"view: expected none in a recording or a replay, got {config.view}")
    average_ms = config.router.average_ms
    if average_ms is not None and not config.router.quick_ms <= average_ms <= config.router.full_ms:
        raise ConfigError(
            f"router.average_ms: expected null or router.quick_ms to router.full_ms "
            f"({config.router.quick_ms:g} to {config.router.full_ms:g}), got {average_ms:g}"
        )
    if config.trigger.name == "wake" and not config.source.realtime:
        raise ConfigError(
            "trigger: wake needs source.realtime=true, got false; use trigger=every or trigger=interval"
        )
    needs_path = ("image", "folder", "video", "vrs", "dataset", "recorded")
    if config.source.name in needs_path and not config.source.path:
        raise ConfigError(
            f"source.path: source={config.source.name} needs one; add source.path=FILE_OR_FOLDER"
        )
    return config
