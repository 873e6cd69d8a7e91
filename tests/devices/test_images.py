"""Image files: each is decoded to upright RGB, or refused with a one-line message."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
from tests.fakes.media import exif_turned, noise, png_header, quadrants, refusal, save, shorten

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
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_images_are_turned_upright_by_their_exif_tag(
    tmp_path: Path, orientation: int, suffix: str
) -> None:
    upright = quadrants()
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"lossless": True} if suffix == ".webp" else {}
    if suffix == ".jpg":
        options = {"quality": 95, "subsampling": 0}
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


def test_an_animation_gives_its_first_frame(tmp_path: Path) -> None:
    red, blue = (Pillow.new("RGB", (64, 48), colour) for colour in ("red", "blue"))
    red.save(tmp_path / "a.gif", save_all=True, append_images=[blue])
    assert tuple(decode_image(tmp_path / "a.gif")[0, 0]) == (255, 0, 0)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".gif", ".tif"])
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
            "else",
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
