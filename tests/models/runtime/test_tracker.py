"""The tracker: which detections belong to one track, at any frame rate, and which never do."""

from collections.abc import Sequence

import numpy as np
import pytest

from engine.core.camera import Frame, Image
from models.runtime.boxes import iou
from models.runtime.tracker import UNTRACKED, Tracker, assigned

Row = tuple[float, float, float, float, float, int]  # corners, score, class
PERSON, DOG = 0, 1
RED, BLUE = (200, 40, 40), (40, 40, 200)


def grey(height: int = 240, width: int = 320) -> Image:
    return np.full((height, width, 3), 128, np.uint8)


def step(
    tracker: Tracker, rows: Sequence[Row], time_s: float, image: Image | None = None
) -> dict[int, int]:
    """The number of the track of each detection that has one."""
    data = np.array(rows, float).reshape(-1, 6)
    frame = Frame(grey() if image is None else image, time_s, 0)
    return dict(tracker.update(data[:, :4], data[:, 4], data[:, 5], frame).tolist())


def person(x: float, y: float = 60.0, height: float = 120.0, score: float = 0.8) -> Row:
    return (x, y, x + height * 0.4, y + height, score, PERSON)


def painted(rows: Sequence[Row], colour: tuple[int, int, int]) -> Image:
    """A grey picture with the boxes in one colour."""
    image = grey()
    for x1, y1, x2, y2, *_ in rows:
        image[int(y1) : int(y2), int(x1) : int(x2)] = colour
    return image


@pytest.fixture
def tracker() -> Tracker:
    return Tracker(0.25, 0.1)


@pytest.mark.parametrize("fps", [5, 10, 15, 30, 60])
@pytest.mark.parametrize("speed_px_s", [-120.0, 0.0, 60.0])
def test_what_moves_steadily_keeps_its_number(
    tracker: Tracker, fps: int, speed_px_s: float
) -> None:
    numbers = [step(tracker, [person(130 + speed_px_s * n / fps)], n / fps) for n in range(fps)]
    assert all(found == {0: 1} for found in numbers)


def test_what_appears_later_is_returned_when_it_is_seen_again(tracker: Tracker) -> None:
    step(tracker, [person(20)], 0.0)
    assert step(tracker, [person(20), person(200)], 0.1) == {0: 1}
    assert step(tracker, [person(20), person(200)], 0.2) == {0: 1, 1: 2}


def test_what_flickers_for_one_frame_is_never_returned(tracker: Tracker) -> None:
    seen = [step(tracker, [person(20), *([person(200)] * (n % 2))], n / 15) for n in range(9)]
    assert {number for found in seen for number in found.values()} == {1}


def test_a_weak_detection_continues_a_track_and_begins_none(tracker: Tracker) -> None:
    step(tracker, [person(20)], 0.0)
    assert step(tracker, [person(22, score=0.12), person(200, score=0.2)], 0.1) == {0: 1}
    assert step(tracker, [person(24, score=0.12), person(200, score=0.2)], 0.2) == {0: 1}
    assert step(tracker, [person(26, score=0.05)], 0.3) == {}


@pytest.mark.parametrize(("gone_s", "number"), [(0.2, 1), (1.0, 1), (1.9, 1), (2.1, 2), (5.0, 2)])
@pytest.mark.parametrize("fps", [8, 30])
def test_a_lost_track_lives_by_seconds_not_by_frames(
    tracker: Tracker, fps: int, gone_s: float, number: int
) -> None:
    step(tracker, [person(100), person(240)], 0.0)
    frames = int(gone_s * fps)
    for n in range(1, frames):
        step(tracker, [person(240)], n / fps)
    found: dict[int, int] = {}
    for n in range(2):
        found = step(tracker, [person(100), person(240)], gone_s + n / fps)
    assert (found[0] == 1) is (number == 1)
    if gone_s < 2:
        assert found[1] == 2


def test_after_a_gap_in_which_all_tracks_ended_what_is_seen_is_returned_at_once(
    tracker: Tracker,
) -> None:
    step(tracker, [person(100)], 0.0)
    assert step(tracker, [person(200)], 10.0) == {0: 2}


