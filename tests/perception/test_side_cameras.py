"""Side cameras: obstacles that only they see are added; duplicates are not."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.camera import Frame, Pose
from engine.core.glance import Box, Detection, Obstacle
from engine.core.report import ModelCard
from engine.devices.aria import lenses
from engine.perception.localize import Localizer
from engine.perception.side_cameras import (
    KEEP_S,
    TRACK_OFFSET,
    SideCameras,
    is_same_object,
    without_duplicates,
)
from tests.fakes import aria

CARD = ModelCard("fake", "", "cpu", "none", "fp32")


def obstacle(
    bearing_deg: float = 0.0,
    distance_m: float = 3.0,
    label: str = "person",
    camera: str = "",
    score: float = 0.8,
    track: int = 1,
    half_deg: float = 4.0,
) -> Obstacle:
    return Obstacle(
        track=track,
        label=label,
        score=score,
        box=Box(10, 10, 40, 90),
        distance_m=distance_m,
        distance_sigma_m=0.15 * distance_m,
        bearing_deg=bearing_deg,
        side="ahead",
        ttc_s=None,
        priority=10.0,
        edges_deg=(bearing_deg - half_deg, bearing_deg + half_deg),
        camera=camera,
    )


distances = st.floats(0.5, 20)
bearings = st.floats(-90, 90)


@given(bearings, distances, st.floats(0, 360), st.floats(-0.25, 0.25))
@settings(deadline=None, max_examples=100)
def test_one_object_seen_by_two_cameras_is_one(
    bearing_deg: float, distance_m: float, offset_deg: float, error: float
) -> None:
    """Two cameras 10 cm apart whose distances differ by up to a quarter."""
    x = distance_m * math.sin(math.radians(bearing_deg)) + 0.1 * math.cos(math.radians(offset_deg))
    z = distance_m * math.cos(math.radians(bearing_deg)) + 0.1 * math.sin(math.radians(offset_deg))
    one = obstacle(bearing_deg, distance_m)
    other = obstacle(
        math.degrees(math.atan2(x, z)), math.hypot(x, z) * (1 + error), camera="left", track=2
    )
    assert is_same_object(one, other)
    assert is_same_object(other, one)
    assert without_duplicates((one,), [other]) == ()


@given(
    st.lists(
        st.builds(
            obstacle, bearings, distances, st.sampled_from(["person", "car"]), st.just("left"),
            st.floats(0.3, 0.9), st.integers(1, 10**6),
        ),
        max_size=6,
    )
)  # fmt: skip
@settings(deadline=None, max_examples=60)
def test_obstacles_of_one_camera_are_never_merged(
    seen: list[Obstacle],
) -> None:
    kept = without_duplicates((), seen)
    assert Counter(kept) == Counter(seen)


@given(st.lists(st.tuples(bearings, distances, st.booleans()), max_size=6), st.randoms())
@settings(deadline=None, max_examples=60)
def test_the_order_of_the_cameras_does_not_matter(
    things: list[tuple[float, float, bool]], rng: "object"
) -> None:
    seen = [
        obstacle(bearing, metres, camera="left" if left else "right", score=0.9 - i / 20, track=i)
        for i, (bearing, metres, left) in enumerate(things)
    ]
    shuffled = list(seen)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    assert without_duplicates((), shuffled) == without_duplicates((), seen)
    again = list(without_duplicates((), seen))
    assert without_duplicates((), again) == tuple(again)


@pytest.mark.parametrize(
    "other",
    [
        obstacle(camera="left", bearing_deg=30.0),
        obstacle(camera="left", label="car"),
        obstacle(camera="left", distance_m=14.0),
    ],
    ids=["another bearing", "another label", "another distance"],
)
def test_different_objects_are_not_merged(other: Obstacle) -> None:
    assert without_duplicates((obstacle(),), [other]) == (other,)


def test_an_object_that_a_border_cuts_is_still_one() -> None:
    """The main camera sees a bus only up to 50 degrees, the side camera all of it."""
    half = replace(obstacle(40.0, 4.0, "bus"), edges_deg=(30.0, 50.0))
    whole = replace(obstacle(60.0, 4.5, "bus", "right", 0.9), edges_deg=(30.0, 90.0))
    assert without_duplicates((half,), [whole]) == ()


class FixedDetector:
    """A detector with fixed results."""

    card = CARD
    labels: tuple[str, ...] = ("person",)

    def __init__(self, *boxes: Box) -> None:
        self.boxes = boxes
        self.resets = 0

    def expect(self, frame: Frame) -> None: ...

    def detect(self, frame: Frame) -> tuple[Detection, ...]:
        return tuple(Detection("person", 0.8, box, n) for n, box in enumerate(self.boxes, 1))

    def reset(self) -> None:
        self.resets += 1


def side_frame(time_s: float, heading_deg: float, eye: lenses.CalibratedCamera | None) -> Frame:
    pose = Pose(0.0, 1.0, heading_deg, 0.0, False)
    side = None
    if eye is not None:
        side = Frame(
            np.zeros((eye.lens.height, eye.lens.width, 3), np.uint8), time_s, 0, eye.lens, eye.label
        )
    return Frame(np.zeros((64, 64, 3), np.uint8), time_s, 0, pose=pose, side=side)


def test_a_side_obstacle_has_the_right_bearing_and_rotates_with_the_head() -> None:
    """In the middle of the left side camera of Gen 1, which faces 37 degrees to the left."""
    eye = lenses.calibrated_camera(aria.device_calibration(aria.GEN1), aria.GEN1.sides[0])
    assert eye is not None
    middle = Box(eye.lens.cx - 20, eye.lens.cy - 60, eye.lens.cx + 20, eye.lens.cy + 60)
    detector = FixedDetector(middle)
    side_cameras = SideCameras({eye.label: (detector, Localizer())})
    (seen,) = side_cameras.update(side_frame(1.0, 0.0, eye), ())
    assert seen.camera == eye.label
    assert seen.side == "left"
    assert seen.track == 1 + TRACK_OFFSET
    assert seen.bearing_deg == pytest.approx(-37.5, abs=1.5)
    # the head turns 20 degrees to the left before the next frame of that camera
    (turned,) = side_cameras.update(side_frame(1.2, -20.0, None), ())
    assert turned.bearing_deg == pytest.approx(seen.bearing_deg + 20.0)
    assert side_cameras.update(side_frame(1.0 + KEEP_S + 0.1, 0.0, None), ()) == ()
    side_cameras.reset()
    assert detector.resets == 1


def test_an_obstacle_that_the_main_camera_sees_too_is_not_added() -> None:
    eye = lenses.calibrated_camera(aria.device_calibration(aria.GEN2), aria.GEN2.sides[1])
    assert eye is not None
    middle = Box(eye.lens.cx - 20, eye.lens.cy - 60, eye.lens.cx + 20, eye.lens.cy + 60)
    side_cameras = SideCameras({eye.label: (FixedDetector(middle), Localizer())})
    (alone,) = side_cameras.update(side_frame(1.0, 0.0, eye), ())
    main = replace(alone, camera="", track=5, distance_m=alone.distance_m * 1.2)
    assert side_cameras.update(side_frame(1.1, 0.0, eye), (main,)) == ()
