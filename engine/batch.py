"""The same steps in one thread, in order, in virtual time: datasets, sweeps, tests.

Every frame is looked at and what is heard lands where it would on the source's own timeline. Where
each picture is described (`trigger=every`), its answer is heard out before the next one is shown.
"""

from dataclasses import replace

from engine.audio import advance, drain
from engine.clock import VirtualClock
from engine.errors import EngineError, FrameSkipped, RunError, SourceLost, in_one_line
from engine.parts import ALARM_PRIORITY, Parts
from engine.scoring import Scorer
from engine.triggers import Every
from engine.types import Health, Request
from engine.understand import look, stages_ms


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

    def run(self) -> None:
        parts = self._parts
        parts.screen.progress(parts.max_frames or len(parts.source))
        try:
            self._frames()
        except SourceLost as error:
            parts.report(Health("camera", str(error), "said so and stopped"))
            parts.status("camera_lost", ALARM_PRIORITY)
            raise
        except EngineError:
            raise
        except Exception as error:
            parts.report(Health("engine", in_one_line(error), "said so and stopped"))
            parts.status("failed", ALARM_PRIORITY)
            raise RunError(in_one_line(error)) from error
        finally:
            parts.screen.stop_progress()
            drain(parts.audio, parts.sink, self._clock)
            parts.source.close()

    def _frames(self) -> None:
        parts = self._parts
        shift_s = 0.0  # how far answers that were heard out have pushed the source's timeline back
        seen = 0
        while seen != parts.max_frames:
            try:
                frame = parts.source.read()
            except FrameSkipped as error:
                parts.report(Health("frame", str(error), "skipped it"))
                parts.status("frame_skipped")
                continue
            if frame is None:
                return
            seen += 1
            parts.trace.seen(seen)
            time_s = frame.time_s + shift_s
            advance(parts.audio, parts.sink, self._clock, time_s)
            frame = replace(frame, time_s=time_s)
            if not self._related:
                self._forget()
            glance = look(parts.detector, parts.locator, frame, parts.wall, parts.around)
            parts.warn(glance, time_s)
            found = (*glance.obstacles, *glance.aside)
            parts.trace.frame(frame.seq, found, stages_ms(glance.marks))
            parts.view.show(glance, time_s)
            parts.deepen(frame)
            if parts.trigger.due(time_s):
                request = Request(parts.next_id(), parts.trigger.name, parts.wall.now())
                parts.audio.supersede_answers()
                description = parts.answerer.answer(request, glance)
                parts.trace.description(description)
                if self._scorer is not None:
                    self._scorer.add(parts.source.truth(frame.seq), glance, description)
                else:
                    parts.screen.description(description, time_s)
            if isinstance(parts.trigger, Every):
                drain(parts.audio, parts.sink, self._clock)
                shift_s = max(shift_s, self._clock.now() - frame.time_s + shift_s)
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
