"""The `video` source: a video file, decoded with PyAV.

Frames come upright and in presentation order, with the timestamps of the file. Must not know how
fast they are consumed.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.core.camera import Frame
from engine.core.errors import InputError, MissingPart, SourceLost, message_of
from engine.core.glance import Truth
from engine.devices.video.images import check_file, check_size, frozen

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

FALLBACK_FPS = 30.0
FPS_BOUNDS = (0.1, 240.0)  # a higher rate is the resolution of the file's clock, not a frame rate
# How much may be missing at the end before a file counts as truncated: containers round durations,
# and may drop the last frames.
TRUNCATED_S, TRUNCATED_FRAMES = 0.5, 3
WARM_UP_PACKETS = 300  # a recording cut out of a stream may start between two keyframes


class VideoSource:
    """The frames of a video; `time_s` counts from the first one, and the frame rate may vary.

    `len()` is the number of frames that the file states, 0 if it states none. The constructor
    decodes the first frame; it raises InputError if the file is missing, unreadable, broken or
    has no video, and MissingPart without PyAV. `read` raises SourceLost if the file is
    truncated.
    """

    live = False

    def __init__(self, path: Path) -> None:
        try:
            import av
        except ImportError as error:
            raise MissingPart(
                "source=video: expected PyAV, found none; run: pip install 'av>=17,<19'"
            ) from error
        check_file(path, "a video")
        self.name = path.name
        self._path = path
        self._seq = 0
        self._time_s = 0.0  # of the last frame decoded
        self._end_s = 0.0  # the end of that frame's display time
        self._start_s: float | None = None
        self._container = self._open(path)
        try:
            self._stream = self._video_stream()
            self.fps = _frames_a_second(self._stream)
            self._stated_s = self._stated_duration_s()
            self._decoded = self._decode()
            self._first_frame: av.VideoFrame | None = next(self._decoded)
        except BaseException:
            self._container.close()
            raise

    @staticmethod
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

    def _video_stream(self) -> "VideoStream":
        from av.stream import Disposition

        for stream in self._container.streams.video:
            if not stream.disposition & Disposition.attached_pic:  # a song's cover art
                width, height = stream.codec_context.width, stream.codec_context.height
                if not width or not height:  # only the container's header was readable
                    raise InputError(
                        f"{self._path}: expected a video, got one that cannot be decoded (no frame "
                        "size); play it in a viewer, or copy it again"
                    )
                check_size(self._path, width, height)
                stream.thread_type = "AUTO"
                return stream
        raise InputError(
            f"{self._path}: expected a video, got a file without a video stream; give another"
        )

    def _stated_duration_s(self) -> float | None:
        """The duration in the file's header; None if it states none."""
        stream = self._stream
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
        if self._container.duration is not None and len(self._container.streams) == 1:
            return self._container.duration / 1e6 - start_s
        return None

    def _decode(self) -> Iterator["av.VideoFrame"]:
        """Every frame in presentation order. Raises SourceLost if the file is truncated, or
        InputError if not even one frame can be decoded."""
        import av

        failure, any_decoded, broken = "", False, 0
        try:
            for packet in self._container.demux(self._stream):
                try:
                    frames = packet.decode()
                except av.error.FFmpegError:
                    broken += 1
                    if any_decoded or broken > WARM_UP_PACKETS:
                        raise
                    continue
                for frame in frames:
                    any_decoded = True
                    yield frame
        except av.error.FFmpegError as error:
            failure = message_of(error.strerror or error, 120)
        if not any_decoded:
            raise InputError(
                f"{self._path}: expected a video, got one that cannot be decoded "
                f"({failure or 'no whole frame'}); play it in a viewer, or copy it again"
            )
        tolerance_s = max(TRUNCATED_S, TRUNCATED_FRAMES / self.fps)
        if failure or (self._stated_s is not None and self._end_s < self._stated_s - tolerance_s):
            expected = f" of {len(self)}" if len(self) else ""
            raise SourceLost(
                f"{self._path}: expected more, but the video breaks off after frame {self._seq}"
                f"{expected}{f' ({failure})' if failure else ''}; copy it again"
            )

    def read(self) -> Frame | None:
        decoded, self._first_frame = self._first_frame or next(self._decoded, None), None
        if decoded is None:
            return None
        time_s, seq = self._timestamp_s(decoded), self._seq
        self._seq += 1
        # FFmpeg's default of a thread per core takes ten times as long for frames of this size
        pixels = np.asarray(decoded.to_ndarray(format="rgb24", threads=1), np.uint8)
        # FFmpeg states the rotation counter-clockwise, the direction of np.rot90
        pixels = np.rot90(pixels, round(decoded.rotation / 90))
        return Frame(frozen(pixels), time_s, seq)

    def _timestamp_s(self, decoded: "av.VideoFrame") -> float:
        """Seconds since the first frame; strictly increasing, even where the file's are not."""
        expected_s = self._time_s + 1 / self.fps if self._seq else 0.0
        time_s = decoded.time
        if time_s is not None:
            if self._start_s is None:
                self._start_s = time_s
            time_s -= self._start_s
        if time_s is None or (self._seq and time_s <= self._time_s):
            time_s = expected_s
        self._time_s = time_s
        duration_s = 1 / self.fps
        if decoded.duration and decoded.time_base:
            duration_s = float(decoded.duration * decoded.time_base)
        self._end_s = time_s + duration_s
        return time_s

    def truth(self, seq: int) -> Truth | None:
        return None

    def __len__(self) -> int:
        return self._stream.frames or round((self._stated_s or 0.0) * self.fps)

    def close(self) -> None:
        self._first_frame = None
        self._decoded = iter(())
        self._container.close()


def _frames_a_second(stream: "VideoStream") -> float:
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate is not None and FPS_BOUNDS[0] <= rate <= FPS_BOUNDS[1]:
            return float(rate)
    return FALLBACK_FPS
