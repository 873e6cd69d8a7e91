"""Photos from files: the one decoder of pictures (Pillow), and the `image` and `folder` sources.

Whatever a file holds, what leaves here is upright RGB of a sane size, or one clear line. It must
not know what is looked for in the pictures.
"""

import re
import warnings
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps, UnidentifiedImageError

from engine.core.camera import Frame, Image
from engine.core.errors import FrameSkipped, InputError, message_of
from engine.core.glance import Truth

# Named, because by its content alone Pillow would also hand a file to Ghostscript and the like.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
MIN_SIDE_PX = 32  # less than one cell of a detector's coarsest grid
MAX_SIDE_PX = 8192
MAX_PIXELS = 50_000_000  # 150 MB once decoded; phones of 48 megapixels still pass

# Pillow warns of huge sizes and broken tags on stderr; what matters of that is in our one line.
warnings.filterwarnings("ignore", module=r"PIL\.")


def check_file(path: Path, what: str) -> None:
    """Raise InputError unless `path` is a file with something in it that may be read."""
    try:
        if path.is_dir():
            raise InputError(f"{path}: expected {what}, got a folder; give one file")
        if not path.exists():
            raise InputError(f"{path}: expected {what}, found nothing there; check the path")
        if not path.is_file():  # opening a pipe would wait for ever
            raise InputError(f"{path}: expected {what}, got something that is no regular file")
        if path.stat().st_size == 0:
            raise InputError(f"{path}: expected {what}, got an empty file (0 bytes); copy it again")
        with path.open("rb"):
            pass
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        detail = getattr(error, "strerror", None) or message_of(error, 120)
        raise InputError(
            f"{path}: expected {what} that may be read, got '{detail}'; check its permissions"
        ) from error


def check_size(path: Path, width: int, height: int) -> None:
    """Raise InputError where a picture of `width` x `height` pixels is absurd."""
    sides_fit = min(width, height) >= MIN_SIDE_PX and max(width, height) <= MAX_SIDE_PX
    if not sides_fit or width * height > MAX_PIXELS:
        raise InputError(
            f"{path}: expected sides of {MIN_SIDE_PX} to {MAX_SIDE_PX} pixels and at most "
            f"{MAX_PIXELS // 1_000_000} megapixels, got {width} x {height}; resize it"
        )


def frozen(pixels: Image) -> Image:
    """The same pixels, contiguous and read-only, as frames carry them."""
    pixels = np.ascontiguousarray(pixels)
    pixels.setflags(write=False)
    return pixels


def _upright(picture: Pillow.Image) -> Pillow.Image:
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # broken tags are no reason to refuse whole pixels
        return picture


