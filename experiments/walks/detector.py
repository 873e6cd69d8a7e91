"""A simulated detector: a walk's true boxes with jitter, misses, false positives and track
switches.
"""

import itertools
import random
from dataclasses import dataclass

from engine.core.glance import Box, Detection
from experiments.walks.world import Thing, Walk

MIN_HEIGHT_PX = 12.0  # smaller objects are not detected
HIDDEN_SHARE = 0.7  # an object is hidden where a nearer box covers this share of its box


@dataclass(frozen=True, slots=True)
class Noise:
    """How the simulated detector errs.

    Edges jitter by `edge_px` and by `edge_share` of the box (one standard deviation each);
    `correlation` is that of the error from frame to frame. An object is missed in a share `miss` of
    the frames, and missed again with probability `run`. `ghosts` (false positives of at most
    `ghost_frames` frames) and `swaps` (track switches) are counts per minute.
    """

    edge_px: float = 1.5
    edge_share: float = 0.02
    correlation: float = 0.5
    miss: float = 0.1
    run: float = 0.6
    ghosts: float = 6.0
    ghost_frames: int = 3
    swaps: float = 1.0


NONE = Noise(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0.0)


@dataclass(slots=True)
class TrackState:
    """The track of one object: its number, whether it was just missed, the error of each edge."""

    number: int
    missed: bool = False
    errors: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)


class SimulatedDetector:
    """Detects a walk's objects frame by frame; `things` maps each track to its object, or to None
    for a false positive."""

    def __init__(self, walk: Walk, noise: Noise, fps: float, seed: str) -> None:
        self._walk, self._noise, self._fps = walk, noise, fps
        self._dice = random.Random(seed)
        self._numbers = itertools.count(1)
        self._tracks = {n: TrackState(next(self._numbers)) for n in range(len(walk.things))}
        self._ghost: tuple[Detection, int] | None = None
        self.things: dict[int, Thing | None] = {}

    def detect(self, time_s: float) -> tuple[Detection, ...]:
        found: list[Detection] = []
        nearer: list[Box] = []
        nearest_first = sorted(
            range(len(self._walk.things)),
            key=lambda index: self._walk.distance_m(self._walk.things[index], time_s),
        )
        for index in nearest_first:
            thing, track = self._walk.things[index], self._tracks[index]
            box = self._walk.box(thing, time_s)
            if box is None or box.height < MIN_HEIGHT_PX or any(_hides(o, box) for o in nearer):
                continue
            nearer.append(box)
            if self._misses(track):
                continue
            if self._dice.random() < self._noise.swaps / 60 / self._fps:
                track.number = next(self._numbers)
            self.things[track.number] = thing
            found.append(Detection(thing.label, 0.8, self._jittered(box, track), track.number))
        return (*found, *self._ghosts())

    def _misses(self, track: TrackState) -> bool:
        noise = self._noise
        # The share of misses stays `miss` whatever the length of a run.
        first = noise.miss * (1 - noise.run) / max(1e-9, 1 - noise.miss)
        track.missed = self._dice.random() < (noise.run if track.missed else first)
        return track.missed

    def _jittered(self, box: Box, track: TrackState) -> Box:
        noise, fresh = self._noise, (1 - self._noise.correlation**2) ** 0.5
        e1, e2, e3, e4 = (
            noise.correlation * error + fresh * self._dice.gauss(0.0, 1.0) for error in track.errors
        )
        track.errors = (e1, e2, e3, e4)
        x_px = noise.edge_px + noise.edge_share * box.width
        y_px = noise.edge_px + noise.edge_share * box.height
        width, height = float(self._walk.camera.width), float(self._walk.camera.height)
        x1, x2 = sorted((self._edge(box.x1, e1, x_px, width), self._edge(box.x2, e3, x_px, width)))
        y1, y2 = sorted(
            (self._edge(box.y1, e2, y_px, height), self._edge(box.y2, e4, y_px, height))
        )
        return Box(x1, y1, x2, y2)

    def _edge(self, at_px: float, error: float, jitter_px: float, size_px: float) -> float:
        """The detected edge; one that the image's border cuts stays within `edge_px` of the
        border.
        """
        if at_px <= 0.0:
            return abs(error) * self._noise.edge_px
        if at_px >= size_px:
            return size_px - abs(error) * self._noise.edge_px
        return at_px + error * jitter_px

    def _ghosts(self) -> tuple[Detection, ...]:
        """False positives, each for a few frames."""
        dice, camera = self._dice, self._walk.camera
        if self._ghost is None and dice.random() < self._noise.ghosts / 60 / self._fps:
            x, y = dice.uniform(0, camera.width), dice.uniform(0, camera.height)
            tall = camera.height * dice.uniform(0.05, 0.6)
            box = Box(x - tall / 4, y - tall / 2, x + tall / 4, y + tall / 2)
            number = next(self._numbers)
            self.things[number] = None
            label = dice.choice(("person", "chair", "pole", "suitcase"))
            frames = dice.randint(1, self._noise.ghost_frames)
            self._ghost = Detection(label, 0.5, box, number), frames
        if self._ghost is None:
            return ()
        ghost, left = self._ghost
        self._ghost = (ghost, left - 1) if left > 1 else None
        return (ghost,)


def _hides(nearer: Box, box: Box) -> bool:
    width = min(nearer.x2, box.x2) - max(nearer.x1, box.x1)
    height = min(nearer.y2, box.y2) - max(nearer.y1, box.y1)
    return width > 0 and height > 0 and width * height > HIDDEN_SHARE * box.area
