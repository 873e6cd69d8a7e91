"""The `video` source: a film file, by PyAV.

Frames come upright, in order, with the times that the file gives them. It must not know at what
pace they are wanted.
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
FPS_BOUNDS = (0.1, 240.0)  # a file that states more is stating the grid of its clock
# What may be missing at the end before it counts as broken off: containers round, and hold back a
# few frames.
SHORT_S, SHORT_FRAMES = 0.5, 3
WARM_UP_PACKETS = 300  # a recording cut out of a stream may begin between two whole pictures


class VideoSource:
    """The frames of a film with `time_s` counted from the first; rates may vary.

    `len()` is what the file states, 0 where it states nothing. Decodes the first frame at once:
    raises InputError where the file is missing, unreadable, broken or holds no film. `read` raises
    SourceLost where it breaks off. MissingPart without PyAV.
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
        self._skip_to_s = 0.0
        self._time_s = 0.0  # of the last frame decoded
        self._end_s = 0.0  # when that frame stops being shown
        self._start_s: float | None = None
        self._container = self._open(path)
        try:
            self._stream = self._video_stream()
            self.fps = _frames_a_second(self._stream)
            self._stated_s = self._stated_duration_s()
            self._decoded = self._decode()
            self._first: av.VideoFrame | None = next(self._decoded)
        except BaseException:
            self._container.close()
            raise

    @staticmethod
    def _open(path: Path) -> "InputContainer":
        import av

        try:
            # absolute, so that a name is never taken for a URL; `file` alone, so that a playlist
            # cannot make us reach for the network
            container = av.open(str(path.absolute()), options={"protocol_whitelist": "file"})
        except (av.error.FFmpegError, UnicodeError) as error:
            raise InputError(
                f"{path}: expected a video, got something else or a truncated one; play it in a "
                "viewer, or copy it again"
            ) from error
        if container.format.name == "tty":  # FFmpeg would film a text file as a scrolling terminal
            container.close()
            raise InputError(f"{path}: expected a video, got a text file; give a video file")
        return container

    def _video_stream(self) -> "VideoStream":
        from av.stream import Disposition

        for stream in self._container.streams.video:
            if not stream.disposition & Disposition.attached_pic:  # the cover of a song
                width, height = stream.codec_context.width, stream.codec_context.height
                if not width or not height:  # its header was all that could be read
                    raise InputError(
                        f"{self._path}: expected a video, got one that cannot be decoded (no size "
                        "of its pictures); play it in a viewer, or copy it again"
                    )
                check_size(self._path, width, height)
                stream.thread_type = "AUTO"
                return stream
        raise InputError(
            f"{self._path}: expected a video, got a file with no moving pictures; give another"
        )

    def _stated_duration_s(self) -> float | None:
        """How long the pictures last by the file's own header; None where it does not say."""
        stream = self._stream
        if stream.duration is not None and stream.time_base is not None:
            return float(stream.duration * stream.time_base)
        # Matroska states the moment of the end, hours:minutes:seconds, whenever the film begins
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
        """Every frame in order of showing. Raises SourceLost when the file breaks off, but before
        the first frame InputError."""
        import av

        failed, given, broken = "", False, 0
        try:
            for packet in self._container.demux(self._stream):
                try:
                    frames = packet.decode()
                except av.error.FFmpegError:
                    broken += 1
                    if given or broken > WARM_UP_PACKETS:
                        raise
                    continue
                for frame in frames:
                    given = True
                    yield frame
        except av.error.FFmpegError as error:
            failed = message_of(error.strerror or error, 120)
        if not given:
            raise InputError(
                f"{self._path}: expected a video, got one that cannot be decoded "
                f"({failed or 'no whole frame'}); play it in a viewer, or copy it again"
            )
        tolerance_s = max(SHORT_S, SHORT_FRAMES / self.fps)
        if failed or (self._stated_s is not None and self._end_s < self._stated_s - tolerance_s):
            expected = f" of {len(self)}" if len(self) else ""
            raise SourceLost(
                f"{self._path}: expected more, but the video breaks off after frame {self._seq}"
                f"{expected}{f' ({failed})' if failed else ''}; copy it again"
            )

    def skip_to(self, time_s: float) -> None:
        """The next `read` gives the first frame at or after `time_s`. Those passed over count in
        `seq`; they are decoded, since later ones build on them, but not converted."""
        self._skip_to_s = time_s

    def read(self) -> Frame | None:
        while True:
            picture, self._first = self._first or next(self._decoded, None), None
            if picture is None:
                return None
            time_s, seq = self._stamp(picture), self._seq
            self._seq += 1
            if time_s >= self._skip_to_s:
                break
        # FFmpeg's own choice, a thread a core, takes ten times as long for a picture of this size
        pixels = np.asarray(picture.to_ndarray(format="rgb24", threads=1), np.uint8)
        # FFmpeg gives the turn that the file asks for, counter-clockwise, as NumPy turns
        pixels = np.rot90(pixels, round(picture.rotation / 90))
        return Frame(frozen(pixels), time_s, seq)

    def _stamp(self, picture: "av.VideoFrame") -> float:
        """Seconds since the first frame; always rising, whatever the file says."""
        guess_s = self._time_s + 1 / self.fps if self._seq else 0.0
        time_s = picture.time
        if time_s is not None:
            if self._start_s is None:
                self._start_s = time_s
            time_s -= self._start_s
        if time_s is None or (self._seq and time_s <= self._time_s):
            time_s = guess_s
        self._time_s = time_s
        shown_s = 1 / self.fps
        if picture.duration and picture.time_base:
            shown_s = float(picture.duration * picture.time_base)
        self._end_s = time_s + shown_s
        return time_s

    def truth(self, seq: int) -> Truth | None:
        return None

    def __len__(self) -> int:
        return self._stream.frames or round((self._stated_s or 0.0) * self.fps)

    def close(self) -> None:
        self._first = None
        self._decoded = iter(())
        self._container.close()


def _frames_a_second(stream: "VideoStream") -> float:
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate is not None and FPS_BOUNDS[0] <= rate <= FPS_BOUNDS[1]:
            return float(rate)
    return FALLBACK_FPS
