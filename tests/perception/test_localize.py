"""Detections become obstacles: distance, side, priority and time to collision, over tracks."""

import itertools
import math
import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.camera import Frame, Intrinsics, Pose
from engine.core.glance import Box, Detection, Obstacle
from engine.perception.camera import pinhole
from engine.perception.classes import KINDS, kind_of
from engine.perception.localize import FORGET_S, Localizer, priority
from engine.perception.track import WINDOW_S, Observation, Track

IMAGE = np.zeros((480, 640, 3), np.uint8)
IMAGE.flags.writeable = False
CAMERA = pinhole(640, 480, 70)


def person_at(distance_m: float, track: int = 1, x_px: float = 320.0) -> Detection:
    half_px = CAMERA.fy * 1.68 / distance_m / 2
    box = Box(x_px - half_px / 3, 240 - half_px, x_px + half_px / 3, 240 + half_px)
    return Detection("person", 0.9, box, track)


def walk(start_m: float, speed_m_s: float, length_s: float, fps: float = 15.0) -> list[Obstacle]:
    """One person approached (or left behind) at constant speed."""
    localizer = Localizer(70.0)
    seen: list[Obstacle] = []
    for seq in range(round(length_s * fps)):
        time_s = seq / fps
        frame = Frame(IMAGE, time_s, seq)
        seen += localizer.localize(frame, (person_at(start_m - speed_m_s * time_s),))
    return seen


@given(st.floats(5.0, 15.0), st.floats(0.8, 2.5), st.sampled_from([10.0, 15.0, 30.0]))
@settings(deadline=None, max_examples=40)
def test_the_time_to_collision_of_a_constant_approach_is_within_a_fifth(
    start_m: float, speed_m_s: float, fps: float
) -> None:
    last = walk(start_m, speed_m_s, 1.2, fps)[-1]
    true_s = (start_m - speed_m_s * (round(1.2 * fps) - 1) / fps) / speed_m_s
    assert last.ttc_s == pytest.approx(true_s, rel=0.2)


@given(st.floats(2.0, 10.0), st.floats(0.0, 2.0))
@settings(deadline=None, max_examples=40)
def test_a_standing_or_receding_object_has_no_time_to_collision(
    start_m: float, speed_m_s: float
) -> None:
    assert walk(start_m, -speed_m_s, 1.5)[-1].ttc_s is None


def test_a_single_observation_has_no_time_to_collision() -> None:
    assert walk(5.0, 1.0, 0.05)[-1].ttc_s is None


def test_another_object_in_the_same_track_inherits_no_speed() -> None:
    """A person comes to 4 m; one at 12 m takes over the track, another tracker's mistake."""
    localizer = Localizer(70.0)
    for seq in range(15):
        localizer.localize(Frame(IMAGE, seq / 15, seq), (person_at(6.0 - 2.0 * seq / 15),))
    for seq in range(15, 22):
        [far] = localizer.localize(Frame(IMAGE, seq / 15, seq), (person_at(12.0),))
        assert far.ttc_s is None
        assert far.distance_m == pytest.approx(12.0, rel=0.1)


def test_the_distance_follows_an_approach() -> None:
    seen = walk(8.0, 1.5, 3.0)
    assert seen[0].distance_m == pytest.approx(8.0, rel=0.01)
    assert seen[-1].distance_m == pytest.approx(3.6, rel=0.2)
    assert all(b.distance_m <= a.distance_m for a, b in itertools.pairwise(seen))


def test_an_unseen_track_is_forgotten() -> None:
    localizer = Localizer(70.0)
    localizer.localize(Frame(IMAGE, 0.0, 0), (person_at(2.0),))
    (back,) = localizer.localize(Frame(IMAGE, FORGET_S + 0.1, 1), (person_at(8.0),))
    assert back.distance_m == pytest.approx(8.0, rel=0.01)


