"""Recognises picture files by their first bytes: those that are read, and those that must be converted.

A name may lie, and some cameras' files are opened by Pillow as the thumbnail inside them. Must not
know how pixels are decoded.
"""

import shlex
from dataclasses import dataclass
from pathlib import Path

# Restricted, because Pillow would otherwise hand some files to external programs like Ghostscript.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "HEIF", "AVIF", "JPEG2000", "PPM")
SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".gif", ".tif", ".tiff",
    ".heic", ".heif", ".hif", ".avif", ".jp2", ".j2k", ".ppm", ".pgm", ".pbm", ".pnm",
)  # fmt: skip
# Cameras' own formats; several are TIFF files whose first picture is a thumbnail.
RAW_SUFFIXES = (
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mos",
    ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".sr2", ".srf", ".srw", ".x3f",
)  # fmt: skip
HEAD_BYTES = 4096

MAGICK = "run: magick {path} {png}"
RAW = "a camera's raw file"
HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1", b"MiHE")
AVIF_BRANDS = (b"avif", b"avis")


@dataclass(frozen=True, slots=True)
class Foreign:
    """A format that is not read: its name, and what to do. `{path}` stands for the file, `{png}` for
    a converted one beside it, `{stem}` for it without its suffix. `is_picture`: it is one of the
    pictures of a folder."""

    name: str
    remedy: str
    is_picture: bool = True


_SVG = Foreign("SVG", "run: rsvg-convert -o {png} {path}")
_RAW = Foreign(RAW, MAGICK)
_EPS = Foreign("PostScript", "run: magick -density 150 {path} {png}")
VIDEO = Foreign("a video", "use source=video", False)
SOUND = Foreign("a sound file", "give a picture", False)

# (offset, bytes) → format
_MAGIC: tuple[tuple[int, bytes, Foreign], ...] = (
    (0, b"%PDF", Foreign("PDF", "run: pdftoppm -png -r 150 -singlefile {path} {stem}", False)),
    (0, b"%!PS", _EPS),
    (0, b"\xc5\xd0\xd3\xc6", _EPS),
    (0, b"8BPS", Foreign("Photoshop (PSD)", "run: magick {path}'[0]' {png}")),
    (0, b"\xff\x0a", Foreign("JPEG XL", "run: djxl {path} {png}")),
    (0, b"\0\0\0\x0cJXL ", Foreign("JPEG XL", "run: djxl {path} {png}")),
    (0, b"II\xbc", Foreign("JPEG XR", MAGICK)),
    (8, b"CR\x02", _RAW),
    (4, b"ftypcrx ", _RAW),
    (0, b"FUJIFILMCCD-RAW", _RAW),
    (0, b"IIRO", _RAW),
    (0, b"IIRS", _RAW),
    (0, b"MMOR", _RAW),
    (0, b"IIU\0", _RAW),
    (0, b"FOVb", _RAW),
    (0, b"\0MRM", _RAW),
    (0, b"\x76\x2f\x31\x01", Foreign("OpenEXR", MAGICK)),
    (0, b"#?RADIANCE", Foreign("Radiance HDR", MAGICK)),
    (0, b"#?RGBE", Foreign("Radiance HDR", MAGICK)),
    (0, b"gimp xcf", Foreign("GIMP (XCF)", MAGICK)),
    (0, b"\0\0\1\0", Foreign("ICO", "run: magick {path}'[-1]' {png}")),
    (0, b"\0\0\2\0\0\0", Foreign("TGA", MAGICK)),  # a cursor file has at least one cursor
    (0, b"\0\0\2\0", Foreign("CUR", "run: magick {path}'[-1]' {png}")),
    (0, b"icns", Foreign("ICNS", MAGICK)),
    (0, b"DDS ", Foreign("DDS", MAGICK)),
    (128, b"DICM", Foreign("DICOM", MAGICK)),
    (0, b"SIMPLE  =", Foreign("FITS", MAGICK)),
    (0, b"AT&TFORM", Foreign("DjVu", "run: ddjvu -format=tiff -page=1 {path} {stem}.tif", False)),
    (0, b"BPG\xfb", Foreign("BPG", "run: bpgdec -o {png} {path}")),
    (0, b"FLIF", Foreign("FLIF", "run: flif -d {path} {png}")),
    (0, b"qoif", Foreign("QOI", MAGICK)),
    (0, b"farbfeld", Foreign("farbfeld", MAGICK)),
    (0, b"\xd7\xcd\xc6\x9a", Foreign("WMF", MAGICK)),
    (40, b" EMF", Foreign("EMF", MAGICK)),
    (0, b"/* XPM", Foreign("XPM", MAGICK)),
    (0, b"PF\n", Foreign("PFM", MAGICK)),
    (0, b"Pf\n", Foreign("PFM", MAGICK)),
    (0, b"PK\x03\x04", Foreign("a ZIP archive", "run: unzip {path}", False)),
    (0, b"Rar!", Foreign("a RAR archive", "run: unrar x {path}", False)),
    (0, b"\x1f\x8b", Foreign("a gzip file", "run: gunzip -k {path}", False)),
    (0, b"7z\xbc\xaf", Foreign("a 7z archive", "run: 7z x {path}", False)),
    (0, b"version https:/" + b"/git-lfs", Foreign("a Git LFS pointer", "run: git lfs pull", False)),
    (0, b"\x1aE\xdf\xa3", VIDEO),
    (0, b"FLV\x01", VIDEO),
    (0, b"\0\0\1\xba", VIDEO),
    (8, b"AVI ", VIDEO),
    (8, b"WAVE", SOUND),
    (0, b"ID3", SOUND),
    (0, b"fLaC", SOUND),
    (0, b"OggS", SOUND),
)


