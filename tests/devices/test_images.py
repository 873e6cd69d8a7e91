"""Image files: each is decoded to upright RGB, or refused with a one-line message."""

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as Pillow

from engine.core.errors import InputError
from engine.devices.video.images import (
    MAX_SIDE_PX,
    MIN_SIDE_PX,
    FolderSource,
    ImageSource,
    decode_image,
)
from engine.devices.video.pixels import scaled
from engine.perception.camera_health import fault_of, quality_of, scanlines_of
from tests.fakes.media import (
    CASES,
    exif_turned,
    noise,
    png_header,
    quadrants,
    refusal,
    save,
    shorten,
)

BROKEN_EXIF = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x05\x01\x12 junk"

# The engine filters these warnings (see the test of stderr), but pytest resets the filters.
pytestmark = [
    pytest.mark.filterwarnings("ignore:::PIL.Image"),
    pytest.mark.filterwarnings("ignore:::PIL.TiffImagePlugin"),
]


def assert_is_frame_image(image: NDArray[Any]) -> None:
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert image.flags.c_contiguous
    assert not image.flags.writeable


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".avif"])
def test_images_are_turned_upright_by_their_exif_tag(
    tmp_path: Path, orientation: int, suffix: str
) -> None:
    upright = quadrants()
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"lossless": True} if suffix == ".webp" else {}
    if suffix in (".jpg", ".avif"):
        options = {"quality": 95, "subsampling": "4:4:4"}
    path = save(tmp_path / f"a{suffix}", exif_turned(upright, orientation), exif=exif, **options)
    image = decode_image(path)
    assert_is_frame_image(image)
    assert image.shape == upright.shape
    centres = np.s_[12::24, 16::32]  # of the quadrants: JPEG blurs the edges
    assert np.abs(image[centres].astype(int) - upright[centres]).max() <= 12


