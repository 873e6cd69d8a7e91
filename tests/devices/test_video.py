"""Videos: frames come upright with their timestamps, and truncation is distinguished from the end."""

import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.camera import Frame
from engine.core.errors import InputError, SourceLost
from engine.devices.video.video import VideoSource
from tests.fakes.media import RED, break_packet, even, shade, shorten, turn_video, write_video


def drain(source: VideoSource) -> list[Frame]:
    return list(iter(source.read, None))


def drain_until_lost(source: VideoSource) -> tuple[list[Frame], str]:
    """The frames, and the message of SourceLost, or "" at a normal end."""
    frames: list[Frame] = []
    try:
        frames.extend(iter(source.read, None))
    except SourceLost as error:
        return frames, str(error)
    return frames, ""


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "mpeg4"),
        ("a.mp4", "libx264"),
        ("a.mkv", "mpeg4"),
        ("a.avi", "mpeg4"),
        ("a.ts", "mpeg4"),
    ],
)
def test_frames_come_in_order_with_their_times_and_colours(
    tmp_path: Path, name: str, codec: str
) -> None:
    source = VideoSource(write_video(tmp_path / name, even(40), codec))
    frames = drain(source)
    assert [frame.seq for frame in frames] == list(range(40))
    assert [frame.time_s for frame in frames] == pytest.approx(even(40), abs=0.002)
    for frame in frames:
        assert frame.image.shape == (64, 96, 3)
        assert frame.image.dtype == np.uint8
        assert frame.image.flags.c_contiguous
        assert not frame.image.flags.writeable
        assert np.abs(frame.image[48, 72].astype(int) - shade(frame.seq)).max() <= 12
        assert np.abs(frame.image[16, 24].astype(int) - RED).max() <= 24
    assert source.fps == pytest.approx(30, rel=0.05)
    assert (source.live, source.truth(0)) == (False, None)
    assert source.read() is None


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_the_length_is_the_number_of_frames(tmp_path: Path, name: str) -> None:
    assert len(VideoSource(write_video(tmp_path / name, even(40)))) == pytest.approx(40, abs=1)


@pytest.mark.parametrize("start_s", [0.0, 5.0])
def test_timestamps_of_a_variable_rate_count_from_the_first_frame(
    tmp_path: Path, start_s: float
) -> None:
    times = [0.0, 0.04, 0.2, 0.25, 0.9, 1.0]
    path = write_video(tmp_path / "a.mkv", [start_s + time_s for time_s in times])
    got = [frame.time_s for frame in drain(VideoSource(path))]
    assert got == pytest.approx(times, abs=0.002)


@pytest.mark.parametrize(
    ("quarter_turns", "corner"),  # where a clockwise rotation moves the red top left corner
    [(0, (16, 24)), (1, (24, 48)), (2, (48, 72)), (3, (72, 16))],
)
def test_videos_are_turned_upright(
    tmp_path: Path, quarter_turns: int, corner: tuple[int, int]
) -> None:
    path = turn_video(write_video(tmp_path / "a.mp4", even(3)), quarter_turns)
    frame = VideoSource(path).read()
    assert frame is not None
    assert frame.image.shape == ((64, 96, 3) if quarter_turns % 2 == 0 else (96, 64, 3))
    assert frame.image.flags.c_contiguous
    assert np.abs(frame.image[corner].astype(int) - RED).max() <= 24


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "mpeg4"), ("a.mp4", "libx264"), ("a.mkv", "mpeg4")]
)
@pytest.mark.parametrize("fraction", [0.4, 0.7])
def test_a_truncated_file_is_lost(tmp_path: Path, name: str, codec: str, fraction: float) -> None:
    path = write_video(tmp_path / name, even(120), codec, faststart=name.endswith("mp4"))
    source = VideoSource(shorten(path, fraction))
    frames, message = drain_until_lost(source)
    assert 10 < len(frames) < 100
    assert f"frame {len(frames)} of {len(source)}" in message
    assert "\n" not in message
    assert source.read() is None


def test_a_file_with_damaged_packets_is_lost(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", even(30), "libvpx")
    source = VideoSource(break_packet(path, tmp_path / "b.mkv", 12))
    frames, message = drain_until_lost(source)
    assert frames
    assert f"after frame {len(frames)} of {len(source)} (" in message


def test_a_video_with_one_frame_ends_normally(tmp_path: Path) -> None:
    assert len(drain(VideoSource(write_video(tmp_path / "a.mp4", [0.0])))) == 1


@settings(deadline=None, max_examples=15)
@given(st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=64)), min_size=1))
def test_damaged_bytes_give_frames_or_a_one_line_error(
    tmp_path_factory: pytest.TempPathFactory, hits: list[tuple[float, bytes]]
) -> None:
    path = write_video(tmp_path_factory.getbasetemp() / "damaged.mp4", even(12))
    data = bytearray(path.read_bytes())
    for place, junk in hits:
        start = int(place * (len(data) - 1))
        data[start : start + len(junk)] = junk
    path.write_bytes(bytes(data))
    try:
        frames, message = drain_until_lost(VideoSource(path))
    except InputError as error:
        frames, message = [], str(error)
    times = [frame.time_s for frame in frames]
    assert times == sorted(set(times))
    assert "\n" not in message


def _audio(path: Path) -> None:
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16_000)
        sound.writeframes(bytes(32_000))


def _without_index(path: Path) -> None:
    shorten(write_video(path, even(60)), 0.5)  # the index of an MP4 is at its end


@pytest.mark.parametrize(
    ("name", "make", "says"),
    [
        ("a.mp4", lambda path: None, "found nothing"),
        ("a.mp4", Path.mkdir, "got a folder"),
        ("a.mp4", Path.touch, "0 bytes"),
        ("a.mp4", lambda path: path.write_text("no video\n" * 300), "something else"),
        ("a.txt", lambda path: path.write_text("no video\n" * 300), "text file"),
        ("a.mp4", lambda path: path.write_bytes(b"\xff" * 9000), "something else"),
        (
            "a.m3u8",
            lambda path: path.write_text("#EXTM3U\n#EXTINF:1,\nhttp://x.invalid/a.ts\n"),
            "",
        ),
        ("a.mp4", _audio, "without a video stream"),
        ("a.mp4", _without_index, "truncated"),
        ("a.mp4", lambda path: write_video(path, even(3), width=16, height=16), "16 x 16"),
    ],
)
def test_a_file_that_is_not_a_video_is_refused(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    name: str,
    make: Callable[[Path], object],
    says: str,
) -> None:
    path = tmp_path / name
    make(path)
    capfd.readouterr()
    with pytest.raises(InputError) as caught:
        VideoSource(path)
    message = str(caught.value)
    assert "\n" not in message
    assert says in message
    assert "expected" in message
    assert capfd.readouterr() == ("", "")  # nothing from FFmpeg


def test_a_closed_video_gives_nothing(tmp_path: Path) -> None:
    source = VideoSource(write_video(tmp_path / "a.mp4", even(5)))
    source.close()
    source.close()
    assert source.read() is None


def test_a_video_broken_from_the_start_is_refused_as_undecodable(tmp_path: Path) -> None:
    broken = break_packet(write_video(tmp_path / "a.mp4", even(10)), tmp_path / "b.mp4", 0)
    with pytest.raises(
        InputError, match=r"b\.mp4: expected a video, got one that cannot be decoded"
    ):
        VideoSource(broken)
