"""What flows through the engine, in order of appearance.

All of it is frozen data. Nothing here imports torch, Hydra or a device SDK; times are seconds of the
host's monotonic clock (or of the batch's virtual one), boxes are pixels of the upright source image.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # (height, width, 3), RGB, upright, read-only
Samples = NDArray[np.float32]  # (n,) mono or (n, 2) stereo, full scale is 1.0
Pcm = NDArray[np.int16]  # (n,) mono at HEARING_HZ, as wake engines and recognisers take it

HEARING_HZ = 16000  # what every wake engine and recogniser here wants

Tier = Literal["quick", "full"]
Side = Literal["left", "ahead", "right"]
Units = Literal["meters", "feet", "steps"]
Directions = Literal["sides", "clock"]
Language = str  # the code of a folder of templates/: "en", "es"
Detail = Literal["brief", "normal", "full"]
Unsupported = Literal["hedge", "drop", "say"]  # what is done with claims that nothing supports


Axis = tuple[float, float, float]
Turn = tuple[Axis, Axis, Axis]  # the rows of a rotation


@dataclass(frozen=True, slots=True)
class Intrinsics:
    """Pinhole camera: focal lengths and principal point in pixels of a width x height image. `turn`
    takes directions in the camera's axes to the wearer's head's (x right, y down, z ahead), where the
    camera does not look straight ahead."""

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int
    turn: Turn | None = None


@dataclass(frozen=True, slots=True)
class Fisheye:
    """Wide lens: a ray at angle a from the axis falls f · (a + k1 a³ + k2 a⁵ + k3 a⁷ + k4 a⁹ + k5 a¹¹ +
    k6 a¹³) from the principal point (Kannala and Brandt 2006; to k4 the form of OpenCV's fisheye module,
    to k6 the radial part of Aria's). Focal lengths and principal point in pixels of a width x height
    image."""

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int
    k1: float = 0.0
    k2: float = 0.0
    k3: float = 0.0
    k4: float = 0.0
    k5: float = 0.0
    k6: float = 0.0
    turn: Turn | None = None  # as of `Intrinsics`


Camera = Intrinsics | Fisheye


@dataclass(frozen=True, slots=True)
class Pose:
    """How the wearer's head is held and moves, by an inertial sensor.

    `pitch_deg` is up (+) or down (-), `pitch_sigma_deg` one standard deviation of it. `heading_deg` is
    how far the head has turned to the right since some moment, `turning_deg_s` how quickly it does.
    """

    pitch_deg: float
    pitch_sigma_deg: float
    heading_deg: float
    turning_deg_s: float
    walking: bool


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture, with the moment it was taken.

    `seq` counts the frames that the source produced, dropped ones included. `name` is the file it
    came from, where there is one, or which side camera. `pose` is the head's at that moment, where the
    source measures it. `side` is the newest picture of a camera that looks aside, where there is one
    that no earlier frame brought.
    """

    image: Image
    time_s: float
    seq: int
    intrinsics: Camera | None = None
    name: str = ""
    pose: Pose | None = None
    side: "Frame | None" = None

    @property
    def width(self) -> int:
        return int(self.image.shape[1])

    @property
    def height(self) -> int:
        return int(self.image.shape[0])


@dataclass(frozen=True, slots=True)
class Box:
    """Axis-aligned box by its corners, in pixels of the source image: x right, y down."""

    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def width(self) -> float:
        return self.x2 - self.x1

    @property
    def height(self) -> float:
        return self.y2 - self.y1

    @property
    def centre_x(self) -> float:
        return (self.x1 + self.x2) / 2

    @property
    def area(self) -> float:
        return max(0.0, self.width) * max(0.0, self.height)


@dataclass(frozen=True, slots=True)
class Detection:
    """What the detector saw. `track` is the tracker's number, the same from frame to frame."""

    label: str
    score: float
    box: Box
    track: int


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A tracked detection, placed in the wearer's world.

    `bearing_deg` is 0 straight ahead and positive to the right. `ttc_s` is the time to collision and
    `ttc_sigma_s` one standard deviation of it, or None where the object is not coming nearer.
    `priority` orders what is said: higher is sooner. `edges_deg` are the bearings of the left and the
    right edge, where they are known. `camera` names the side camera whose picture `box` belongs to; it
    is empty for the main one.
    """

    track: int
    label: str
    score: float
    box: Box
    distance_m: float
    distance_sigma_m: float
    bearing_deg: float
    side: Side
    ttc_s: float | None
    priority: float
    ttc_sigma_s: float | None = None
    edges_deg: tuple[float, float] | None = None
    camera: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class DepthMap:
    """How far along the camera's axis everything is in frame `seq`: `metres` float32 (h, w), at any
    resolution, over the whole picture. NaN, infinite or below 0.1 where that is unknown."""

    seq: int
    metres: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SceneClass:
    """Where the wearer is. `entropy` is that of the whole distribution, divided by log(classes).
    `indoor` is None where the scene says neither."""

    label: str
    probability: float
    entropy: float
    indoor: bool | None
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class ImageStatistics:
    """What a picture is like, whatever it shows; all in [0, 1].
    `engine.perception.image_statistics` measures it and says how.

    `change` is against the picture of the last answer, 1 where there was none.
    """

    blur: float
    exposure: float
    contrast: float
    edges: float
    strokes: float
    change: float = 1.0


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line of text that was read in a picture: exactly as written, how surely (in [0, 1]), where."""

    text: str
    score: float
    box: Box


@dataclass(frozen=True, slots=True)
class Mark:
    """A stage ended at this moment. The latency trace is a tuple of these, appended as work goes on."""

    stage: str
    time_s: float


@dataclass(frozen=True, slots=True)
class Glance:
    """A frame with everything that the quick tier found in it. `scene` and `picture` are None until a
    request needs them. `side_obstacles` are seen by the side cameras only, not in the frame's image."""

    frame: Frame
    obstacles: tuple[Obstacle, ...]
    scene: SceneClass | None = None
    marks: tuple[Mark, ...] = ()
    side_obstacles: tuple[Obstacle, ...] = ()
    picture: ImageStatistics | None = None


Wish = Literal["describe", "more", "why", "read", "where"]  # what can be asked of the answerer


@dataclass(frozen=True, slots=True)
class Request:
    """The wearer asked. `asked_s` is the end of the wake phrase, the key press or the timer's tick;
    `heard_s` is when the ear had understood it, where it was spoken; `target` is the label that a
    `where` looks for."""

    id: int
    trigger: str
    asked_s: float
    wish: Wish = "describe"
    target: str | None = None
    heard_s: float | None = None

    @property
    def marks(self) -> tuple[Mark, ...]:
        """The trace's first marks: what is spoken is only known after the ear's own delay."""
        if self.heard_s is None:
            return (Mark("asked", self.asked_s),)
        return (Mark("spoken", self.asked_s), Mark("asked", self.heard_s))


Control = Literal["repeat", "stop", "quieter", "louder", "quit"]  # what the loops do themselves


@dataclass(frozen=True, slots=True)
class Command:
    """What the wearer wants, spoken or by key; `target` as in `Request`."""

    name: Wish | Control
    target: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """What a microphone heard: `pcm` (n,), whose last sample was taken at `time_s`."""

    pcm: Pcm
    time_s: float


@dataclass(frozen=True, slots=True)
class Hearing:
    """What the ear met in a session, for its summary.

    `late` counts the blocks that were dealt with long after they were taken, `overruns` the times
    that the device lost samples; `own_voice` and `refractory` the wakes that were not taken.
    """

    heard_s: float = 0.0
    wakes: int = 0
    own_voice: int = 0
    refractory: int = 0
    commands: int = 0
    not_understood: int = 0
    late: int = 0
    overruns: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """Which tier answers and why. `score` is the router's complexity in [0, 1]."""

    tier: Tier
    score: float
    threshold: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Beat:
    """One part of an answer, by the tier that worded it."""

    tier: Tier
    text: str


@dataclass(frozen=True, slots=True)
class Description:
    """A whole answer to a request, of the very frame that was routed."""

    request: Request
    frame_seq: int
    mode: str
    tier: Tier
    decision: Decision
    scene: SceneClass
    beats: tuple[Beat, ...]
    marks: tuple[Mark, ...]
    unsupported: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All that is said, in order."""
        return " ".join(beat.text for beat in self.beats)


Kind = Literal["alert", "answer", "status"]
Drop = Literal["stale", "superseded", "cancelled"]
Cut = Literal["interrupted", "superseded", "cancelled"]
EarconName = Literal["obstacle", "urgent", "listening", "tick"]


@dataclass(frozen=True, slots=True)
class Utterance:
    """Something to be heard: an earcon, then words; either may be empty.

    `deadline_s` is the moment after which it is no longer worth starting. `distance_m` sets an
    earcon's level and the rate of its pulses. `answer` is the request that it answers, so that its
    first sound can be timed. `resumes` is the utterance, cut off by something critical, that this one
    says again; what `yields` is given up for good instead.
    """

    id: int
    kind: Kind
    text: str
    priority: float
    queued_s: float
    azimuth_deg: float = 0.0
    deadline_s: float | None = None
    earcon: EarconName | None = None
    distance_m: float | None = None
    answer: int | None = None
    resumes: int | None = None
    yields: bool = False


@dataclass(frozen=True, slots=True)
class Heard:
    """What became of an utterance: when its first sample went to the sink, or why it never did.

    `cut` says why it ended before its end: `interrupted` by something critical, `superseded` by a
    newer request, `cancelled` by the wearer.
    """

    utterance: Utterance
    started_s: float | None
    ended_s: float | None
    dropped: Drop | None = None
    cut: Cut | None = None


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Which model serves a tier, as the session record and the first screen show it. Of a describer:
    the languages that it speaks, and whether it does what a prompt asks or has learnt a single one."""

    name: str
    pack: str
    device: str
    backend: str
    precision: str
    languages: tuple[Language, ...] = ()
    takes_prompts: bool = False


@dataclass(frozen=True, slots=True)
class Health:
    """Something went wrong while running, and what the engine did about it."""

    what: str
    detail: str
    action: str


@dataclass(frozen=True, slots=True)
class Answered:
    """A description whose first sound is out (or will never be), with the milliseconds of each stage
    that ran."""

    description: Description
    latency_ms: tuple[tuple[str, float], ...]


Shown = Glance | Heard | Answered | Health  # what a view gets to see


@dataclass(frozen=True, slots=True)
class StreamCount:
    """What came of one sensor's stream: records received and used, records lost or overtaken by newer
    ones, and milliseconds from capture to arrival of the latest, on the host's clock."""

    name: str
    received: int
    dropped: int
    latency_ms: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Truth:
    """A dataset's labels for one image, where its manifest has them.

    `boxes` are (label, box) in pixels of the stored image; None means that the set was not labelled
    for that, which is not the same as an empty list.
    """

    boxes: tuple[tuple[str, Box], ...] | None = None
    scene: str | None = None
    captions: tuple[str, ...] = ()
    ignored: tuple[tuple[str, Box], ...] = ()  # crowds: neither to be found nor to be called wrong
