"""The same steps in order, in virtual time: datasets, sweeps, tests.

Every frame is looked at and what is heard lands where it would on the source's own timeline. Where
each picture is described (`trigger=every`), its answer is heard out before the next one is shown. Where
pictures follow from one another, the detector begins with the next one early: `detect` is then the time
that was waited for it.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

from engine.app.context import Parts
from engine.audio.scheduler import advance, drain
from engine.core.answer import Request
from engine.core.camera import Frame
from engine.core.clock import VirtualClock
from engine.core.errors import EngineError, FrameSkipped, RunError, SourceLost, in_one_line
from engine.core.priority import Priority
from engine.core.report import Health
from engine.core.triggers import Every
from engine.evaluation.scoring import Scorer
from engine.perception.perceive import perceive, stages_ms


class Batch:
    """Runs a session deterministically. `run` raises SourceLost when a file breaks off, and RunError
    for what nobody foresaw, both after it was said."""

    def __init__(
        self, parts: Parts, clock: VirtualClock, related: bool, scorer: Scorer | None
    ) -> None:
        self._parts = parts
        self._clock = clock
        self._scorer = scorer
        self._related = related  # whether a picture follows from the one before, as in a video
        self._late_s = 0.0  # how far answers that were heard out have pushed the timeline back

    def run(self) -> None:
        parts = self._parts
        parts.screen.progress(parts.max_frames or len(parts.source))
        try:
            self._frames()
        except SourceLost as error:
            parts.report(Health("camera", str(error), "said so and stopped"))
            parts.status("camera_lost", Priority.ALARM)
            raise
        except EngineError:
            raise
        except Exception as error:
            parts.report(Health("engine", in_one_line(error), "said so and stopped"))
            parts.status("failed", Priority.ALARM)
            raise RunError(in_one_line(error)) from error
        finally:
            parts.screen.stop_progress()
            drain(parts.audio, parts.sink, self._clock)
            parts.source.close()

    def _frames(self) -> None:
        for number, (frame, asked) in enumerate(self._in_turn(), 1):
            self._parts.trace.seen(number)
            self._deal_with(frame, asked)

    def _in_turn(self) -> Iterator[tuple[Frame, bool]]:
        """Each frame, and whether a description is due. While one is dealt with, the detector looks at
        the next one already; not while one is answered, whose stages are timed."""
        parts, lost = self._parts, None
        left = math.inf if parts.max_frames is None else parts.max_frames
        frame = self._read()
        while frame is not None:
            left -= 1
            asked = parts.trigger.due(frame.time_s)
            ahead = self._related and not asked and left > 0
            coming = None
            if ahead:
                try:
                    coming = self._read()
                except SourceLost as error:
                    lost = error
                if coming is not None:
                    parts.detector.expect(coming)
            yield frame, asked
            if lost is not None:
                raise lost
            if not ahead and left > 0:
                coming = self._read()
            frame = coming

    def _read(self) -> Frame | None:
        """The source's next frame, at its moment on our timeline."""
        parts = self._parts
        while True:
            try:
                frame = parts.source.read()
            except FrameSkipped as error:
                parts.report(Health("frame", str(error), "skipped it"))
                parts.status("frame_skipped")
                continue
            if frame is None:
                return None
            return replace(frame, time_s=frame.time_s + self._late_s)

    def _deal_with(self, frame: Frame, asked: bool) -> None:
        """Look, warn, log, and answer where that was `asked`."""
        parts = self._parts
        advance(parts.audio, parts.sink, self._clock, frame.time_s)
        if not self._related:
            self._forget()
        glance = perceive(parts.detector, parts.locator, frame, parts.wall, parts.around)
        parts.warn(glance, frame.time_s)
        found = (*glance.obstacles, *glance.side_obstacles)
        parts.trace.frame(frame.seq, found, stages_ms(glance.marks))
        parts.view.show(glance, frame.time_s)
        parts.deepen(frame)
        if asked:
            request = Request(parts.next_id(), parts.trigger.name, parts.wall.now())
            parts.audio.supersede_answers()
            description = parts.answerer.answer(request, glance)
            parts.trace.description(description)
            if self._scorer is not None:
                self._scorer.add(parts.source.truth(frame.seq), glance, description)
            else:
                parts.screen.description(description, frame.time_s)
        if isinstance(parts.trigger, Every):
            drain(parts.audio, parts.sink, self._clock)
            shown_s = frame.time_s - self._late_s
            self._late_s = max(self._late_s, self._clock.now() - shown_s)
        parts.screen.advance()

    def _forget(self) -> None:
        self._parts.detector.reset()
        self._parts.locator.reset()
        if self._parts.around is not None:
            self._parts.around.reset()
        self._parts.sight.reset()
        self._parts.answerer.reset()
        if self._parts.warner is not None:
            self._parts.warner.reset()
