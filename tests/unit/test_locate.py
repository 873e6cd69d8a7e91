"""Unit: tracks become obstacles; approach is timed."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.geometry import pinhole
from engine.locate import FORGET_S, Locator
from engine.types import Box, Detection, Frame, Obstacle

IMAGE = np.zeros((480, 640, 3), np.uint8)
IMAGE.flags.writeable = False
CAMERA = pinhole(640, 480, 70)


def person(distance_m: float, track: int = 1, x_px: float = 320.0) -> Detection:
    half_px = CAMERA.fy * 1.68 / distance_m / 2
    box = Box(x_px - half_px / 3, 240 - half_px, x_px + half_px / 3, 240 + half_px)
    return Detection("person", 0.9, box, track)


def walk(start_m: float, speed_m_s: float, length_s: float, fps: float = 15.0) -> list[Obstacle]:
    """One person approached (or left behind) at constant speed."""
    locator = Locator(70.0)
    seen = []
    for seq in range(round(length_s * fps)):
        time_s = seq / fps
        frame = Frame(IMAGE, time_s, seq)
        seen += locator.locate(frame, (person(start_m - speed_m_s * time_s),))
    return seen


@given(st.floats(5.0, 15.0), st.floats(0.8, 2.5), st.sampled_from([10.0, 15.0, 30.0]))
@settings(deadline=None, max_examples=40)
def test_a_constant_approach_is_timed_within_a_fifth(
    start_m: float, speed_m_s: float, fps: float
) -> None:
    last = walk(start_m, speed_m_s, 1.2, fps)[-1]
    true_s = (start_m - speed_m_s * (round(1.2 * fps) - 1) / fps) / speed_m_s
    assert last.ttc_s == pytest.approx(true_s, rel=0.2)


@given(st.floats(2.0, 10.0), st.floats(0.0, 2.0))
@settings(deadline=None, max_examples=40)
def test_what_stands_or_leaves_has_no_time_to_collision(start_m: float, speed_m_s: float) -> None:
    assert walk(start_m, -speed_m_s, 1.5)[-1].ttc_s is None


def test_a_single_look_has_no_time_to_collision() -> None:
    assert walk(5.0, 1.0, 0.05)[-1].ttc_s is None


def test_the_distance_follows_the_walk() -> None:
    seen = walk(8.0, 1.5, 3.0)
    assert seen[0].distance_m == pytest.approx(8.0, rel=0.01)
    assert seen[-1].distance_m == pytest.approx(3.6, rel=0.2)
    assert all(b.distance_m <= a.distance_m for a, b in itertools.pairwise(seen))


def test_a_track_unseen_is_forgotten() -> None:
    locator = Locator(70.0)
    locator.locate(Frame(IMAGE, 0.0, 0), (person(2.0),))
    (back,) = locator.locate(Frame(IMAGE, FORGET_S + 0.1, 1), (person(8.0),))
    assert back.distance_m == pytest.approx(8.0, rel=0.01)


def test_a_person_goes_before_furniture_at_equal_time() -> None:
    locator = Locator(70.0)
    chair = Detection("chair", 0.9, Box(300, 200, 340, 240), 2)
    placed = locator.locate(Frame(IMAGE, 0.0, 0), (chair,))[0]
    same = locator.locate(Frame(IMAGE, 0.0, 0), (person(placed.distance_m),))[0]
    assert same.priority > placed.priority


@given(st.lists(st.tuples(*[st.floats(-2000, 2000, allow_nan=False)] * 4), max_size=20))
@settings(deadline=None, max_examples=50)
def test_any_boxes_are_placed(corners: list[tuple[float, float, float, float]]) -> None:
    locator = Locator(70.0)
    for seq in range(3):
        found = locator.locate(
            Frame(IMAGE, seq / 10, seq),
            tuple(Detection("thing", 0.5, Box(*c), i) for i, c in enumerate(corners)),
        )
        assert len(found) == len(corners)
        assert all(0 < o.distance_m <= 200 and o.distance_sigma_m > 0 for o in found)


def test_intrinsics_of_the_frame_come_first() -> None:
    telephoto = pinhole(640, 480, 20)
    far = Locator(70.0).locate(Frame(IMAGE, 0.0, 0, telephoto), (person(5.0),))[0]
    assert far.distance_m > 15
