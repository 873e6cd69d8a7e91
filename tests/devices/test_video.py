"""Videos: frames come upright with their timestamps, and truncation is distinguished from the end."""

import itertools
import wave
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.camera import Frame
from engine.core.errors import InputError, SourceLost, SourceNotice
from engine.devices.video.video import VideoSource
from tests.fakes.media import (
    CASES,
    RED,
    break_packet,
    copy_packets,
    even,
    shade,
    shorten,
    write_video,
)


def drain(source: VideoSource) -> list[Frame]:
    return list(iter(source.read, None))


def drain_all(source: VideoSource) -> tuple[list[Frame], list[SourceNotice], str]:
    """The frames, the notices, and the message of SourceLost, or "" at a normal end."""
    frames: list[Frame] = []
    notices: list[SourceNotice] = []
    while True:
        try:
            frame = source.read()
        except SourceNotice as notice:
            notices.append(notice)
            continue
        except SourceLost as error:
            return frames, notices, str(error)
        if frame is None:
            return frames, notices, ""
        frames.append(frame)


def drain_until_lost(source: VideoSource) -> tuple[list[Frame], str]:
    frames, _, message = drain_all(source)
    return frames, message


def said(notices: list[SourceNotice]) -> list[str]:
    return [notice.status for notice in notices if notice.status is not None]


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


def test_a_whole_file_whose_end_is_damaged_ends_normally(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", even(30), "libvpx")
    frames, notices, message = drain_all(VideoSource(break_packet(path, tmp_path / "b.mkv", 12)))
    assert message == ""
    assert frames
    assert said(notices) == ["video_damaged"]
    assert f"after frame {len(frames)} (frames left out: " in str(notices[0])


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov"])
def test_a_video_whose_beginning_is_damaged_starts_at_the_next_key_frame(
    tmp_path: Path, name: str
) -> None:
    path = write_video(tmp_path / name, even(60), "libx264", faststart=True, keys_every=15)
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        first = next(container.demux(container.streams.video[0]))
        assert first.pos is not None
        start = first.pos + first.size // 4
        data[start : start + first.size // 2] = bytes(first.size // 2)
    path.write_bytes(bytes(data))
    frames, notices, message = drain_all(VideoSource(path))
    assert message == ""
    assert 30 <= len(frames) < 60
    assert frames[0].time_s == 0
    assert said(notices) == ["video_damaged"]


def test_a_recording_cut_out_of_a_stream_is_not_damaged(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.ts", even(60), "libx264", keys_every=15)
    with av.open(str(path)) as container:
        packets = list(container.demux(container.streams.video[0]))
    assert packets[5].pos is not None
    path.write_bytes(path.read_bytes()[packets[5].pos // 188 * 188 :])
    frames, notices, message = drain_all(VideoSource(path))
    assert 30 <= len(frames) < 55
    assert (notices, message) == ([], "")


def test_after_damage_a_video_goes_on_at_the_next_key_frame() -> None:
    frames, notices, message = drain_all(VideoSource(CASES / "corrupt_mid2.mp4"))
    assert message == ""
    assert 180 <= len(frames) < 201
    assert said(notices) == ["video_damaged"]
    assert len(notices) == 1
    assert "\n" not in str(notices[0])
    assert frames[-1].time_s == pytest.approx(20.0)
    assert [frame.seq for frame in frames] == list(range(len(frames)))


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "mpeg4"), ("a.mkv", "mpeg4"), ("a.ts", "mpeg4"), ("a.avi", "mjpeg")],
)
def test_several_damaged_parts_are_said_once_and_counted(
    tmp_path: Path, name: str, codec: str
) -> None:
    path = write_video(tmp_path / name, even(150), codec, faststart=True, keys_every=10)
    data = bytearray(path.read_bytes())
    for part in (0.35, 0.65):
        start = int(len(data) * part)
        data[start : start + 3000] = bytes(3000)
    path.write_bytes(bytes(data))
    frames, notices, message = drain_all(VideoSource(path))
    assert message == ""
    assert 90 <= len(frames) < 150
    assert said(notices) == ["video_damaged"]
    assert sum(" places" in str(notice) for notice in notices) == len(notices) - 1
    for frame in frames:  # none of them is made up
        assert np.abs(frame.image[16, 24].astype(int) - RED).max() <= 40


def test_frames_that_a_recorder_dropped_are_no_end(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", even(30), "mpeg4")
    empty = copy_packets(path, tmp_path / "b.avi", lambda index, data: b"" if index == 9 else data)
    frames, _, message = drain_all(VideoSource(empty))
    assert message == ""
    assert len(frames) >= 28


def test_a_jump_of_an_hour_is_bridged_and_said() -> None:
    frames, notices, message = drain_all(VideoSource(CASES / "jump1h.mkv"))
    times = [frame.time_s for frame in frames]
    assert message == ""
    assert len(times) == 30
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) < 2
    assert [time_s - times[15] for time_s in times[15:]] == pytest.approx(
        [index / 10 for index in range(15)], abs=0.002
    )
    assert said(notices) == ["video_jumped"]


def test_two_recordings_in_one_file_go_on_after_the_first(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.ts", even(60), "libx264")
    path.write_bytes(path.read_bytes() * 2)
    frames, _, message = drain_all(VideoSource(path))
    times = [frame.time_s for frame in frames]
    assert message == ""
    assert len(times) >= 110
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) < 2


@pytest.mark.parametrize(
    ("stamps", "kept", "spoken"),
    [
        ([0.0, 0.1, 0.2, 0.2, 0.4, 0.5], [0.0, 0.1, 0.2, None, 0.4, 0.5], []),
        ([0.0, 0.1, 0.2, 9.2, 9.3, 99.0], [0.0, 0.1, 0.2, 1.4, 1.5, 2.7], ["video_jumped"]),
        ([5e5, 5e5 + 0.1, 5e5 + 0.3], [0.0, 0.1, 0.3], []),
    ],
)
def test_impossible_stamps_are_replaced_and_told(
    tmp_path: Path, stamps: list[float], kept: list[float | None], spoken: list[str]
) -> None:
    path = write_video(tmp_path / "a.mkv", even(len(stamps)), "mjpeg")
    stamped = copy_packets(path, tmp_path / "b.mkv", times_s=stamps)
    frames, notices, message = drain_all(VideoSource(stamped))
    assert message == ""
    assert said(notices) == spoken
    for frame, time_s in zip(frames, kept, strict=True):
        assert time_s is None or frame.time_s == pytest.approx(time_s, abs=0.002)


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