def test_a_person_has_a_higher_priority_than_furniture_at_equal_distance() -> None:
    localizer = Localizer(70.0)
    chair = Detection("chair", 0.9, Box(300, 200, 340, 240), 2)
    placed = localizer.localize(Frame(IMAGE, 0.0, 0), (chair,))[0]
    same = localizer.localize(Frame(IMAGE, 0.0, 0), (person_at(placed.distance_m),))[0]
    assert same.priority > placed.priority


@given(st.lists(st.tuples(*[st.floats(-2000, 2000, allow_nan=False)] * 4), max_size=20))
@settings(deadline=None, max_examples=50)
def test_any_boxes_are_placed(corners: list[tuple[float, float, float, float]]) -> None:
    localizer = Localizer(70.0)
    for seq in range(3):
        found = localizer.localize(
            Frame(IMAGE, seq / 10, seq),
            tuple(Detection("thing", 0.5, Box(*c), i) for i, c in enumerate(corners)),
        )
        assert len(found) == len(corners)
        assert all(0 < o.distance_m <= 200 and o.distance_sigma_m > 0 for o in found)


def test_intrinsics_of_the_frame_override_the_field_of_view() -> None:
    telephoto = pinhole(640, 480, 20)
    far = Localizer(70.0).localize(Frame(IMAGE, 0.0, 0, telephoto), (person_at(5.0),))[0]
    assert far.distance_m > 15


def object_at(
    distance_m: float, label: str = "person", right_m: float = 0.0, track: int = 1
) -> Detection:
    """An object of its kind's size at eye level; the border cuts it when it is near."""
    kind = kind_of(label)
    half_h = CAMERA.fy * kind.height_m / distance_m / 2
    half_w = CAMERA.fx * kind.width_m / distance_m / 2
    x = CAMERA.cx + CAMERA.fx * right_m / distance_m
    return Detection(label, 0.9, Box(x - half_w, 240 - half_h, x + half_w, 240 + half_h), track)


def follow(
    distance_at: Callable[[float], float], until_s: float, fps: float = 15.0, jitter_px: float = 0.0
) -> list[Obstacle]:
    """A person in each frame; the box edges have a jitter of `jitter_px`."""
    rng, localizer = random.Random(7), Localizer()
    found: list[Obstacle] = []
    for seq in range(int(until_s * fps) + 1):
        box = object_at(distance_at(seq / fps)).box
        edges = (edge + rng.gauss(0.0, jitter_px) for edge in (box.x1, box.y1, box.x2, box.y2))
        found += localizer.localize(
            Frame(IMAGE, seq / fps, seq, CAMERA), (Detection("person", 0.9, Box(*edges), 1),)
        )
    return found


@given(
    boxes=st.lists(st.tuples(*[st.floats(allow_nan=True)] * 4), min_size=1, max_size=6),
    label=st.sampled_from([*KINDS, "never heard of"]),
    tracks=st.lists(st.integers(-2, 3), min_size=6, max_size=6),
    times=st.lists(st.floats(-10, 10), min_size=3, max_size=3),
    camera=st.sampled_from([None, CAMERA]),
)
@settings(deadline=None)
def test_any_box_and_track_at_any_time_is_placed(
    boxes: list[tuple[float, float, float, float]],
    label: str,
    tracks: list[int],
    times: list[float],
    camera: Intrinsics | None,
) -> None:
    localizer = Localizer()
    detections = tuple(
        Detection(label, 0.9, Box(*corners), track)
        for corners, track in zip(boxes, tracks, strict=False)
    )
    for time_s in times:
        obstacles = localizer.localize(Frame(IMAGE, time_s, 0, camera), detections)
        assert [item.track for item in obstacles] == [item.track for item in detections]
        for item in obstacles:
            assert 0 < item.distance_m <= 200
            assert 0 < item.distance_sigma_m < math.inf
            assert abs(item.bearing_deg) < 90
            assert 0 < item.priority <= 100
            assert item.ttc_s is None or 0 < item.ttc_s < math.inf
            assert all(map(math.isfinite, (item.box.x1, item.box.y1, item.box.x2, item.box.y2)))


