"""The priority scale: its order, and the range of alerts."""

import itertools
import json

import pytest

from engine.core.priority import Priority, alert_priority


def test_the_scale_is_listed_in_order_and_logged_as_numbers() -> None:
    assert all(lower < higher for lower, higher in itertools.pairwise(Priority))
    assert json.dumps(Priority.STATUS) == "10.0"


@pytest.mark.parametrize("critical", [False, True])
def test_alerts_stay_within_their_range(critical: bool) -> None:
    least, half, most, beyond = (alert_priority(u, critical) for u in (0.0, 0.5, 1.0, 7.0))
    assert least < half < most == beyond
    assert (least >= Priority.CRITICAL) is critical
    assert (most >= Priority.CRITICAL) is critical
