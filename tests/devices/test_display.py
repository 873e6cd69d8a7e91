"""How videos are shown: turned and mirrored by their matrix, with square pixels."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from engine.core.camera import Image
from engine.devices.video.display import orientation_of, square_size
from engine.devices.video.video import VideoSource
from engine.perception.localize import Localizer
from models.detector import open_detector
from tests.fakes.media import CASES, even, quadrants, refusal, set_matrix, write_video

ONE = 1 << 16
# a b c d of every quarter turn and mirroring
EIGHT = [
    (1, 0, 0, 1), (-1, 0, 0, 1), (1, 0, 0, -1), (-1, 0, 0, -1),
    (0, 1, 1, 0), (0, 1, -1, 0), (0, -1, 1, 0), (0, -1, -1, 0),
]  # fmt: skip


def packed(
    a: float, b: float, c: float, d: float, u: int = 0, shift: int = 0, scale: float = 1.0
) -> bytes:
    numbers = [round(n * scale * ONE) for n in (a, b, c, d)]
    return struct.pack(
        "<9i", numbers[0], numbers[1], u, numbers[2], numbers[3], 0, shift, shift, 1 << 30
    )


def mapped(stored: Image, a: int, b: int, c: int, d: int) -> Image:
    """Each pixel moved to x' = a x + c y, y' = b x + d y, and the whole shifted back to 0."""
    height, width = stored.shape[:2]
    ys, xs = np.mgrid[:height, :width]
    new_x, new_y = a * xs + c * ys, b * xs + d * ys
    new_x, new_y = new_x - new_x.min(), new_y - new_y.min()
    shown = np.zeros((new_y.max() + 1, new_x.max() + 1, 3), np.uint8)
    shown[new_y, new_x] = stored
    return shown


@pytest.mark.parametrize(("a", "b", "c", "d"), EIGHT)
@pytest.mark.parametrize("scale", [1.0, 0.5, 3.0])
def test_pixels_go_where_the_matrix_says(a: int, b: int, c: int, d: int, scale: float) -> None:
    stored = quadrants(6, 4)
    found = orientation_of(packed(a, b, c, d, shift=7, scale=scale))
    np.testing.assert_array_equal(found.apply(stored), mapped(stored, a, b, c, d))


@pytest.mark.parametrize(("a", "b", "c", "d"), EIGHT)
def test_a_video_is_shown_by_its_matrix(tmp_path: Path, a: int, b: int, c: int, d: int) -> None:
    path = write_video(tmp_path / "a.mp4", even(2))
    plain = VideoSource(path).read()
    shown = VideoSource(set_matrix(path, a, b, c, d)).read()
    assert plain is not None
    assert shown is not None
    np.testing.assert_array_equal(shown.image, mapped(plain.image, a, b, c, d))
    assert shown.image.flags.c_contiguous
    assert not shown.image.flags.writeable


def test_a_matrix_of_zeros_is_ignored() -> None:
    assert orientation_of(packed(0, 0, 0, 0)) == orientation_of(packed(1, 0, 0, 1))


def test_a_turn_within_a_degree_of_a_quarter_is_one() -> None:
    assert orientation_of(packed(0.01, 1, -1, 0.01)) == orientation_of(packed(0, 1, -1, 0))


@pytest.mark.parametrize(
    "matrix",
    [
        packed(0.7, 0.7, -0.7, 0.7),  # 45 degrees
        packed(1, 0.3, 0, 1),  # sheared
        packed(1, 0, 0, 0),  # flat
        packed(0, 1, 0, 0),
        packed(1, 1, 1, 1),
        packed(1, 0, 0, 1, u=1 << 20),  # in perspective
    ],
)
def test_what_neither_turns_nor_mirrors_is_refused(matrix: bytes) -> None:
    with pytest.raises(ValueError, match="a b c d"):
        orientation_of(matrix)


def test_a_video_turned_by_45_degrees_is_refused_in_one_line(tmp_path: Path) -> None:
    path = set_matrix(write_video(tmp_path / "a.mp4", even(2)), 0.7, 0.7, -0.7, 0.7)
    assert "run: ffmpeg" in refusal(lambda: VideoSource(path))


@pytest.mark.parametrize(
    ("size", "pixel_aspect", "shown"),
    [
        ((720, 576), Fraction(64, 45), (1024, 576)),
        ((720, 576), Fraction(16, 15), (768, 576)),
        ((720, 480), Fraction(8, 9), (720, 540)),
        ((1440, 1080), Fraction(4, 3), (1920, 1080)),
        ((640, 480), Fraction(1, 4), (640, 1920)),
        ((640, 480), None, (640, 480)),
        ((640, 480), Fraction(0), (640, 480)),
        ((8000, 4000), Fraction(2), (8000, 2000)),  # never beyond the largest picture
        ((4000, 8000), Fraction(1, 2), (2000, 8000)),
    ],
)
def test_pixels_become_square(
    size: tuple[int, int], pixel_aspect: Fraction | None, shown: tuple[int, int]
) -> None:
    assert square_size(*size, pixel_aspect) == shown


@pytest.mark.parametrize("pixel_aspect", [Fraction(1000), Fraction(1, 1000), Fraction(-1)])
def test_a_senseless_pixel_aspect_is_refused(pixel_aspect: Fraction) -> None:
    with pytest.raises(ValueError, match=":"):
        square_size(640, 480, pixel_aspect)


@pytest.mark.parametrize("pixel_aspect", [Fraction(10), Fraction(1, 10)])
def test_a_video_of_a_senseless_pixel_aspect_is_refused_in_one_line(
    tmp_path: Path, pixel_aspect: Fraction
) -> None:
    path = write_video(tmp_path / "a.mp4", even(2), "libx264", pixel_aspect=pixel_aspect)
    assert "setsar=1" in refusal(lambda: VideoSource(path))


def test_a_stretched_video_shows_the_picture_of_the_square_one() -> None:
    stretched, square = (VideoSource(CASES / name).read() for name in ("sar.mp4", "sq.mp4"))
    assert stretched is not None
    assert square is not None
    assert stretched.image.shape == square.image.shape
    assert np.abs(stretched.image.astype(int) - square.image).mean() < 5


@pytest.mark.weights
def test_a_stretched_video_has_the_bearings_and_distances_of_the_square_one() -> None:
    detector = open_detector("pocket", "cpu", "auto", 1, 416)
    found = []
    for name in ("sar.mp4", "sq.mp4"):
        detector.reset()
        localizer = Localizer(70.0)
        source = VideoSource(CASES / name)
        for _ in range(5):
            frame = source.read()
            assert frame is not None
            obstacles = localizer.localize(frame, detector.detect(frame))
        found.append(sorted(obstacles, key=lambda obstacle: obstacle.bearing_deg))
    stretched, square = found
    assert [item.label for item in stretched] == [item.label for item in square]
    assert len(square) >= 4
    for here, there in zip(stretched, square, strict=True):
        assert here.bearing_deg == pytest.approx(there.bearing_deg, abs=2.0)
        assert here.distance_m == pytest.approx(there.distance_m, rel=0.05)


def test_a_stretched_video_that_is_turned_is_stretched_first(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", even(2), pixel_aspect=Fraction(2))
    frame = VideoSource(set_matrix(path, 0, 1, -1, 0)).read()
    assert frame is not None
    assert frame.image.shape == (192, 64, 3)


def test_the_mirrored_case_shows_its_stream_with_the_sides_swapped() -> None:
    mirrored = VideoSource(CASES / "hflip.mp4").read()
    assert mirrored is not None
    with av.open(str(CASES / "hflip.mp4")) as container:
        stored = next(container.decode(video=0)).to_ndarray(format="rgb24")
    np.testing.assert_array_equal(mirrored.image, stored[:, ::-1])


def test_the_case_with_a_matrix_of_zeros_shows_its_stream() -> None:
    shown = VideoSource(CASES / "allzeromtx.mp4").read()
    assert shown is not None
    with av.open(str(CASES / "allzeromtx.mp4")) as container:
        stored = next(container.decode(video=0)).to_ndarray(format="rgb24")
    np.testing.assert_array_equal(shown.image, stored)
