"""Every setting, declared once: name, type, default, unit, allowed values and meaning.

The files of `conf/` choose among these values. The checks (`engine.app.settings_check`), their error
lines, `--help` and conf/README.md all come from these declarations (see `engine.core.settings`).
Knows no Hydra: `__main__` turns Hydra's tree into a `Config`, which is all that the engine sees.
"""

from dataclasses import dataclass, field

from engine.core.budgets import FULL_MS, QUICK_MS
from engine.core.settings import choice, mapping, number, switch, text
from engine.language.pack import languages

RUNTIME = "models.describer.runtime"
OLD_RUNTIME_KEYS = {name: f"{RUNTIME}={name}" for name in ("torch", "openvino", "onnx")}


@dataclass
class DescriberConfig:
    """The vision language model (FastVLM) that gives the full answer."""

    runtime: str = choice(
        "auto", "torch", "openvino", "onnx", "tensorrt",
        help="library that runs it, on models.device; tensorrt is ONNX Runtime with TensorRT and "
        "always takes the graphics card; auto is models.backend, else the fastest that is exported",
    )  # fmt: skip
    precision: str = choice(
        "auto", "fp32", "fp16", "bf16", "int8", "int4", "q4f16",
        help="number format of its weights; int4 applies to the decoder alone",
    )  # fmt: skip
    max_new_tokens: int = number(16, 1, 256, "tokens", help="longest answer")
    image_size: int | None = number(
        None, 64, 2048, "px", help="side of the square image it sees; null is the model's own size"
    )
    path: str | None = text(
        None, "DIR", help="a FastVLM checkpoint to use in place of the pack's describer"
    )
    encoder: str = choice(
        "auto", "torch", "openvino", "onnx",
        help="runtime of the image encoder", replaced_by=OLD_RUNTIME_KEYS,
    )  # fmt: skip
    decoder: str = choice(
        "auto", "torch", "openvino", "onnx",
        help="runtime of the language model", replaced_by=OLD_RUNTIME_KEYS,
    )  # fmt: skip
    provider: str = choice(
        "auto", "cpu", "cuda", "tensorrt",
        help="where ONNX Runtime runs",
        replaced_by={
            "cpu": "models.device=cpu",
            "cuda": "models.device=cuda",
            "tensorrt": f"{RUNTIME}=tensorrt",
        },
    )  # fmt: skip


@dataclass
class DetectorConfig:
    """The network that finds obstacles."""

    image_size: str = choice(
        "auto", "320", "416", "640",
        help="longer side in pixels of the picture it sees; auto measures this machine once, and "
        "takes the largest that leaves 15 frames a second beside a description",
    )  # fmt: skip


@dataclass
class ModelsConfig:
    """The models and the library that runs them. One that is named but missing is an error."""

    pack: str = choice(
        "auto", "pocket", "hub", group=True, help="model pack; auto takes the best for each tier"
    )
    device: str = choice(
        "auto", "cpu", "cuda", "mps", help="processor that runs the models; auto is the fastest"
    )
    backend: str = choice(
        "auto", "torch", "openvino", "onnx",
        help="library that runs the models; auto is OpenVINO on a CPU, else PyTorch",
    )  # fmt: skip
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    describer: DescriberConfig = field(default_factory=DescriberConfig)


