"""The decoder of image files (Pillow), and the `image` and `folder` sources.

Every file either becomes an upright RGB image of a reasonable size, or raises an InputError with a
one-line message. Must not know what the images are used for.
"""

import os
import re
import warnings
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps, UnidentifiedImageError

from engine.core.camera import Frame, Image
from engine.core.errors import FrameSkipped, InputError, MissingPart, SetupError, message_of
from engine.core.glance import Truth
from engine.devices.video import deep_tiff
from engine.devices.video.picture_formats import (
    FORMATS,
    SUFFIXES,
    foreign_format,
    head_of,
    is_heif,
    is_picture,
    what_to_do,
)
from engine.devices.video.pixels import to_rgb

MIN_SIDE_PX = 32  # less than one cell of a detector's coarsest grid
MAX_SIDE_PX = 8192
MAX_PIXELS = 50_000_000  # 150 MB once decoded; phones of 48 megapixels still pass
DNG_VERSION = 50706  # the TIFF tag of a raw file (DNG 1.6); such a file opens as its thumbnail

# Pillow warns about huge sizes and broken tags on stderr, and has no setting to prevent it. Errors
# that matter are raised here. The filter is permanent, because `warnings.catch_warnings` is not
# thread-safe.
warnings.filterwarnings("ignore", module=r"PIL\.")


def check_file(path: Path, what: str) -> None:
    """Raise InputError unless `path` is a regular, non-empty, readable file."""
    try:
        if path.is_dir():
            raise InputError(f"{path}: expected {what}, got a folder; give one file")
        if not path.exists():
            raise InputError(f"{path}: expected {what}, found nothing there; check the path")
        if not path.is_file():  # opening a pipe would block
            raise InputError(f"{path}: expected {what}, got something that is not a regular file")
        if path.stat().st_size == 0:
            raise InputError(f"{path}: expected {what}, got an empty file (0 bytes); copy it again")
        with path.open("rb"):
            pass
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        detail = getattr(error, "strerror", None) or message_of(error, 120)
        raise InputError(
            f"{path}: expected {what} that can be read, got '{detail}'; check its permissions"
        ) from error


def check_size(path: Path, width: int, height: int) -> None:
    """Raise InputError if `width` x `height` pixels are too small or too large."""
    sides_fit = min(width, height) >= MIN_SIDE_PX and max(width, height) <= MAX_SIDE_PX
    if not sides_fit or width * height > MAX_PIXELS:
        raise InputError(
            f"{path}: expected sides of {MIN_SIDE_PX} to {MAX_SIDE_PX} pixels and at most "
            f"{MAX_PIXELS // 1_000_000} megapixels, got {width} x {height}; resize it"
        )


def frozen(pixels: Image) -> Image:
    """The same pixels, contiguous and read-only, as a Frame needs them."""
    pixels = np.ascontiguousarray(pixels)
    pixels.setflags(write=False)
    return pixels


def _upright(picture: Pillow.Image) -> Pillow.Image:
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # broken tags do not make the pixels unusable
        return picture


@cache
def _open_heif() -> None:
    """Let Pillow read HEIF. Raises MissingPart."""
    try:
        import pi_heif
    except (ImportError, OSError) as error:
        raise MissingPart(
            "a HEIC picture: expected the library pi-heif, found none; run: "
            "pip install 'pi-heif>=1.1,<2'"
        ) from error
    pi_heif.register_heif_opener()


def _refuse_foreign(path: Path, head: bytes) -> None:
    found = foreign_format(head, path.suffix)
    if found is not None:
        known = ", ".join(name.lower() for name in FORMATS)
        raise InputError(
            f"{path}: expected a picture ({known}), got {found.name}; {what_to_do(found, path)}"
        )