def test_a_time_that_stands_still_or_jumps_back_breaks_nothing(tracker: Tracker) -> None:
    assert [step(tracker, [person(100)], at_s) for at_s in (5.0, 5.0, 5.0)] == [{0: 1}] * 3
    assert step(tracker, [person(100)], 1.0) == {0: 2}  # as after any other gap
    assert step(tracker, [person(100)], 1.1) == {0: 2}


@pytest.mark.parametrize(("colour", "number"), [(RED, 1), (BLUE, 2)])
def test_who_comes_back_is_the_same_only_in_the_same_colours(
    tracker: Tracker, colour: tuple[int, int, int], number: int
) -> None:
    rows = [person(100)]
    for n in range(5):
        step(tracker, rows, n / 15, painted(rows, RED))
    for n in range(5, 12):
        step(tracker, [], n / 15)
    found = [step(tracker, rows, n / 15, painted(rows, colour)) for n in range(12, 15)]
    assert found[-1] == {0: number}


def test_a_change_of_light_makes_nobody_another_person(tracker: Tracker) -> None:
    rows = [person(100)]
    for n in range(5):
        step(tracker, rows, n / 15, painted(rows, RED))
    for n in range(5, 12):
        step(tracker, [], n / 15)
    darker = (painted(rows, RED) * 0.5).astype(np.uint8)
    assert step(tracker, rows, 12 / 15, darker) == {0: 1}


def test_two_people_who_pass_each_other_keep_their_numbers(tracker: Tracker) -> None:
    for n in range(16):
        found = step(tracker, [person(20 + 12 * n), person(220 - 12 * n, y=66)], n / 15)
        assert found == {0: 1, 1: 2} or n in {7, 8, 9}, n  # in front of one another


def test_of_two_boxes_of_one_object_the_surer_continues_its_track(tracker: Tracker) -> None:
    step(tracker, [person(100, score=0.9)], 0.0)
    assert step(tracker, [person(102, score=0.3), person(101, score=0.9)], 0.1)[1] == 1


def test_a_dog_does_not_take_the_track_of_a_person_who_left(tracker: Tracker) -> None:
    step(tracker, [person(100), person(240)], 0.0)
    dog = (105.0, 130.0, 165.0, 180.0, 0.8, DOG)
    for n in range(1, 4):
        found = step(tracker, [dog, person(240)], n / 15)
    assert found == {0: 3, 1: 2}


def test_a_label_that_wavers_keeps_the_track(tracker: Tracker) -> None:
    box = (100.0, 100.0, 180.0, 160.0)
    assert {
        step(tracker, [(*box, 0.6, n % 2)], n / 15)[0] for n in range(6)
    } == {1}  # fmt: skip


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", range(5))
def test_what_is_not_finite_becomes_no_track(tracker: Tracker, bad: float, place: int) -> None:
    broken = list(person(100))
    broken[place] = bad
    for n in range(3):
        found = step(tracker, [tuple(broken), person(200)], n / 15)  # type: ignore[list-item]
        assert found == {0: UNTRACKED, 1: 1}


def test_an_empty_box_becomes_no_track(tracker: Tracker) -> None:
    assert step(tracker, [(50, 50, 50, 80, 0.9, PERSON), person(200)], 0.0) == {1: 1}


def test_a_reset_forgets_all_and_numbers_begin_again(tracker: Tracker) -> None:
    step(tracker, [person(20), person(200)], 0.0)
    tracker.reset()
    assert step(tracker, [person(200)], 0.1) == {0: 1}


@pytest.mark.parametrize("size", [(48, 64), (1080, 1920), (640, 480), (1, 1)])
def test_any_size_of_picture_may_follow_any_other(tracker: Tracker, size: tuple[int, int]) -> None:
    step(tracker, [person(20)], 0.0)
    found = step(tracker, [person(20)], 0.1, grey(*size))
    assert found == {0: 1}


def test_overlap_is_that_of_areas() -> None:
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]], float)
    assert iou(boxes, boxes) == pytest.approx(np.array([[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 1]]))


def test_pairs_have_the_largest_sum_and_never_zero() -> None:
    similarity = np.array([[0.6, 0.5, 0.0], [0.5, 0.0, 0.0]])
    assert assigned(similarity).tolist() == [[0, 1], [1, 0]]
    assert assigned(np.zeros((2, 3))).tolist() == []
    assert assigned(np.zeros((0, 3))).tolist() == []