@given(distance_m=st.floats(2, 30), right_m=st.floats(-1, 1))
@settings(deadline=None)
def test_a_mirrored_scene_has_mirrored_bearings(distance_m: float, right_m: float) -> None:
    one, other = (
        Localizer().localize(Frame(IMAGE, 0.0, 0), (object_at(distance_m, "chair", metres),))[0]
        for metres in (right_m, -right_m)
    )
    assert other.bearing_deg == pytest.approx(-one.bearing_deg, abs=1e-6)
    assert other.distance_m == pytest.approx(one.distance_m)
    assert one.distance_m == pytest.approx(math.hypot(distance_m, right_m))


def test_intrinsics_are_scaled_assumed_ones_are_less_certain_and_invalid_ones_ignored() -> None:
    (known,) = Localizer(120.0).localize(Frame(IMAGE, 0.0, 0, CAMERA), (object_at(5.0),))
    big = pinhole(1280, 960, 70.0)
    (scaled,) = Localizer(120.0).localize(Frame(IMAGE, 0.0, 0, big), (object_at(5.0),))
    (guessed,) = Localizer(70.0).localize(Frame(IMAGE, 0.0, 0), (object_at(5.0),))
    nonsense = Intrinsics(0.0, 0.0, 0.0, 0.0, 640, 480)
    (broken,) = Localizer(70.0).localize(Frame(IMAGE, 0.0, 0, nonsense), (object_at(5.0),))
    assert known.distance_m == pytest.approx(5.0)
    assert scaled.distance_m == pytest.approx(5.0)
    assert guessed.distance_m == pytest.approx(5.0)
    assert guessed.distance_sigma_m > known.distance_sigma_m
    assert broken == guessed


def test_time_to_collision_with_jittering_edges() -> None:
    found = follow(lambda t: 6.0 - 1.4 * t, 2.0, jitter_px=1.0)
    for seq, item in list(enumerate(found))[20:]:
        assert item.ttc_s == pytest.approx(6.0 / 1.4 - seq / 15, rel=0.35)


def test_time_to_collision_needs_three_observations() -> None:
    early = follow(lambda t: 3.0 - 3.0 * t, 0.2, fps=10)
    assert [item.ttc_s is None for item in early] == [True, True, False]


