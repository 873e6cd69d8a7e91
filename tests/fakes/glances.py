"""Made-up glances for tests: only what a test names differs from an obstacle straight ahead."""

import numpy as np

from engine.core.camera import Frame
from engine.core.glance import Box, Glance, Obstacle, SceneClass, Side


def make_obstacle(
    label: str,
    distance_m: float = 3.0,
    side: Side = "ahead",
    bearing_deg: float = 0.0,
    track: int = 0,
    box: Box | None = None,
) -> Obstacle:
    box = box or Box(0, 0, 9, 9)
    return Obstacle(track, label, 0.9, box, distance_m, 0.1, bearing_deg, side, None, 1.0)


def make_scene(
    label: str = "street",
    probability: float = 0.9,
    entropy: float = 0.3,
    indoor: bool | None = False,
) -> SceneClass:
    return SceneClass(label, probability, entropy, indoor)


def make_glance(
    *obstacles: Obstacle, scene: SceneClass | None = None, seq: int = 0, way_is_clear: bool = True
) -> Glance:
    """A glance of an image 640 wide and 480 high."""
    frame = Frame(np.zeros((480, 640, 3), np.uint8), 0.0, seq)
    return Glance(frame, obstacles, scene, way_is_clear=way_is_clear)