def _to_rgb(picture: Pillow.Image) -> Pillow.Image:
    if picture.mode.startswith("I"):  # 16 bits of gray; Pillow's own conversion would clip them
        gray = np.clip(np.asarray(picture).astype(np.int64), 0, 65535)
        return Pillow.fromarray((gray // 257).astype(np.uint8)).convert("RGB")
    if picture.mode == "F":
        raise ValueError("floating-point pixels, whose range nobody knows")
    if picture.has_transparency_data:
        # onto white, because pictures with holes are mostly made for a page
        rgba = picture.convert("RGBA")
        page = Pillow.new("RGBA", rgba.size, "white")
        return Pillow.alpha_composite(page, rgba).convert("RGB")
    return picture.convert("RGB")


def decode_image(path: Path) -> Image:
    """The picture in `path` (of an animation the first), upright by its EXIF tag: RGB (h, w, 3).

    Its size is judged by the header, before any pixel is decoded. Raises InputError where the file
    is missing, unreadable, empty, truncated, no picture or of an absurd size.
    """
    check_file(path, "a picture")
    try:
        with Pillow.open(path, formats=FORMATS) as picture:
            check_size(path, *picture.size)
            picture.load()  # all of it, so that a file cut short is found out
            return frozen(np.asarray(_to_rgb(_upright(picture))))
    except InputError:
        raise
    except (UnidentifiedImageError, ImportError) as error:
        # ImportError: Ultralytics, once imported, makes Pillow's open try HEIC's plugin last
        known = ", ".join(name.lower() for name in FORMATS)
        raise InputError(
            f"{path}: expected a picture ({known}), got something else or a broken header; "
            "open it in a viewer, or convert it"
        ) from error
    except Pillow.DecompressionBombError as error:
        raise InputError(
            f"{path}: expected at most {MAX_PIXELS // 1_000_000} megapixels, got far more; "
            "resize it"
        ) from error
    except Exception as error:  # broken bytes surface as almost any type, format by format
        raise InputError(
            f"{path}: expected a whole picture, got a broken or truncated one ({message_of(error, 120)}); "
            "copy it again"
        ) from error


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sorts frame2 before frame10: digits compare as numbers, the rest as letters."""
    parts = re.split(r"([0-9]+)", path.name.casefold())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


class ImageSource:
    """One photo, one frame, at 0 s. Decodes at once, so that a bad file is refused before any model
    loads. Raises InputError."""

    live = False

    def __init__(self, path: Path, fps: float = 15.0) -> None:
        self.name = path.name
        self.fps = fps
        self._frame: Frame | None = Frame(decode_image(path), 0.0, 0, name=path.name)

    def read(self) -> Frame | None:
        frame, self._frame = self._frame, None
        return frame

    def truth(self, seq: int) -> Truth | None:
        return None

    def __len__(self) -> int:
        return 1

    def close(self) -> None:
        self._frame = None


class Pictures:
    """The pictures of a list of files, one after another, `fps` of them a second.

    The first is decoded at once: InputError where it is broken. A later broken one raises
    FrameSkipped when its turn comes; reading again gives the one after it.
    """

    live = False

    def __init__(self, name: str, paths: list[Path], names: list[str], fps: float) -> None:
        self.name = name
        self.fps = fps
        self._paths = paths
        self._names = names
        self._seq = 0
        self._first: Image | None = self._decode(0)

    def _decode(self, seq: int) -> Image:
        return decode_image(self._paths[seq])

    def read(self) -> Frame | None:
        if self._seq >= len(self._paths):
            return None
        seq = self._seq
        self._seq += 1
        image, self._first = self._first, None
        if image is None:
            try:
                image = self._decode(seq)
            except InputError as error:
                raise FrameSkipped(str(error)) from error
        return Frame(image, seq / self.fps, seq, name=self._names[seq])

    def truth(self, seq: int) -> Truth | None:
        return None

    def __len__(self) -> int:
        return len(self._paths)

    def close(self) -> None:
        self._seq = len(self._paths)
        self._first = None


class FolderSource(Pictures):
    """The pictures of a folder, not of those inside it, in natural order. Raises InputError where
    there is no folder, no picture in it, or the first is broken."""

    def __init__(self, path: Path, fps: float = 15.0) -> None:
        check_folder(path, "a folder of pictures")
        try:
            paths = sorted(
                (
                    entry
                    for entry in path.iterdir()
                    if entry.suffix.lower() in SUFFIXES and not entry.name.startswith(".")
                ),
                key=lambda entry: (_natural(entry), entry.name),
            )
        except OSError as error:
            raise InputError(
                f"{path}: expected a folder that may be read, got '{error.strerror}'; "
                "check its permissions"
            ) from error
        if not paths:
            raise InputError(
                f"{path}: expected pictures ({' '.join(SUFFIXES)}), found none; "
                "choose another folder"
            )
        super().__init__(path.name or str(path), paths, [entry.name for entry in paths], fps)


def check_folder(path: Path, what: str) -> None:
    """Raise InputError unless `path` is a folder."""
    try:
        if path.is_dir():
            return
        exists = path.exists()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected {what}, got '{message_of(error, 120)}'") from error
    got = "got a file; give the folder it is in" if exists else "found nothing there"
    raise InputError(f"{path}: expected {what}, {got}; check the path")
