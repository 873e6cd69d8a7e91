"""When triggers request a description."""

import pytest

from engine.core.triggers import Every, Interval, Once, OnDemand, Trigger


@pytest.mark.parametrize(
    ("trigger", "times_s", "fires_at"),
    [
        (Once(0.0), [0, 1, 2], [0]),
        (Once(1.5), [0, 1, 2, 3], [2]),
        (Interval(2.0), [0, 1, 2, 3, 4.5], [0, 2, 4.5]),
        (Interval(1.0), [0, 5.2, 5.9, 6.0], [0, 5.2, 6.0]),  # missed ones are skipped
        (Every(), [0, 1], [0, 1]),
        (OnDemand("wake"), [0, 1], []),
    ],
)
def test_a_trigger_fires_at_its_times(
    trigger: Trigger, times_s: list[float], fires_at: list[float]
) -> None:
    assert [time_s for time_s in times_s if trigger.due(time_s)] == fires_at
