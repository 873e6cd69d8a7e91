"""Times of frames: true where the stamps are good, bounded and increasing where they are not."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.devices.video.frame_times import LONGEST_GAP_S, SHOWN_GAP_S, FrameTimes

F = 1 / 30


def placed(stamps: list[float | None], fps: float = 30.0) -> tuple[list[float], list[str | None]]:
    times = FrameTimes(fps)
    found = [
        times.place(stamp, stamps[index + 1] if index + 1 < len(stamps) else None)
        for index, stamp in enumerate(stamps)
    ]
    return [time_s for time_s, _ in found], [anomaly for _, anomaly in found]


def frames(*numbers: float | None) -> list[float | None]:
    return [None if number is None else number * F for number in numbers]


@pytest.mark.parametrize("start_s", [0.0, -5.0, 1e6])
def test_good_stamps_are_kept(start_s: float) -> None:
    stamps = [0.0, 0.04, 0.2, 0.25, 0.9, 2.8]
    times, anomalies = placed([start_s + stamp for stamp in stamps])
    assert times == pytest.approx(stamps, abs=1e-6)
    assert set(anomalies) == {None}


@pytest.mark.parametrize(
    ("stamps", "good"),  # and the frames whose times must be their stamps
    [
        ((0, 1, 1, 3, 4, 5), (0, 1, 3, 4, 5)),  # one is repeated
        ((0, 1, 1, 2, 3, 4), (0, 1, 3, 4, 5)),
        ((0, 1, 1, 1, 2, 3), (0, 1, 4, 5)),
        ((0, 1, 3, 2, 4, 5), (0, 1, 2, 4, 5)),  # two are swapped
        ((0, 1, 2, 1e5, 4, 5), (0, 1, 2, 4, 5)),  # one is far ahead
        ((0, 1, 2, -1e5, 4, 5), (0, 1, 2, 4, 5)),  # or far back
        ((0, 1, None, 3, 4, 5), (0, 1, 3, 4, 5)),
        ((0, 1, None, None, 4, 5), (0, 1, 4, 5)),
    ],
)
def test_true_times_are_used_again_after_a_wrong_stamp(
    stamps: tuple[float | None, ...], good: tuple[int, ...]
) -> None:
    times, anomalies = placed(frames(*stamps))
    for index in good:
        stamp = stamps[index]
        assert stamp is not None
        assert times[index] == pytest.approx(stamp * F)
    assert times == sorted(set(times))
    assert anomalies.count("gap") == anomalies.count("back") == 0


@pytest.mark.parametrize("jump_s", [3600.0, 1e9, LONGEST_GAP_S + 0.1])
def test_a_gap_is_bounded_and_intervals_after_it_are_true(jump_s: float) -> None:
    after = [jump_s, jump_s + 0.1, jump_s + 0.15, jump_s + 0.3]
    times, anomalies = placed([0.0, 0.1, *(0.1 + stamp for stamp in after)])
    assert anomalies == [None, None, "gap", None, None, None]
    assert times[2] - times[1] == pytest.approx(SHOWN_GAP_S)
    assert [time_s - times[2] for time_s in times[2:]] == pytest.approx(
        [0, 0.1, 0.15, 0.3], abs=1e-6
    )


@pytest.mark.parametrize("back_s", [1.0, 26.5 * 3600])
def test_a_clock_set_back_goes_on_with_true_intervals(back_s: float) -> None:
    stamps: list[float | None] = [index * F for index in range(60)]
    stamps += [stamps[59] - back_s + interval for interval in (0.0, 0.04, 0.1, 0.2)]  # type: ignore[operator]
    times, anomalies = placed(stamps)
    assert anomalies.count("back") == 1
    assert [time_s - times[60] for time_s in times[60:]] == pytest.approx([0, 0.04, 0.1, 0.2])


@pytest.mark.parametrize("stamp", [None, 0.0, 7.0])
def test_without_usable_stamps_the_nominal_rate_is_used(stamp: float | None) -> None:
    times, _ = placed([stamp] * 40)
    steps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert steps[8:] == pytest.approx([F] * len(steps[8:]))


def test_a_slow_recording_has_no_gaps() -> None:
    times, anomalies = placed([5.0 * index for index in range(4)], fps=0.2)
    assert times == [0.0, 5.0, 10.0, 15.0]
    assert set(anomalies) == {None}


stamp_s = st.one_of(
    st.none(),
    st.floats(-1e7, 1e7, allow_nan=False),
    st.integers(0, 60).map(lambda number: number * F),
)


@given(st.lists(stamp_s, min_size=1, max_size=80))
def test_times_increase_by_bounded_steps_whatever_the_stamps(stamps: list[float | None]) -> None:
    times, _ = placed(stamps)
    assert times[0] == 0.0
    for earlier, later in itertools.pairwise(times):
        assert 0 < later - earlier <= LONGEST_GAP_S + 1e-6
        assert math.isfinite(later)


@given(
    st.lists(st.floats(0.005, 1.9), min_size=10, max_size=40),
    st.lists(stamp_s, max_size=6),
    st.floats(-1e6, 1e6),
)
def test_after_any_disorder_intervals_are_true_again(
    steps: list[float], junk: list[float | None], start_s: float
) -> None:
    good = [start_s + sum(steps[:index]) for index in range(len(steps))]
    times, anomalies = placed([*junk, *good])
    tail = len(junk) + 3
    for index in range(tail, len(times)):
        step = good[index - len(junk)] - good[index - len(junk) - 1]
        assert times[index] - times[index - 1] == pytest.approx(step, abs=1e-4)
        assert anomalies[index] is None
