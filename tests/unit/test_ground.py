"""Unit: how far a thing stands by where it meets the ground, and both distances made one."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engine.camera import Mount, pinhole
from engine.classes import kind_of
from engine.geometry import (
    Range,
    cut_sides,
    distance,
    foot_is_cut,
    fused,
    ground_distance,
)
from engine.locate import Locator
from engine.types import Box, Camera, Detection, Fisheye, Frame
from experiments.walks.world import Thing, Walk

PINHOLE = pinhole(640, 480, 70)
FISHEYE = Fisheye(240.0, 240.0, 320.0, 240.0, 640, 480, -0.02, 0.004)
CAMERAS: tuple[Camera, ...] = (PINHOLE, FISHEYE)
PERSON = kind_of("person")
IMAGE = np.zeros((480, 640, 3), np.uint8)
quickly = settings(deadline=None, max_examples=60)


def seen(
    away_m: float,
    camera: Camera = PINHOLE,
    *,
    height_m: float = 1.5,
    pitch_deg: float = 0.0,
    tall: float = 1.0,
    right_m: float = 0.0,
    label: str = "person",
) -> Box | None:
    """The box of a standing thing, `tall` times its kind's height, seen while standing still."""
    kind = kind_of(label)
    thing = Thing(label, kind.height_m * tall, kind.width_m, right_m, away_m)
    walk = Walk("", camera, (thing,), speed_m_s=0.0, height_m=height_m, pitch_deg=pitch_deg)
    return walk.box(thing, 0.0)


def placed(box: Box, mount: Mount, label: str = "person", camera: Camera = PINHOLE) -> Range:
    size = distance(box, kind_of(label), camera, mount)
    return fused(size, ground_distance(box, camera, mount), foot_is_cut(box, camera))


@given(
    camera=st.sampled_from(CAMERAS),
    away_m=st.floats(1.5, 12),
    right_m=st.floats(-1, 1),
    height_m=st.floats(0.9, 1.9),
    pitch_deg=st.floats(-15, 15),
)
@quickly
def test_size_and_ground_agree_where_the_camera_is_known(
    camera: Camera, away_m: float, right_m: float, height_m: float, pitch_deg: float
) -> None:
    box = seen(away_m, camera, height_m=height_m, pitch_deg=pitch_deg, right_m=right_m)
    assume(box is not None)
    assert box is not None
    assume(cut_sides(box, camera) == (False, False))
    mount = Mount(height_m, pitch_deg, 1.0)
    true_m = math.hypot(away_m, right_m)
    # A box holds the nearer edge of a flat thing, not its middle: at 2 m and half as far aside that is
    # 0.057 of the distance, the most over 25,000 draws of these ranges.
    assert distance(box, PERSON, camera, mount).distance_m == pytest.approx(true_m, rel=0.065)
    ground = ground_distance(box, camera, mount)
    if ground is not None:
        assert ground.distance_m == pytest.approx(true_m, rel=0.065)


@given(height_m=st.floats(0.9, 1.9), away_m=st.floats(2, 8), wrong=st.floats(-1, 1))
@quickly
def test_a_pitch_wrong_by_a_sigma_is_covered_by_the_sigma(
    height_m: float, away_m: float, wrong: float
) -> None:
    for sigma_deg in (1.0, 3.0, 8.0):
        box = seen(away_m, height_m=height_m, pitch_deg=wrong * sigma_deg)
        assert box is not None
        ground = ground_distance(box, PINHOLE, Mount(height_m, 0.0, sigma_deg))
        if ground is not None and not foot_is_cut(box, PINHOLE):
            assert abs(ground.distance_m - away_m) < 2.5 * ground.sigma_m


def test_the_ground_is_vaguer_far_off_and_by_an_unsure_pitch_until_it_says_nothing() -> None:
    boxes = [seen(away_m) for away_m in (3.0, 5.0, 8.0, 12.0)]
    sure = [ground_distance(box, PINHOLE, Mount(pitch_sigma_deg=1.0)) for box in boxes if box]
    shares = [found.sigma_m / found.distance_m for found in sure if found]
    assert len(shares) == 4
    assert all(far > near for near, far in pairwise(shares))
    unsure = [ground_distance(box, PINHOLE, Mount(pitch_sigma_deg=8.0)) for box in boxes if box]
    assert unsure[0] is not None
    assert unsure[0].sigma_m > 2 * (sure[0].sigma_m if sure[0] else math.inf)
    assert unsure[2:] == [None, None]


