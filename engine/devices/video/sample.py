"""The `sample` source: a simulated walk towards a street photo.

It lets a user try the engine without a camera. Must not know what the detector finds in it.
"""

import math
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from engine.core.camera import Frame, Intrinsics
from engine.core.glance import Truth
from engine.devices.video.images import decode_image, frozen

# 640 on the longer side, as detectors take it, at the photo's 3:4. The smallest crop is 506 x 675
# of the photo's 810 x 1080 pixels, so that no frame is upscaled.
WIDTH_PX, HEIGHT_PX = 480, 640
ZOOM = 1.6  # of the last frame, relative to the whole photo
# The two men in front are about 490 px tall in the photo. At a height of 1.75 m and the focal
# length below they are 2.8 m away. The photo is treated as a flat picture at that distance.
DISTANCE_M = 2.8
# The focus of expansion, as fractions of the photo: the one point that does not move. With this one
# both men and the front of the bus stay in view to the end.
HEADING_X, HEADING_Y = 0.18, 0.56
HFOV_DEG = 70.0  # along the longer side; typical of a phone's main camera


def sample_photo() -> Path:
    """Path of the street photo, which Ultralytics ships with its package (AGPL-3.0)."""
    return Path(__file__).with_name("bus.jpg")


class SampleSource:
    """A walk towards a flat picture at constant speed, with a fixed focal length.

    At time t the distance is d0 - v t and the picture appears s(t) = d0 / (d0 - v t) times as large
    as at the start. d0 is DISTANCE_M, and v is chosen so that s reaches ZOOM at `duration_s`. The
    time to collision is d0 / v - t: for a walk of 6 s it falls from 16 s to 10 s.
    """

    name = "sample"
    live = False

    def __init__(self, fps: float = 15.0, duration_s: float = 6.0) -> None:
        self.fps = fps
        self.duration_s = duration_s
        self.speed_m_s = DISTANCE_M * (1 - 1 / ZOOM) / duration_s
        photo = decode_image(sample_photo())
        self._photo = Pillow.fromarray(photo)
        focal_px = max(WIDTH_PX, HEIGHT_PX) / 2 / math.tan(math.radians(HFOV_DEG / 2))
        self.intrinsics = Intrinsics(
            focal_px, focal_px, WIDTH_PX / 2, HEIGHT_PX / 2, WIDTH_PX, HEIGHT_PX
        )
        self._count = max(1, round(fps * duration_s))
        self._seq = 0

    def scale(self, time_s: float) -> float:
        """How many times larger objects appear than at the start."""
        return DISTANCE_M / (DISTANCE_M - self.speed_m_s * time_s)

    def window(self, time_s: float) -> tuple[float, float, float, float]:
        """The visible crop of the photo: left, top, right, bottom in its pixels."""
        width, height = self._photo.size
        fraction = 1 / self.scale(time_s)
        left, top = HEADING_X * width * (1 - fraction), HEADING_Y * height * (1 - fraction)
        return left, top, left + width * fraction, top + height * fraction

    def read(self) -> Frame | None:
        if self._seq >= self._count:
            return None
        seq = self._seq
        self._seq += 1
        time_s = seq / self.fps
        picture = self._photo.resize(
            (WIDTH_PX, HEIGHT_PX), Pillow.Resampling.BILINEAR, box=self.window(time_s)
        )
        return Frame(frozen(np.asarray(picture)), time_s, seq, self.intrinsics, "bus.jpg")

    def truth(self, seq: int) -> Truth | None:
        return None

    def __len__(self) -> int:
        return self._count

    def close(self) -> None:
        self._seq = self._count
