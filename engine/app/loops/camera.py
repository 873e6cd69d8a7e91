"""The camera thread: puts frames from the source into a slot, at the pace of the source."""

import threading
from collections.abc import Callable
from dataclasses import replace

from engine.app.loops.loop import POLL_S
from engine.app.notifier import Notifier
from engine.app.subsystems import FrameFeed
from engine.core.camera import Frame
from engine.core.errors import FrameSkipped, SourceNotice
from engine.core.ports import Clock
from engine.core.slot import Slot


class CameraLoop:
    """Reads the source. `frames` holds the newest frame; `count` gets the number of frames so
    far."""

    name = "camera"

    def __init__(
        self, feed: FrameFeed, timeline: Clock, notifier: Notifier, count: Callable[[int], None]
    ) -> None:
        self.frames: Slot[Frame] = Slot()
        self.live = feed.source.live
        self.loss_announced = False  # whether the source itself has announced the loss
        self._source = feed.source
        self._max_frames = feed.max_frames
        self._timeline = timeline
        self._notifier = notifier
        self._count = count
        self._seen = 0
        self._start_s = 0.0  # the source's time zero on the timeline

    def run(self, stop: threading.Event) -> None:
        """Raises SourceLost."""
        while not stop.is_set():
            frame = self._read(stop)
            if frame is None:
                break
            self._seen += 1
            self._count(self._seen)
            self.frames.put(frame)
            if self._seen == self._max_frames:
                break

    def wake(self) -> None:
        self.frames.close()

    def close(self) -> None:
        self.frames.close()
        self._source.close()

    def _read(self, stop: threading.Event) -> Frame | None:
        """The next frame, no earlier than its time. A broken frame is announced and skipped."""
        while not stop.is_set():
            try:
                frame = self._source.read()
            except (FrameSkipped, SourceNotice) as error:
                self._notifier.source_fault(error)
                if isinstance(error, SourceNotice):
                    self.loss_announced = error.status == "glasses_lost"
                continue
            if frame is None or self.live:
                return frame
            if self._seen == 0:
                self._start_s = self._timeline.now() - frame.time_s
            due_s = self._start_s + frame.time_s
            while not stop.is_set() and (left_s := due_s - self._timeline.now()) > 0:
                self._timeline.sleep(min(left_s, POLL_S))
            return replace(frame, time_s=due_s)
        return None
