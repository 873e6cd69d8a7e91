"""Things that move only because the head does are no news; what really moves still is."""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.alerts.policy import HEAD_TURN_DEG_S, SETTLE_S, AlertPolicy
from engine.core.camera import Frame, Pose
from engine.core.glance import Box, Detection, Obstacle, Side
from engine.core.utterance import Utterance
from engine.perception.approach import Approach, with_speed_prior
from engine.perception.camera import pinhole
from engine.perception.classes import kind_of
from engine.perception.localize import Localizer
from tests.fakes.glances import make_obstacle

FPS = 15
BLANK = np.zeros((480, 640, 3), np.uint8)

Heading = Callable[[float], float]
Place = Callable[[float], tuple[float, float]]  # (m right, m ahead) in a world that does not turn


class FakeWords:
    def alert(self, obstacle: Obstacle, length: str) -> str:
        return f"{obstacle.label} {obstacle.side}"

    def status(self, key: str) -> str:
        return key


def seen(place: tuple[float, float], heading_deg: float, ttc_s: float | None) -> Obstacle:
    """A person there, as a head that has turned so far to the right sees them."""
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
    """Every alert with its moment. Without an `imu` the warner is told of no pose."""
    warner = AlertPolicy(FakeWords(), 190, itertools.count(1).__next__)
    heard = []
    for index in range(int(until_s * FPS)):
        now_s = index / FPS
        turning = (heading(now_s + 0.01) - heading(now_s - 0.01)) / 0.02
        pose = Pose(0.0, 1.0, heading(now_s), turning, False) if imu else None
        obstacle = seen(place(now_s), heading(now_s), ttc_s)
        heard += [(now_s, u) for u in warner.warn((obstacle,), now_s, True, pose)]
    return heard


def glance_aside(s: float) -> float:
    """After a second: 60 degrees to the right within 0.6 s, and at once back again."""
    return max(0.0, 60.0 - 100.0 * abs(s - 1.6))


def test_a_glance_aside_makes_nobody_cross_the_way() -> None:
    """A person stands three metres off at 35 degrees: the head's sweep carries them over the way and
    back. Without an inertial sensor that is taken for a person who walks by."""
    stands = (3.0 * math.sin(math.radians(35)), 3.0 * math.cos(math.radians(35)))
    assert play(glance_aside, lambda _: stands, 4.0) == []
    assert play(glance_aside, lambda _: stands, 4.0, imu=False) != []


@given(st.floats(20, 70), st.floats(1.6, 3.9), st.sampled_from([-1.0, 1.0]))
@settings(deadline=None, max_examples=30)
def test_no_sweep_brings_what_stands_beside_the_way_into_it(
    aside_deg: float, distance_m: float, way: float
) -> None:
    place = (
        way * distance_m * math.sin(math.radians(aside_deg)),
        distance_m * math.cos(math.radians(aside_deg)),
    )
    beside = abs(place[0]) - 0.3 > 0.8

    def sweep(s: float) -> float:
        return way * 80.0 * math.sin(2 * math.pi * 0.5 * min(s, 2.0))

    heard = play(sweep, lambda _: place, 2.0)
    assert not beside or not [u for s, u in heard if abs(sweep(s)) > 5.0 and s < 1.9]


def test_what_stays_ahead_after_a_turn_is_said_once_the_head_rests() -> None:
    """Who turns to a person and goes on facing them wants to know."""

    def turn(s: float) -> float:
        return 40.0 * min(1.0, max(0.0, (s - 1.0) / 0.5))

    place = (3.0 * math.sin(math.radians(40)), 3.0 * math.cos(math.radians(40)))
    heard = play(turn, lambda _: place, 4.0)
    assert [u.text for _, u in heard] == ["person ahead"]
    assert heard[0][0] >= 1.5 + SETTLE_S - 0.1


def test_what_comes_nearer_is_said_during_a_turn() -> None:
    """A sweep never silences what approaches."""
    heard = play(lambda s: 60.0 * s - 30.0, lambda s: (0.0, 2.5), 1.0, ttc_s=1.2)
    assert heard
    assert heard[0][1].earcon == "urgent"
    assert HEAD_TURN_DEG_S < 60.0


def test_a_person_who_really_crosses_is_still_news_with_a_pose() -> None:
    """From left to right over the way, while the head rests: as without an inertial sensor."""

    def walks(s: float) -> tuple[float, float]:
        return -1.5 + 1.2 * s, 2.5

    still = play(lambda _: 0.0, walks, 3.0)
    assert [u.text for _, u in still] == [
        u.text for _, u in play(lambda _: 0.0, walks, 3.0, imu=False)
    ]
    assert still


def test_looking_away_from_what_bars_the_way_does_not_clear_it() -> None:
    def looks_away(s: float) -> float:
        return 0.0 if s < 6.0 else min(70.0, 140.0 * (s - 6.0))

    def warned(imu: bool) -> list[str]:
        return [u.text for _, u in play(looks_away, lambda _: (0.0, 2.0), 11.0, imu=imu)]

    assert "way_clear" in warned(False)
    assert "way_clear" not in warned(True)


# the locator and the pose


@pytest.mark.parametrize("pitch_deg", [-15.0, 0.0, 5.0])
def test_the_ground_is_met_at_the_pitch_that_was_felt(pitch_deg: float) -> None:
    """A person's foot at four metres, by a camera 1.5 m high whose pitch the settings do not know."""
    camera = pinhole(640, 480, 70.0)
    down = math.degrees(math.atan2(1.5, 4.0)) + pitch_deg
    foot = camera.cy + camera.fy * math.tan(math.radians(down))
    head = math.degrees(math.atan2(1.5 - 1.7, 4.0)) + pitch_deg
    top = camera.cy + camera.fy * math.tan(math.radians(head))
    box = Box(300, top, 340, foot)
    found = {}
    for told, pose in {
        "felt": Pose(pitch_deg, 1.0, 0.0, 0.0, True),
        "guessed": None,
    }.items():
        frame = Frame(BLANK, 1.0, 0, camera, pose=pose)
        (found[told],) = Localizer().localize(frame, (Detection("person", 0.9, box, 1),))
    assert found["felt"].distance_m == pytest.approx(4.0, rel=0.12)
    assert found["felt"].distance_sigma_m < found["guessed"].distance_sigma_m


@given(st.floats(0.5, 29.0), st.floats(0.05, 20.0), st.floats(0.5, 15.0))
@settings(deadline=None, max_examples=100)
def test_to_who_stands_nothing_comes_sooner_than_to_who_walks(
    ttc_s: float, sigma_s: float, distance_m: float
) -> None:
    """The less sure an approach is, the more it counts that nobody walks."""
    seen = Approach(ttc_s, sigma_s)
    walking, standing = (
        with_speed_prior(seen, distance_m, 0.2, kind_of("chair"), walks) for walks in (True, False)
    )
    assert (
        standing is None or walking is None or standing.ttc_s >= 0.999 * min(ttc_s, walking.ttc_s)
    )


def test_a_chair_that_hardly_grows_is_no_hazard_to_who_stands() -> None:
    unsure = Approach(6.0, 12.0)
    assert with_speed_prior(unsure, 3.0, 0.2, kind_of("chair"), True) is not None
    assert with_speed_prior(unsure, 3.0, 0.2, kind_of("chair"), False) is None
