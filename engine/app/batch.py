"""Runs a session in order, in virtual time: datasets, sweeps, tests.

No frame is dropped, and sounds have the same times as in a live session. With `trigger=every`, an
answer plays to its end before the next frame. If each frame continues the previous one, the
detector starts on the next frame early; `detect` is then only the time spent waiting for it.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

from engine.app.answer_step import AnswerStep
from engine.app.frame_step import FrameStep
from engine.app.notifier import Notifier
from engine.app.observers import Observers
from engine.app.skipped import SkippedFrames
from engine.app.subsystems import Clocks, FrameFeed, Speech
from engine.audio.playback import advance, drain
from engine.core.answer import Request
from engine.core.camera import Frame
from engine.core.errors import (
    EngineError,
    FrameSkipped,
    RunError,
    SourceLost,
    SourceNotice,
    in_one_line,
)
from engine.core.report import Health
from engine.core.triggers import Every


class Batch:
    """Runs a session deterministically. Errors are announced first; then `run` raises SourceLost
    for a source that breaks off, and RunError for any other error."""

    def __init__(
        self,
        feed: FrameFeed,
        frames: FrameStep,
        answers: AnswerStep,
        speech: Speech,
        clocks: Clocks,
        observers: Observers,
        notifier: Notifier,
    ) -> None:
        self._feed = feed
        self._frames = frames
        self._answers = answers
        self._speech = speech
        self._clocks = clocks
        self._observers = observers
        self._notifier = notifier
        self._skipped = SkippedFrames(notifier, each=True)
        self._delay_s = 0.0  # delay of the frames by answers that were played to their end

    def run(self) -> None:
        feed, screen = self._feed, self._observers.screen
        screen.progress(feed.max_frames or len(feed.source))
        try:
            for number, (frame, asked) in enumerate(self._in_order(), 1):
                self._observers.log.seen(number)
                self._process(frame, asked)
                screen.advance()
        except SourceLost as error:
            health = Health("camera", str(error), "said so and stopped")
            self._notifier.fault(health, "camera_lost")
            raise
        except EngineError:
            raise
        except Exception as error:
            health = Health("engine", in_one_line(error), "said so and stopped")
            self._notifier.fault(health, "failed")
            raise RunError(in_one_line(error)) from error
        finally:
            screen.stop_progress()
            self._drain()
            self._close()

    def _in_order(self) -> Iterator[tuple[Frame, bool]]:
        """Each frame, and whether a description of it is due.

        The next frame is read and given to the detector before the current one is processed; not
        while a request is answered, because its stages are timed.
        """
        feed = self._feed
        lost: SourceLost | None = None
        left = math.inf if feed.max_frames is None else feed.max_frames
        frame = self._read()
        while frame is not None:
            left -= 1
            asked = feed.trigger.due(frame.time_s)
            ahead = feed.related and not asked and left > 0
            upcoming = None
            if ahead:
                try:
                    upcoming = self._read()
                except SourceLost as error:  # raised once the current frame has been processed
                    lost = error
                if upcoming is not None:
                    self._frames.prefetch(upcoming)
            yield frame, asked
            if lost is not None:
                raise lost
            if not ahead and left > 0:
                upcoming = self._read()
            frame = upcoming

    def _read(self) -> Frame | None:
        """The next frame of the source, at its time on the session's timeline."""
        while True:
            try:
                frame = self._feed.source.read()
            except FrameSkipped as error:
                self._skipped.add(error, self._clocks.timeline.now())
                continue
            except SourceNotice as message:
                self._notifier.notice(message)
                continue
            if frame is None:
                return None
            return replace(frame, time_s=frame.time_s + self._delay_s)

    def _process(self, frame: Frame, asked: bool) -> None:
        speech, timeline = self._speech, self._clocks.timeline
        advance(speech.audio, speech.sink, timeline, frame.time_s)
        if not self._feed.related:
            self._frames.reset()
            self._answers.reset()
        glance = self._frames.process(frame, frame.time_s)
        self._notifier.repeat_alarms(frame.time_s)
        trigger = self._feed.trigger
        if asked:
            asked_s, feed = self._clocks.wall.now(), self._feed
            request = Request(speech.next_id(), trigger.name, asked_s, feed.wish, feed.target)
            self._answers.answer(request, glance)
        if isinstance(trigger, Every):
            self._drain()
            shown_s = frame.time_s - self._delay_s
            self._delay_s = max(self._delay_s, timeline.now() - shown_s)

    def _close(self) -> None:
        try:
            self._feed.source.close()
        except Exception as error:  # it must not hide how the session ended
            self._notifier.report(Health("camera", in_one_line(error), "left it open"))

    def _drain(self) -> None:
        """Advance the timeline until everything has been played."""
        drain(self._speech.audio, self._speech.sink, self._clocks.timeline)
