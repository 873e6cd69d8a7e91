"""The `video` source: a video file, decoded with PyAV.

Frames come upright, with square pixels, in presentation order, with the time stamps of the file.
Damaged parts are left out, and impossible time stamps replaced; each is reported once. Must not
know how fast the frames are consumed.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.core.camera import Frame, Image
from engine.core.errors import InputError, MissingPart, SourceLost, message_of
from engine.core.glance import Truth
from engine.devices.video.decoding import Damage, Decoder
from engine.devices.video.display import (
    MOST_STRETCHED,
    Orientation,
    orientation_of,
    shown,
    square_size,
)
from engine.devices.video.faults import Faults
from engine.devices.video.frame_times import FrameTimes
from engine.devices.video.images import check_file, check_size

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

FALLBACK_FPS = 30.0
FPS_BOUNDS = (0.1, 240.0)  # a higher rate is the resolution of the file's clock, not a frame rate
# How much may be missing at the end before a file counts as truncated: containers round durations,
# and may drop the last frames.
TRUNCATED_S, TRUNCATED_FRAMES = 0.5, 3


class VideoSource:
    """The frames of a video; `time_s` counts from the first one, and the frame rate may vary.

    `len()` is the number of frames that the file states, 0 if it states none. The constructor
    decodes the first frame; it raises InputError if the file is missing, unreadable, broken or
    has no video, and MissingPart without PyAV. `read` raises SourceNotice where a part is damaged or
    the time jumps, and SourceLost if the file is truncated.
    """

    live = False

    def __init__(self, path: Path) -> None:
        try:
            import av  # noqa: F401
        except ImportError as error:
            raise MissingPart(
                "source=video: expected PyAV, found none; run: pip install 'av>=17,<19'"
            ) from error
        check_file(path, "a video")
        self.name = path.name
        self._path = path
        self._seq = 0
        self._end_s = 0.0  # the end of the last frame's display time, by its stamp
        self._first_stamp: int | None = None
        self._orientations: dict[bytes, Orientation] = {}
        self._finished = False
        self._faults = Faults(path.name)
        self._container = _open(path)
        try:
            self._stream = self._video_stream()
            self.fps = _frames_a_second(self._stream)
            self._stated_s = _stated_duration_s(self._container, self._stream)
            self._times = FrameTimes(self.fps)
            self._decoder = Decoder(self._container, self._stream)
            self._decoded = self._decoder.frames()
            self._ahead = next(self._decoded, None)  # the next frame's time stamp is needed
            if self._ahead is None:
                raise self._undecodable()
            self._waiting = self._next_frame()
        except BaseException:
            self._container.close()
            raise

    def _video_stream(self) -> "VideoStream":
        from av.stream import Disposition

        for stream in self._container.streams.video:
            if not stream.disposition & Disposition.attached_pic:  # a song's cover art
                context = stream.codec_context
                if context is None:
                    raise InputError(
                        f"{self._path}: expected a video, got one in a format that FFmpeg cannot "
                        "decode; convert it with another program"
                    )
                if not context.width or not context.height:
                    # only the container's header was readable
                    raise InputError(
                        f"{self._path}: expected a video, got one that cannot be decoded (no frame "
                        "size); play it in a viewer, or copy it again"
                    )
                check_size(self._path, *self._size(context.width, context.height, stream))
                stream.thread_type = "AUTO"
                return stream
        raise InputError(
            f"{self._path}: expected a video, got a file without a video stream; give another"
        )

    def _size(self, width: int, height: int, stream: "VideoStream") -> tuple[int, int]:
        try:
            return square_size(width, height, stream.sample_aspect_ratio)
        except ValueError as error:
            raise InputError(
                f"{self._path}: expected pixels of 1:{MOST_STRETCHED} to {MOST_STRETCHED}:1, got "
                f"{error}; run: ffmpeg -i {self._path.name} -vf setsar=1 fixed{self._path.suffix}"
            ) from error

    def _undecodable(self) -> InputError:
        damage = self._decoder.damage
        reason = damage.reason if damage else "no whole frame"
        return InputError(
            f"{self._path}: expected a video, got one that cannot be decoded ({reason}); play it in "
            "a viewer, or copy it again"
        )

    def read(self) -> Frame | None:
        if self._waiting is None:
            self._waiting = self._next_frame()
        if (notice := self._faults.pop()) is not None:
            raise notice
        frame, self._waiting = self._waiting, None
        return frame

    def _next_frame(self) -> Frame | None:
        """The next frame; puts what the wearer must hear about it into `_faults`."""
        decoded = self._ahead
        if decoded is None:
            self._finish()
            return None
        self._ahead = next(self._decoded, None)
        frame = decoded.frame
        ahead = None if self._ahead is None else self._stamp_s(self._ahead.frame)
        stamp_s = self._stamp_s(frame)
        time_s, anomaly = self._times.place(stamp_s, ahead)
        duration_s = 1 / self.fps
        if frame.duration and frame.time_base:
            duration_s = float(frame.duration * frame.time_base)
        self._end_s = max(self._end_s, (time_s if stamp_s is None else stamp_s) + duration_s)
        if decoded.damage is not None:
            self._report_damage(decoded.damage)
        elif anomaly is not None:
            self._faults.add(anomaly, f"after frame {self._seq}")
        try:
            pixels = self._pixels(frame)
        except InputError as error:
            if self._seq:  # the session is running
                raise SourceLost(str(error)) from error
            raise
        seq, self._seq = self._seq, self._seq + 1
        return Frame(pixels, time_s, seq)

    def _pixels(self, frame: "av.VideoFrame") -> Image:
        """The picture as it is shown. Raises InputError if FFmpeg cannot convert it."""
        width, height = self._size(frame.width, frame.height, self._stream)
        try:
            # FFmpeg's default of a thread per core takes ten times as long for frames of this size
            # A bilinear filter changes the height of a box in the case `sar.mp4` by 7 %, this one by 3 %.
            pixels = frame.to_ndarray(
                format="rgb24", threads=1, width=width, height=height, interpolation="LANCZOS"
            )
        except (ValueError, OSError) as error:
            raise InputError(
                f"{self._path}: expected a video, got pixels that cannot be converted "
                f"({message_of(error, 120)}); convert it with another program"
            ) from error
        return shown(np.asarray(pixels, np.uint8), self._orientation(frame))

    def _orientation(self, frame: "av.VideoFrame") -> Orientation:
        every: Iterable[Any] = frame.side_data  # PyAV's stubs have another type
        matrix = next((bytes(data) for data in every if data.type.name == "DISPLAYMATRIX"), None)
        if matrix is None:
            return Orientation()
        if matrix not in self._orientations:
            try:
                self._orientations[matrix] = orientation_of(matrix)
            except ValueError as error:
                raise InputError(
                    f"{self._path}: expected a display matrix that turns by quarters or mirrors, got "
                    f"{error}; run: ffmpeg -i {self._path.name} fixed{self._path.suffix}"
                ) from error
        return self._orientations[matrix]

    def _stamp_s(self, frame: "av.VideoFrame") -> float | None:
        """Seconds from the first time stamp of the file to that of `frame`; None if it has none."""
        if frame.pts is None or frame.time_base is None:
            return None
        if self._first_stamp is None:
            self._first_stamp = frame.pts
        return float((frame.pts - self._first_stamp) * frame.time_base)

    def _report_damage(self, damage: Damage) -> None:
        where = f"after frame {self._seq} (frames left out: {damage.frames}; {damage.reason})"
        self._faults.add("damaged", where)

    def _finish(self) -> None:
        """Raises SourceLost if the file is truncated."""
        if self._finished:
            return
        self._finished = True
        damage = self._decoder.damage
        tolerance_s = max(TRUNCATED_S, TRUNCATED_FRAMES / self.fps)
        stated_s = 0.0 if self._stated_s is None or self._faults.set_back else self._stated_s
        if self._read_s() < stated_s - tolerance_s:
            expected = f" of {len(self)}" if len(self) else ""
            raise SourceLost(
                f"{self._path}: expected more, but the video breaks off after frame {self._seq}"
                f"{expected}{f' ({damage.reason})' if damage else ''}; copy it again"
            )
        if damage is not None:
            self._report_damage(damage)
        self._faults.finish()

    def _read_s(self) -> float:
        """Seconds from the stream's start to the end of what could be read, damaged or not."""
        if self._first_stamp is None:
            return self._end_s
        time_base = float(self._stream.time_base or 0)
        end_s = self._end_s
        if self._decoder.damage is not None:
            end_s = max(end_s, (self._decoder.end - self._first_stamp) * time_base)
        start = self._stream.start_time
        left_out = 0 if start is None else max(0, self._first_stamp - start)  # a broken beginning
        return end_s + left_out * time_base

    def truth(self, seq: int) -> Truth | None:
        return None

    def __len__(self) -> int:
        return self._stream.frames or round((self._stated_s or 0.0) * self.fps)

    def close(self) -> None:
        self._ahead = self._waiting = None
        self._finished = True
        self._decoded = iter(())
        self._container.close()


