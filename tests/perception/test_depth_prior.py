"""Heights learnt from metric depth: better distances, and no effect of invalid depth."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.core.camera import Fisheye, Frame
from engine.core.glance import Box, DepthMap, Detection, Obstacle
from engine.perception.camera import Mount, pinhole, pixel
from engine.perception.classes import KINDS, kind_of
from engine.perception.depth_prior import KEEP_S, BoxHistory, HeightEstimate, along_ground_m
from engine.perception.localize import Localizer

IMAGE = np.zeros((480, 640, 3), np.uint8)
IMAGE.flags.writeable = False
CAMERA = pinhole(640, 480, 70)
WIDE = Fisheye(240.0, 240.0, 320.0, 240.0, 640, 480, -0.02, 0.004)
FPS = 10.0
NO_GROUND = Mount(pitch_sigma_deg=30.0)  # too uncertain for a ground distance


def object_at(away_m: float, height_m: float, label: str = "person", track: int = 1) -> Detection:
    """An object straight ahead, centred at the height of the lens."""
    half_px = CAMERA.fy * height_m / away_m / 2
    return Detection(
        label, 0.9, Box(320 - half_px / 3, 240 - half_px, 320 + half_px / 3, 240 + half_px), track
    )


def flat_depth(metres: float, seq: int) -> DepthMap:
    return DepthMap(seq, np.full((12, 16), metres, np.float32))


def walk(
    height_m: float, errors: list[float], late: int = 0, label: str = "person"
) -> list[Obstacle]:
    """Towards one object, from 6 m at 1 m/s. Each depth map is wrong by a factor from `errors` and
    arrives `late` frames later; without errors there is no depth."""
    localizer = Localizer(70.0, NO_GROUND, BoxHistory())
    found: list[Obstacle] = []
    for seq in range(30):
        item = object_at(6.0 - seq / FPS, height_m, label)
        found += localizer.localize(Frame(IMAGE, seq / FPS, seq, CAMERA), (item,))
        if errors and seq >= late:
            localizer.update_heights(
                flat_depth((6.0 - (seq - late) / FPS) * errors[seq % len(errors)], seq - late)
            )
    return found


def error_of(last: Obstacle) -> float:
    return abs(math.log(last.distance_m / (6.0 - 29 / FPS)))


@given(
    st.sampled_from([("person", 1.2), ("person", 1.95), ("pole", 1.2), ("cardboard box", 0.4)]),
    st.lists(st.floats(0.88, 1.13), min_size=1, max_size=5),
    st.integers(0, 15),
)
@settings(deadline=None, max_examples=15)
def test_depth_improves_the_distance(
    labelled_height: tuple[str, float], errors: list[float], late: int
) -> None:
    label, height_m = labelled_height
    without, with_depth = walk(height_m, [], 0, label)[-1], walk(height_m, errors, late, label)[-1]
    assert error_of(with_depth) < error_of(without)
    assert error_of(with_depth) < 2.5 * with_depth.distance_sigma_m / with_depth.distance_m


@given(st.floats(0.5, 12.0), st.floats(1.0, 2.0), st.sampled_from(sorted(KINDS)))
@settings(deadline=None, max_examples=60)
def test_a_smaller_depth_never_gives_a_larger_distance(
    metres: float, more: float, label: str
) -> None:
    placed = []
    for depth_m in (metres, metres * more):
        localizer = Localizer(70.0, NO_GROUND, BoxHistory())
        item = object_at(4.0, kind_of(label).height_m, label)
        localizer.localize(Frame(IMAGE, 0.0, 0, CAMERA), (item,))
        localizer.update_heights(flat_depth(depth_m, 0))
        (again,) = localizer.localize(Frame(IMAGE, 0.1, 1, CAMERA), (item,))
        placed.append(again.distance_m)
    assert placed[0] <= placed[1] + 1e-9


@pytest.mark.parametrize("height_m", [1.2, 1.68, 1.95])
def test_the_distance_of_an_approach_falls_except_for_one_correction(height_m: float) -> None:
    distances = [item.distance_m for item in walk(height_m, [1.0], 5)]
    assert sum(b > a for a, b in itertools.pairwise(distances)) <= 1
    assert all(item.ttc_s is None or item.ttc_s > 2.0 for item in walk(height_m, [1.0], 5)[:20])


@given(
    st.lists(
        st.one_of(
            st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -3.0, 0.05]),
            st.floats(max_value=0.0625, width=32),
        ),
        min_size=1,
        max_size=8,
    )
)
@settings(deadline=None, max_examples=40)
def test_invalid_depth_changes_nothing(cells: list[float]) -> None:
    metres = np.resize(np.array(cells, np.float32), (12, 16))
    localizer = Localizer(70.0, NO_GROUND, BoxHistory())
    plain = Localizer(70.0, NO_GROUND)
    for seq in range(3):
        frame = Frame(IMAGE, seq / FPS, seq, CAMERA)
        assert localizer.localize(frame, (object_at(4.0, 1.2),)) == plain.localize(
            frame, (object_at(4.0, 1.2),)
        )
        localizer.update_heights(DepthMap(seq, metres))


def test_pixels_without_depth_are_ignored() -> None:
    def distance_after(metres: NDArray[np.float32]) -> float:
        localizer = Localizer(70.0, NO_GROUND, BoxHistory())
        localizer.localize(Frame(IMAGE, 0.0, 0, CAMERA), (object_at(4.0, 1.2),))
        localizer.update_heights(DepthMap(0, metres))
        return localizer.localize(Frame(IMAGE, 0.1, 1, CAMERA), (object_at(4.0, 1.2),))[
            0
        ].distance_m

    whole = np.full((48, 64), 4.0, np.float32)
    holes = whole.copy()
    holes[::2, ::2] = np.nan
    assert distance_after(holes) == pytest.approx(distance_after(whole))


@pytest.mark.parametrize(
    ("why", "item", "others", "seq", "time_s"),
    [
        ("cut by the border", object_at(1.0, 1.9), (), 0, 0.1),
        ("occluded", object_at(4.0, 1.2), (object_at(2.0, 0.9, "chair", 2),), 0, 0.1),
        ("depth of another frame", object_at(4.0, 1.2), (), 7, 0.1),
        ("forgotten", object_at(4.0, 1.2), (), 0, KEEP_S + 1.0),
    ],
)
def test_only_fully_visible_objects_of_that_frame_are_learnt(
    why: str, item: Detection, others: tuple[Detection, ...], seq: int, time_s: float
) -> None:
    frames = [Frame(IMAGE, 0.0, 0, CAMERA), Frame(IMAGE, time_s, 1, CAMERA)]
    with_depth, plain = Localizer(70.0, NO_GROUND, BoxHistory()), Localizer(70.0, NO_GROUND)
    for frame in frames:
        with_depth.localize(frame, (item, *others))
        plain.localize(frame, (item, *others))
    with_depth.update_heights(flat_depth(2.0, seq))
    last = Frame(IMAGE, time_s + 0.1, 2, CAMERA)
    assert with_depth.localize(last, (item,)) == plain.localize(last, (item,)), why


@given(st.floats(-2.0, 2.0), st.floats(-1.0, 1.5), st.floats(1.0, 9.0), st.floats(-15.0, 15.0))
@settings(deadline=None, max_examples=60)
@pytest.mark.parametrize("camera", [CAMERA, WIDE])
def test_depth_is_converted_to_distance_along_the_ground(
    camera: Fisheye, right_m: float, down_m: float, ahead_m: float, pitch_deg: float
) -> None:
    """A point in the world, turned into the camera's axes by hand."""
    pitch = math.radians(pitch_deg)
    down = down_m * math.cos(pitch) + ahead_m * math.sin(pitch)
    axis_m = ahead_m * math.cos(pitch) - down_m * math.sin(pitch)
    at = pixel(right_m, down, axis_m, camera) if axis_m > 0.1 else None
    if at is None:
        return
    box = Box(at[0] - 1, at[1] - 1, at[0] + 1, at[1] + 1)
    found = along_ground_m(axis_m, box, camera, pitch_deg)
    assert found == pytest.approx(math.hypot(right_m, ahead_m), rel=1e-4)


def test_depth_is_along_the_axis_of_a_rotated_camera() -> None:
    rotated = replace(
        CAMERA, rotation=((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (-1.0, 0.0, 0.0))
    )  # to the right
    edge = Box(639.0, 239.0, 641.0, 241.0)
    assert along_ground_m(3.0, edge, rotated, 0.0) == pytest.approx(
        3.0 / math.cos(math.radians(35))
    )


@given(st.floats(0.05, 20.0), st.sampled_from(sorted(KINDS)))
def test_a_fused_height_lies_between_prior_and_measurement(height_m: float, label: str) -> None:
    prior = kind_of(label)
    fused = HeightEstimate(height_m).fused_with(prior)
    assert (
        min(height_m, prior.height_m) * 0.999
        <= fused.height_m
        <= max(height_m, prior.height_m) * 1.001
    )
    assert fused.spread <= prior.spread * 2
    agreed = HeightEstimate(prior.height_m).fused_with(prior)
    assert agreed.spread < prior.spread
    assert replace(agreed, spread=prior.spread, height_m=prior.height_m) == prior
