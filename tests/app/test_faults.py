"""Faults put into the live loops, one at a time: each is said within seconds, the rest goes on.

The threads are real. The watchdog's clock stands still until a test advances it.
"""

import itertools
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.core.camera import Frame
from engine.core.clock import MonotonicClock
from engine.core.errors import (
    DescriberFailed,
    FrameSkipped,
    MissingPart,
    RunError,
    SourceLost,
    SpeechFailed,
)
from engine.core.glance import Box, Detection, Glance
from engine.core.later import Later
from engine.core.report import Hearing
from engine.core.sound import Samples
from engine.core.triggers import Interval, OnDemand
from tests.fakes.answering import ScriptedDescriber
from tests.fakes.live import FakeCamera, FakeVision, FastVoice, LiveBench, QuickClock
from tests.fakes.stage import TapeSink

STREETS = np.random.default_rng(1).integers(
    0, 255, (8, 48, 64, 3), np.uint8
)  # neither dark nor still


class LiveCamera(FakeCamera):
    """A camera that gives frames until `released`; a hook runs in each read."""

    live = True

    def __init__(self, on_read: Callable[[int], None] = lambda seq: None) -> None:
        super().__init__()
        self._clock = QuickClock()
        self._on_read = on_read
        self._seq = 0
        self.end = threading.Event()
        self.closed_in: list[str] = []

    def read(self) -> Frame | None:
        if self.end.is_set():
            return None
        self._seq += 1
        MonotonicClock().sleep(0.002)
        self._on_read(self._seq)
        return Frame(STREETS[self._seq % len(STREETS)], self._clock.now(), self._seq)

    def close(self) -> None:
        self.closed_in.append(threading.current_thread().name)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loops beat more often, so that a test may advance the clock faster."""
    for module in ("watch", "answer"):
        monkeypatch.setattr(f"engine.app.loops.{module}.POLL_S", 0.005)


class Hang:
    """Holds whoever calls it while it is `set`, until the end of the test."""

    def __init__(self) -> None:
        self.on = threading.Event()
        self.reached = threading.Event()
        self.released = threading.Event()

    def __call__(self, *_: object) -> None:
        if self.on.is_set() and not self.released.is_set():
            self.reached.set()
            self.released.wait(30.0)

    def begin(self) -> None:
        """Hold the next caller, and wait for it."""
        self.on.set()
        assert self.reached.wait(10.0)


@pytest.fixture
def hang() -> Iterator[Hang]:
    held = Hang()
    yield held
    held.released.set()


class HookedVision(FakeVision):
    def __init__(self, on_detect: Callable[[Frame], object] = lambda frame: None) -> None:
        super().__init__()
        self._on_detect = on_detect

    def detect(self, frame: Frame) -> tuple[Detection, ...]:
        self._on_detect(frame)
        return super().detect(frame)


def live_bench(folder: Path, camera: FakeCamera, **more: Any) -> LiveBench:
    bench = LiveBench(folder, camera=camera, **more)
    bench.change_feed(trigger=OnDemand("keyboard"))
    return bench


def change_speech(bench: LiveBench, **changes: Any) -> None:
    bench.session = replace(bench.session, speech=replace(bench.session.speech, **changes))


@contextmanager
def ended(camera: LiveCamera) -> Iterator[None]:
    """Let the camera end after the block, whatever happens in it."""
    try:
        yield
    finally:
        camera.end.set()


def test_a_camera_whose_read_blocks_is_said_again_every_ten_seconds(
    tmp_path: Path, hang: Hang
) -> None:
    camera = LiveCamera(on_read=hang)
    bench = live_bench(tmp_path, camera)
    with bench.start() as running, ended(camera):
        hang.begin()
        bench.watch_clock.advance(2.5)
        running.hears("camera_lost")
        for times in (2, 3):
            bench.watch_clock.advance(10.5)
            running.hears("camera_lost", times)
        hang.released.set()
        running.hears_in_time("camera_back")
    assert running.error is None


def test_a_stopped_alarm_is_heard_again_until_its_cause_has_gone(
    tmp_path: Path, hang: Hang
) -> None:
    camera = LiveCamera(on_read=hang)
    bench = live_bench(tmp_path, camera)
    with bench.start() as running, ended(camera):
        hang.begin()
        bench.watch_clock.advance(2.5)
        bench.session.speech.audio.stop()  # as it begins
        running.until(lambda: bench.words.status("camera_lost") in bench.said)
        (first,) = [h for h in bench.heard if h.utterance.text == bench.said[-1]]
        assert "cancelled" in (first.cut, first.dropped) or first.ended_s is not None
        bench.watch_clock.advance(10.5)
        running.hears("camera_lost", 2)
        hang.released.set()
        running.hears_in_time("camera_back")
        count = bench.said.count(bench.words.status("camera_lost"))
        bench.watch_clock.advance(11.0)
        assert bench.said.count(bench.words.status("camera_lost")) == count


def test_a_lost_camera_is_opened_again(tmp_path: Path) -> None:
    lost = threading.Event()

    def pulled_out(_: int) -> None:
        if lost.is_set():
            raise SourceLost("the camera was pulled out")

    camera, other = LiveCamera(pulled_out), LiveCamera()
    attempts: list[int] = []

    def reopen() -> LiveCamera:
        attempts.append(1)
        if len(attempts) < 3:
            raise MissingPart("no camera here")
        return other

    bench = live_bench(tmp_path, camera)
    bench.change_feed(reopen=reopen)
    with bench.start() as running, ended(other):
        lost.set()
        running.hears("camera_lost")
        bench.watch_clock.advance(4.0)
        running.hears_in_time("camera_back")
    assert running.error is None
    assert camera.closed_in == other.closed_in == ["camera"]


def test_a_camera_that_hangs_is_opened_again_and_closed_by_its_own_thread(
    tmp_path: Path, hang: Hang
) -> None:
    camera, other = LiveCamera(on_read=hang), LiveCamera()
    bench = live_bench(tmp_path, camera)
    bench.change_feed(reopen=lambda: other)
    with bench.start() as running, ended(other):
        hang.begin()
        bench.watch_clock.advance(11.0)
        running.hears_in_time("camera_back")
        assert camera.closed_in == []  # it is in use
        hang.released.set()
        running.until(lambda: camera.closed_in == ["camera"])
    assert running.error is None


def test_a_camera_that_never_returns_ends_the_session_with_its_error(tmp_path: Path) -> None:
    def pulled_out(_: int) -> None:
        raise SourceLost("the camera was pulled out")

    def reopen() -> LiveCamera:
        raise MissingPart("no camera here")

    bench = live_bench(tmp_path, LiveCamera(pulled_out))
    bench.change_feed(reopen=reopen)
    with bench.start() as running:
        running.hears("camera_lost")
        for _ in range(20):
            bench.watch_clock.advance(10.0, step_s=10.0)
    assert isinstance(running.error, SourceLost)


def test_every_broken_frame_is_counted_and_not_said_one_by_one(tmp_path: Path) -> None:
    def broken(seq: int) -> None:
        raise FrameSkipped(f"frame {seq} is broken")

    camera = LiveCamera(broken)
    bench = live_bench(tmp_path, camera)
    with bench.start() as running, ended(camera):
        running.hears("frame_skipped")
        bench.watch_clock.advance(2.5)
        running.hears("camera_lost")  # no good frame is as bad as none
        bench.watch_clock.advance(8.0)
        running.until(lambda: sum("broken pictures" in text for text in bench.said) == 1)
    assert len([h for h in bench.health if h.what == "frame"]) <= 3


def test_a_detector_that_hangs_is_said_and_loaded_anew(tmp_path: Path, hang: Hang) -> None:
    camera = LiveCamera()
    looks: list[Frame] = []
    old, new = HookedVision(hang), HookedVision(looks.append)
    bench = live_bench(tmp_path, camera, vision=old)
    session = bench.session
    bench.session = replace(
        session, reload_perception=lambda: replace(session.perception, detector=new)
    )
    with bench.start() as running, ended(camera):
        hang.begin()
        bench.watch_clock.advance(1.5)
        running.hears("watch_slow")
        bench.watch_clock.advance(1.0)
        running.hears("watch_lost")
        bench.watch_clock.advance(3.0)
        running.hears_in_time("watch_back")
        hang.released.set()  # the old thread wakes, and changes nothing
        bench.watch_clock.advance(20.0)
    assert running.error is None
    assert any("no sign of life for 5 s" in h.detail for h in bench.health)


def test_a_detector_that_is_slow_is_said_until_it_is_quick_again(tmp_path: Path) -> None:
    """Looks of 2.5 s: obstacles are not seen in time, but nothing hangs."""
    begun, done = threading.Semaphore(0), threading.Semaphore(0)

    def look(_: Frame) -> None:
        begun.release()
        done.acquire(timeout=30.0)

    camera = LiveCamera()
    bench = live_bench(tmp_path, camera, vision=HookedVision(look))
    with bench.start() as running, ended(camera):
        for _ in range(5):
            assert begun.acquire(timeout=10.0)
            bench.watch_clock.advance(2.5)
            done.release()
        running.hears("watch_lost", 2)  # at once, and after 10 s
        assert bench.words.status("watch_back") not in bench.said
        done.release(1_000_000)
        running.hears_in_time("watch_back")
    assert not [h for h in bench.health if "sign of life" in h.detail]


def test_a_detector_at_the_limit_does_not_fill_the_ears_with_its_coming_and_going(
    tmp_path: Path,
) -> None:
    """Every second look is late: that is told once, and alerts are heard."""
    begun, done = threading.Semaphore(0), threading.Semaphore(0)
    free = threading.Event()

    def look(_: Frame) -> None:
        if not free.is_set():
            begun.release()
            done.acquire(timeout=30.0)

    camera = LiveCamera()
    bench = live_bench(tmp_path, camera, vision=HookedVision(look))
    with bench.start() as running, ended(camera):
        for number in range(8):
            assert begun.acquire(timeout=10.0)
            bench.watch_clock.advance(1.3 if number % 2 == 0 else 0.6, step_s=1.3)
            done.release()
        running.hears("watch_slow")
        assert bench.words.status("watch_back") not in bench.said
        assert len([h for h in bench.health if h.what == "watch"]) == 1
        free.set()
        done.release()
        running.hears_in_time("watch_back")


def test_a_detector_that_raises_once_costs_one_frame(tmp_path: Path) -> None:
    failed = threading.Event()

    def fail_once(_: Frame) -> None:
        if not failed.is_set():
            failed.set()
            raise ValueError("a bug in an adapter")

    camera = LiveCamera()
    bench = live_bench(tmp_path, camera, vision=HookedVision(fail_once))
    with bench.start() as running, ended(camera):
        running.until(lambda: any(h.utterance.kind == "alert" for h in bench.heard))
    assert running.error is None
    assert [h.what for h in bench.health] == ["watch"]


def test_a_library_that_ends_its_thread_has_ended_one_run_of_one_loop(tmp_path: Path) -> None:
    raised = threading.Event()

    def leave(_: Frame) -> None:
        if not raised.is_set():
            raised.set()
            raise SystemExit(3)

    camera = LiveCamera()
    bench = live_bench(tmp_path, camera, vision=HookedVision(leave))
    with bench.start() as running, ended(camera):
        running.hears("watch_lost")
        running.until(lambda: any(h.utterance.kind == "alert" for h in bench.heard))
    assert running.error is None
    assert "SystemExit" in bench.health[0].detail


def test_a_detector_that_keeps_failing_is_said_and_ends_the_session(tmp_path: Path) -> None:
    camera = LiveCamera()
    bench = live_bench(tmp_path, camera, vision=FakeVision(fails=True))
    with bench.start() as running, ended(camera):
        running.hears("watch_lost")
        running.hears_in_time("failed", 60.0)
    assert isinstance(running.error, RunError)
    assert isinstance(running.error.__cause__, ValueError)
    assert bench.log.close()["errors"] >= 4


class BadVoice(FastVoice):
    """Fails, or does what `on_speech` does, for the sentences that contain `bad`."""

    def __init__(self, bad: str, on_speech: Callable[[], None]) -> None:
        super().__init__(0.2)
        self._bad = bad
        self._on_speech = on_speech

    def synthesise(self, text: str) -> Samples:
        if self._bad in text:
            self._on_speech()
        return super().synthesise(text)


def crash() -> None:
    raise ValueError("a bug in a voice")


def test_a_voice_that_raises_once_loses_one_utterance(tmp_path: Path) -> None:
    camera = LiveCamera()
    bench = live_bench(tmp_path, camera)
    bench.session.speech.audio.renew(BadVoice("Louder", crash))
    with bench.start() as running, ended(camera):
        bench.session.notifier.announce("louder")
        bench.session.notifier.announce("quieter")
        running.hears("quieter")
    lost = [h for h in bench.heard if h.utterance.text == bench.words.status("louder")]
    assert [h.dropped for h in lost] == ["cancelled"]
    assert [h.detail for h in bench.health] == ["ValueError: a bug in a voice"]


def test_samples_that_are_not_finite_cost_one_utterance_and_reach_no_loudspeaker(
    tmp_path: Path,
) -> None:
    class NoNumbers(FastVoice):
        def synthesise(self, text: str) -> Samples:
            samples = super().synthesise(text)
            return samples * np.float32(math.nan) if "Louder" in text else samples

    camera = LiveCamera()
    bench = live_bench(tmp_path, camera)
    bench.session.speech.audio.renew(NoNumbers(0.2))
    with bench.start() as running, ended(camera):
        bench.session.notifier.announce("louder")
        bench.session.notifier.announce("quieter")
        running.hears("quieter")
    assert np.isfinite(bench.sink.tape).all()
    assert ["not finite" in h.detail for h in bench.health] == [True]


def test_a_voice_that_hangs_is_told_of_by_another_way_and_replaced(
    tmp_path: Path, hang: Hang
) -> None:
    hang.on.set()
    camera = LiveCamera()
    bench = live_bench(tmp_path, camera)
    bench.session.speech.audio.renew(BadVoice("Louder", hang))
    change_speech(bench, reopen_voice=lambda: FastVoice(0.2), reopen_sink=TapeSink)
    with bench.start() as running, ended(camera):
        bench.session.notifier.announce("louder")
        assert hang.reached.wait(10.0)
        bench.watch_clock.advance(2.5)
        assert bench.last_resort.sounded == [bench.words.status("sound_lost")]
        running.hears("sound_back")
        bench.session.notifier.announce("quieter")
        running.hears("quieter")
        hang.released.set()
    lost = [h for h in bench.heard if h.utterance.text == bench.words.status("louder")]
    assert [h.cut or h.dropped for h in lost] == ["cancelled"]
    assert running.error is None


def test_a_voice_that_fails_for_good_ends_the_session_by_another_way(tmp_path: Path) -> None:
    camera = LiveCamera()
    bench = live_bench(tmp_path, camera)
    bench.session.speech.audio.renew(BadVoice("", crash))
    with bench.start() as running, ended(camera):
        for _ in range(12):
            if running.error is None:
                bench.session.notifier.announce("louder")
                bench.watch_clock.advance(1.0)
    assert isinstance(running.error, SpeechFailed)
    assert bench.last_resort.sounded[0] == bench.words.status("sound_lost")
    assert bench.last_resort.sounded[-1] == bench.words.status("failed")
    assert bench.log.close()["utterances"]["dropped"] >= 4


class BrokenSink(TapeSink):
    """Raises a library's own error at its first sound."""

    def write(self, block: Samples) -> None:
        if np.any(block):
            raise ValueError("a bug in a sink")