def head_of(path: Path) -> bytes:
    """The first bytes of a file. Raises OSError."""
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def is_heif(head: bytes) -> bool:
    """Whether a file is in HEIF (HEIC), and not in AVIF, which has the same container."""
    return head[4:8] == b"ftyp" and _brands(head, HEIF_BRANDS) and not _brands(head, AVIF_BRANDS)


def is_picture(head: bytes, suffix: str) -> bool:
    """Whether a file is one of a folder's pictures, readable or not."""
    found = foreign_format(head, suffix)
    return _may_be_picture(head, suffix) if found is None else found.is_picture


def is_video(path: Path) -> bool:
    """Whether a file is to be opened as a video: its content says so, or neither its content nor its
    suffix says that it is anything else."""
    try:
        head = head_of(path) if path.is_file() else b""
    except OSError:
        head = b""
    found = foreign_format(head, path.suffix)
    return not _may_be_picture(head, path.suffix) if found is None else found in (VIDEO, SOUND)


def foreign_format(head: bytes, suffix: str) -> Foreign | None:
    """The format of a file that is not read; None if it may be readable."""
    for offset, magic, found in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return found
    if head[4:8] == b"ftyp" and not _brands(head, HEIF_BRANDS + AVIF_BRANDS):
        return VIDEO
    if suffix.lower() in RAW_SUFFIXES:
        return _RAW
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"<") and b"<svg" in text:
        return _SVG
    if text.startswith((b"<!doctype html", b"<html")):
        return Foreign("a web page", "open it in a browser and save the picture itself", False)
    return None


def what_to_do(found: Foreign, path: Path) -> str:
    """The end of the sentence that refuses a file of this format."""
    return found.remedy.format(
        path=shlex.quote(str(path)),
        png=shlex.quote(str(path.with_suffix(".png"))),
        stem=shlex.quote(str(path.with_suffix(""))),
    )


def _brands(head: bytes, brands: tuple[bytes, ...]) -> bool:
    """Whether the file names one of `brands` as its major or as a compatible one (ISO/IEC 14496-12,
    4.3)."""
    size = int.from_bytes(head[:4], "big")
    named = [head[8:12], *(head[at : at + 4] for at in range(16, min(size, len(head)), 4))]
    return any(brand in named for brand in brands)


def _may_be_picture(head: bytes, suffix: str) -> bool:
    starts = (
        b"\xff\xd8\xff", b"\x89PNG", b"BM", b"GIF8", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP  ",
        b"\xff\x4f\xff\x51",
    )  # fmt: skip
    if head.startswith(starts) or head[8:12] == b"WEBP" or suffix.lower() in SUFFIXES:
        return True
    return head[4:8] == b"ftyp" and _brands(head, HEIF_BRANDS + AVIF_BRANDS)