def test_an_image_with_broken_exif_is_decoded(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", quadrants(), exif=BROKEN_EXIF)
    assert decode_image(path).shape == (48, 64, 3)


def _palette() -> Pillow.Image:
    return Pillow.fromarray(quadrants()).quantize(4)


def _rgba() -> Pillow.Image:
    picture = Pillow.new("RGBA", (64, 48), (220, 30, 30, 255))
    picture.paste((0, 0, 0, 0), (32, 0, 64, 48))
    return picture


def _transparent_palette() -> Pillow.Image:
    picture = Pillow.new("P", (64, 48), 0)
    picture.putpalette([220, 30, 30, 0, 0, 0])
    picture.paste(1, (32, 0, 64, 48))
    picture.info["transparency"] = 1
    return picture


def _gray_16(value: int) -> Pillow.Image:
    return Pillow.fromarray(np.full((48, 64), value, np.uint16))


@pytest.mark.parametrize(
    ("picture", "suffix", "left", "right"),
    [
        (_palette, ".png", (220, 30, 30), (30, 200, 30)),
        (_palette, ".gif", (220, 30, 30), (30, 200, 30)),
        (_palette, ".bmp", (220, 30, 30), (30, 200, 30)),
        (_rgba, ".png", (220, 30, 30), (255, 255, 255)),
        (_rgba, ".webp", (220, 30, 30), (255, 255, 255)),
        (_transparent_palette, ".png", (220, 30, 30), (255, 255, 255)),
        (_transparent_palette, ".gif", (220, 30, 30), (255, 255, 255)),
        (lambda: Pillow.new("LA", (64, 48), (90, 0)), ".png", (255,) * 3, (255,) * 3),
        (lambda: Pillow.new("L", (64, 48), 90), ".jpg", (90,) * 3, (90,) * 3),
        (lambda: Pillow.new("1", (64, 48), 1), ".png", (255,) * 3, (255,) * 3),
        (lambda: _gray_16(65535), ".png", (255,) * 3, (255,) * 3),
        (lambda: _gray_16(25700), ".png", (100,) * 3, (100,) * 3),
        (lambda: _gray_16(25700), ".tif", (100,) * 3, (100,) * 3),
        (lambda: Pillow.new("CMYK", (64, 48), (0, 255, 255, 0)), ".jpg", (255, 0, 0), (255, 0, 0)),
        (lambda: Pillow.new("CMYK", (64, 48), (0, 255, 255, 0)), ".tif", (255, 0, 0), (255, 0, 0)),
        (lambda: Pillow.new("LAB", (64, 48), (255, 128, 128)), ".tif", (255,) * 3, (255,) * 3),
        (lambda: Pillow.new("F", (64, 48), 0.4), ".tif", (102,) * 3, (102,) * 3),
        (lambda: Pillow.new("F", (64, 48), 90.0), ".tif", (90,) * 3, (90,) * 3),
        (lambda: Pillow.new("I", (64, 48), 25700), ".tif", (100,) * 3, (100,) * 3),
        (lambda: Pillow.fromarray(quadrants()), ".jp2", (220, 30, 30), (30, 200, 30)),
        (lambda: Pillow.fromarray(quadrants()), ".ppm", (220, 30, 30), (30, 200, 30)),
    ],
)
def test_every_pixel_format_becomes_rgb(
    tmp_path: Path,
    picture: Callable[[], Pillow.Image],
    suffix: str,
    left: tuple[int, ...],
    right: tuple[int, ...],
) -> None:
    path = tmp_path / f"a{suffix}"
    options: dict[str, Any] = {"lossless": True} if suffix == ".webp" else {}
    picture().save(path, **options)
    image = decode_image(path)
    assert_is_frame_image(image)
    assert image.shape == (48, 64, 3)
    assert np.abs(image[12, 16].astype(int) - left).max() <= 6
    assert np.abs(image[12, 48].astype(int) - right).max() <= 6


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 0.5, 1.0] * 50 + [7.0], [0, 128, 255]),  # a highlight
        ([0.0, 128.0, 255.0], [0, 128, 255]),
        ([0.0, 1.0], [0, 255]),
        ([0.0, 4095.0], [0, 255]),  # 12 bits
        ([0.0, 32768.0, 65535.0], [0, 128, 255]),
        ([-3.0, 0.0, 3.0], [0, 128, 255]),
        ([0.0, 1e30], [0, 255]),
        ([math.nan, 0.0, 1.0, math.inf], [0, 0, 255, 255]),
        ([math.nan, math.nan], [0, 0]),
        ([0.0, 0.0], [0, 0]),
    ],
)
def test_numbers_of_any_range_become_levels(values: list[float], shown: list[int]) -> None:
    levels = scaled(np.array([values], np.float32))[0, : len(shown)]
    assert np.abs(levels.astype(int) - shown).max() <= 1


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_tiff_of_floating_point_colours_is_read(tmp_path: Path, kind: type) -> None:
    pixels = quadrants().astype(kind) / 255
    assert cv2.imwrite(str(tmp_path / "a.tif"), pixels[:, :, ::-1])
    image = decode_image(tmp_path / "a.tif")
    assert_is_frame_image(image)
    assert np.abs(image.astype(int) - quadrants()).max() <= 1


@pytest.mark.parametrize("name", ["quadrants.heic", "turned6.heic", "turned7.heic"])
def test_heic_pictures_are_read_and_turned_upright(name: str) -> None:
    image = decode_image(CASES / name)
    assert_is_frame_image(image)
    centres = np.s_[12::24, 16::32]
    assert image.shape == quadrants().shape
    assert np.abs(image[centres].astype(int) - quadrants()[centres]).max() <= 12


def _text_on_nothing(ink: int, hidden: int = 0) -> Pillow.Image:
    """A bar of `ink` on transparency; `hidden` is the invisible colour."""
    pixels = np.full((48, 64, 4), (hidden, hidden, hidden, 0), np.uint8)
    pixels[20:28, 8:56] = (ink, ink, ink, 255)
    return Pillow.fromarray(pixels)


@pytest.mark.parametrize("ink", [0, 60, 130, 200, 255])
@pytest.mark.parametrize("hidden", [0, 255])
@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_what_is_drawn_on_transparency_stands_out(
    tmp_path: Path, ink: int, hidden: int, suffix: str
) -> None:
    options: dict[str, Any] = {"lossless": True, "exact": True} if suffix == ".webp" else {}
    _text_on_nothing(ink, hidden).save(tmp_path / f"a{suffix}", **options)
    image = decode_image(tmp_path / f"a{suffix}").astype(int)
    assert image[24, 32, 0] == ink
    assert abs(image[24, 32, 0] - image[4, 4, 0]) >= 60
    assert fault_of(quality_of(scanlines_of(image.astype(np.uint8)))) is None


