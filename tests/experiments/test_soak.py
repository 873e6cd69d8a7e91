"""The soak's arithmetic: a leak, a slowdown and a lost thread are seen; a settling start is not."""

import pytest

from experiments.soak import Laps, Probe, Window, figures


def windows(count: int = 50) -> list[Window]:
    return [Window(600.0, 30.0, 40.0, 24, 13) for _ in range(count)]


def test_a_steady_walk_changes_nothing() -> None:
    found = figures(windows())
    assert found["memory_percent"] == found["detect_percent"] == found["cpu_percent"] == 0.0
    assert (found["threads"], found["files"]) == ([24, 24], [13, 13])


def test_what_settles_in_the_first_fifth_is_not_counted() -> None:
    start = [Window(300.0 + 20 * n, 90.0, 90.0, 30, 20) for n in range(10)]
    assert figures(start + windows(40)) == figures(windows())


def test_a_leak_a_slowdown_and_a_thread_are_seen() -> None:
    walk = [Window(600.0 * (1 + n / 1000), 30.0 * (1 + n / 400), 40.0, 24 + n // 45, 13 + n)
            for n in range(50)]  # fmt: skip
    found = figures(walk)
    assert found["memory_percent"] == pytest.approx(3.0, abs=0.2)
    assert found["detect_percent"] == pytest.approx(7.2, abs=0.5)
    assert found["threads"] == [24, 25]
    assert found["files"] == [23, 62]


def test_the_probe_closes_a_window_after_its_frames() -> None:
    probe = Probe(3)
    for took_ms in (5.0, 1.0, 9.0, 4.0):
        probe.add(took_ms)
    (window,) = probe.windows
    assert window.detect_ms == 5.0
    assert window.memory_mb > 10
    assert window.threads >= 1


def test_laps_go_round_in_even_steps_of_time() -> None:
    laps = Laps(3.0, 40, None)
    frames = list(iter(laps.read, None))
    assert len(frames) == len(laps) == 40
    assert [frame.seq for frame in frames] == list(range(40))
    assert frames[39].time_s == pytest.approx(13.0)
    assert frames[0].image is frames[18].image
