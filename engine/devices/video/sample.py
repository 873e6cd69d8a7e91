"""The `sample` source: the street photo that Ultralytics installs, shown as a short approach.

The engine can so be tried with no camera. It finds the photo without importing Ultralytics, and
must not know what the detector makes of it.
"""

import importlib.util
import math
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from engine.core.camera import Frame, Intrinsics
from engine.core.errors import MissingPart
from engine.core.glance import Truth
from engine.devices.video.images import decode_image, frozen

# 640 on the longer side, as detectors take it, in the photo's 3:4. At the nearest the window is
# 506 x 675 of the photo's 810 x 1080 pixels, so that no frame is ever enlarged.
WIDTH_PX, HEIGHT_PX = 480, 640
ZOOM = 1.6  # at the end, against the whole photo
# The two men in front are some 490 px tall in the photo; at 1.75 m of height and the focal length
# below that puts them 2.8 m away, and the whole picture is taken to stand at that distance.
DISTANCE_M = 2.8
# Where the camera heads for, as fractions of the photo: this point stays where it is. It was chosen
# so that both men and the front of the bus stay in view to the end.
HEADING_X, HEADING_Y = 0.18, 0.56
HFOV_DEG = 70.0  # along the longer side; a phone's main camera, as this photo's seems to be


def sample_photo() -> Path:
    """Where the photo is. Raises MissingPart where Ultralytics is not installed whole."""
    spec = importlib.util.find_spec("ultralytics")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        photo = Path(folder, "assets", "bus.jpg")
        if photo.is_file():
            return photo
    raise MissingPart(
        "source=sample: expected the photo that ultralytics installs (assets/bus.jpg), found none; "
        "run: pip install --force-reinstall ultralytics"
    )


class SampleSource:
    """A walk towards a flat picture at constant speed, with a camera whose focal length stays.

    At distance d0 - v t the picture is s(t) = d0 / (d0 - v t) times as large as at the start, with
    d0 = DISTANCE_M and v such that s reaches ZOOM at `duration_s`. So the time to collision of
    everything in it is d0 / v - t: with 6 s, 16 s at the start and 10 s at the end.
    Raises MissingPart where the photo is not there.
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
        """How many times larger things are than at the start."""
        return DISTANCE_M / (DISTANCE_M - self.speed_m_s * time_s)

    def window(self, time_s: float) -> tuple[float, float, float, float]:
        """What is seen of the photo: left, top, right, bottom in its pixels."""
        width, height = self._photo.size
        part = 1 / self.scale(time_s)
        left, top = HEADING_X * width * (1 - part), HEADING_Y * height * (1 - part)
        return left, top, left + width * part, top + height * part

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
