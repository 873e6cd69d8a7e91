"""Brings the pixels of any picture to 8-bit RGB: deep, floating-point, transparent, CMYK, Lab.

Must not know files.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageCms

from engine.core.camera import Image

WHITE, DARK, MIDDLE = (
    255,
    48,
    150,
)  # grey levels of backgrounds; black would look like a covered lens
READABLE = 64.0  # grey levels between a picture and its background
PREFERRED = 1.1  # another background than white must make this much more readable
OPAQUE = 255
SAMPLED = 2  # every other row and column is looked at


def to_rgb(picture: Pillow.Image) -> Image:
    """A decoded picture as RGB (h, w, 3), uint8."""
    if picture.mode.startswith(("I", "F")):
        gray = scaled(np.asarray(picture).astype(np.float32))
        return np.repeat(gray[:, :, None], 3, axis=2)
    if picture.mode == "LAB":
        lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        picture = ImageCms.profileToProfile(picture, lab, rgb, outputMode="RGB") or picture
    if picture.has_transparency_data:
        return _on_background(picture.convert("RGBA"))
    return np.asarray(picture.convert("RGB"))


def scaled(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Pixel values of an unknown range as 0 to 255.

    The range is taken for 0 to 1, 8, 12 or 16 bits, whichever is the first to hold them; other values
    are stretched from the least to the largest. Missing values (NaN) become black.
    """
    known = values[np.isfinite(values)]
    if not known.size:
        return np.zeros(values.shape, np.uint8)
    low, high = float(known.min()), float(known.max())
    if low >= 0 and np.percentile(known, 99) <= 1 and not np.array_equal(known, np.round(known)):
        high = 1.0  # a few highlights may be brighter than white
    ranges = [top for top in (1.0, 255.0, 4095.0, 65535.0) if low >= 0 and high <= top]
    low, high = (0.0, ranges[0]) if ranges else (low, high)
    filled = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    unit = (np.clip(filled, low, high) - low) / max(high - low, 1e-12)
    return np.round(255 * unit).astype(np.uint8)


def _on_background(picture: Pillow.Image) -> Image:
    """Laid on white, which most transparent pictures are drawn for, unless more of the picture stands
    out from a darker background."""
    least, most = picture.getchannel("A").getextrema()
    if least == OPAQUE or most == 0:  # some programs write zeros instead of no transparency
        rgb = np.asarray(picture.convert("RGB"))
        return rgb if least == OPAQUE or np.ptp(rgb) else np.full_like(rgb, WHITE)
    level = _background(np.asarray(picture)[::SAMPLED, ::SAMPLED])
    background = Pillow.new("RGBA", picture.size, (level, level, level, OPAQUE))
    return np.asarray(Pillow.alpha_composite(background, picture).convert("RGB"))


def _background(rgba: NDArray[np.uint8]) -> int:
    """The grey level on which most of a picture (h, w, 4) can be seen."""
    gray = rgba[:, :, :3].astype(np.float32).mean(axis=2)
    alpha = rgba[:, :, 3].astype(np.float32)

    def readable(background: int) -> float:
        return float((alpha * (np.abs(gray - background) >= READABLE)).sum())

    best = max((DARK, MIDDLE), key=readable)
    return best if readable(best) > PREFERRED * readable(WHITE) else WHITE
