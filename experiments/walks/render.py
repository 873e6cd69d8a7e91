"""Pictures of a synthetic walk, for what compares pictures: a photo all around, ground, and objects.

The photo is infinitely far away, the ground is level, objects are flat pieces of photos. They look
like nothing real, but they move as things do before a lens. Must not know the tracker.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.core.camera import Image
from engine.perception.camera import ray
from experiments.walks.world import Walk

Floats = NDArray[np.float32]

GRID_PX = 8  # directions are computed for every eighth pixel and interpolated: lenses are smooth
PANORAMA_PX_PER_DEG = 8.0
GROUND_PX_PER_M = 60.0
HORIZON_DROP = 0.05  # a steeper ray hits the ground, at most 30 m away from a lens at 1.5 m
NOISE = 2.0  # standard deviation of a grey value, as of a small sensor indoors


class Renderer:
    """Draws `walk` at any time. `photos` (h, w, 3) give the textures; the same seed gives the same
    pictures."""

    def __init__(self, walk: Walk, photos: Sequence[Image], seed: int) -> None:
        self._walk = walk
        self._dice = np.random.default_rng(seed)
        self._rays = _rays(walk)
        self._far = _tiled(photos, (1440, 2880))
        self._ground = _tiled(photos[:1], (1200, 1200))
        self._patches = [_patch(photos[(1 + n) % len(photos)], n) for n in range(len(walk.things))]
        self._grain = self._dice.normal(0.0, NOISE, (2 * walk.camera.height, walk.camera.width))

    def image(self, time_s: float) -> Image:
        """The picture (height, width, 3) of the walk's camera."""
        picture = self._surroundings(time_s)
        nearest_last = sorted(
            range(len(self._walk.things)),
            key=lambda index: -self._walk.distance_m(self._walk.things[index], time_s),
        )
        for index in nearest_last:
            box = self._walk.box(self._walk.things[index], time_s)
            if box is None:
                continue
            x1, y1, x2, y2 = (round(edge) for edge in (box.x1, box.y1, box.x2, box.y2))
            size = (max(1, x2 - x1), max(1, y2 - y1))
            picture[y1 : y1 + size[1], x1 : x1 + size[0]] = cv2.resize(
                self._patches[index], size, interpolation=cv2.INTER_AREA
            )[: picture.shape[0] - y1, : picture.shape[1] - x1]
        first = int(self._dice.integers(0, picture.shape[0]))
        grain = self._grain[first : first + picture.shape[0], :, None].astype(np.float32)
        image: Image = np.clip(picture + grain, 0, 255).astype(np.uint8)
        image.flags.writeable = False
        return image

    def _surroundings(self, time_s: float) -> NDArray[np.uint8]:
        """The far photo above the horizon, the ground below."""
        turn, pitch = np.radians(self._walk.head_deg(time_s))
        x, y, z = self._rays
        down = y * np.cos(pitch) - z * np.sin(pitch)
        level = y * np.sin(pitch) + z * np.cos(pitch)
        right = x * np.cos(turn) + level * np.sin(turn)
        ahead = level * np.cos(turn) - x * np.sin(turn)
        flat = np.hypot(right, ahead)
        far = self._looked_up(
            self._far,
            np.degrees(np.arctan2(right, ahead)) * PANORAMA_PX_PER_DEG,
            np.degrees(np.arctan2(down, flat)) * PANORAMA_PX_PER_DEG,
        )
        reach_m = self._walk.lens_m(time_s) / np.maximum(down, HORIZON_DROP * flat)
        near = self._looked_up(
            self._ground,
            right * reach_m * GROUND_PX_PER_M,
            (ahead * reach_m + self._walk.ahead_m(time_s)) * GROUND_PX_PER_M,
        )
        below = self._whole(down - HORIZON_DROP * flat) > 0.0
        return np.where(below[..., None], near, far)

    def _looked_up(self, texture: Image, column: Floats, row: Floats) -> Image:
        """The texture, which repeats, at the places (column, row) of the coarse grid."""
        height, width = texture.shape[:2]
        return np.asarray(
            cv2.remap(
                texture,
                np.mod(self._whole(column), width),
                np.mod(self._whole(row), height),
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_WRAP,
            )
        )

    def _whole(self, coarse: Floats) -> Floats:
        """A value for every pixel, from one for every pixel of the coarse grid."""
        size = (self._walk.camera.width, self._walk.camera.height)
        return np.asarray(cv2.resize(coarse.astype(np.float32), size))


def _rays(walk: Walk) -> tuple[Floats, Floats, Floats]:
    """The directions (x, y, z) in the camera's axes, arrays (height / GRID_PX, width / GRID_PX)."""
    camera = walk.camera
    middle = (GRID_PX - 1) / 2
    grid = np.array(
        [
            [ray(x + middle, y + middle, camera) for x in range(0, camera.width, GRID_PX)]
            for y in range(0, camera.height, GRID_PX)
        ],
        np.float32,
    )
    return grid[..., 0], grid[..., 1], grid[..., 2]


def _tiled(photos: Sequence[Image], shape: tuple[int, int]) -> Image:
    """A texture of `shape` (height, width) that repeats, of all photos side by side."""
    tiles = [cv2.resize(photo, (480, 360)) for photo in photos]
    rows = [
        np.hstack([tiles[(row * 3 + column) % len(tiles)] for column in range(shape[1] // 480 + 1)])
        for row in range(shape[0] // 360 + 1)
    ]
    return np.ascontiguousarray(np.vstack(rows)[: shape[0], : shape[1]])


def _patch(photo: Image, number: int) -> Image:
    """A piece of `photo` as an object's surface, another for each number."""
    height, width = photo.shape[:2]
    top, left = (number * 37) % max(1, height // 2), (number * 53) % max(1, width // 2)
    return photo[top : top + height // 2, left : left + width // 3]
