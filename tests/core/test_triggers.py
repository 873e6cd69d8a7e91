"""Unit: when a description is asked for without a hand."""

import pytest

from engine.core.triggers import Every, Interval, Once, OnDemand, Trigger


@pytest.mark.parametrize(
    ("trigger", "times_s", "fires_at"),
    [
        (Once(0.0), [0, 1, 2], [0]),
        (Once(1.5), [0, 1, 2, 3], [2]),
        (Interval(2.0), [0, 1, 2, 3, 4.5], [0, 2, 4.5]),
        (Interval(1.0), [0, 5.2, 5.9, 6.0], [0, 5.2, 6.0]),  # a late tick is not made up for
        (Every(), [0, 1], [0, 1]),
        (OnDemand("wake"), [0, 1], []),
    ],
)
def test_fires(trigger: Trigger, times_s: list[float], fires_at: list[float]) -> None:
    assert [time_s for time_s in times_s if trigger.due(time_s)] == fires_at
