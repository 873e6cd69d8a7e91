"""What perception finds in a frame: detections, obstacles, depth, scene, text.

Frozen data. Boxes are in pixels of the upright source image.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engine.core.camera import Frame

Side = Literal["left", "ahead", "right"]


@dataclass(frozen=True, slots=True)
class Box:
    """Axis-aligned bounding box by its corners, in pixels of the source image: x right, y down."""

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
    """An object found by the detector. `track` is the tracker's id, stable from frame to frame."""

    label: str
    score: float
    box: Box
    track: int

    @property
    def is_finite(self) -> bool:
        """Whether its numbers are. Of others, any distance could come."""
        box = self.box
        return all(map(math.isfinite, (box.x1, box.y1, box.x2, box.y2, self.score)))


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A tracked detection with its position relative to the wearer.

    `bearing_deg` is 0 straight ahead and positive to the right. `ttc_s` is the time to collision
    and `ttc_sigma_s` its standard deviation; both are None if the object does not approach. A
    higher `priority` is announced sooner. `edges_deg` are the bearings of the left and the right
    edge, where known. `camera` is the side camera whose image `box` belongs to, empty for the main
    camera.
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
    """Depth along the optical axis in frame `seq`: `metres` float32 (h, w) at any resolution, over
    the whole image. Unknown values are NaN, infinite or below 0.1."""

    seq: int
    metres: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SceneClass:
    """The kind of place. `entropy` is the entropy of the whole distribution, divided by
    log(classes). `indoor` is None for a class that can be both."""

    label: str
    probability: float
    entropy: float
    indoor: bool | None
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class ImageStatistics:
    """Low-level properties of an image, each in [0, 1]; `engine.perception.image_statistics`
    computes and defines them. `change` is the difference from the image of the last answer, or 1 if
    there was none."""

    blur: float
    exposure: float
    contrast: float
    edges: float
    strokes: float
    change: float = 1.0


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line of text found in an image: its exact characters, its confidence in [0, 1], its box."""

    text: str
    score: float
    box: Box


@dataclass(frozen=True, slots=True)
class Mark:
    """The end of a stage. A latency trace is a tuple of these, in the order of the stages."""

    stage: str
    time_s: float


def stages_ms(marks: tuple[Mark, ...]) -> dict[str, float]:
    """Milliseconds from each mark to the next, by the name of the later one."""
    return {
        later.stage: (later.time_s - earlier.time_s) * 1000
        for earlier, later in itertools.pairwise(marks)
    }


@dataclass(frozen=True, slots=True)
class Glance:
    """A frame with everything that the quick tier found in it. `scene` and `picture` (image
    statistics) are None until a request needs them. `side_obstacles` are seen only by the side
    cameras, not in the frame's image. `way_is_clear` is the alert policy's word (see
    `AlertPolicy.way_is_clear`); without it, no sentence says that nothing is in the way."""

    frame: Frame
    obstacles: tuple[Obstacle, ...]
    scene: SceneClass | None = None
    marks: tuple[Mark, ...] = ()
    side_obstacles: tuple[Obstacle, ...] = ()
    picture: ImageStatistics | None = None
    way_is_clear: bool = False


@dataclass(frozen=True, slots=True)
class Truth:
    """A dataset's labels for one image, if its manifest has them.

    `boxes` are (label, box) in pixels of the stored image. None means that the dataset has no
    labels of that kind; an empty list means that the image has none.
    """

    boxes: tuple[tuple[str, Box], ...] | None = None
    scene: str | None = None
    captions: tuple[str, ...] = ()
    ignored: tuple[tuple[str, Box], ...] = ()  # crowds, counted neither as found nor as missed
