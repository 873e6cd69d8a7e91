"""The synthetic camera, scene and probes of the latency experiments. No real time passes here."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from engine.core.camera import Frame, Intrinsics
from engine.core.clock import VirtualClock
from engine.core.glance import Detection
from engine.core.report import ModelCard
from engine.core.sound import Samples
from engine.core.utterance import Heard, Utterance
from engine.language.wording import Words
from engine.perception.localize import Localizer
from engine.recording.session_log import SessionLog
from experiments.latency.obstacle_stage import (
    JITTER_S,
    PERSON_M,
    AlertMoments,
    ProbeAlertPolicy,
    ProbeSink,
    Scene,
    StagedDetector,
    SyntheticCamera,
    timing,
    timings,
)

FPS = 15.0
CAMERA = Intrinsics(457.0, 457.0, 240.0, 320.0, 480, 640)
IMAGES = [np.full((640, 480, 3), shade, np.uint8) for shade in (0, 1, 2)]
MOMENTS = AlertMoments(7, 0, captured_s=10.0, begun_s=10.002, detected_s=10.02, located_s=10.021)


class SlowDetector:
    """Takes 20 ms and finds a bus, which must not be announced."""

    card = ModelCard("fake", "test", "cpu", "none", "none")
    labels: tuple[str, ...] = ("bus",)

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock

    def expect(self, frame: Frame) -> None: ...

    def detect(self, frame: Frame) -> tuple[Detection, ...]:
        self._clock.sleep(0.02)
        return (Detection("bus", 0.9, Scene.at(FPS, CAMERA).person.box, 5),)

    def reset(self) -> None: ...


class MemorySink:
    name = "tape"
    paced = False

    def __init__(self) -> None:
        self.blocks: list[Samples] = []

    def write(self, block: Samples) -> None:
        self.blocks.append(block)

    def close(self) -> None: ...


def frame(seq: int) -> Frame:
    return Frame(IMAGES[0], seq / FPS, seq, CAMERA)


def test_the_camera_stamps_the_due_time_of_a_frame_and_not_the_read_time() -> None:
    clock = VirtualClock(100.0)
    camera = SyntheticCamera(IMAGES, CAMERA, FPS, 10, clock)
    stamps = []
    while (taken := camera.read()) is not None:
        assert clock.now() >= taken.time_s  # never early
        assert taken.intrinsics == CAMERA
        stamps.append(taken.time_s)
        if taken.seq == 4:
            clock.sleep(0.5)  # a thread that reads late
    assert len(stamps) == 10
    for seq, time_s in enumerate(stamps):
        assert 0.0 <= time_s - (100.0 + seq / FPS) <= JITTER_S
    assert all(later > earlier for earlier, later in itertools.pairwise(stamps))


def test_the_person_of_a_scene_is_straight_ahead_at_the_stated_distance() -> None:
    scene = Scene.at(FPS, CAMERA)
    (person,) = Localizer().localize(frame(0), (scene.person,))
    assert person.side == "ahead"
    assert person.bearing_deg == pytest.approx(0.0)
    assert person.distance_m == pytest.approx(PERSON_M, rel=0.05)
    shown = [bool(scene.seen(seq)) for seq in range(2 * scene.frames)]
    assert shown == 2 * ([False] * scene.quiet + [True] * scene.shown)


@pytest.mark.parametrize("first_seen", [0, 3])
def test_every_scene_is_announced_once_and_its_moments_are_recorded(first_seen: int) -> None:
    """Even if the first frames of each scene were dropped."""
    clock, cleared = VirtualClock(), []
    scene = Scene.at(FPS, CAMERA)
    numbers = itertools.count(1)
    alerts = ProbeAlertPolicy(Words("en", "meters", "sides"), 190, numbers.__next__)
    localizer = Localizer()

    def clear() -> None:
        cleared.append(clock.now())
        alerts.reset()
        localizer.reset()

    staged = StagedDetector(SlowDetector(clock), scene, clock, clear)
    alerts.watch(staged, clock)
    for seq in range(3 * scene.frames):
        if seq % scene.frames < first_seen:
            continue
        clock.move_to(seq / FPS)
        obstacles = localizer.localize(frame(seq), staged.detect(frame(seq)))
        clock.sleep(0.001)
        alerts.warn(obstacles, clock.now())
    assert len(cleared) == 3
    assert [moments.scene for moments in alerts.moments] == [0, 1, 2]
    for place, moments in enumerate(alerts.moments):
        captured_s = (place * scene.frames + scene.quiet) / FPS
        assert moments.captured_s == pytest.approx(captured_s)
        assert moments.begun_s == pytest.approx(captured_s)
        assert moments.detected_s == pytest.approx(captured_s + 0.02)
        assert moments.located_s == pytest.approx(captured_s + 0.021)


def test_the_total_latency_is_the_sum_of_its_steps() -> None:
    found = timing(MOMENTS, started_s=10.03, sunk_s=10.0305)
    assert found.wait_ms == pytest.approx(2.0)
    assert found.detect_ms == pytest.approx(18.0)
    assert found.locate_ms == pytest.approx(1.0)
    assert found.queue_ms == pytest.approx(9.0)
    assert found.sink_ms == pytest.approx(0.5)
    assert found.total_ms == pytest.approx(1000 * (10.0305 - MOMENTS.captured_s))


def test_an_alert_is_timed_by_the_block_that_starts_it(tmp_path: Path) -> None:
    """From the real log: one alert heard, one dropped, one never logged."""
    clock = VirtualClock(50.0)
    trace = SessionLog(tmp_path, clock, clock)
    said = Utterance(7, "alert", "Person ahead", 40.0, 50.0)
    trace.heard(Heard(said, 50.1, 50.9))
    trace.heard(Heard(Utterance(8, "alert", "Car left", 40.0, 50.0), None, None, "stale"))
    trace.close()
    stamps = {"captured_s": 50.0, "begun_s": 50.01, "detected_s": 50.03, "located_s": 50.04}
    moments = [AlertMoments(number, 0, **stamps) for number in (7, 8, 9)]
    loud_s = [49.0, 50.08, 50.1005, 50.12]
    found, unheard = timings(tmp_path / "session.jsonl", 50.0, moments, loud_s)
    assert unheard == 2
    assert [t.total_ms for t in found] == [pytest.approx(100.5)]
    assert found[0].sink_ms == pytest.approx(0.5)
    assert timings(tmp_path / "session.jsonl", 50.0, moments, [49.0]) == ([], 3)


def test_the_probe_records_sound_and_passes_everything_on() -> None:
    clock, tape = VirtualClock(), MemorySink()
    probe = ProbeSink(tape, clock)
    for place, level in enumerate((0.0, 0.2, 0.0)):
        clock.move_to(place * 0.02)
        probe.write(np.full((4, 2), level, np.float32))
    assert probe.loud_s == [pytest.approx(0.02)]
    assert len(tape.blocks) == 3
    assert (probe.name, probe.paced) == ("tape", False)