def test_a_sink_that_vanishes_is_opened_again_when_it_returns(tmp_path: Path) -> None:
    camera, returned = LiveCamera(), TapeSink()
    plugged_in = threading.Event()

    def reopen() -> TapeSink:
        if not plugged_in.is_set():
            raise MissingPart("no loudspeaker")
        return returned

    bench = live_bench(tmp_path, camera)
    change_speech(bench, sink=BrokenSink(), reopen_sink=reopen)
    with bench.start() as running, ended(camera):
        bench.session.notifier.announce("louder")
        running.until(lambda: bench.last_resort.sounded == [bench.words.status("sound_lost")])
        bench.session.notifier.announce("quieter")  # nobody would hear it
        running.until(lambda: any(h.dropped for h in bench.heard))
        bench.watch_clock.advance(11.0)
        running.until(lambda: len(bench.last_resort.sounded) == 2)  # the alarm is repeated
        plugged_in.set()
        running.hears("sound_back")
        bench.session.notifier.announce("loudest")
        running.hears("loudest")
    assert running.error is None
    assert np.any(returned.tape)


def test_a_sink_whose_write_stalls_is_replaced(tmp_path: Path, hang: Hang) -> None:
    class Stalling(TapeSink):
        def write(self, block: Samples) -> None:
            hang()
            super().write(block)

    camera, other = LiveCamera(), TapeSink()
    bench = live_bench(tmp_path, camera)
    change_speech(bench, sink=Stalling(), reopen_sink=lambda: other)
    with bench.start() as running, ended(camera):
        hang.begin()
        bench.watch_clock.advance(2.5)
        assert bench.last_resort.sounded == [bench.words.status("sound_lost")]
        running.hears("sound_back")
        hang.released.set()
    assert running.error is None
    assert np.any(other.tape)