@pytest.mark.parametrize("jitter_px", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("speed_m_s", [0.0, 0.7, 2.0])
def test_jittering_edges_are_not_an_approach(speed_m_s: float, jitter_px: float) -> None:
    found = follow(lambda t: 3.0 + speed_m_s * t, 6.0, jitter_px=jitter_px)
    assert all(item.ttc_s is None for item in found)


@pytest.mark.parametrize("label", ["person", "door", "pole", "never heard of"])
def test_time_to_collision_of_a_box_that_the_border_cuts(label: str) -> None:
    """From 2 m on. A door soon fills the image's height, and only its width still grows."""
    localizer = Localizer()
    for seq in range(16):
        away = object_at(2.0 - 1.2 * seq / 15, label)
        (last,) = localizer.localize(Frame(IMAGE, seq / 15, seq, CAMERA), (away,))
    assert last.ttc_s == pytest.approx(0.8 / 1.2, rel=0.4)


def followed(boxes: list[Box], fps: float = 15.0) -> list[float | None]:
    """The times to collision of a person with these boxes."""
    localizer = Localizer()
    return [
        localizer.localize(Frame(IMAGE, seq / fps, seq), (Detection("person", 0.9, box, 1),))[
            0
        ].ttc_s
        for seq, box in enumerate(boxes)
    ]


def test_who_only_enters_the_picture_does_not_approach() -> None:
    """From below, as before a camera that looks down: at first the box grows in both directions."""
    boxes = [(213, 327, 338), (222, 276, 384), (230, 251, 465), (247, 221, 463), (270, 183, 484)]
    boxes += [(283, 153, 486), (302, 126, 488), (321, 111, 489)]
    assert not any(followed([Box(left, top, right, 480) for left, top, right in boxes], 10))


@pytest.mark.parametrize("swing", [0.2, 0.35])
def test_limbs_that_swing_are_no_approach(swing: float) -> None:
    """Seen from the side, the legs of whoever walks open and close twice a second."""
    steps = [math.sin(2 * math.pi * 2.0 * seq / 15) for seq in range(45)]
    half_px = [40 * (1 + swing * step) for step in steps]
    boxes = [Box(320 - half, 120, 320 + half, 400) for half in half_px]
    assert not any(followed(boxes))


@pytest.mark.parametrize("uncertain", ["height", "width"])
def test_an_approach_is_seen_in_the_direction_that_is_measured_well(uncertain: str) -> None:
    """The other one jumps, as where something covers the feet in turns."""
    dice = random.Random(3)
    boxes = []
    for seq in range(24):
        metres = 4.0 - 1.4 * seq / 15
        width, height = 200 / metres, 600 / metres
        if uncertain == "height":
            height *= dice.uniform(0.75, 1.0)
        else:
            width *= dice.uniform(0.75, 1.0)
        boxes.append(Box(320 - width / 2, 450 - height, 320 + width / 2, 450))
    found = [item for item in followed(boxes)[16:] if item is not None]
    assert len(found) >= 6
    assert all(item == pytest.approx(1.5, rel=0.4) for item in found)


def test_smoothing_does_not_lag_behind_an_approach() -> None:
    found = follow(lambda t: 8.0 - 1.4 * t, 3.0, jitter_px=1.0)
    errors = [item.distance_m - (8.0 - 1.4 * seq / 15) for seq, item in enumerate(found)][10:]
    assert abs(sum(errors) / len(errors)) < 0.1


def test_smoothing_reduces_the_noise_of_a_standing_object() -> None:
    found = [item.distance_m for item in follow(lambda _: 5.0, 8.0, jitter_px=3.0)][15:]
    spread_m = (sum((metres - 5.0) ** 2 for metres in found) / len(found)) ** 0.5
    single_frame_m = 5.0 * 3.0 * 2**0.5 / object_at(5.0).box.height
    assert spread_m < 0.9 * single_frame_m


def test_an_alternating_label_does_not_mix_sizes() -> None:
    localizer = Localizer()
    for seq in range(10):
        away = object_at(10.0, "car" if seq % 2 else "truck")
        (found,) = localizer.localize(Frame(IMAGE, seq / 15, seq, CAMERA), (away,))
        assert found.distance_m == pytest.approx(10.0)


def test_memory_is_bounded() -> None:
    localizer = Localizer()
    for seq in range(400):
        localizer.localize(
            Frame(IMAGE, seq / 50, seq), (object_at(5.0), object_at(9.0, track=seq + 2))
        )
    assert localizer.tracks <= FORGET_S * 50 + 2
    track = Track()
    for seq in range(400):
        track.add(Observation(seq / 50, "person", 5.0, None, None))
    assert len(track.observations) <= WINDOW_S * 50 + 2


@pytest.mark.parametrize("later_s", [FORGET_S + 1.1, -30.0])
def test_a_pause_or_a_jump_back_in_time_forgets_the_approach(later_s: float) -> None:
    localizer = Localizer()
    for seq in range(16):
        localizer.localize(Frame(IMAGE, seq / 15, seq), (object_at(6.0 - seq / 15),))
    (found,) = localizer.localize(Frame(IMAGE, later_s, 16), (object_at(4.0),))
    assert found.ttc_s is None
    assert found.distance_m == pytest.approx(4.0)


def test_reset_forgets_all_tracks() -> None:
    localizer = Localizer()
    for seq in range(16):
        (last,) = localizer.localize(Frame(IMAGE, seq / 15, seq), (object_at(6.0 - seq / 15),))
    assert last.ttc_s is not None
    localizer.reset()
    (found,) = localizer.localize(Frame(IMAGE, 16 / 15, 16), (object_at(4.9),))
    assert found.ttc_s is None


@given(st.floats(0.2, 100), st.floats(0.1, 100), st.booleans(), st.floats(0.1, 1))
@settings(deadline=None)
def test_priority_grows_with_nearness_urgency_and_in_the_corridor(
    near: float, more: float, ahead: bool, hazard: float
) -> None:
    assert priority(near, ahead, None, hazard) > priority(near + more, ahead, None, hazard)
    assert priority(100, ahead, near, hazard) >= priority(100, ahead, near + more, hazard)
    assert priority(near, ahead, 0.01, hazard) > priority(near, ahead, None, hazard)
    assert priority(near, True, None, hazard) > priority(near, False, None, hazard)
    assert 0 < priority(near, ahead, None, hazard) <= 100


def test_a_width_learnt_from_complete_boxes_places_a_cut_one() -> None:
    """A person half as wide as their kind, approached until the border cuts head and feet."""
    localizer = Localizer()
    for seq in range(46):
        away_m = 4.0 - 3.0 * seq / 45
        wide = object_at(away_m).box
        middle, half = wide.centre_x, wide.width / 4
        box = Box(middle - half, wide.y1, middle + half, wide.y2)
        seen = Detection("person", 0.9, box, 1)
        (found,) = localizer.localize(Frame(IMAGE, seq / 15, seq, CAMERA), (seen,))
    (new_track,) = Localizer().localize(Frame(IMAGE, 3.0, 0, CAMERA), (seen,))
    assert found.distance_m == pytest.approx(1.0, rel=0.2)
    assert new_track.distance_m > 1.4  # never seen complete: only an upper bound


def test_the_sigma_of_the_time_to_collision_is_realistic() -> None:
    """With jittering edges most errors are within two standard deviations."""
    found = follow(lambda t: 5.0 - 1.2 * t, 3.0, jitter_px=1.5)
    timed = [(seq, item) for seq, item in enumerate(found) if item.ttc_s is not None]
    assert len(timed) > 20
    within = 0
    for seq, item in timed:
        assert item.ttc_s is not None
        assert item.ttc_sigma_s is not None
        within += abs(item.ttc_s - (5.0 / 1.2 - seq / 15)) <= 2 * item.ttc_sigma_s
    assert within / len(timed) > 0.8
    assert all(item.ttc_sigma_s is None for item in found if item.ttc_s is None)


@pytest.mark.parametrize("pitch_deg", [-15.0, 0.0, 5.0])
def test_the_ground_distance_uses_the_pitch_of_the_pose(pitch_deg: float) -> None:
    """A person at 4 m seen by a camera at 1.5 m, whose pitch is not configured."""
    camera = pinhole(640, 480, 70.0)
    down = math.degrees(math.atan2(1.5, 4.0)) + pitch_deg
    foot = camera.cy + camera.fy * math.tan(math.radians(down))
    head = math.degrees(math.atan2(1.5 - 1.7, 4.0)) + pitch_deg
    top = camera.cy + camera.fy * math.tan(math.radians(head))
    box = Box(300, top, 340, foot)
    found = {}
    for name, pose in {
        "measured": Pose(pitch_deg, 1.0, 0.0, 0.0, True),
        "assumed": None,
    }.items():
        frame = Frame(IMAGE, 1.0, 0, camera, pose=pose)
        (found[name],) = Localizer().localize(frame, (Detection("person", 0.9, box, 1),))
    assert found["measured"].distance_m == pytest.approx(4.0, rel=0.12)
    assert found["measured"].distance_sigma_m < found["assumed"].distance_sigma_m