@dataclass
class SourceConfig:
    """Where the frames come from."""

    name: str = choice(
        "auto", "sample", "image", "folder", "video", "webcam", "aria", "vrs", "dataset",
        "recorded", group=True, help="kind of source",
    )  # fmt: skip
    path: str | None = text(None, "PATH", help="the file or folder to read")
    realtime: bool = switch(
        True,
        help="true plays at the source's own pace and drops frames as a live camera does; "
        "false takes every frame in order, in virtual time",
    )
    max_frames: int | None = number(None, 1, help="stop after this many frames")
    fps: float = number(
        15.0, 0.1, 240.0, "frames/s", help="frame rate of images that have no time stamps"
    )
    index: int = number(0, 0, 64, help="number of the webcam")
    hfov_deg: float = number(
        70.0, 10.0, 170.0, "degrees",
        help="field of view along the longer side, where the source has no intrinsics",
    )  # fmt: skip
    camera_height_m: float = number(
        1.5, 0.3, 3.0, "m", help="height of the lens above the ground; 1.5 fits worn glasses"
    )
    pitch_deg: float = number(
        0.0, -60.0, 60.0, "degrees", help="tilt of the camera, up is positive"
    )
    pitch_sigma_deg: float = number(
        8.0, 0.5, 30.0, "degrees", help="standard deviation of pitch_deg; 1 suits a fixed mount"
    )
    glasses: str = choice(
        "auto", "gen1", "gen2", help="generation of the Aria glasses; auto takes the one plugged in"
    )
    address: str | None = text(
        None, "IP", help="address of the glasses on Wi-Fi; null connects over USB"
    )
    profile: str | None = text(
        None, "NAME", help="streaming profile of the glasses; null is the SDK's default"
    )
    side_cameras: bool = switch(
        False, help="detect obstacles in the glasses' side cameras too, not only the main one"
    )
    undistort: bool = switch(
        False, help="rectify the glasses' images to a pinhole camera, for models that need it"
    )
    split: str | None = text(None, "NAME", help="split of a dataset, train or val; null is all")


@dataclass
class WakeConfig:
    """The wake word, and the spoken commands after it."""

    engine: str = choice("auto", "microwakeword", "porcupine", help="wake word engine")
    phrase: str | None = text(None, "PHRASE", help="wake word; null is the engine's default")
    sensitivity: float = number(
        0.5, 0.1, 1.0, help="higher values miss fewer wake words and give more false ones"
    )
    keyword_path: str | None = text(None, "FILE", help="a Porcupine keyword file (.ppn)")
    path: str | None = text(None, "FILE", help="a recording to hear instead of the microphone")
    refractory_s: float = number(
        1.5, 0.2, 30.0, "s", help="a second wake word within this time is ignored"
    )
    command_s: float = number(
        4.0, 0.0, 30.0, "s", help="time after a wake word in which commands are heard; 0 is never"
    )


@dataclass
class TriggerConfig:
    """What triggers a description."""

    name: str = choice(
        "auto", "once", "interval", "every", "keyboard", "wake", group=True, help="kind of trigger"
    )
    ask: str = text(
        "describe", "COMMAND",
        help="what is asked: describe, more, read, why or 'where is NAME', or their phrases in the "
        "session's language",
    )  # fmt: skip
    interval_s: float = number(5.0, 0.2, 3600.0, "s", help="period of trigger=interval")
    at_s: float = number(0.0, 0.0, 3600.0, "s", help="delay of trigger=once after the first frame")
    media_keys: bool = switch(False, help="the buttons of a headset trigger descriptions too")
    wake: WakeConfig = field(default_factory=WakeConfig)


@dataclass
class RouterConfig:
    """Which requests go to the describer; templates answer the others."""

    name: str = choice(
        "learned", "rules", "conformal", "budget", "count", "random", group=True,
        help="scores how much a scene needs the describer",
    )  # fmt: skip
    threshold: float = number(0.5, 0.0, 1.0, help="this score and higher ones go to the describer")
    seed: int = number(0, 0, 2**31 - 1, help="seed of router=random")
    risk: float = number(
        0.1, 0.001, 0.5, help="conformal: accepted share of scenes wrongly left to the template"
    )
    confidence: float = number(0.9, 0.5, 0.999, help="conformal: probability that the risk is kept")
    scorer: str = choice(
        "learned", "rules", "count", help="budget: the router whose score is compared"
    )
    share: float = number(0.35, 0.0, 1.0, help="budget: share of answers that go to the describer")
    average_ms: float | None = number(
        None,
        unit="ms",
        help="budget: average latency to keep, in place of the share; from quick_ms to full_ms",
    )
    quick_ms: float = number(
        QUICK_MS, 1.0, 60_000.0, "ms", help="budget: latency of a quick answer, for average_ms"
    )
    full_ms: float = number(
        FULL_MS, 1.0, 60_000.0, "ms", help="budget: latency of a full answer, for average_ms"
    )
    step: float = number(0.05, 0.001, 1.0, help="budget: how far one answer moves the threshold")