def test_nothing_follows_the_last_words_of_a_sink_that_stalls_at_the_end(
    tmp_path: Path, hang: Hang
) -> None:
    class Stalling(TapeSink):
        def write(self, block: Samples) -> None:
            hang()
            super().write(block)

    camera = LiveCamera()
    bench = live_bench(tmp_path, camera)
    change_speech(bench, sink=Stalling(), reopen_sink=TapeSink)
    with bench.start() as running, ended(camera):
        running.until(lambda: any(h.utterance.kind == "alert" for h in bench.heard))
        hang.begin()
    assert running.error is None
    assert bench.last_resort.sounded == [bench.words.status("sound_lost")]
    assert bench.said[-1] == bench.words.status("stopped")
    assert bench.words.status("sound_back") not in bench.said


def test_while_a_router_raises_the_template_answers(tmp_path: Path) -> None:
    class Router:
        name = "broken"
        left = 2

        def decide(self, glance: Glance) -> Any:
            if self.left:
                self.left -= 1
                raise ValueError("a bug in a router")
            return router.decide(glance)

    camera = LiveCamera()
    bench = live_bench(tmp_path, camera, describer=ScriptedDescriber("A man is waiting."))
    router = bench.session.answerer.plan.router
    bench.session.answerer.plan.router = Router()
    bench.change_feed(trigger=Interval(0.5))
    with bench.start() as running, ended(camera):
        running.until(lambda: len(bench.descriptions) >= 3)
        running.until(lambda: any(h.utterance.kind == "alert" for h in bench.heard))
    assert running.error is None
    for description in bench.descriptions[:2]:
        assert [beat.tier for beat in description.beats] == ["quick"]
        assert "the router failed: ValueError: a bug in a router" in description.decision.reasons[0]
    assert bench.descriptions[2].decision.tier == "full"  # it was asked again
    assert [h.detail for h in bench.health if h.what == "router"] == [
        "the router failed: ValueError: a bug in a router"
    ]
    assert bench.words.status("answer_failed") not in bench.said


