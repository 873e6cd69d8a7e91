"""A detector that sees a walk's boxes as detectors do: edges that wander, misses, ghosts, lost tracks."""

import itertools
import random
from dataclasses import dataclass

from engine.core.glance import Box, Detection
from experiments.walks.world import Thing, Walk

LEAST_PX = 12.0  # shorter boxes are not found
HIDDEN_SHARE = 0.7  # so much of a box behind a nearer one hides the thing


@dataclass(frozen=True, slots=True)
class Noise:
    """Edges wander by `edge_px` and by `edge_share` of the box (one standard deviation each), half of
    the error staying from frame to frame. A thing is missed in `miss` of the frames, most of them in
    runs; `ghosts` and changes of number (`swaps`) are a minute."""

    edge_px: float = 1.5
    edge_share: float = 0.02
    stays: float = 0.5
    miss: float = 0.1
    run: float = 0.6  # having been missed, it is missed again
    ghosts: float = 6.0
    ghost_frames: int = 3
    swaps: float = 1.0


NONE = Noise(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0.0)


@dataclass(slots=True)
class Seen:
    """What becomes of one thing's track."""

    number: int
    missed: bool = False
    errors: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)


class Eye:
    """Sees a walk, frame by frame in order; `things` says which track is what, None for a ghost."""

    def __init__(self, walk: Walk, noise: Noise, fps: float, seed: str) -> None:
        self._walk, self._noise, self._fps = walk, noise, fps
        self._dice = random.Random(seed)
        self._numbers = itertools.count(1)
        self._seen = {index: Seen(next(self._numbers)) for index in range(len(walk.things))}
        self._ghost: tuple[Detection, int] | None = None
        self.things: dict[int, Thing | None] = {}

    def detect(self, time_s: float) -> tuple[Detection, ...]:
        found: list[Detection] = []
        nearer: list[Box] = []
        away = sorted(
            range(len(self._walk.things)),
            key=lambda index: self._walk.distance_m(self._walk.things[index], time_s),
        )
        for index in away:
            thing, seen = self._walk.things[index], self._seen[index]
            box = self._walk.box(thing, time_s)
            if box is None or box.height < LEAST_PX or any(_hides(o, box) for o in nearer):
                continue
            nearer.append(box)
            if self._misses(seen):
                continue
            if self._dice.random() < self._noise.swaps / 60 / self._fps:
                seen.number = next(self._numbers)
            self.things[seen.number] = thing
            found.append(Detection(thing.label, 0.8, self._wandered(box, seen), seen.number))
        return (*found, *self._ghosts())

    def _misses(self, seen: Seen) -> bool:
        noise = self._noise
        # the share of misses stays `miss` whatever the length of a run
        first = noise.miss * (1 - noise.run) / max(1e-9, 1 - noise.miss)
        seen.missed = self._dice.random() < (noise.run if seen.missed else first)
        return seen.missed

    def _wandered(self, box: Box, seen: Seen) -> Box:
        noise, fresh = self._noise, (1 - self._noise.stays**2) ** 0.5
        e1, e2, e3, e4 = (
            noise.stays * error + fresh * self._dice.gauss(0.0, 1.0) for error in seen.errors
        )
        seen.errors = (e1, e2, e3, e4)
        x_px = noise.edge_px + noise.edge_share * box.width
        y_px = noise.edge_px + noise.edge_share * box.height
        width, height = float(self._walk.camera.width), float(self._walk.camera.height)
        x1, x2 = sorted((self._edge(box.x1, e1, x_px, width), self._edge(box.x2, e3, x_px, width)))
        y1, y2 = sorted(
            (self._edge(box.y1, e2, y_px, height), self._edge(box.y2, e4, y_px, height))
        )
        return Box(x1, y1, x2, y2)

    def _edge(self, at_px: float, error: float, wander_px: float, size_px: float) -> float:
        """An edge as it is found; one that the border makes stays at it, but for `edge_px`."""
        if at_px <= 0.0:
            return abs(error) * self._noise.edge_px
        if at_px >= size_px:
            return size_px - abs(error) * self._noise.edge_px
        return at_px + error * wander_px

    def _ghosts(self) -> tuple[Detection, ...]:
        """Things that are not there, for a few frames each."""
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