@dataclass
class QualityConfig:
    """Weights of the parts of an answer's quality (see engine.evaluation.quality)."""

    caption: float = number(
        0.3, 0.0, 1.0, help="weight of the similarity to human captions (CIDEr-D)"
    )
    objects: float = number(0.2, 0.0, 1.0, help="weight of labelled objects that are named")
    truthful: float = number(0.2, 0.0, 1.0, help="weight of named objects that are labelled")
    hazards: float = number(0.2, 0.0, 1.0, help="weight of near hazards that are named")
    sides: float = number(0.05, 0.0, 1.0, help="weight of objects said on the right side")
    brief: float = number(0.05, 0.0, 1.0, help="weight of brevity")
    cider_full: float = number(1.0, 0.1, 10.0, help="the CIDEr-D that counts as 1")
    words_full: int = number(20, 1, 100, "words", help="the longest answer that counts as brief")


@dataclass
class SpeechConfig:
    """Where the sound goes, and how fast the voice speaks."""

    sink: str = choice("auto", "device", "wav", "silent", group=True, help="output of all sound")
    rate_wpm: int = number(190, 120, 450, "words/min", help="speaking rate")


@dataclass
class ObstaclesConfig:
    """Warnings of obstacles, by sound and speech."""

    enabled: bool = switch(True, help="false gives no warnings")
    depth: str = choice(
        "off", "indoor", "outdoor",
        help="measure metric depth too, by a model that python -m models pull depth fetches",
    )  # fmt: skip
    heartbeat_s: float | None = number(
        None, 1, 600, "s", help="a soft tick after this much silence; null is never"
    )


@dataclass
class AnswerConfig:
    """What an answer says."""

    beats: int = number(
        2, 1, 2, help="2: the template at once, then what the describer adds; 1: one or the other"
    )
    deadline_s: float = number(
        1.5, 0.1, 60.0, "s", help="a describer later than this is left out of the answer"
    )
    detail: str = choice("normal", "brief", "full", help="how much a quick answer says")
    unsupported: str = choice(
        "hedge", "drop", "say", help="what to do with objects that only the describer sees"
    )
    signs: bool = switch(
        True, help="read text that is large and near the middle in the quick answer"
    )
    prompts: dict[str, str] = mapping(  # noqa: RUF009  # a dataclass field, like the others
        "SCENE: NAME",
        help="the describer's prompt by scene, a file of templates/LANGUAGE/prompts; see prompts=",
    )


@dataclass
class Config:
    """Mode, wording, and what is stored."""

    mode: str = choice(
        "auto", "quick", "full",
        help="who answers: auto lets the router decide, quick is always the templates, "
        "full always the describer",
    )  # fmt: skip
    language: str = choice(
        "en", *(code for code in languages() if code != "en"),
        help="language of all speech: a folder of templates/",
    )  # fmt: skip
    units: str = choice("meters", "feet", "steps", help="unit of spoken distances")
    directions: str = choice("sides", "clock", help="spoken as left and right, or as clock hours")
    step_m: float = number(0.7, 0.3, 1.5, "m", help="length of the wearer's step, for units=steps")
    record: str | None = text(
        None, "FILE", help="store both tiers' answers for source=recorded, in place of a session"
    )
    view: str = choice(
        "none", "rerun", help="rerun writes frames, obstacles and speech to session.rrd"
    )
    screen: str = choice(
        "auto", "rich", "plain",
        help="plain prints one line an event, for screen readers and pipes; auto is plain unless "
        "the output is a terminal",
    )  # fmt: skip
    models: ModelsConfig = field(default_factory=ModelsConfig)
    source: SourceConfig = field(default_factory=SourceConfig)
    trigger: TriggerConfig = field(default_factory=TriggerConfig)
    router: RouterConfig = field(default_factory=RouterConfig)
    speech: SpeechConfig = field(default_factory=SpeechConfig)
    obstacles: ObstaclesConfig = field(default_factory=ObstaclesConfig)
    answer: AnswerConfig = field(default_factory=AnswerConfig)
    quality: QualityConfig = field(default_factory=QualityConfig)
