"""A simulated depth model: the true depth of a walk's things, off as zero-shot depth is, and late.

It stands in for a network that has never been run here; it knows nothing of how depth is used.
"""

import math
import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.core.glance import DepthMap
from experiments.walks.world import Thing, Walk

CELL_PX = 8
FAR_M = 60.0  # what is behind everything


@dataclass(frozen=True, slots=True)
class DepthNoise:
    """The whole walk is off by one factor (`scale`, as a wrong focal length does), each thing by one of
    its own (`thing`), each map by one more (`frame`): standard deviations of logarithms. Maps are
    `pace_s` apart and arrive `late_s` after their frame."""

    scale: float = 0.2
    thing: float = 0.1
    frame: float = 0.05
    pace_s: float = 2.0
    late_s: float = 2.0


class Deep:
    """Gives the maps of one walk as their time comes; `fps` is the camera's."""

    def __init__(self, walk: Walk, noise: DepthNoise, fps: float, seed: str) -> None:
        self._walk, self._noise, self._fps = walk, noise, fps
        self._dice = random.Random(seed)
        self._scale = math.exp(self._dice.gauss(0.0, noise.scale))
        self._own = {
            number: math.exp(self._dice.gauss(0.0, noise.thing))
            for number in range(len(walk.things))
        }

    def after(self, seq: int) -> DepthMap | None:
        """The map that arrives with frame `seq`, if one does."""
        pace, late = round(self._noise.pace_s * self._fps), round(self._noise.late_s * self._fps)
        if seq < late or (seq - late) % pace:
            return None
        return DepthMap(seq - late, self._metres((seq - late) / self._fps))

    def _metres(self, time_s: float) -> NDArray[np.float32]:
        walk, things = self._walk, self._walk.things
        height, width = walk.camera.height // CELL_PX, walk.camera.width // CELL_PX
        metres = np.full((height, width), FAR_M, np.float32)
        off = self._scale * math.exp(self._dice.gauss(0.0, self._noise.frame))
        order = range(len(things))
        for number in sorted(order, key=lambda n: -walk.distance_m(things[n], time_s)):
            box = walk.box(things[number], time_s)
            if box is not None:
                top, foot = int(box.y1 / CELL_PX), math.ceil(box.y2 / CELL_PX)
                left, right = int(box.x1 / CELL_PX), math.ceil(box.x2 / CELL_PX)
                axis_m = self._axis_m(things[number], time_s)
                metres[top:foot, left:right] = axis_m * off * self._own[number]
        return metres

    def _axis_m(self, thing: Thing, time_s: float) -> float:
        """Metres along the camera's axis to the middle of `thing`; the head's nod is left out."""
        pitch = math.radians(self._walk.pitch_deg)
        down_m = self._walk.height_m - thing.bottom_m - thing.height_m / 2
        ahead_m = self._walk.place(thing, time_s)[1]
        return ahead_m * math.cos(pitch) - down_m * math.sin(pitch)
