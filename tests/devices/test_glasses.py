"""Live glasses over a scripted link: lost, reconnected, low battery, hot."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.camera import Frame
from engine.core.errors import InputError, SourceLost, SourceNotice
from engine.devices.aria.live import (
    ATTEMPTS,
    LOST_S,
    RETRY_S,
    STATUS_S,
    DeviceStatus,
    LiveGlasses,
)
from engine.devices.aria.receiver import Receiver
from engine.devices.aria.streams import TimeMap
from tests.fakes import aria as made
from tests.fakes.glasses import Clock, Link, live

AHEAD = (0.0, 0.0, 1.0)
DEVICE_S = 5000.0  # the glasses' clock when the host's is at zero


def give(link: Link, clock: Clock, number: int) -> None:
    raw = made.picture(link.calibration, "camera-rgb", AHEAD)
    link.receiver.picture("camera-rgb", raw, round((DEVICE_S + clock.now_s) * 1e9), number)


def says(source: LiveGlasses) -> str | None:
    with pytest.raises(SourceNotice) as caught:
        source.read()
    return caught.value.status


def test_a_lost_link_is_announced_and_reconnected_with_a_new_clock_mapping() -> None:
    clock, link = Clock(), Link()
    source = live(link, clock)
    give(link, clock, 1)
    assert source.read() is not None
    link.receiver.failed("ConnectionLost: gone")
    link.fails = 2
    assert says(source) == "glasses_lost"
    assert says(source) == "glasses_back"
    assert clock.waits == list(RETRY_S[:3])
    # the glasses have restarted, and so has their clock
    raw = made.picture(link.calibration, "camera-rgb", AHEAD)
    clock.now_s += 0.5
    link.receiver.picture("camera-rgb", raw, round(0.2 * 1e9), 1)
    frame = source.read()
    assert isinstance(frame, Frame)
    assert frame.time_s == pytest.approx(clock.now_s)
    assert frame.seq == 1
    source.close()
    assert source.read() is None


def test_a_link_that_stays_lost_ends_the_source_and_names_the_doctor() -> None:
    clock, link = Clock(), Link()
    source = live(link, clock)
    link.receiver.failed("TimedOut: nothing")
    link.fails = 99
    assert says(source) == "glasses_lost"
    with pytest.raises(SourceLost, match=r"engine.doctor aria") as caught:
        source.read()
    assert "nobody answers" in str(caught.value)
    assert len(clock.waits) == ATTEMPTS


def test_frames_that_stop_without_an_error_are_a_lost_link() -> None:
    clock, link = Clock(), Link()
    source = live(link, clock)
    give(link, clock, 1)
    assert source.read() is not None
    clock.now_s += LOST_S
    assert says(source) == "glasses_lost"


def test_glasses_that_cannot_be_reached_are_refused_before_models_load() -> None:
    link = Link(fails=1)
    with pytest.raises(InputError, match="nobody answers"):
        live(link, Clock())
    assert link.closed == 1


def test_a_low_battery_and_heat_are_announced_once_each() -> None:
    clock, link = Clock(), Link()
    source = live(link, clock)
    announced: list[str] = []

    def later(found: DeviceStatus | None) -> None:
        link.found = found
        clock.now_s += STATUS_S
        give(link, clock, len(announced))
        assert isinstance(source.read(), Frame)
        give(link, clock, len(announced))
        try:
            source.read()
        except SourceNotice as notice:
            announced.append(notice.status or "")

    for found in (
        DeviceStatus(16, False, 35.0),
        DeviceStatus(15, False, 36.0),  # low
        DeviceStatus(14, False, 43.5),  # hot
        DeviceStatus(13, False, 41.0),  # neither is new
        None,  # they do not say
        DeviceStatus(12, True, 39.0),  # charging, and cool again
        DeviceStatus(30, False, 38.0, throttled=True),  # hot
        DeviceStatus(14, False, 38.0),  # low
    ):
        later(found)
    assert announced == ["glasses_low", "glasses_hot", "glasses_hot", "glasses_low"]


def test_a_battery_that_is_low_at_the_start_is_announced_first() -> None:
    link = Link()
    link.found = DeviceStatus(9, False, 30.0)
    assert says(live(link, Clock())) == "glasses_low"


def test_every_frame_from_another_thread_is_read_or_counted_as_dropped() -> None:
    """A thread delivers frames, as in an SDK, while the engine reads the newest."""
    receiver = Receiver(lambda: 100.0)
    pixels = np.zeros((8, 8, 3), np.uint8)
    count = 300

    def stream() -> None:
        for number in range(count):
            receiver.picture("camera-rgb", pixels, number, number)
        receiver.failed("the end")

    thread = threading.Thread(target=stream)
    thread.start()
    taken = []
    while receiver.failure is None:
        picture = receiver.take("camera-rgb", 1.0)
        if picture is not None:
            taken.append(picture.device_s)
    thread.join()
    if (last := receiver.take("camera-rgb")) is not None:
        taken.append(last.device_s)
    (tally,) = receiver.counts()
    assert tally.received == count
    assert len(taken) + tally.dropped == count
    assert taken == sorted(taken)


@given(st.lists(st.floats(0.0, 0.2), min_size=1, max_size=60), st.floats(-1e4, 1e4))
@settings(deadline=None, max_examples=50)
def test_mapped_times_are_late_by_the_least_delay_and_never_early(
    delays_s: list[float], apart_s: float
) -> None:
    """`apart_s` is the difference between the two clocks."""
    clocks = TimeMap()
    captured_s = 50.0
    for delay_s in delays_s:
        captured_s += 0.05
        told_s = clocks.arrived(captured_s - apart_s, captured_s + delay_s)
        assert told_s >= captured_s - 1e-6
        assert told_s <= captured_s + delay_s + 1e-6
    # later records do not change the mapping, even with less delay
    late_s = [clocks.arrived(t - apart_s, t) - t for t in (captured_s + 60.0, captured_s + 61.0)]
    assert late_s[0] == pytest.approx(late_s[1], abs=1e-6)
    assert late_s[0] == pytest.approx(told_s - captured_s, abs=1e-6)