@pytest.mark.parametrize("foot_px", [100.0, 240.0])
def test_at_and_above_the_horizon_there_is_no_ground(foot_px: float) -> None:
    assert ground_distance(Box(300, 50, 340, foot_px), PINHOLE, Mount()) is None


ranges = st.builds(
    lambda metres, share: Range(metres, metres * share), st.floats(0.3, 100), st.floats(0.05, 0.9)
)


@given(ranges, ranges, st.booleans())
@settings(deadline=None)
def test_fused_lies_between_and_is_as_sure_as_both_agree(
    size: Range, ground: Range, at_most: bool
) -> None:
    found = fused(size, ground, at_most)
    low, high = sorted((size.distance_m, ground.distance_m))
    assert low * 0.999 <= found.distance_m <= high * 1.001
    assert fused(size, None, at_most) == size
    if at_most:
        assert found.distance_m <= size.distance_m * 1.001
    share = found.sigma_m / found.distance_m
    one, other = size.sigma_m / size.distance_m, ground.sigma_m / ground.distance_m
    apart = abs(math.log(high / low))
    if apart < math.hypot(one, other):
        assert share <= max(one, other) * 1.001
    elif share < 1.0 and found != size:  # what stretches is at least as wide as a fair part
        assert share >= min(one, other) / math.hypot(one, other) * apart * 0.5


@given(
    tall=st.floats(0.7, 1.3),
    height_m=st.floats(1.3, 1.7),
    wrong=st.floats(-2, 2),
    near_m=st.floats(0.6, 10),
    step_m=st.floats(0.05, 3),
)
@settings(deadline=None, max_examples=150)
def test_nearer_never_sounds_farther_on_the_ground(
    tall: float, height_m: float, wrong: float, near_m: float, step_m: float
) -> None:
    """Whatever its real height, told to be level at 1.5 m, and that off by two sigmas at the most."""
    for mount in (Mount(), Mount(pitch_sigma_deg=3.0)):
        near, far = (
            seen(away_m, tall=tall, height_m=height_m, pitch_deg=wrong * mount.pitch_sigma_deg)
            for away_m in (near_m, near_m + step_m)
        )
        if near is None or far is None:
            continue
        # What is lost below the picture leaves one measure after another; it must not be heard.
        assert placed(near, mount).distance_m <= placed(far, mount).distance_m * 1.03


def locate(*found: Detection, mount: Mount) -> list[float]:
    frame = Frame(IMAGE, 0.0, 0, PINHOLE)
    return [item.distance_m for item in Locator(70.0, mount).locate(frame, found)]


def test_a_child_is_placed_nearer_by_its_feet_and_what_is_carried_is_not() -> None:
    mount = Mount(1.5, 0.0, 1.0)
    box = seen(3.0, tall=0.6)
    assert box is not None
    (child,) = locate(Detection("person", 0.9, box, 1), mount=mount)
    (bag,) = locate(Detection("backpack", 0.9, box, 1), mount=mount)
    assert child == pytest.approx(3.0, rel=0.15)
    assert distance(box, PERSON, PINHOLE, mount).distance_m > 4.5
    assert bag == pytest.approx(distance(box, kind_of("backpack"), PINHOLE, mount).distance_m)


def test_a_hidden_foot_is_not_taken_for_the_ground() -> None:
    """A table stands before a person, whose box ends at its edge."""
    mount = Mount(1.5, 0.0, 1.0)
    whole = seen(3.0)
    assert whole is not None
    waist = Box(whole.x1, whole.y1, whole.x2, (whole.y1 + whole.y2) / 2)
    person = Detection("person", 0.9, waist, 1)
    table = Detection("dining table", 0.9, Box(200, waist.y2 - 5, 440, waist.y2 + 90), 2)
    hidden, _ = locate(person, table, mount=mount)
    assert hidden == pytest.approx(distance(waist, PERSON, PINHOLE, mount).distance_m)
    assert locate(person, mount=mount)[0] != pytest.approx(hidden)


def test_a_foot_below_the_picture_is_only_a_bound() -> None:
    far, near = Range(3.0, 0.5), Range(2.0, 0.5)
    assert fused(near, far, at_most=True) == near
    assert fused(far, near, at_most=True).distance_m < 3.0
