"""The camera thread: puts frames from the source into a slot, at the pace of the source."""

import math
from collections.abc import Callable
from dataclasses import replace

from engine.app.loops.loop import OPENING_S, POLL_S
from engine.app.notifier import Notifier
from engine.app.skipped import SkippedFrames
from engine.app.subsystems import FrameFeed
from engine.core.camera import Frame
from engine.core.errors import EngineError, FrameSkipped, SourceLost, SourceNotice, in_one_line
from engine.core.ports import Clock, Source
from engine.core.pulse import Pulse
from engine.core.report import Health
from engine.core.slot import Slot

TICK_S = 0.001  # between two frames whose times do not increase


class CameraLoop:
    """Reads the source. `frames` holds the newest frame; `count` gets the number of frames so
    far. The times of frames increase, whatever the source says."""

    name = "camera"
    vital = True

    def __init__(
        self, feed: FrameFeed, timeline: Clock, notifier: Notifier, count: Callable[[int], None]
    ) -> None:
        self.frames: Slot[Frame] = Slot()
        self.live = feed.source.live
        self.fresh_s: float | None = None  # the watchdog's time of the newest good frame
        self._feed = feed
        self._runs = 0
        self._timeline = timeline
        self._notifier = notifier
        self._skipped = SkippedFrames(notifier, each=not self.live)
        self._count = count
        self._seen = 0
        self._start_s = 0.0  # the source's time zero on the timeline
        self._last_s = 0.0  # the time of the newest frame

    @property
    def patience_s(self) -> float:
        """With a read. Where nothing can be opened again, a new session is the only help."""
        return 90.0 if self._feed.reopen is None else 10.0

    @property
    def restarts(self) -> int:
        """A camera that was pulled out is opened again for a minute or two; a file is not."""
        return 0 if self._feed.reopen is None else 12

    def run(self, pulse: Pulse) -> None:
        """Raises SourceLost."""
        self._runs += 1
        source = self._open(pulse)
        try:
            while not pulse.stop.is_set():
                frame = self._read(source, pulse)
                if frame is None:
                    break
                self._seen += 1
                self._count(self._seen)
                self.fresh_s = pulse.beat()
                self.frames.put(frame)
                if self._seen == self._feed.max_frames:
                    break
        finally:
            self._close(source)

    def wake(self) -> None:
        self.frames.close()

    def close(self) -> None:
        self.frames.close()

    def _open(self, pulse: Pulse) -> Source:
        if self._runs == 1 or self._feed.reopen is None:
            return self._feed.source
        pulse.patience_s = OPENING_S
        try:
            source = self._feed.reopen()
        except EngineError as error:
            raise SourceLost(in_one_line(error)) from error
        try:
            pulse.beat()
        except BaseException:
            self._close(source)
            raise
        pulse.patience_s = self.patience_s
        return source

    def _close(self, source: Source) -> None:
        try:
            source.close()
        except Exception as error:  # the frames that it gave are still good
            self._notifier.report(Health("camera", in_one_line(error), "left it open"))

    def _read(self, source: Source, pulse: Pulse) -> Frame | None:
        """The next frame, no earlier than its time. A broken frame is announced and skipped."""
        while not pulse.stop.is_set():
            self._skipped.tell(pulse.beat())
            try:
                frame = source.read()
            except FrameSkipped as error:
                self._skipped.add(error, pulse.beat())
                continue
            except SourceNotice as message:
                self.fresh_s = pulse.beat()  # glasses that are back give frames soon
                self._notifier.notice(message)
                continue
            now_s = pulse.beat()
            if frame is None:
                self._skipped.tell(now_s)
                return None
            return self._in_order(frame) if self.live else self._in_time(frame, pulse)
        return None

    def _in_order(self, frame: Frame) -> Frame:
        """A live frame, no later than now and later than the one before."""
        now_s = self._timeline.now()
        time_s = min(frame.time_s, now_s) if math.isfinite(frame.time_s) else now_s
        self._last_s = max(time_s, self._last_s + TICK_S) if self._seen else time_s
        return frame if frame.time_s == self._last_s else replace(frame, time_s=self._last_s)

    def _in_time(self, frame: Frame, pulse: Pulse) -> Frame:
        """A frame of a file, when its time has come."""
        if self._seen == 0:
            self._start_s = self._timeline.now() - frame.time_s
        due_s = self._start_s + frame.time_s
        if not math.isfinite(due_s):
            due_s = self._last_s
        if self._seen:
            due_s = max(due_s, self._last_s + TICK_S)
        self._last_s = due_s
        while not pulse.stop.is_set() and (left_s := due_s - self._timeline.now()) > 0:
            self._timeline.sleep(min(left_s, POLL_S))
            pulse.beat()
        return replace(frame, time_s=due_s)