def test_an_answer_that_hangs_is_given_up_and_the_next_one_is_given(
    tmp_path: Path, hang: Hang
) -> None:
    camera = LiveCamera()
    bench = live_bench(tmp_path, camera)
    router = bench.session.answerer.plan.router

    class Router:
        name = "hanging"
        threshold = 0.5

        def decide(self, glance: Glance) -> Any:
            hang()
            return router.decide(glance)

    bench.session.answerer.plan.router = Router()
    bench.change_feed(trigger=Interval(1e6))
    hang.on.set()
    with bench.start() as running, ended(camera):
        assert hang.reached.wait(10.0)
        bench.watch_clock.advance(11.0)
        running.hears("answer_failed")
        hang.released.set()  # the old thread wakes; its answer is not heard
    answers = [h for h in bench.heard if h.utterance.kind == "answer"]
    assert all(h.dropped for h in answers)
    assert running.error is None


def test_a_disk_that_hangs_is_told_to_the_wearer_once(
    tmp_path: Path, hang: Hang, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.app.live.STUCK_S", 0.5)
    camera = LiveCamera()
    bench = live_bench(tmp_path, camera)
    hang.on.set()
    with bench.start() as running, ended(camera):
        bench.log.outlet.put(hang)
        running.hears("not_recorded")
        running.until(lambda: any(h.utterance.kind == "alert" for h in bench.heard))
        hang.released.set()
    assert bench.said.count(bench.words.status("not_recorded")) == 1


def test_a_describer_that_hangs_is_explained_once(tmp_path: Path) -> None:
    """First it is late, then still busy: for the wearer, that is one fault."""
    camera = LiveCamera()
    hanging = ScriptedDescriber(hangs=True)
    bench = live_bench(tmp_path, camera, describer=hanging, mode="full", deadline_s=0.2)
    bench.change_feed(trigger=Interval(1.0))
    with bench.start() as running, ended(camera):
        running.until(lambda: len(bench.descriptions) >= 3)
    reasons = {bench.words.status(key) for key in ("describer_failed", "describer_late")}
    assert len([text for text in bench.said if text in reasons]) == 1


def test_the_reason_is_heard_early_by_a_wearer_who_keeps_asking(tmp_path: Path) -> None:
    """The describer is down, and every question cuts the answer to the one before."""
    camera = LiveCamera()
    failing = ScriptedDescriber(error=DescriberFailed("out of memory"))
    bench = live_bench(tmp_path, camera, describer=failing)
    bench.change_feed(trigger=Interval(1.0))
    reason = bench.words.status("describer_failed")
    with bench.start() as running, ended(camera):
        running.until(lambda: reason in bench.said)
        running.until(lambda: len(bench.descriptions) >= 4)
    said = [h.utterance for h in bench.heard if h.started_s is not None]
    assert [u.text for u in said].count(reason) == 1
    asked = [u.answer for u in said[: [u.text for u in said].index(reason)] if u.answer]
    assert len(set(asked)) <= 1  # it comes after one sentence of the first answer


def test_a_wake_library_that_raises_is_loaded_anew(tmp_path: Path) -> None:
    camera = LiveCamera()
    bench = live_bench(tmp_path, camera)
    closed: list[str] = []

    class FakeEar:
        """An ear whose library has a bug."""

        hearing = Hearing(wakes=1)

        def __init__(self, name: str, broken: bool) -> None:
            self.name, self.broken = name, broken

        def run(self, stop: threading.Event, listener: object, beat: Callable[[], object]) -> None:
            while not stop.wait(0.01):
                beat()
                if self.broken:
                    raise ValueError("a bug in a wake library")

        def continue_from(self, other: "FakeEar") -> None:
            closed.append(f"after {other.name}")

        def close(self) -> None:
            closed.append(self.name)

    ear: Later[Any] = Later("the wake word")
    ear.put(FakeEar("first", broken=True))
    loose: Any = FakeEar("loose", broken=True)  # fails again at once: that is not told again
    other: Any = FakeEar("second", broken=False)
    attempts: list[int] = []

    def reopen() -> Any:
        attempts.append(1)
        if len(attempts) < 3:
            raise MissingPart("no microphone here")
        return loose if len(attempts) == 3 else other

    bench.session = replace(bench.session, ear=ear, reopen_ear=reopen)
    with bench.start() as running, ended(camera):
        running.hears("wake_failed")
        running.hears_in_time("wake_back", 30.0)
        running.until(lambda: any(h.utterance.kind == "alert" for h in bench.heard))
    assert running.error is None
    assert bench.said.count(bench.words.status("wake_failed")) == 1
    assert bench.said.count(bench.words.status("wake_back")) == 1
    assert closed == ["first", "after first", "loose", "after loose", "second"]
    assert bench.log.close()["hearing"]["wakes"] == 1


def test_quit_is_said_and_leaves_a_summary(tmp_path: Path) -> None:
    camera = LiveCamera()
    bench = live_bench(tmp_path, camera)
    with bench.start() as running:
        running.until(lambda: bench.heard)
        camera.end.set()
    assert bench.said[-1] == bench.words.status("stopped")
    assert running.error is None
    assert camera.closed_in == ["camera"]


def test_a_source_that_fails_to_close_does_not_hide_how_the_session_ended(tmp_path: Path) -> None:
    class Sticky(FakeCamera):
        def close(self) -> None:
            raise OSError("the device is busy")

    bench = LiveBench(tmp_path, camera=Sticky())
    bench.run()
    assert [h.detail for h in bench.health] == ["OSError: the device is busy"]
    batch = LiveBench(tmp_path / "batch", camera=Sticky(3, breaks=True), batch=True)
    with pytest.raises(SourceLost, match="pulled out"):
        batch.run_batch()


def test_boxes_that_are_not_finite_are_dropped_and_counted(tmp_path: Path) -> None:
    class Broken(FakeVision):
        def detect(self, frame: Frame) -> tuple[Detection, ...]:
            (person,) = super().detect(frame)
            boxes = [
                Box(math.nan, 10, 36, 40),
                Box(28, 10, math.inf, 40),
                Box(28, 10, 36, math.nan),
            ]
            return (*(replace(person, box=box) for box in boxes), replace(person, score=math.nan))

    bench = LiveBench(tmp_path, camera=FakeCamera(9), vision=Broken(), batch=True)
    bench.run_batch()
    assert not [h for h in bench.heard if h.utterance.kind == "alert"]
    assert [h.detail for h in bench.health] == ["4 boxes so far were not finite"]


@pytest.mark.parametrize("jump_s", [-100.0, 100.0, math.nan, math.inf])
def test_times_that_jump_still_increase(tmp_path: Path, jump_s: float) -> None:
    times: list[float] = []

    class Jumping(LiveCamera):
        def read(self) -> Frame | None:
            frame = super().read()
            if frame is not None and frame.seq == 5:
                return replace(frame, time_s=frame.time_s + jump_s)
            return frame

    camera = Jumping()
    bench = live_bench(tmp_path, camera, vision=HookedVision(lambda f: times.append(f.time_s)))
    with bench.start() as running, ended(camera):
        running.until(lambda: len(times) > 12 or any(h.utterance.text for h in bench.heard))
    assert all(later > earlier for earlier, later in itertools.pairwise(times))


def test_a_stopped_process_is_no_reason_to_restart_anything(tmp_path: Path) -> None:
    camera = LiveCamera()
    bench = live_bench(tmp_path, camera)
    with bench.start() as running, ended(camera):
        running.until(lambda: bench.heard)
        bench.watch_clock.advance(3600.0, step_s=3600.0)
        bench.watch_clock.advance(1.0)
    assert not [h for h in bench.health if "sign of life" in h.detail]
