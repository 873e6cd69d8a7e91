"""Decodes the TIFF files that Pillow cannot: several channels of floating-point or 64-bit numbers."""

from pathlib import Path

import numpy as np
from PIL import TiffImagePlugin

from engine.core.camera import Image
from engine.devices.video.opencv import quiet_cv2
from engine.devices.video.pixels import scaled

WIDTH, HEIGHT = 256, 257  # TIFF 6.0 tags
MAX_BYTES = 2_000_000_000  # 50 megapixels of four 64-bit numbers have 1.6 GB
HEADERS = {b"II*\0": 8, b"MM\0*": 8, b"II+\0": 16, b"MM\0+": 16}  # and their lengths


def size_of(path: Path, head: bytes) -> tuple[int, int] | None:
    """The width and height in a TIFF file's header; None if it is no whole TIFF file."""
    if head[:4] not in HEADERS:
        return None
    try:
        directory = TiffImagePlugin.ImageFileDirectory_v2(head[: HEADERS[head[:4]]])
        with path.open("rb") as file:
            file.seek(directory.next)
            directory.load(file)
        return int(directory[WIDTH]), int(directory[HEIGHT])
    except Exception:  # a broken directory raises many types
        return None


def decode(path: Path) -> Image | None:
    """RGB (h, w, 3) of a TIFF file of a checked size; None if OpenCV cannot read it either. Its
    alpha is ignored."""
    cv2 = quiet_cv2("a TIFF picture")
    if path.stat().st_size > MAX_BYTES:
        return None
    try:
        pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    if pixels is None:
        return None
    deep = pixels.reshape(*pixels.shape[:2], -1).astype(np.float32)
    if deep.shape[2] < 3:
        return np.repeat(scaled(deep[:, :, :1]), 3, axis=2)
    return scaled(deep[:, :, 2::-1])  # from BGR
