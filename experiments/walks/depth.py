"""A simulated depth model: the true depth of a walk's objects, with the errors of zero-shot depth.

Stands in for a network that has not been run here. Knows nothing of how depth is used.
"""

import math
import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.core.glance import DepthMap
from experiments.walks.world import Thing, Walk

CELL_PX = 8
BACKGROUND_M = 60.0


@dataclass(frozen=True, slots=True)
class DepthNoise:
    """Errors as factors, given as standard deviations of their logarithms.

    `scale` is one factor for the whole walk (as a wrong focal length causes), `thing` one for each
    object, `frame` one for each map. Maps are `interval_s` apart and arrive `delay_s` after their
    frame.
    """

    scale: float = 0.2
    thing: float = 0.1
    frame: float = 0.05
    interval_s: float = 2.0
    delay_s: float = 2.0


class SimulatedDepth:
    """The depth maps of one walk, in order of time; `fps` is the camera's."""

    def __init__(self, walk: Walk, noise: DepthNoise, fps: float, seed: str) -> None:
        self._walk, self._noise, self._fps = walk, noise, fps
        self._dice = random.Random(seed)
        self._scale = math.exp(self._dice.gauss(0.0, noise.scale))
        self._thing_scale = {
            number: math.exp(self._dice.gauss(0.0, noise.thing))
            for number in range(len(walk.things))
        }

    def after(self, seq: int) -> DepthMap | None:
        """The map that arrives with frame `seq`; None if there is none."""
        interval = round(self._noise.interval_s * self._fps)
        measured = seq - round(self._noise.delay_s * self._fps)
        if measured < 0 or measured % interval:
            return None
        return DepthMap(measured, self._metres(measured / self._fps))

    def _metres(self, time_s: float) -> NDArray[np.float32]:
        walk, things = self._walk, self._walk.things
        height, width = walk.camera.height // CELL_PX, walk.camera.width // CELL_PX
        metres = np.full((height, width), BACKGROUND_M, np.float32)
        frame_scale = self._scale * math.exp(self._dice.gauss(0.0, self._noise.frame))
        order = range(len(things))
        for number in sorted(order, key=lambda n: -walk.distance_m(things[n], time_s)):
            box = walk.box(things[number], time_s)
            if box is not None:
                top, foot = int(box.y1 / CELL_PX), math.ceil(box.y2 / CELL_PX)
                left, right = int(box.x1 / CELL_PX), math.ceil(box.x2 / CELL_PX)
                axis_m = self._axis_m(things[number], time_s)
                metres[top:foot, left:right] = axis_m * frame_scale * self._thing_scale[number]
        return metres

    def _axis_m(self, thing: Thing, time_s: float) -> float:
        """Metres along the camera's axis to the centre of `thing`, without the head's nod."""
        pitch = math.radians(self._walk.pitch_deg)
        down_m = self._walk.height_m - thing.bottom_m - thing.height_m / 2
        ahead_m = self._walk.place(thing, time_s)[1]
        return ahead_m * math.cos(pitch) - down_m * math.sin(pitch)
