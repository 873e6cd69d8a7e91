"""The choice of the detector's image size and threads, by an injected measurement."""

import json
import logging
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from models.detector import known_sizes, sizes_to_try
from models.fit import FILE, Fit, beside, choose, fit, rate, thread_counts

SIZES, THREADS = (416, 320), (1, 2)


class Machine:
    """Bears `fps[size, threads]`, and keeps what was measured."""

    def __init__(self, fps: dict[tuple[int, int], float]) -> None:
        self.fps = fps
        self.measured: list[tuple[int, int]] = []
        self.others_s = 0.0
        self.disturbance_s = 0.0
        self.idle = True
        self.now = count().__next__  # a second between any two looks at the clock

    def measure(self, size: int, threads: int) -> float:
        self.measured.append((size, threads))
        self.others_s += self.disturbance_s
        return self.fps[size, threads]

    def fit(self, folder: Path, key: str = "here") -> Fit:
        return fit(
            SIZES, THREADS, self.measure, key, folder,
            others_s=lambda: self.others_s, idle=lambda: self.idle, clock=self.now,
        )  # fmt: skip


def machine(*fps: float) -> Machine:
    """fps: at 416 px on one and two threads, then at 320 px."""
    keys = [(size, threads) for size in SIZES for threads in THREADS]
    return Machine(dict(zip(keys, fps, strict=True)))


@pytest.mark.parametrize(
    ("fps", "size", "threads"),
    [
        ((30.0, 31.0, 60.0, 61.0), 416, 1),  # the second thread is not worth its core
        ((30.0, 45.0, 60.0, 90.0), 416, 2),
        ((14.0, 19.0, 25.0, 30.0), 416, 2),  # only two threads are fast enough
        ((14.0, 14.9, 25.0, 26.0), 320, 1),
        ((5.0, 6.0, 8.0, 13.0), 320, 2),  # nothing is fast enough
    ],
)
def test_the_largest_size_that_is_fast_enough_is_chosen(
    fps: tuple[float, ...], size: int, threads: int
) -> None:
    found = machine(*fps)
    assert choose(SIZES, THREADS, found.measure) == Fit(size, threads, found.fps[size, threads])


def test_a_fast_machine_is_not_measured_at_smaller_sizes() -> None:
    fast = machine(30.0, 45.0, 60.0, 90.0)
    choose(SIZES, THREADS, fast.measure)
    assert fast.measured == [(416, 1), (416, 2)]


def test_a_machine_is_measured_once(tmp_path: Path) -> None:
    slow = machine(10.0, 11.0, 20.0, 21.0)
    first, second = slow.fit(tmp_path / "new"), slow.fit(tmp_path / "new")
    assert first == second == Fit(320, 1, 20.0)
    assert len(slow.measured) == 4


def test_another_processor_or_network_is_measured_and_both_are_kept(tmp_path: Path) -> None:
    one, other = machine(10.0, 11.0, 20.0, 21.0), machine(30.0, 31.0, 60.0, 61.0)
    assert one.fit(tmp_path, "one") != other.fit(tmp_path, "other")
    assert one.fit(tmp_path, "one") == Fit(320, 1, 20.0)
    assert len(one.measured) == 4


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"here": 7}',
        '{"here": {"image_size": 416}}',
        '{"here": {"image_size": 999, "threads": 1, "fps": 30.0}}',
        '{"here": {"image_size": 416, "threads": 64, "fps": 30.0}}',
        '{"here": {"image_size": 416, "threads": 1, "fps": "fast"}}',
        '{"here": {"image_size": 416, "threads": 1, "fps": NaN}}',
        '{"here": {"image_size": 416, "threads": 1, "fps": 30.0, "more": 1}}',
        "\udcff\udcfe",
    ],
)
def test_a_damaged_file_costs_a_measurement(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_bytes(content.encode("utf-8", "surrogateescape"))
    slow = machine(10.0, 11.0, 20.0, 21.0)
    assert slow.fit(tmp_path) == Fit(320, 1, 20.0)
    assert slow.fit(tmp_path) == Fit(320, 1, 20.0)
    assert len(slow.measured) == 4
    assert json.loads((tmp_path / FILE).read_text())["here"]["image_size"] == 320


def test_a_folder_that_cannot_be_written_costs_a_measurement_and_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    slow = machine(10.0, 11.0, 20.0, 21.0)
    with caplog.at_level(logging.WARNING):
        assert slow.fit(tmp_path / "cache") == slow.fit(tmp_path / "cache") == Fit(320, 1, 20.0)
    assert len(slow.measured) == 8
    assert "the next start measures again" in caplog.text


def test_what_was_measured_beside_busy_programs_is_used_until_they_are_idle(
    tmp_path: Path,
) -> None:
    busy = machine(10.0, 11.0, 20.0, 21.0)
    busy.disturbance_s, busy.idle = 1.0, False
    assert busy.fit(tmp_path) == busy.fit(tmp_path) == Fit(320, 1, 20.0, disturbed=True)
    assert len(busy.measured) == 4
    busy.disturbance_s, busy.idle, busy.fps = 0.0, True, dict.fromkeys(busy.fps, 30.0)
    assert busy.fit(tmp_path) == busy.fit(tmp_path) == Fit(416, 1, 30.0)
    assert len(busy.measured) == 6


def test_the_rate_includes_the_rest_of_a_frame_and_ignores_single_slow_pictures() -> None:
    now_s, pictures = 0.0, 0

    def find(image: Any) -> None:
        nonlocal now_s, pictures
        pictures += 1
        now_s += 5.0 if pictures == 2 else 0.042

    assert rate(find, lambda: now_s) == pytest.approx(1 / 0.050)
    assert pictures == 5


def test_the_load_runs_meanwhile_and_ends() -> None:
    calls: list[int] = []
    with beside(lambda image: calls.append(1)):
        while len(calls) < 3:
            pass
    ended = len(calls)
    assert ended == len(calls)


@pytest.mark.parametrize(
    ("cores", "counts"), [(1, (1,)), (2, (1, 2)), (4, (1, 2)), (16, (1, 2, 8))]
)
def test_one_thread_is_always_tried(cores: int, counts: tuple[int, ...]) -> None:
    assert thread_counts(cores) == counts


@pytest.mark.parametrize(
    ("settings", "known", "tried"),
    [
        ({"image_size": 416, "confidence_at": {"320": {}, "640": {}}}, {320, 416, 640}, {320, 416}),
        ({"image_size": 640}, {640}, {320, 416, 640}),  # accuracy of the others is not known
        ({"image_size": 64}, {64}, {64}),
    ],
)
def test_no_size_above_the_packs_own_is_tried(
    settings: dict[str, Any], known: set[int], tried: set[int]
) -> None:
    assert set(known_sizes(settings)) == known
    assert set(sizes_to_try(settings)) == tried
