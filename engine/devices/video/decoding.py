"""Decodes a video's packets, and leaves out what is damaged.

After damage a decoder goes on with pictures made up from parts that it has not got. Nothing is shown
from there to the next key frame. Knows nothing of times on a timeline.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.core.errors import message_of

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

WARM_UP_PACKETS = 300  # a recording cut out of a stream may start between two key frames
STREAMS = ("mpegts", "mpeg", "h264", "hevc")  # FFmpeg's names of formats that can be cut anywhere
MOST_READ_ERRORS = 50  # in a row: the file cannot be read any further


@dataclass(slots=True)
class Damage:
    """A damaged part: how many frames were left out of it, and the decoder's reason."""

    frames: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A whole frame, and the damaged part before it, if there is one."""

    frame: "av.VideoFrame"
    damage: Damage | None


class Decoder:
    """The whole frames of `stream`, in presentation order.

    What comes before the first key frame of a recording cut out of a stream is no damage. At the end,
    `damage` is the damaged part after which no key frame came, and `end` the end of the last packet
    in the stream's time base.
    """

    def __init__(self, container: "InputContainer", stream: "VideoStream") -> None:
        self._container = container
        self._stream = stream
        self.damage: Damage | None = None
        self.end = 0
        # Stamps of the packets until a frame is shown; None for a recording cut out of a stream.
        self._beginning: list[int] | None = []

    def frames(self) -> Iterator[Decoded]:
        import av

        any_decoded = False
        for packet in self._packets():
            frames: list[Any] = []
            if packet is not None:
                if not any_decoded:
                    self._note_beginning(packet)
                if packet.is_corrupt:
                    self._damaged("a broken packet", frames=0)
                try:
                    frames = packet.decode()
                except av.error.FFmpegError as error:
                    self._damaged(message_of(error.strerror or error, 120))
            for frame in frames:
                if frame.is_corrupt:
                    self._damaged("a broken picture")
                elif self.damage is None or frame.key_frame:
                    damage, self.damage = self.damage, None
                    if not any_decoded:
                        damage = self._left_out_before(frame, damage)
                        any_decoded = True
                    yield Decoded(frame, damage)
                else:
                    self.damage.frames += 1
            if not any_decoded and self.damage and self.damage.frames > WARM_UP_PACKETS:
                return

    def _packets(self) -> Iterator["av.Packet[Any] | None"]:
        """Each packet; None where the file could not be read."""
        import av

        errors = 0
        while errors < MOST_READ_ERRORS:
            try:
                for packet in self._container.demux(self._stream):
                    if packet.size == 0 and packet.dts is not None:
                        continue  # a frame that the recorder dropped; a decoder takes it for the end
                    if packet.pts is not None:
                        self.end = max(self.end, packet.pts + (packet.duration or 0))
                    errors = 0
                    yield packet
                return
            except av.error.FFmpegError as error:
                errors += 1
                self._damaged(message_of(error.strerror or error, 120), frames=0)
                yield None

    def _note_beginning(self, packet: "av.Packet[Any]") -> None:
        stamps = self._beginning
        if stamps is None or packet.pts is None or packet.is_discard:  # cut off by an edit list
            return
        if not stamps and not packet.is_keyframe and self._container.format.name in STREAMS:
            self._beginning = None
        elif not stamps or packet.pts >= stamps[0]:
            stamps.append(packet.pts)

    def _left_out_before(self, first: "av.VideoFrame", damage: Damage | None) -> Damage | None:
        """What is missing before the first frame; a decoder may leave it out without an error."""
        stamps, self._beginning = self._beginning, None
        if not stamps or first.pts is None or first.pts <= stamps[0]:
            return None
        left_out = sum(stamp < first.pts for stamp in stamps)
        return Damage(left_out, damage.reason if damage else "a broken key frame")

    def _damaged(self, reason: str, frames: int = 1) -> None:
        self.damage = self.damage or Damage()
        self.damage.frames += frames
        self.damage.reason = self.damage.reason or reason
