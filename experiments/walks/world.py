"""A synthetic walk: where every object is at any time, and the boxes that a camera would see.

The ground is level; x is metres to the right and z metres ahead of the start, and the wearer walks
along z. Objects are upright rectangles that face the camera. Must not know the Localizer or the
AlertPolicy.
"""

import math
from dataclasses import dataclass

from engine.core.camera import Camera
from engine.core.glance import Box
from engine.perception.camera import pixel

STRIDE_HZ = 1.9  # steps per second at walking pace
# The head's rise and fall, its nod and its sway while walking: Hirasaki et al. 1999, rounded.
BOB_M = 0.02
NOD_DEG = 1.5
SWAY_DEG = 1.5
TOUCH_M = 0.3  # half a body's width: an object this near to the path's centre line is walked into
TOO_NEAR_M = 0.25  # nearer objects have no box


@dataclass(frozen=True, slots=True)
class Thing:
    """An upright object, at (x_m, z_m) when the walk begins, moving at (vx, vz) metres per second
    from `starts_s` to `stops_s`. `bottom_m` is the height of its lower edge above the ground."""

    label: str
    height_m: float
    width_m: float
    x_m: float
    z_m: float
    vx_m_s: float = 0.0
    vz_m_s: float = 0.0
    bottom_m: float = 0.0
    starts_s: float = 0.0
    stops_s: float = math.inf

    def at(self, time_s: float) -> tuple[float, float]:
        moved_s = max(0.0, min(time_s, self.stops_s) - self.starts_s)
        return self.x_m + self.vx_m_s * moved_s, self.z_m + self.vz_m_s * moved_s


@dataclass(frozen=True, slots=True)
class HeadTurn:
    """The head turns from straight ahead by `angle_deg` (+ right) and back, within `lasts_s`."""

    starts_s: float
    lasts_s: float
    angle_deg: float

    def at_deg(self, time_s: float) -> float:
        """The angle at `time_s`: one period of a raised cosine."""
        phase = (time_s - self.starts_s) / self.lasts_s
        return self.angle_deg * (1 - math.cos(2 * math.pi * phase)) / 2 if 0 < phase < 1 else 0.0


@dataclass(frozen=True, slots=True)
class Walk:
    """A wearer who walks at `speed_m_s` until `stops_s`, whatever is in the way, among `things`.

    `camera`, `height_m` and `pitch_deg` are the true ones. `known_camera` is the camera that the
    engine is told of (None: nothing).
    """

    name: str
    camera: Camera
    things: tuple[Thing, ...]
    known_camera: Camera | None = None
    duration_s: float = 12.0
    speed_m_s: float = 1.4
    stops_s: float = math.inf
    height_m: float = 1.5
    pitch_deg: float = 0.0
    head_turns: tuple[HeadTurn, ...] = ()

    def ahead_m(self, time_s: float) -> float:
        """How far the wearer has walked."""
        return self.speed_m_s * min(time_s, self.stops_s)

    def place(self, thing: Thing, time_s: float) -> tuple[float, float]:
        """The object's place: (metres right, metres ahead) of the wearer."""
        x, z = thing.at(time_s)
        return x, z - self.ahead_m(time_s)

    def distance_m(self, thing: Thing, time_s: float) -> float:
        return math.hypot(*self.place(thing, time_s))

    def bearing_deg(self, thing: Thing, time_s: float) -> float:
        """Degrees to the right of the walking direction."""
        return math.degrees(math.atan2(*self.place(thing, time_s)))

    def ttc_s(self, thing: Thing, time_s: float) -> float | None:
        """Distance over closing speed at this time; None unless the object comes nearer."""
        step_s = 1e-3
        now_m, next_m = (self.distance_m(thing, t) for t in (time_s, time_s + step_s))
        closing_m_s = (now_m - next_m) / step_s
        return now_m / closing_m_s if closing_m_s > 0.05 else None

    def contact_s(self, thing: Thing) -> float | None:
        """When wearer and object collide; None if they never do. What hangs above the head never
        collides."""
        if thing.bottom_m > 2.0:
            return None
        step_s, time_s = 1 / 60, 0.0
        ahead_m = self.place(thing, 0.0)[1]
        while time_s < self.duration_s:
            time_s += step_s
            right_m, next_m = self.place(thing, time_s)
            touching = abs(right_m) <= TOUCH_M + thing.width_m / 2
            if touching and ahead_m > TOO_NEAR_M >= next_m:
                return time_s
            if touching and 0.0 <= next_m <= TOO_NEAR_M:  # from the side
                return time_s
            ahead_m = next_m
        return None

    def box(self, thing: Thing, time_s: float) -> Box | None:
        """The object's bounding box, clipped to the image; None if the camera does not see it."""
        right_m, ahead_m = self.place(thing, time_s)
        away_m = math.hypot(right_m, ahead_m)
        if away_m < TOO_NEAR_M:
            return None
        # The unit vector across the line of sight.
        across_x, across_z = ahead_m / away_m, -right_m / away_m
        lens_m = self.lens_m(time_s)
        corners = []
        for half_m in (-thing.width_m / 2, thing.width_m / 2):
            for up_m in (thing.bottom_m, thing.bottom_m + thing.height_m):
                x, z = right_m + half_m * across_x, ahead_m + half_m * across_z
                corners.append(self._pixel(x, lens_m - up_m, z, time_s))
        seen = [corner for corner in corners if corner is not None]
        if len(seen) < len(corners):
            return None
        xs, ys = [x for x, _ in seen], [y for _, y in seen]
        width, height = self.camera.width, self.camera.height
        box = Box(
            max(0.0, min(xs)),
            max(0.0, min(ys)),
            min(float(width), max(xs)),
            min(float(height), max(ys)),
        )
        return box if box.width >= 3.0 and box.height >= 3.0 else None

    def head_deg(self, time_s: float) -> tuple[float, float]:
        """The head's turn to the right and its pitch upwards: sway, nod and head turns."""
        turned_deg = sum(turn.at_deg(time_s) for turn in self.head_turns)
        return (
            turned_deg + SWAY_DEG * self._gait(time_s / 2),
            self.pitch_deg + NOD_DEG * self._gait(time_s + 0.1),
        )

    def lens_m(self, time_s: float) -> float:
        """The height of the lens above the ground."""
        return self.height_m + self._gait(time_s) * BOB_M

    def _gait(self, time_s: float) -> float:
        """The phase of the gait, -1 to 1 with each step; 0 while the wearer stands."""
        if self.speed_m_s == 0.0 or time_s >= self.stops_s:
            return 0.0
        return math.sin(2 * math.pi * STRIDE_HZ * time_s)

    def _pixel(self, x: float, y: float, z: float, time_s: float) -> tuple[float, float] | None:
        """Project a point (right, down, ahead of the lens), with the head's turn and the camera's
        pitch.
        """
        turn_deg, pitch_deg = self.head_deg(time_s)
        turn, pitch = math.radians(turn_deg), math.radians(pitch_deg)
        x, z = x * math.cos(turn) - z * math.sin(turn), x * math.sin(turn) + z * math.cos(turn)
        down = y * math.cos(pitch) + z * math.sin(pitch)
        depth = -y * math.sin(pitch) + z * math.cos(pitch)
        return pixel(x, down, depth, self.camera) if depth > 0.0 else None
