"""Pictures that are different enough to compare two ways to run a network."""

from functools import cache

import cv2
import numpy as np
from PIL import Image

from engine.core.camera import Frame
from engine.devices.video.sample import sample_photo


@cache
def derived_pictures() -> tuple[Frame, ...]:
    """A dozen, made of the sample photo: whole, parts, mirrored, darker, blurred, of several shapes."""
    photo = np.asarray(Image.open(sample_photo()).convert("RGB"))
    height, width = photo.shape[:2]
    pictures = [
        photo,
        photo[:, ::-1],
        photo[:, : width // 2],
        photo[:, width // 2 :],
        photo[height // 3 :, width // 4 : 3 * width // 4],
        photo[: height // 2],
        cv2.resize(photo, (640, 480)),
        cv2.resize(photo, (123, 457)),
        cv2.resize(photo, (1408, 1408)),
        cv2.GaussianBlur(photo, (0, 0), 3),
        (photo * 0.4).astype(np.uint8),
        np.rot90(photo),
    ]
    return tuple(
        Frame(np.ascontiguousarray(picture), float(number), number)
        for number, picture in enumerate(pictures)
    )