def _open(path: Path) -> "InputContainer":
    import av

    try:
        # an absolute path is never taken for a URL; the whitelist keeps a playlist from opening
        # network connections
        container = av.open(str(path.absolute()), options={"protocol_whitelist": "file"})
    except (av.error.FFmpegError, UnicodeError) as error:
        raise InputError(
            f"{path}: expected a video, got something else or a truncated one; play it in a "
            "viewer, or copy it again"
        ) from error
    if container.format.name == "tty":  # FFmpeg renders text files as a terminal
        container.close()
        raise InputError(f"{path}: expected a video, got a text file; give a video file")
    return container


def _stated_duration_s(container: "InputContainer", stream: "VideoStream") -> float | None:
    """The duration in the file's header; None if it states none."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    # Matroska states the end time as hours:minutes:seconds, not the duration
    start_s = float((stream.start_time or 0) * (stream.time_base or 0))
    if (tag := stream.metadata.get("DURATION")) is not None:
        try:
            hours, minutes, seconds = (float(part) for part in tag.split(":"))
        except ValueError:
            return None
        return 3600 * hours + 60 * minutes + seconds - start_s
    if container.duration is not None and len(container.streams) == 1:
        return container.duration / 1e6 - start_s
    return None


def _frames_a_second(stream: "VideoStream") -> float:
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate is not None and FPS_BOUNDS[0] <= rate <= FPS_BOUNDS[1]:
            return float(rate)
    return FALLBACK_FPS
