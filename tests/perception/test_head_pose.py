"""Head pose from synthetic samples with a known truth."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.perception.head_pose import GAP_S, GRAVITY_M_S2, HeadTracker, ImuSample

RATE_HZ = 200.0
Vector3 = tuple[float, float, float]


def at_rest(pitch_deg: float, roll_deg: float = 0.0) -> Vector3:
    """The force measured at rest, pitched up and rolled to the right by these angles."""
    pitch, roll = math.radians(pitch_deg), math.radians(roll_deg)
    level = GRAVITY_M_S2 * math.cos(pitch)
    return -level * math.sin(roll), -level * math.cos(roll), GRAVITY_M_S2 * math.sin(pitch)


def feed(
    head: HeadTracker,
    seconds: float,
    force: Callable[[float], Vector3],
    rate: Callable[[float], Vector3] = lambda _: (0.0, 0.0, 0.0),
    start_s: float = 100.0,
) -> None:
    for i in range(round(seconds * RATE_HZ)):
        now_s = start_s + i / RATE_HZ
        head.add(ImuSample(now_s, force(now_s - start_s), rate(now_s - start_s)))


def test_there_is_no_pose_before_the_first_sample() -> None:
    assert HeadTracker().pose() is None


@given(st.floats(-70, 70), st.floats(-60, 60))
@settings(deadline=None, max_examples=30)
def test_the_pitch_of_a_resting_head(pitch_deg: float, roll_deg: float) -> None:
    head = HeadTracker()
    feed(head, 1.5, lambda _: at_rest(pitch_deg, roll_deg))
    pose = head.pose()
    assert pose is not None
    assert pose.pitch_deg == pytest.approx(pitch_deg, abs=0.1)
    assert abs(pose.turning_deg_s) < 1e-6
    assert not pose.walking


@given(st.floats(-150, 150), st.floats(-40, 40))
@settings(deadline=None, max_examples=20)
def test_a_turn_changes_the_heading_and_not_the_pitch(right_deg_s: float, pitch_deg: float) -> None:
    head = HeadTracker()
    pitch, rate = math.radians(pitch_deg), math.radians(right_deg_s)
    # to the right is clockwise seen from above: negative about the upward axis
    angular_rate = (0.0, rate * math.cos(pitch), -rate * math.sin(pitch))
    feed(head, 2.0, lambda _: at_rest(pitch_deg), lambda _: angular_rate)
    pose = head.pose()
    assert pose is not None
    assert pose.turning_deg_s == pytest.approx(right_deg_s, abs=0.5)
    assert pose.heading_deg == pytest.approx(2.0 * right_deg_s, abs=2.0)
    assert pose.pitch_deg == pytest.approx(pitch_deg, abs=0.5)


def test_the_pitch_follows_a_nod() -> None:
    """The head pitches down by 30 degrees in half a second while it is accelerated backwards; an
    accelerometer alone would be wrong by 17 degrees."""
    head = HeadTracker()
    rate = math.radians(-60.0)

    def pitch_deg(s: float) -> float:
        return -60.0 * min(0.5, max(0.0, s - 1.5))

    def force(s: float) -> Vector3:
        x, y, z = at_rest(pitch_deg(s))
        swing = 3.0 if 1.5 < s < 2.0 else 0.0  # accelerated backwards
        return x, y, z - swing

    feed(head, 2.0, force, lambda s: (rate if 1.5 <= s < 2.0 else 0.0, 0.0, 0.0))
    pose = head.pose()
    assert pose is not None
    assert pose.pitch_deg == pytest.approx(-30.0, abs=4.0)


@pytest.mark.parametrize("steps_hz", [1.5, 2.0, 2.4])
def test_walking_is_distinguished_from_standing_and_keeps_the_pitch(steps_hz: float) -> None:
    rng = np.random.default_rng(0)
    head = HeadTracker()

    def walking(s: float) -> Vector3:
        _, y, z = at_rest(-5.0)
        up = 2.5 * math.sin(2 * math.pi * steps_hz * s)
        side = 1.0 * math.sin(math.pi * steps_hz * s)
        noise = rng.normal(0.0, 0.2, 3)
        return side + noise[0], y - up + noise[1], z + 0.8 * up / 2.5 + noise[2]

    def standing(_: float) -> Vector3:
        x, y, z = at_rest(-5.0)
        noise = rng.normal(0.0, 0.15, 3)
        return x + noise[0], y + noise[1], z + noise[2]

    feed(head, 4.0, standing, start_s=0.0)
    pose = head.pose()
    assert pose is not None
    assert not pose.walking
    assert pose.pitch_deg == pytest.approx(-5.0, abs=1.0)
    still_deg = pose.pitch_sigma_deg
    feed(head, 5.0, walking, start_s=4.0)
    pose = head.pose()
    assert pose is not None
    assert pose.walking
    assert abs(pose.pitch_deg + 5.0) < 2.0 * pose.pitch_sigma_deg
    assert pose.pitch_sigma_deg > still_deg
    feed(head, 4.0, standing, start_s=9.0)
    pose = head.pose()
    assert pose is not None
    assert not pose.walking


def test_looking_around_is_not_walking() -> None:
    """Centripetal acceleration of a sensor 9 cm from the axis of a head that turns back and forth
    at up to 200 degrees a second."""
    head = HeadTracker()

    def turning(s: float) -> float:
        return math.radians(200.0) * math.sin(2 * math.pi * 0.8 * s)

    def force(s: float) -> Vector3:
        x, y, z = at_rest(0.0)
        return x, y, z - 0.09 * turning(s) ** 2

    feed(head, 5.0, force, lambda s: (0.0, turning(s), 0.0))
    pose = head.pose()
    assert pose is not None
    assert not pose.walking


def test_late_and_non_finite_samples_are_ignored() -> None:
    head, plain = HeadTracker(), HeadTracker()
    for i in range(400):
        sample = ImuSample(i / RATE_HZ, at_rest(10.0), (0.0, 0.0, 0.0))
        plain.add(sample)
        head.add(sample)
        head.add(ImuSample(i / RATE_HZ - 0.5, (5.0, 5.0, 5.0), (9.0, 0.0, 0.0)))
        head.add(ImuSample(i / RATE_HZ + 0.001, (math.nan, 0.0, 0.0), (0.0, 0.0, 0.0)))
    assert head.pose() == plain.pose()


def test_after_a_gap_the_pitch_restarts_and_the_heading_stays() -> None:
    head = HeadTracker()
    feed(head, 2.0, lambda _: at_rest(0.0), lambda _: (0.0, math.radians(30.0), 0.0), 0.0)
    before = head.pose()
    feed(head, 0.1, lambda _: at_rest(25.0), start_s=2.0 + 2 * GAP_S)
    after = head.pose()
    assert before is not None
    assert after is not None
    assert after.pitch_deg == pytest.approx(25.0, abs=0.5)
    assert after.pitch_sigma_deg > before.pitch_sigma_deg
    assert after.heading_deg == pytest.approx(before.heading_deg, abs=0.5)


def test_free_fall_gives_a_finite_pose() -> None:
    head = HeadTracker()
    feed(head, 1.0, lambda _: (0.0, 0.0, 0.0))
    pose = head.pose()
    assert pose is not None
    assert math.isfinite(pose.pitch_deg)