def decode_image(path: Path) -> Image:
    """The image in `path` as RGB (h, w, 3), turned upright by its EXIF tag; of an animation, the
    first frame.

    The size is checked from the header, before any pixel is decoded. Raises InputError if the
    file is missing, unreadable, empty, truncated, not an image, or of an unreasonable size.
    """
    check_file(path, "a picture")
    head = head_of(path)
    _refuse_foreign(path, head)
    formats = [name for name in FORMATS if name != "HEIF"]
    if is_heif(head):
        _open_heif()
        formats = ["HEIF"]
    try:
        with Pillow.open(path, formats=formats) as picture:
            if DNG_VERSION in getattr(picture, "tag_v2", {}):
                _refuse_foreign(path.with_suffix(".dng"), head)
            check_size(path, *picture.size)
            picture.load()  # decodes it all, so that a truncated file raises here
            return frozen(to_rgb(_upright(picture)))
    except (InputError, MissingPart):
        raise
    except UnidentifiedImageError as error:
        if (size := deep_tiff.size_of(path, head)) is not None:
            check_size(path, *size)
            if (pixels := deep_tiff.decode(path)) is not None:
                return frozen(pixels)
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
    except Exception as error:  # damaged files raise many types, depending on the format
        raise InputError(
            f"{path}: expected a whole picture, got a broken or truncated one ({message_of(error, 120)}); "
            "copy it again"
        ) from error


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort key for natural order, in which frame2 comes before frame10."""
    parts = re.split(r"([0-9]+)", path.name.casefold())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


class ImageSource:
    """One photo as one frame, at 0 s. The constructor decodes it, so that a bad file is refused
    before any model loads; it raises InputError."""

    live = False

    def __init__(self, path: Path, fps: float = 15.0) -> None:
        self.name = shown_name(path)
        self.fps = fps
        self._frame: Frame | None = Frame(decode_image(path), 0.0, 0, name=shown_name(path))

    def read(self) -> Frame | None:
        frame, self._frame = self._frame, None
        return frame

    def truth(self, seq: int) -> Truth | None:
        return None

    def __len__(self) -> int:
        return 1

    def close(self) -> None:
        self._frame = None


class ImageSequence:
    """The images of a list of files in order, at `fps` frames per second.

    The constructor decodes the first, or with `skips_at_start` the first that can be decoded, and
    raises InputError if that fails. Any other file that cannot be decoded raises FrameSkipped from
    `read`; the next `read` gives the next file.
    """

    live = False
    skips_at_start = False

    def __init__(self, name: str, paths: list[Path], names: list[str], fps: float) -> None:
        self.name = name
        self.fps = fps
        self._paths = paths
        self._names = names
        self._seq = 0
        self._first: tuple[int, Image] | None = self._first_readable()

    def _first_readable(self) -> tuple[int, Image]:
        failure: SetupError | None = None
        for seq in range(len(self._paths) if self.skips_at_start else 1):
            try:
                return seq, self._decode(seq)
            except SetupError as error:
                failure = failure or error
        raise failure or InputError(f"{self.name}: expected pictures, found none")

    def _decode(self, seq: int) -> Image:
        return decode_image(self._paths[seq])

    def read(self) -> Frame | None:
        if self._seq >= len(self._paths):
            return None
        seq = self._seq
        self._seq += 1
        if self._first is not None and self._first[0] == seq:
            image, self._first = self._first[1], None
        else:
            try:
                image = self._decode(seq)
            except SetupError as error:
                raise FrameSkipped(str(error)) from error
        return Frame(image, seq / self.fps, seq, name=self._names[seq])

    def truth(self, seq: int) -> Truth | None:
        return None

    def __len__(self) -> int:
        return len(self._paths)

    def close(self) -> None:
        self._seq = len(self._paths)
        self._first = None


class FolderSource(ImageSequence):
    """The images of a folder, without its subfolders, in natural order. Raises InputError if
    there is no such folder, no image in it, or none that can be decoded."""

    skips_at_start = True

    def __init__(self, path: Path, fps: float = 15.0) -> None:
        check_folder(path, "a folder of pictures")
        try:
            entries = [entry for entry in path.iterdir() if not entry.name.startswith(".")]
        except OSError as error:
            raise InputError(
                f"{path}: expected a folder that can be read, got '{error.strerror}'; "
                "check its permissions"
            ) from error
        paths = sorted(filter(_is_listed, entries), key=lambda entry: (_natural(entry), entry.name))
        if not paths:
            inner = "only folders, and they are not searched" if _has_folder(entries) else "none"
            raise InputError(
                f"{path}: expected pictures ({' '.join(SUFFIXES)}), found {inner}; "
                "choose another folder"
            )
        super().__init__(path.name or str(path), paths, [shown_name(item) for item in paths], fps)


def _is_listed(entry: Path) -> bool:
    """Whether an entry of a folder is one of its pictures, readable or not."""
    try:
        if entry.is_file():
            return is_picture(head_of(entry), entry.suffix)
    except OSError:  # `decode_image` says why
        pass
    return entry.suffix.lower() in SUFFIXES and not entry.is_dir()


def _has_folder(entries: list[Path]) -> bool:
    return any(entry.is_dir() for entry in entries) and not any(map(Path.is_file, entries))


def shown_name(path: Path) -> str:
    """A file's name in one printable line, also where it is not valid UTF-8."""
    name = os.fsencode(path.name).decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in name)


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
