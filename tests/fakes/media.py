"""Makes images, videos and datasets of known content."""

import json
import struct
import zlib
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import matplotlib
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from engine.core.camera import Frame, Image
from engine.core.errors import InputError

CASES = Path(__file__).parents[1] / "cases"
FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"
SIGN, INK = (20, 80, 40), (255, 255, 255)
RED, GREEN, BLUE, GRAY = (220, 30, 30), (30, 200, 30), (30, 30, 220), (128, 128, 128)


def refusal(call: Callable[[], object]) -> str:
    """The one-line message of the InputError that `call` raises."""
    with pytest.raises(InputError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    assert "expected" in message
    return message


def quadrants(width: int = 64, height: int = 48) -> Image:
    """Red top left, green top right, blue bottom left, gray bottom right: every rotation or flip
    of it differs."""
    pixels = np.empty((height, width, 3), np.uint8)
    for rows, columns, colour in (
        (slice(None, height // 2), slice(None, width // 2), RED),
        (slice(None, height // 2), slice(width // 2, None), GREEN),
        (slice(height // 2, None), slice(None, width // 2), BLUE),
        (slice(height // 2, None), slice(width // 2, None), GRAY),
    ):
        pixels[rows, columns] = colour
    return pixels


def street(*texts: tuple[str, int, int, int], size: tuple[int, int] = (960, 720)) -> Frame:
    """An image of a wall with a window, and signs: (text, x, y, letter height in pixels)."""
    picture = Pillow.new("RGB", size, (150, 140, 130))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((size[0] // 20, size[1] // 20, size[0] // 5, size[1] // 3), fill=(90, 120, 160))
    for text, x, y, height in texts:
        font = ImageFont.truetype(str(FONT), height)
        left, top, right, bottom = draw.textbbox((x, y), text, font=font)
        edge = height // 3
        draw.rectangle((left - edge, top - edge, right + edge, bottom + edge), fill=SIGN)
        draw.text((x, y), text, font=font, fill=INK)
    return Frame(np.asarray(picture), 0.0, 0)


def noise(width: int = 96, height: int = 64) -> Image:
    """Random pixels, which no format compresses."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


def save(path: Path, pixels: NDArray[Any], **options: Any) -> Path:
    """Write `pixels` in the format of the suffix of `path`."""
    Pillow.fromarray(pixels).save(path, **options)
    return path


def exif_turned(upright: Image, orientation: int) -> Image:
    """The pixels that a camera stores for `upright` with an EXIF orientation (EXIF 2.3, tag 274)."""
    return {
        1: upright,
        2: np.fliplr(upright),
        3: np.rot90(upright, 2),
        4: np.flipud(upright),
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: np.fliplr(np.rot90(upright, 1)),
        8: np.rot90(upright, -1),
    }[orientation]


def png_header(path: Path, width: int, height: int) -> Path:
    """A PNG with the given size in its header and almost no pixel data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def shade(index: int) -> int:
    """The gray level of frame `index` in a test video."""
    return 20 + index * 7 % 210


def write_video(
    path: Path,
    times_s: Sequence[float],
    codec: str = "mpeg4",
    faststart: bool = False,
    width: int = 96,
    height: int = 64,
    pixel_aspect: Fraction | None = None,
    keys_every: int | None = None,
) -> Path:
    """A video with one frame at each time: the top left quarter red, the bottom left noise (against a
    file too small to damage), the right half in gray `shade(index)`."""
    random = np.random.default_rng(0)
    options = {"movflags": "faststart"} if faststart else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=30)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.bit_rate = 2_000_000
        if keys_every is not None:
            stream.gop_size = keys_every
        if pixel_aspect is not None:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        for index, time_s in enumerate(times_s):
            pixels = np.full((height, width, 3), shade(index), np.uint8)
            pixels[: height // 2, : width // 2] = RED
            pixels[height // 2 :, : width // 2] = random.integers(
                0, 256, (height // 2, width // 2, 1)
            )
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = round(time_s * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def even(count: int, fps: float = 30.0) -> list[float]:
    return [index / fps for index in range(count)]


def set_matrix(path: Path, a: float, b: float, c: float, d: float) -> Path:
    """Set the display matrix in the track header of an MP4 (ISO/IEC 14496-12, 8.3.2: x' = a x + c y,
    y' = b x + d y, y down)."""
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (round(number * (1 << 16)) for number in (a, b, c, d))
    data[matrix : matrix + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(bytes(data))
    return path


def copy_packets(
    path: Path,
    copied: Path,
    change: Callable[[int, bytes], bytes] = lambda index, data: data,
    times_s: Sequence[float] | None = None,
) -> Path:
    """Copy a video with the data of each packet changed by `change`, and the packets' time stamps
    replaced by `times_s`."""
    with av.open(str(path)) as source, av.open(str(copied), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        for number, packet in enumerate(source.demux(stream)):
            if packet.dts is None:
                continue
            out = av.Packet(change(number, bytes(packet)))
            out.pts, out.dts, out.time_base = packet.pts, packet.dts, packet.time_base
            if times_s is not None:
                out.time_base = Fraction(1, 1000)
                out.pts = out.dts = round(times_s[number] * 1000)
            out.is_keyframe = packet.is_keyframe
            out.stream = copy
            target.mux(out)
    return copied


def break_packet(path: Path, broken: Path, index: int) -> Path:
    """Copy a video with the data of packet `index` and all later ones replaced by junk."""
    return copy_packets(
        path, broken, lambda number, data: b"\xff" * 40 if number >= index else data
    )


def shorten(path: Path, fraction: float) -> Path:
    """Truncate a file, as an interrupted copy would."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * fraction)])
    return path


def write_dataset(folder: Path, rows: Sequence[dict[str, Any] | str]) -> Path:
    """Write a dataset. A string row goes into the manifest unchanged. Images that the rows name and
    that do not exist are made, 64 x 48, unless the path leaves the folder."""
    folder.mkdir(exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for row in rows:
        name = row.get("file") if isinstance(row, dict) else None
        if isinstance(name, str) and ".." not in name and not name.startswith("/"):
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            if not path.exists():
                save(path, quadrants())
    return folder
