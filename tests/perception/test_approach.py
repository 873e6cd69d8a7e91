"""Time to collision combined with a prior of the closing speed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.perception.approach import Approach, with_speed_prior
from engine.perception.classes import kind_of


def test_a_distant_chair_does_not_approach_at_10_m_s() -> None:
    """Growth by edge noise: no chair is that fast, but a bicycle may be."""
    measured = Approach(1.5, 0.6)
    chair = with_speed_prior(measured, 15.0, 0.2, kind_of("chair"))
    bicycle = with_speed_prior(measured, 15.0, 0.2, kind_of("bicycle"))
    assert bicycle is not None
    assert bicycle.ttc_s < 3.0
    assert chair is None or chair.ttc_s > 2 * bicycle.ttc_s
    near = with_speed_prior(Approach(1.5, 0.2), 2.0, 0.2, kind_of("chair"))
    assert near is not None
    assert near.ttc_s == pytest.approx(1.5, rel=0.1)  # at walking pace the measurement is kept


@given(st.floats(0.5, 29.0), st.floats(0.05, 20.0), st.floats(0.5, 15.0))
@settings(deadline=None, max_examples=100)
def test_no_time_to_collision_is_shorter_for_a_standing_wearer(
    ttc_s: float, sigma_s: float, distance_m: float
) -> None:
    """The less certain the measurement, the more the prior counts."""
    seen = Approach(ttc_s, sigma_s)
    walking, standing = (
        with_speed_prior(seen, distance_m, 0.2, kind_of("chair"), walks) for walks in (True, False)
    )
    assert (
        standing is None or walking is None or standing.ttc_s >= 0.999 * min(ttc_s, walking.ttc_s)
    )


def test_a_chair_that_hardly_grows_approaches_only_a_walking_wearer() -> None:
    unsure = Approach(6.0, 12.0)
    assert with_speed_prior(unsure, 3.0, 0.2, kind_of("chair"), True) is not None
    assert with_speed_prior(unsure, 3.0, 0.2, kind_of("chair"), False) is None
