"""Head turns: what moves only because of the turn is not announced; real movement still is."""

import math
from collections.abc import Callable
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.alerts.policy import HEAD_TURN_DEG_S, SETTLE_S
from engine.core.camera import Pose
from engine.core.glance import Obstacle, Side
from engine.core.utterance import Utterance
from tests.fakes.alerts import make_policy
from tests.fakes.glances import make_obstacle

FPS = 15

Heading = Callable[[float], float]
Place = Callable[[float], tuple[float, float]]  # (m right, m ahead) of the wearer, at heading 0


def obstacle_at(place: tuple[float, float], heading_deg: float, ttc_s: float | None) -> Obstacle:
    """A person at that place, seen by a head with this heading."""
    distance_m = math.hypot(*place)
    bearing_deg = math.degrees(math.atan2(*place)) - heading_deg
    side: Side = "ahead" if abs(bearing_deg) <= 12 else "left" if bearing_deg < 0 else "right"
    half_deg = math.degrees(0.25 / distance_m)
    return replace(
        make_obstacle("person", distance_m, side, bearing_deg),
        ttc_s=ttc_s,
        edges_deg=(bearing_deg - half_deg, bearing_deg + half_deg),
    )


def play(
    heading: Heading, place: Place, until_s: float, ttc_s: float | None = None, imu: bool = True
) -> list[tuple[float, Utterance]]:
    """All alerts with their times. Without an `imu` the policy gets no pose."""
    policy = make_policy()
    alerts = []
    for index in range(int(until_s * FPS)):
        now_s = index / FPS
        turning = (heading(now_s + 0.01) - heading(now_s - 0.01)) / 0.02
        pose = Pose(0.0, 1.0, heading(now_s), turning, False) if imu else None
        obstacle = obstacle_at(place(now_s), heading(now_s), ttc_s)
        alerts += [(now_s, u) for u in policy.warn((obstacle,), now_s, True, pose)]
    return alerts


def glance_aside(s: float) -> float:
    """After one second: 60 degrees to the right within 0.6 s, and straight back."""
    return max(0.0, 60.0 - 100.0 * abs(s - 1.6))


def test_looking_aside_does_not_make_a_person_cross_the_corridor() -> None:
    """A person stands at 3 m and 35 degrees. The turn moves them across the corridor and back;
    without an inertial sensor this looks like a person walking past."""
    stands = (3.0 * math.sin(math.radians(35)), 3.0 * math.cos(math.radians(35)))
    assert play(glance_aside, lambda _: stands, 4.0) == []
    assert play(glance_aside, lambda _: stands, 4.0, imu=False) != []


@given(st.floats(20, 70), st.floats(1.6, 3.9), st.sampled_from([-1.0, 1.0]))
@settings(deadline=None, max_examples=30)
def test_no_turn_brings_a_standing_obstacle_into_the_corridor(
    bearing_deg: float, distance_m: float, sign: float
) -> None:
    place = (
        sign * distance_m * math.sin(math.radians(bearing_deg)),
        distance_m * math.cos(math.radians(bearing_deg)),
    )
    outside_corridor = abs(place[0]) - 0.3 > 0.8

    def turn(s: float) -> float:
        return sign * 80.0 * math.sin(2 * math.pi * 0.5 * min(s, 2.0))

    alerts = play(turn, lambda _: place, 2.0)
    assert not outside_corridor or not [u for s, u in alerts if abs(turn(s)) > 5.0 and s < 1.9]


def test_an_obstacle_ahead_after_a_turn_is_announced_when_the_head_rests() -> None:
    """The wearer turns to a person and keeps facing them."""

    def turn(s: float) -> float:
        return 40.0 * min(1.0, max(0.0, (s - 1.0) / 0.5))

    place = (3.0 * math.sin(math.radians(40)), 3.0 * math.cos(math.radians(40)))
    alerts = play(turn, lambda _: place, 4.0)
    assert [u.text for _, u in alerts] == ["person is ahead, 3 meters off"]
    assert alerts[0][0] >= 1.5 + SETTLE_S - 0.1


def test_an_approaching_obstacle_is_announced_during_a_turn() -> None:
    """A turn never holds back an approaching obstacle."""
    alerts = play(lambda s: 60.0 * s - 30.0, lambda s: (0.0, 2.5), 1.0, ttc_s=1.2)
    assert alerts
    assert alerts[0][1].earcon == "urgent"
    assert HEAD_TURN_DEG_S < 60.0


def test_a_person_who_really_crosses_is_announced_with_a_pose_too() -> None:
    """From left to right across the corridor while the head rests."""

    def walks(s: float) -> tuple[float, float]:
        return -1.5 + 1.2 * s, 2.5

    still = play(lambda _: 0.0, walks, 3.0)
    assert [u.text for _, u in still] == [
        u.text for _, u in play(lambda _: 0.0, walks, 3.0, imu=False)
    ]
    assert still


def test_looking_away_from_an_obstacle_gives_no_all_clear() -> None:
    def looks_away(s: float) -> float:
        return 0.0 if s < 6.0 else min(70.0, 140.0 * (s - 6.0))

    def warned(imu: bool) -> list[str]:
        return [u.text for _, u in play(looks_away, lambda _: (0.0, 2.0), 11.0, imu=imu)]

    assert "way clear" in warned(False)
    assert "way clear" not in warned(True)