def test_black_and_white_on_transparency_are_both_seen(tmp_path: Path) -> None:
    picture = _text_on_nothing(255)
    picture.paste((0, 0, 0, 255), (8, 34, 56, 42))
    picture.save(tmp_path / "a.png")
    image = decode_image(tmp_path / "a.png").astype(int)
    for row in (24, 38):
        assert abs(image[row, 32, 0] - image[4, 4, 0]) >= 60


def test_the_case_of_white_text_is_readable() -> None:
    image = decode_image(CASES / "text_white_transp.png")
    assert np.ptp(image) > 150
    assert fault_of(quality_of(scanlines_of(image))) is None


def test_pixels_that_are_all_marked_invisible_are_shown(tmp_path: Path) -> None:
    pixels = np.dstack([quadrants(), np.zeros((48, 64), np.uint8)])
    Pillow.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(decode_image(tmp_path / "a.png"), quadrants())


@pytest.mark.parametrize(
    ("name", "head", "says", "command"),
    [
        ("a.svg", b'<?xml version="1.0"?>\n<svg width="64">', "SVG", "rsvg-convert -o"),
        ("a.pdf", b"%PDF-1.7", "PDF", "pdftoppm"),
        ("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0", "PostScript", "magick"),
        ("a.psd", b"8BPS\0\1", "Photoshop", "magick"),
        ("a.tga", b"\0\0\2" + bytes(9), "TGA", "magick"),
        ("a.jxl", b"\xff\x0a\0\0", "JPEG XL", "djxl"),
        ("a.jxl", b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL", "djxl"),
        ("a.cr2", b"II*\0\x10\0\0\0CR\2\0", "raw", "magick"),
        ("a.cr3", b"\0\0\0\x18ftypcrx \0\0\0\1", "raw", "magick"),
        ("a.nef", b"MM\0*\0\0\0\x08", "raw", "magick"),
        ("a.DNG", b"II*\0\x08\0\0\0", "raw", "magick"),
        ("a.raf", b"FUJIFILMCCD-RAW 0201", "raw", "magick"),
        ("a.exr", b"\x76\x2f\x31\x01", "OpenEXR", "magick"),
        ("a.hdr", b"#?RADIANCE\n", "Radiance", "magick"),
        ("a.ico", b"\0\0\1\0\1\0", "ICO", "magick"),
        ("a.xcf", b"gimp xcf v011", "GIMP", "magick"),
        ("a.dcm", b"\0" * 128 + b"DICM", "DICOM", "magick"),
        ("a.jpg", b"<!DOCTYPE html><html>", "web page", "browser"),
        ("a.jpg", b"\0\0\0\x18ftypisom\0\0\2\0isomiso2", "video", "source=video"),
        ("a.jpg", b"version https:/" + b"/git-lfs.", "Git LFS", "git lfs pull"),
        ("a.jpg", b"PK\3\4", "ZIP", "unzip"),
    ],
)
def test_a_format_that_is_not_read_is_named_with_the_command_that_converts_it(
    tmp_path: Path, name: str, head: bytes, says: str, command: str
) -> None:
    path = tmp_path / name
    path.write_bytes(head + bytes(200))
    message = refusal(lambda: decode_image(path))
    assert f"got {says}" in message or says in message
    assert command in message


def test_a_converting_command_quotes_the_name(tmp_path: Path) -> None:
    path = tmp_path / "my photo.psd"
    path.write_bytes(b"8BPS\0\1" + bytes(99))
    assert f"magick '{path}'" in refusal(lambda: decode_image(path))


def test_a_raw_file_by_another_name_is_no_thumbnail(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", quadrants(), tiffinfo={50706: b"\1\4\0\0"})
    assert "raw" in refusal(lambda: decode_image(path))


def test_an_animation_gives_its_first_frame(tmp_path: Path) -> None:
    red, blue = (Pillow.new("RGB", (64, 48), colour) for colour in ("red", "blue"))
    red.save(tmp_path / "a.gif", save_all=True, append_images=[blue])
    assert tuple(decode_image(tmp_path / "a.gif")[0, 0]) == (255, 0, 0)


@pytest.mark.parametrize(
    "suffix", [".jpg", ".png", ".webp", ".bmp", ".gif", ".tif", ".avif", ".jp2"]
)
@pytest.mark.parametrize("part", [0.005, 0.1, 0.5, 0.9])
def test_a_truncated_image_is_refused(tmp_path: Path, suffix: str, part: float) -> None:
    path = shorten(save(tmp_path / f"a{suffix}", noise()), part)
    refusal(lambda: decode_image(path))


@settings(deadline=None, max_examples=60)
@given(
    suffix=st.sampled_from([".jpg", ".png", ".webp", ".bmp", ".gif", ".tif"]),
    hits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_damaged_bytes_give_an_image_or_a_one_line_error(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, hits: list[tuple[float, int]]
) -> None:
    path = save(tmp_path_factory.getbasetemp() / f"damaged{suffix}", quadrants())
    data = bytearray(path.read_bytes())
    for place, byte in hits:
        data[int(place * (len(data) - 1))] = byte
    path.write_bytes(bytes(data))
    try:
        image, said = decode_image(path), ""
    except InputError as error:
        image, said = None, str(error)
    assert "\n" not in said
    if image is not None:
        assert_is_frame_image(image)


@pytest.mark.parametrize(
    ("width", "height"),
    [
        (1, 1),
        (MIN_SIDE_PX - 1, 100),
        (100, MIN_SIDE_PX - 1),
        (20_000, 40),
        (MAX_SIDE_PX + 1, 40),
        (8000, 8000),  # 64 megapixels, although both sides are allowed
        (12_000, 12_000),  # where Pillow itself only warns
        (60_000, 60_000),  # where Pillow itself refuses
    ],
)
def test_unreasonable_sizes_are_refused_by_the_header_alone(
    tmp_path: Path, width: int, height: int
) -> None:
    # the files hold no pixels: decoding them would give another message
    message = refusal(lambda: decode_image(png_header(tmp_path / "a.png", width, height)))
    assert "resize" in message


@pytest.mark.parametrize("size", [(MIN_SIDE_PX, MIN_SIDE_PX), (MAX_SIDE_PX, MIN_SIDE_PX)])
def test_sizes_at_the_limits_are_accepted(tmp_path: Path, size: tuple[int, int]) -> None:
    Pillow.new("RGB", size).save(tmp_path / "a.png")
    assert decode_image(tmp_path / "a.png").shape == (size[1], size[0], 3)


@pytest.mark.command
def test_pillow_prints_no_warnings(tmp_path: Path) -> None:
    png_header(tmp_path / "huge.png", 12_000, 12_000)
    shorten(save(tmp_path / "short.tif", noise()), 0.005)
    save(tmp_path / "tags.jpg", quadrants(), exif=BROKEN_EXIF)
    code = (
        "import sys, pathlib, contextlib, engine.devices.video.images as images\n"
        "for path in pathlib.Path(sys.argv[1]).iterdir():\n"
        "    with contextlib.suppress(images.InputError): images.decode_image(path)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == (b"", b"")


def _text(path: Path) -> None:
    path.write_text("not a picture, whatever its name says\n" * 50)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "found nothing"),
        (Path.mkdir, "got a folder"),
        (Path.touch, "0 bytes"),
        (_text, "something else"),
        (
            lambda path: path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n"),
            "PostScript",
        ),
        (os.mkfifo, "not a regular file"),
    ],
)
def test_a_file_that_is_not_an_image_is_refused(
    tmp_path: Path, make: Callable[[Path], object], says: str
) -> None:
    path = tmp_path / "photo.jpg"
    make(path)
    message = refusal(lambda: ImageSource(path))
    assert says in message
    assert str(path) in message


def test_an_unreadable_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.png", quadrants())

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", denied)  # file modes would not stop root
    assert "permissions" in refusal(lambda: decode_image(path))


def test_impossible_paths_are_refused() -> None:
    refusal(lambda: decode_image(Path("a\0b.png")))
    refusal(lambda: decode_image(Path("a" * 5000)))
    refusal(lambda: FolderSource(Path("a" * 5000)))
